"""A whole workshop for journeys: only the words are scripted; every part, from PostgreSQL to the sandbox, is real."""

import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from bottega.agents.refiner import ModelServer
from bottega.billing.audit import audit
from bottega.billing.tables import ApiKeyUsage, CreditHold
from bottega.bootstrap import PACE, App, Pace, open_app
from bottega.config import (
    BillingSettings,
    CeilingSettings,
    DatabaseSettings,
    ModelSettings,
    PlatformSettings,
    RefinementSettings,
    SandboxSettings,
    Settings,
)
from bottega.db.transaction import transaction_open
from bottega.llm.scripted import ScriptedProvider
from bottega.llm.types import Gateway
from bottega.orchestration.events import Event
from bottega.orchestration.state import RunState, StopCode
from bottega.orchestration.tables import Task
from bottega.orchestration.views.standing import Status


@dataclass(kw_only=True)
class Workshop:
    """An App, a person, and everything announced so far."""

    app: App
    user_id: int
    events: list[Event] = field(default_factory=list)

    async def start(self, brief: str) -> uuid.UUID:
        return await self.app.orchestrator.start_project(user_id=self.user_id, channel="cli", brief=brief)

    async def status(self, project_id: uuid.UUID) -> Status:
        return await self.app.orchestrator.status(user_id=self.user_id, project_id=project_id)

    async def tasks(self, project_id: uuid.UUID) -> tuple[Task, ...]:
        return await self.app.orchestrator.tasks(user_id=self.user_id, project_id=project_id)

    async def run(self, project_id: uuid.UUID) -> Status:
        """Drive until the run needs the person; approve the plan; answer questions as recommended."""
        while True:
            run_id = (await self.status(project_id)).run_id
            assert run_id is not None
            state = await self.app.runner.run(run_id=run_id)
            status = await self.status(project_id)
            if state is not RunState.WAITING:
                return status
            await self._decide(project_id, status)

    async def build(self, brief: str) -> Status:
        return await self.run(await self.start(brief))

    async def _decide(self, project_id: uuid.UUID, status: Status) -> None:
        ids = {"user_id": self.user_id, "project_id": project_id}
        orchestrator = self.app.orchestrator
        if status.stop_code is StopCode.QUESTIONS:
            asked = await orchestrator.questions(**ids)  # type: ignore[arg-type]
            answers = {question.id: question.options[question.recommended] for question in asked}
            await orchestrator.answer(**ids, answers=answers)  # type: ignore[arg-type]
        else:
            await orchestrator.approve(**ids)  # type: ignore[arg-type]

    def told(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    async def calls(self) -> Counter[str]:
        """Count the model calls by how they ended."""
        async with self.app.database.transaction() as session:
            statement = select(ApiKeyUsage.status, func.count().label("calls")).group_by(ApiKeyUsage.status)
            return Counter({row.status: row.calls for row in (await session.execute(statement)).all()})

    async def audit(self) -> None:
        """Assert that every money truth holds and that nothing is held."""
        async with self.app.database.transaction() as session:
            assert await audit(session) == ()
            open_holds = select(func.count()).where(CreditHold.state == "open")
            assert (await session.execute(open_holds)).scalar_one() == 0


OpenWorkshop = Callable[..., Awaitable[Workshop]]


def no_transaction_open() -> None:
    assert not transaction_open(), "a model was asked while a transaction was open"


def scripted(script: Mapping[str, str]) -> ScriptedProvider:
    return ScriptedProvider(script=script, before_call=no_transaction_open)


def settings_for(
    *,
    home: Path,
    database_url: str,
    models: ModelSettings | None = None,
    credits: Decimal = Decimal(1000),
    sandbox: str = "auto",
    aider: Path | None = None,
    ceilings: CeilingSettings | None = None,
) -> Settings:
    scripted_models = ModelSettings(
        architect_model="scripted/architect", implementer_models=("scripted/apprentice", "scripted/journeyman")
    )
    base = Settings.load()
    return replace(
        base,
        platform=PlatformSettings(bottega_home=home),
        database=DatabaseSettings(database_url=database_url.replace("+asyncpg", "")),
        models=models or scripted_models,
        billing=BillingSettings(initial_credits=credits),
        ceilings=ceilings or base.ceilings,
        sandbox=SandboxSettings(sandbox=sandbox),  # type: ignore[arg-type]
        refinement=RefinementSettings(refiner="aider" if aider else "implementer", aider_command=str(aider)),
    )


@asynccontextmanager
async def opened(
    settings: Settings,
    *,
    llm: Gateway | None = None,
    model_server: ModelServer | None = None,
    pace: Pace = PACE,
    username: str = "ada",
) -> AsyncIterator[Workshop]:
    async with open_app(settings, llm=llm, model_server=model_server, pace=pace) as app:
        workshop = Workshop(app=app, user_id=await app.local_user(username))
        app.events.listen(workshop.events.append)
        yield workshop


@pytest.fixture
async def open_workshop(tmp_path: Path, database_url: str) -> AsyncIterator[OpenWorkshop]:
    """Open workshops that share one database and one home, as processes of one installation do."""
    async with AsyncExitStack() as stack:

        async def open_one(
            script: Mapping[str, str] | None = None,
            *,
            llm: Gateway | None = None,
            model_server: ModelServer | None = None,
            pace: Pace = PACE,
            **settings: object,
        ) -> Workshop:
            made = settings_for(home=tmp_path / "home", database_url=database_url, **settings)  # type: ignore[arg-type]
            model = llm or (scripted(script) if script is not None else None)
            return await stack.enter_async_context(opened(made, llm=model, model_server=model_server, pace=pace))

        yield open_one
