"""The API as a program meets it: real HTTP, a real database, scripted models, and people with tokens."""

import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import update

from bottega.access import personal_tokens
from bottega.access.personal_tokens import WantedToken
from bottega.access.service import Access
from bottega.access.sign_in import Method, Tokens
from bottega.access.signing import TokenKeys
from bottega.access.types import EVERYTHING, Identity, Role, Scope, allowed
from bottega.bootstrap import App, open_app
from bottega.bootstrap.access import open_access
from bottega.config.groups import AccessSettings
from bottega.core.clock import SystemClock
from bottega.entrypoints.http.api.streams import Streams
from bottega.entrypoints.http.application import Parts, create_app
from bottega.entrypoints.http.serve import house_of
from bottega.entrypoints.relay.calls import Calls
from bottega.entrypoints.relay.connections import STALLED_SECONDS
from bottega.entrypoints.relay.desk import MeteredDesk
from bottega.entrypoints.relay.router import Relay
from bottega.llm.types import Gateway
from bottega.orchestration.state import RunState
from bottega.users.tables import User
from tests.entrypoints.relay.conftest import client, served
from tests.journeys import scripts
from tests.journeys.conftest import scripted, settings_for

BUSY = "1000000/minute"  # how often is shown elsewhere
JSON = {"Content-Type": "application/json"}


@dataclass(kw_only=True)
class Person:
    """Somebody with an account, and what their program sends."""

    id: int
    http: httpx2.AsyncClient

    async def get(self, path: str, *, status: int = 200, **given: Any) -> Any:
        return await self.ask("GET", path, status=status, **given)

    async def post(self, path: str, body: object = None, *, status: int = 200, **given: Any) -> Any:
        if body is not None:
            given["json"] = body
        return await self.ask("POST", path, status=status, **given)

    async def ask(self, method: str, path: str, *, status: int = 200, **given: Any) -> Any:
        answer = await self.http.request(method, path, **given)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def begin(self, brief: str = scripts.BRIEF) -> uuid.UUID:
        return uuid.UUID((await self.post("/v1/projects", {"brief": brief}, status=201))["id"])


@dataclass(kw_only=True)
class Installation:
    app: App
    access: Access
    served: FastAPI
    url: str
    streams: Streams
    stack: AsyncExitStack = field(repr=False)

    async def person(
        self,
        name: str = "ada",
        *,
        scopes: Collection[Scope] = EVERYTHING,
        role: Role = Role.PERSON,
    ) -> Person:
        user_id = await self.app.local_user(name)
        return Person(id=user_id, http=await self.client(await self.token(user_id, scopes=scopes, role=role)))

    async def token(self, user_id: int, *, scopes: Collection[Scope] = EVERYTHING, role: Role = Role.PERSON) -> str:
        wanted = WantedToken(name="test", scopes=allowed(scopes, role=role), days=1)
        async with self.app.database.transaction() as session:
            await session.execute(update(User).where(User.id == user_id).values(role=role.value))
            maker = Identity(user_id=user_id, role=role, scopes=EVERYTHING)
            return (await personal_tokens.create(session, maker=maker, wanted=wanted)).token

    @property
    def keys(self) -> TokenKeys:
        """Return what the tokens of sign-ins are signed with."""
        return self.access.door._keys

    async def signed_in(self, user_id: int) -> Tokens:
        async with self.app.database.transaction() as session:
            return await self.access.sign_ins.start(session, user_id=user_id, method=Method.CODE)

    async def lower(self, user_id: int) -> None:
        """Take an admin's role away."""
        async with self.app.database.transaction() as session:
            await session.execute(update(User).where(User.id == user_id).values(role=Role.PERSON.value))

    async def client(self, token: str | None = None) -> httpx2.AsyncClient:
        return await self.stack.enter_async_context(client(self.url, token=token))

    async def drive(self, project_id: uuid.UUID, *, user_id: int) -> RunState:
        """Do what a runner does, until the project waits for somebody."""
        status = await self.app.orchestrator.status(user_id=user_id, project_id=project_id)
        assert status.run_id is not None
        return await self.app.runner.run(run_id=status.run_id)

    async def planned(self, person: Person) -> uuid.UUID:
        """Return a project whose plan waits for a go."""
        project_id = await person.begin()
        assert await self.drive(project_id, user_id=person.id) is RunState.WAITING
        return project_id

    async def delivered(self, person: Person) -> uuid.UUID:
        project_id = await self.planned(person)
        await person.post(f"/v1/projects/{project_id}/plan/approve")
        assert await self.drive(project_id, user_id=person.id) is RunState.DONE
        return project_id


@asynccontextmanager
async def installed(
    *,
    home: Path,
    database_url: str,
    script: Any = None,
    llm: Gateway | None = None,
    streams: Streams | None = None,
    grace_seconds: int = 1,
    stalled_seconds: float = STALLED_SECONDS,
    **settings: Any,
) -> AsyncIterator[Installation]:
    """Serve the API of an installation that nobody drives unless asked to."""
    clock = SystemClock()
    streams = streams or Streams(clock=clock)
    busy = AccessSettings(rate_limit_person=BUSY, rate_limit_address=BUSY, rate_limit_sign_in=BUSY)
    made = replace(settings_for(home=home, database_url=database_url, **settings), access=busy)
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(open_app(made, llm=llm or scripted(script or scripts.REFINED)))
        access = await stack.enter_async_context(open_access(app))
        desk = MeteredDesk(tokens=app.relay_tokens, gate=app.gate, metering=app.metering)
        relay = Relay(desk=desk, models=app.models, calls=Calls(), clock=clock)
        development = app.payments if app.payments.is_development else None
        house = house_of(app, streams=streams)
        parts = Parts(
            ping=app.ping,
            relay=relay,
            webhooks=app.payments,
            development_payments=development,
            house=house,
            access=access,
        )
        application = create_app(parts)
        server = served(application, grace_seconds=grace_seconds, stalled_seconds=stalled_seconds)
        url = await stack.enter_async_context(server)
        stack.callback(streams.closing.set)
        yield Installation(app=app, access=access, served=application, url=url, streams=streams, stack=stack)


@pytest.fixture
async def here(tmp_path: Path, database_url: str) -> AsyncIterator[Installation]:
    async with installed(home=tmp_path / "home", database_url=database_url, credits=Decimal(1000)) as installation:
        yield installation


@pytest.fixture
async def ada(here: Installation) -> Person:
    return await here.person("ada")


@pytest.fixture
async def bob(here: Installation) -> Person:
    return await here.person("bob")


@pytest.fixture
async def admin(here: Installation) -> Person:
    return await here.person("root", role=Role.ADMIN)
