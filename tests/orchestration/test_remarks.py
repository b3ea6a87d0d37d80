"""What is said to a project at work is kept by one statement, and nothing else is."""

import uuid

import pytest
from sqlalchemy import func, select, text
from tests.database import MakeUser
from tests.orchestration.conftest import set_run, start

from bottega.db.transaction import Database
from bottega.orchestration.commands import remarks
from bottega.orchestration.commands.effects import NothingToDo, Speaker
from bottega.orchestration.orchestrator import ModelOrchestrator
from bottega.projects.tables import Conversation
from bottega.users.tables import User


async def keep(database: Database, user: User, said: str, project_id: uuid.UUID) -> bool:
    by = Speaker(user_id=user.id, channel="test")
    return await remarks.keep(database, by=by, text=said, project_id=project_id)


async def said(database: Database) -> list[str]:
    async with database.transaction() as session:
        return list(await session.scalars(select(Conversation.content).order_by(Conversation.id).offset(1)))


async def test_a_remark_is_kept_while_work_goes_on(database: Database, engine: ModelOrchestrator, user: User) -> None:
    project_id = await start(engine, user, key=None)
    assert await keep(database, user, "Use tabs\0, not spaces \ud800", project_id)
    assert await said(database) == ["Use tabs, not spaces ?"]


@pytest.mark.parametrize("words", ["cancel", "Stop.", f"implement task 1 of project {uuid.UUID(int=1)}"])
async def test_what_may_be_more_than_a_remark_is_not(
    database: Database, engine: ModelOrchestrator, user: User, words: str
) -> None:
    project_id = await start(engine, user, key=None)
    assert not await keep(database, user, words, project_id)
    assert await said(database) == []


@pytest.mark.parametrize(
    "run",
    [
        {"phase": "gather", "state": "waiting", "stop_code": "questions"},
        {"phase": "approve", "state": "waiting", "stop_code": "approval"},
        {"phase": "implement", "state": "paused", "stop_code": None},
        {"phase": "implement", "state": "credits", "stop_code": "out_of_credits"},
        {"phase": "package", "state": "done", "stop_code": None},
    ],
    ids=lambda run: str(run["state"]) + str(run["stop_code"]),
)
async def test_what_is_said_to_a_project_that_waits_is_not(
    database: Database, engine: ModelOrchestrator, user: User, run: dict[str, str | None]
) -> None:
    project_id = await start(engine, user, key=None)
    await set_run(database, project_id, **run)
    assert not await keep(database, user, "Use tabs", project_id)
    assert await said(database) == []


async def test_nothing_is_said_to_a_project_that_is_anothers_or_gone(
    database: Database, engine: ModelOrchestrator, user: User, make_user: MakeUser
) -> None:
    project_id = await start(engine, user, key=None)
    assert not await keep(database, await make_user(), "Use tabs", project_id)
    assert not await keep(database, user, "Use tabs", uuid.uuid4())
    async with database.transaction() as session:
        await session.execute(text("UPDATE projects SET deleted_at = now()"))
    assert not await keep(database, user, "Use tabs", project_id)
    assert await said(database) == []


async def test_what_is_said_to_a_finished_project_begins_no_other(
    database: Database, engine: ModelOrchestrator, user: User
) -> None:
    project_id = await start(engine, user, key=None)
    finished = {"phase": "package", "state": "done", "stop_code": None}
    await set_run(database, project_id, status="completed", finished_at=func.now(), **finished)
    with pytest.raises(NothingToDo, match="finished"):
        await engine.handle_message(user_id=user.id, channel="test", text="And a cake", project_id=project_id)
    assert len(await engine.projects(user_id=user.id)) == 1
