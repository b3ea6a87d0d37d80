"""The fence: a step is journaled once, by whoever holds the lease."""

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import func, select, update
from tests.database import MakeProject, MakeUser

from bottega.core.ids import new_id
from bottega.db.transaction import Database
from bottega.orchestration import journal
from bottega.orchestration.journal import Claim, Entry, LeaseLost
from bottega.orchestration.state import Phase, RunState
from bottega.orchestration.tables import Run, Step

ENTRY = Entry(
    kind="gather",
    task_key=None,
    outcome="clear",
    output={"said": ["é", None]},
    credits_charged=Decimal("1.00000001"),
    duration_ms=3,
    phase=Phase.PLAN,
    state=RunState.READY,
    stop_code=None,
    reason=None,
)


@pytest.fixture
async def held(database: Database, make_user: MakeUser, make_project: MakeProject) -> Claim:
    user = await make_user()
    project = await make_project(user)
    run_id = new_id()
    async with database.transaction() as session:
        session.add(Run(id=run_id, project_id=project.id, user_id=user.id))
        await session.flush()
        claim = await journal.claim(session, run_id=run_id, owner="first")
    assert claim is not None
    return claim


async def steps(database: Database) -> list[Step]:
    async with database.transaction() as session:
        return list((await session.scalars(select(Step))).all())


async def test_a_recorded_step_is_a_row_and_moves_the_run_on(database: Database, held: Claim) -> None:
    async with database.transaction() as session:
        await journal.record(session, held=held, step_no=0, entry=ENTRY)
    [step] = await steps(database)
    assert (step.run_id, step.step_no, step.kind, step.outcome) == (held.run_id, 0, "gather", "clear")
    assert (step.output, step.credits_charged) == (ENTRY.output, ENTRY.credits_charged)
    async with database.transaction() as session:
        run = await session.get_one(Run, held.run_id)
    assert (run.step_no, run.phase, run.state, run.claims, run.finished_at) == (1, "plan", "ready", 0, None)


async def test_whoever_lost_the_lease_records_nothing(database: Database, held: Claim) -> None:
    async with database.transaction() as session:
        await session.execute(update(Run).values(lease_until=None, lease_owner=None))
        assert await journal.claim(session, run_id=held.run_id, owner="second") is not None
    with pytest.raises(LeaseLost):
        async with database.transaction() as session:
            await journal.record(session, held=held, step_no=0, entry=ENTRY)
    assert await steps(database) == []


async def test_the_same_step_is_not_recorded_twice(database: Database, held: Claim) -> None:
    async with database.transaction() as session:
        await journal.record(session, held=held, step_no=0, entry=ENTRY)
    with pytest.raises(LeaseLost):
        async with database.transaction() as session:
            await journal.record(session, held=held, step_no=0, entry=ENTRY)
    assert len(await steps(database)) == 1


async def test_a_recorded_step_renews_the_lease_so_that_many_short_ones_outlast_it(
    database: Database, held: Claim
) -> None:
    soon = func.clock_timestamp() + timedelta(seconds=1)
    async with database.transaction() as session:
        await session.execute(update(Run).values(lease_until=soon))
        await journal.record(session, held=held, step_no=0, entry=ENTRY)
    left = select(Run.lease_until - func.clock_timestamp())
    async with database.transaction() as session:
        remaining: timedelta = (await session.execute(left)).scalar_one()  # type: ignore[assignment]
    assert remaining > journal.LEASE - timedelta(seconds=5)


async def take_back_after(database: Database, *, claims: int, owner: str | None) -> float:
    """Let runners have left the run so often, take its lease back, and return the seconds it waits for."""
    async with database.transaction() as session:
        ago = func.clock_timestamp() - timedelta(seconds=1)
        await session.execute(update(Run).values(claims=claims, lease_owner="first", lease_until=ago, wake_at=ago))
        await journal.take_back(session, owner=owner)
        wait = select(func.extract("epoch", Run.wake_at - func.clock_timestamp()), Run.lease_owner)
        seconds, lease_owner = (await session.execute(wait)).one()
    assert lease_owner is None
    return float(seconds)


@pytest.mark.parametrize("owner", ["first", None], ids=["one that died", "one that let it run out"])
async def test_a_run_that_was_left_again_and_again_waits_ever_longer(
    owner: str | None, database: Database, held: Claim
) -> None:
    assert await take_back_after(database, claims=1, owner=owner) < 0
    for claims, shortest in ((2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0)):
        waits = [await take_back_after(database, claims=claims, owner=owner) for _ in range(5)]
        assert shortest - 0.1 <= min(waits) <= max(waits) <= 3 * shortest
        assert len(set(waits)) > 1, "each run waits for a time of its own"
    async with database.transaction() as session:
        assert await journal.claim(session, run_id=held.run_id, owner="second") is None


async def test_a_lease_that_ran_out_is_taken_over_at_once_but_not_again_and_again(
    database: Database, held: Claim
) -> None:
    for expected in (True, False):
        async with database.transaction() as session:
            ago = func.clock_timestamp() - timedelta(seconds=1)
            await session.execute(update(Run).values(lease_until=ago))
            claim = await journal.claim(session, run_id=held.run_id, owner="second")
        assert (claim is not None) is expected


async def test_the_lease_of_one_who_lives_is_not_taken_back(database: Database, held: Claim) -> None:
    async with database.transaction() as session:
        await journal.take_back(session)
        await journal.take_back(session, owner="another")
        run = await session.get_one(Run, held.run_id)
    assert run.lease_owner == "first"


async def test_a_death_that_runs_shared_counts_half_against_each(
    database: Database, held: Claim, make_user: MakeUser, make_project: MakeProject
) -> None:
    user = await make_user(username="eve")
    project = await make_project(user)
    async with database.transaction() as session:
        beside, alone = new_id(), new_id()
        for run_id, owner in ((beside, "first"), (alone, "second")):
            session.add(Run(id=run_id, project_id=project.id, user_id=user.id))
            await session.flush()
            await session.execute(update(Run).where(Run.id == run_id).values(finished_at=func.now()))
            assert await journal.claim(session, run_id=run_id, owner=owner) is not None
        for owner in ("first", "second"):
            await journal.take_back(session, owner=owner)
        claims = {run.id: run.claims for run in (await session.scalars(select(Run))).all()}
    assert claims == {held.run_id: 0.5, beside: 0.5, alone: 1.0}
