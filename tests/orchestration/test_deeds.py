"""Commands under an idempotency key: done once, whoever says it again, and answered the same."""

import asyncio
import uuid
from decimal import Decimal

import pytest
from sqlalchemy import func, select, text
from tests.database import MakeUser
from tests.orchestration.conftest import set_run, start

from bottega.db.transaction import Database
from bottega.orchestration.commands.deeds import BadIdempotencyKey, DeedsKept
from bottega.orchestration.orchestrator import ModelOrchestrator, NothingToDo
from bottega.orchestration.state import RunState
from bottega.orchestration.tables import Deed, Run, RunEvent
from bottega.projects.tables import Conversation, Project, Question
from bottega.users.tables import User


async def count(database: Database, what: type) -> int:
    async with database.transaction() as session:
        return (await session.execute(select(func.count()).select_from(what))).scalar_one()


async def wait_for_a_go(database: Database, project_id: uuid.UUID) -> None:
    waiting = {"phase": "approve", "state": "waiting", "stop_code": "approval"}
    await set_run(database, project_id, status="awaiting_approval", **waiting)


async def test_a_project_is_started_once_for_a_key(database: Database, engine: ModelOrchestrator, user: User) -> None:
    started = await asyncio.gather(*(start(engine, user, key="one") for _ in range(6)))
    assert len(set(started)) == 1
    assert await start(engine, user, key="one") == started[0]
    assert (await count(database, Project), await count(database, Run)) == (1, 1)
    assert await start(engine, user, key="two") != started[0]
    assert await start(engine, user, key=None) != await start(engine, user, key=None)


async def test_another_persons_key_means_nothing(
    database: Database, engine: ModelOrchestrator, user: User, make_user: MakeUser
) -> None:
    assert await start(engine, user, key="one") != await start(engine, await make_user(), key="one")
    assert await count(database, Project) == 2


async def test_a_message_means_what_it_meant_the_first_time(
    database: Database, engine: ModelOrchestrator, user: User
) -> None:
    """Said again, "yes" is no remark about what the first one set going."""
    project_id = await start(engine, user, key=None)
    await wait_for_a_go(database, project_id)
    for _ in range(2):
        about = await engine.handle_message(
            user_id=user.id, channel="test", text="yes", project_id=project_id, idempotency_key="go"
        )
        assert about == project_id
    assert await count(database, Conversation) == 1  # the brief
    async with database.transaction() as session:
        events = (await session.scalars(select(RunEvent.type).order_by(RunEvent.sequence))).all()
    assert events == ["project_started", "plan_approved"]


async def test_what_was_refused_may_be_asked_for_again(
    database: Database, engine: ModelOrchestrator, user: User
) -> None:
    project_id = await start(engine, user, key=None)
    with pytest.raises(NothingToDo):
        await engine.approve(user_id=user.id, project_id=project_id, idempotency_key="go")
    assert await count(database, Deed) == 0
    await wait_for_a_go(database, project_id)
    await engine.approve(user_id=user.id, project_id=project_id, idempotency_key="go")
    await engine.approve(user_id=user.id, project_id=project_id, idempotency_key="go")
    assert (await engine.status(user_id=user.id, project_id=project_id)).state is RunState.READY


async def test_a_pause_that_is_repeated_does_not_stop_what_was_resumed(engine: ModelOrchestrator, user: User) -> None:
    project_id = await start(engine, user, key=None)
    await engine.pause(user_id=user.id, project_id=project_id, idempotency_key="pause")
    assert (await engine.status(user_id=user.id, project_id=project_id)).state is RunState.PAUSED
    await engine.resume(user_id=user.id, project_id=project_id, idempotency_key="resume")
    await engine.pause(user_id=user.id, project_id=project_id, idempotency_key="pause")
    assert (await engine.status(user_id=user.id, project_id=project_id)).state is RunState.READY


async def test_a_remark_is_remembered_once(database: Database, engine: ModelOrchestrator, user: User) -> None:
    project_id = await start(engine, user, key=None)
    say = {"user_id": user.id, "project_id": project_id, "channel": "test", "text": "In blue, please"}
    await asyncio.gather(*(engine.remark(**say, idempotency_key="blue") for _ in range(4)))  # type: ignore[arg-type]
    assert await count(database, Conversation) == 2


async def test_a_stopped_run_goes_on_with_what_is_said_or_not_at_all(
    database: Database, engine: ModelOrchestrator, user: User
) -> None:
    project_id = await start(engine, user, key=None)
    await wait_for_a_go(database, project_id)
    with pytest.raises(NothingToDo):
        await engine.resume(user_id=user.id, project_id=project_id, channel="test", remark="In blue")
    assert await count(database, Conversation) == 1, "the remark is not kept where the run does not go on"


async def test_a_limit_returns_the_same_projects_again(engine: ModelOrchestrator, user: User) -> None:
    project_id = await start(engine, user, key=None)
    limit = {"user_id": user.id, "project_id": project_id, "credits": Decimal(5), "idempotency_key": "five"}
    assert await engine.limit_project(**limit) == await engine.limit_project(**limit) == ()  # type: ignore[arg-type]


async def test_an_answer_that_comes_late_does_not_plan_again(
    database: Database, engine: ModelOrchestrator, user: User
) -> None:
    project_id = await start(engine, user, key=None)
    question = Question(
        id=uuid.uuid4(), project_id=project_id, ordinal=1, text="Which?", options=["a", "b"], recommended=0
    )
    async with database.transaction() as session:
        session.add(question)
    await set_run(database, project_id, state="waiting", stop_code="questions")
    await engine.answer(user_id=user.id, project_id=project_id, answers={question.id: "a"}, idempotency_key="a")
    await set_run(database, project_id, phase="implement")
    with pytest.raises(NothingToDo):
        await engine.answer(user_id=user.id, project_id=project_id, answers={question.id: "b"}, idempotency_key="b")
    async with database.transaction() as session:
        assert await session.scalar(select(Question.answer)) == "a"
        assert await session.scalar(select(Run.phase)) == "implement"


@pytest.mark.parametrize("key", ["", "x" * 201, "nul\0", "half \ud83d", " spaced "])
async def test_a_key_that_cannot_be_kept_is_refused(
    database: Database, engine: ModelOrchestrator, user: User, key: str
) -> None:
    with pytest.raises(BadIdempotencyKey):
        await start(engine, user, key=key)
    assert await count(database, Project) == 0


async def test_old_keys_are_forgotten(database: Database, engine: ModelOrchestrator, user: User) -> None:
    first = await start(engine, user, key="old")
    await start(engine, user, key="young")
    async with database.transaction() as session:
        await session.execute(
            text("UPDATE deeds SET created_at = now() - interval '8 days' WHERE idempotency_key = 'old'")
        )
    await DeedsKept(database=database).forget_old()
    assert await count(database, Deed) == 1
    assert await start(engine, user, key="old") != first
