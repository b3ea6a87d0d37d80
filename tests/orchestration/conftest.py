"""The engine with nobody to do the work, and its rows as a test wants them."""

import uuid
from collections.abc import Sequence
from decimal import Decimal

import pytest
from sqlalchemy import update
from tests.database import MakeUser

from bottega.billing.quote import Quote, SizedTask
from bottega.db.transaction import Database
from bottega.orchestration.orchestrator import ModelOrchestrator
from bottega.orchestration.tables import Run
from bottega.projects.repository import ProjectRepository
from bottega.projects.tables import Project
from bottega.users.tables import User

BRIEF = "A command line tool that counts the words of a text"


@pytest.fixture
def engine(database: Database) -> ModelOrchestrator:
    def no_repository(project_id: uuid.UUID) -> ProjectRepository:
        raise AssertionError(project_id)

    async def no_quote(tasks: Sequence[SizedTask]) -> Quote:
        raise AssertionError(tasks)

    return ModelOrchestrator(
        database=database,
        rungs=2,
        repository=no_repository,
        credit_value_usd=Decimal("0.01"),
        minimum_credits=Decimal(1),
        quote=no_quote,
    )


@pytest.fixture
async def user(make_user: MakeUser) -> User:
    return await make_user()


async def set_run(database: Database, project_id: uuid.UUID, *, status: str | None = None, **columns: object) -> None:
    async with database.transaction() as session:
        await session.execute(update(Run).where(Run.project_id == project_id).values(**columns))
        if status is not None:
            await session.execute(update(Project).where(Project.id == project_id).values(status=status))


async def start(engine: ModelOrchestrator, user: User, *, key: str | None) -> uuid.UUID:
    return await engine.start_project(user_id=user.id, channel="test", brief=BRIEF, idempotency_key=key)
