"""Waking runs that wait for credits, as rows: who wakes, in which order, and who stays asleep."""

import asyncio
import uuid
from decimal import Decimal

import pytest
from sqlalchemy import select, update
from tests.database import MakeProject, MakeUser

from bottega.billing import ledger
from bottega.billing.types import Cause, TransactionType
from bottega.core.ids import new_id
from bottega.db.transaction import Database
from bottega.orchestration import funding
from bottega.orchestration.funding import InvalidLimit
from bottega.orchestration.state import RunState, StopCode
from bottega.orchestration.tables import Run, RunEvent
from bottega.projects.service import UnknownProject
from bottega.projects.tables import Project
from bottega.users.tables import User


class Town:
    """People whose runs wait for credits."""

    def __init__(self, database: Database, make_user: MakeUser, make_project: MakeProject) -> None:
        self.database = database
        self.make_user = make_user
        self._make_project = make_project

    async def waits(
        self, user: User, *, needed: str | None, state: str = "credits", limit: str | None = None, **columns: object
    ) -> uuid.UUID:
        """Add a project whose run waits, later than the ones before; return the project."""
        project = await self._make_project(user, status="awaiting_credits")
        given = {"phase": "implement", "step_no": 4, "stop_code": "out_of_credits", "reason": "why", **columns}
        async with self.database.transaction() as session:
            run = Run(id=new_id(), project_id=project.id, user_id=user.id, state=state, **given)
            run.credits_needed = None if needed is None else Decimal(needed)
            session.add(run)
            most = None if limit is None else Decimal(limit)
            await session.execute(update(Project).where(Project.id == project.id).values(credit_limit=most))
        return project.id

    async def top_up(self, user: User, credits: str, *, key: str = "top-up") -> tuple[uuid.UUID, ...]:
        async with self.database.transaction() as session:
            cause = Cause(type=TransactionType.PURCHASE, idempotency_key=key)
            await ledger.grant(session, user_id=user.id, credits=Decimal(credits), cause=cause)
            return await funding.wake_for_credits(session, user.id)

    async def limit(self, user: User, project_id: uuid.UUID, credits: str | None) -> tuple[uuid.UUID, ...]:
        async with self.database.transaction() as session:
            most = None if credits is None else Decimal(credits)
            return await funding.limit_project(session, user_id=user.id, project_id=project_id, credits=most)

    async def run(self, project_id: uuid.UUID) -> Run:
        async with self.database.transaction() as session:
            return (await session.scalars(select(Run).where(Run.project_id == project_id))).one()

    async def told(self, project_id: uuid.UUID) -> list[str]:
        async with self.database.transaction() as session:
            statement = select(RunEvent.type).where(RunEvent.project_id == project_id)
            return list((await session.scalars(statement.order_by(RunEvent.sequence))).all())


@pytest.fixture
def town(database: Database, make_user: MakeUser, make_project: MakeProject) -> Town:
    return Town(database, make_user, make_project)


async def test_a_run_wakes_at_its_step_when_its_need_is_met_to_the_last_decimal(town: Town) -> None:
    ada = await town.make_user(balance=Decimal(0))
    project = await town.waits(ada, needed="5.00000001")
    assert await town.top_up(ada, "5") == ()
    assert (await town.run(project)).state == RunState.CREDITS
    assert await town.top_up(ada, "0.00000001", key="the rest") == (project,)
    run = await town.run(project)
    assert (run.state, run.phase, run.step_no) == (RunState.READY, "implement", 4)
    assert (run.stop_code, run.reason, run.credits_needed) == (None, None, None)
    async with town.database.transaction() as session:
        assert (await session.get_one(Project, project)).status == "implementing"
    assert await town.told(project) == ["run_resumed"]


async def test_what_suffices_for_one_run_wakes_one_and_the_smaller_need_is_not_passed_over(town: Town) -> None:
    ada = await town.make_user(balance=Decimal(0))
    dear, first, second = [await town.waits(ada, needed=needed) for needed in ("50", "6", "6")]
    assert await town.top_up(ada, "11") == (first,)
    assert await town.top_up(ada, "1", key="more") == (second,)  # what the first has not held yet is there for both
    assert (await town.run(dear)).state == RunState.CREDITS


async def test_nobody_elses_run_wakes(town: Town) -> None:
    ada, bob = await town.make_user(balance=Decimal(0)), await town.make_user(balance=Decimal(0))
    project = await town.waits(bob, needed="1")
    assert await town.top_up(ada, "100") == ()
    assert (await town.run(project)).state == RunState.CREDITS


@pytest.mark.parametrize(
    ("state", "desired"),
    [("paused", "pause"), ("cancelled", "cancel"), ("attention", "run"), ("credits", "pause"), ("credits", "cancel")],
)
async def test_a_run_that_waits_for_something_else_sleeps_on(town: Town, state: str, desired: str) -> None:
    ada = await town.make_user(balance=Decimal(0))
    project = await town.waits(ada, needed="1", state=state, desired=desired)
    assert await town.top_up(ada, "100") == ()
    run = await town.run(project)
    assert (run.state, run.desired, await town.told(project)) == (state, desired, [])


async def test_two_top_ups_at_once_wake_a_run_once(town: Town) -> None:
    ada = await town.make_user(balance=Decimal(0))
    project = await town.waits(ada, needed="20")
    woken = await asyncio.gather(*(town.top_up(ada, "10", key=f"twin {n}") for n in range(4)))
    assert [one for one in woken if one] == [(project,)]
    assert await town.told(project) == ["run_resumed"]


async def test_in_debt_nothing_wakes_though_its_need_be_nothing(town: Town) -> None:
    ada = await town.make_user(balance=Decimal(0))
    project = await town.waits(ada, needed="0")
    async with town.database.transaction() as session:
        cause = Cause(type=TransactionType.REFUND_CLAWBACK, idempotency_key="debt")
        await ledger.claw_back(session, user_id=ada.id, credits=Decimal(5), cause=cause)
    assert await town.top_up(ada, "4.99") == ()
    assert await town.top_up(ada, "0.01", key="even") == (project,)


async def test_what_only_lacks_credits_that_came_back_is_found_without_a_top_up(town: Town) -> None:
    ada, bob = await town.make_user(balance=Decimal(10)), await town.make_user(balance=Decimal(10))
    await town.waits(ada, needed="10")
    await town.waits(bob, needed="11")
    async with town.database.transaction() as session:
        assert await funding.whose_need_is_met(session) == (ada.id,)


async def test_a_top_up_does_not_lift_a_limit_and_a_limit_no_lack_of_credits(town: Town) -> None:
    ada = await town.make_user(balance=Decimal(3))
    project = await town.waits(ada, needed="5", limit="4", stop_code="project_limit")
    assert await town.top_up(ada, "1") == ()
    assert await town.limit(ada, project, "5") == ()
    run = await town.run(project)
    assert (run.state, run.stop_code) == (RunState.CREDITS, StopCode.OUT_OF_CREDITS)
    assert run.reason == (
        "The next step may need up to 5.00 credits and 4.00 are available. Everything so far is kept."
    )
    assert await town.top_up(ada, "1", key="more") == (project,)


async def test_a_limit_raised_too_little_says_what_it_leaves(town: Town) -> None:
    ada = await town.make_user(balance=Decimal(100))
    project = await town.waits(ada, needed="5", limit="1", stop_code="project_limit")
    assert await town.limit(ada, project, "4.5") == ()
    assert "this project's limit leaves 4.50" in ((await town.run(project)).reason or "")
    assert await town.limit(ada, project, None) == (project,)
    async with town.database.transaction() as session:
        assert (await session.get_one(Project, project)).credit_limit is None


@pytest.mark.parametrize("credits", ["NaN", "Infinity", "-1", "1000000000.1"])
async def test_what_is_no_limit_changes_nothing(town: Town, credits: str) -> None:
    ada = await town.make_user(balance=Decimal(0))
    project = await town.waits(ada, needed="5", limit="4")
    with pytest.raises(InvalidLimit):
        await town.limit(ada, project, credits)
    async with town.database.transaction() as session:
        assert (await session.get_one(Project, project)).credit_limit == 4


async def test_another_persons_project_cannot_be_limited(town: Town) -> None:
    ada, bob = await town.make_user(balance=Decimal(100)), await town.make_user(balance=Decimal(100))
    project = await town.waits(bob, needed="5", limit="4", stop_code="project_limit")
    with pytest.raises(UnknownProject):
        await town.limit(ada, project, "1000")
    async with town.database.transaction() as session:
        assert (await session.get_one(Project, project)).credit_limit == 4
    assert (await town.run(project)).state == RunState.CREDITS


async def test_who_waits_is_listed_with_what_it_takes(town: Town) -> None:
    ada = await town.make_user(balance=Decimal(0))
    project = await town.waits(ada, needed="5", limit="4")
    await town.waits(ada, needed="5", state="paused")
    async with town.database.transaction() as session:
        [waiting] = await funding.waiting_for_credits(session, user_id=ada.id)
    assert (waiting.project_id, waiting.credits_needed, waiting.limit_left) == (project, Decimal(5), Decimal(4))
