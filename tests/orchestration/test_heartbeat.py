"""One pulse for all runs of a process: leases are kept together, and a step ends alone."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text, update
from tests.database import MakeProject, MakeUser
from tests.waiting import when

from bottega.core.ids import new_id
from bottega.db.transaction import Database
from bottega.orchestration import journal
from bottega.orchestration.journal import Claim, LeaseLost
from bottega.orchestration.running.heartbeat import Pulse
from bottega.orchestration.setbacks import Interrupted
from bottega.orchestration.tables import Run

OFTEN = 0.05


@pytest.fixture
async def held(database: Database, make_user: MakeUser, make_project: MakeProject) -> list[Claim]:
    """Three runs of one runner, whose leases end in a second."""
    user, claims = await make_user(), list[Claim]()
    for _ in range(3):
        project, run_id = await make_project(user), new_id()
        async with database.transaction() as session:
            session.add(Run(id=run_id, project_id=project.id, user_id=user.id))
        claim = await journal.claim(database.autocommit, run_id=run_id, owner="first")
        assert claim is not None
        claims.append(claim)
    async with database.transaction() as session:
        await session.execute(update(Run).values(lease_until=func.clock_timestamp() + timedelta(seconds=1)))
    return claims


async def kept(database: Database) -> int:
    """Count the leases that were extended."""
    statement = select(func.count()).where(Run.lease_until > func.clock_timestamp() + timedelta(seconds=5))
    async with database.reading() as session:
        return (await session.execute(statement)).scalar_one()


async def test_a_beat_extends_every_lease_by_one_statement(database: Database, held: list[Claim]) -> None:
    desires = await journal.extend(database.aside, held=held)
    assert (desires, await kept(database)) == (dict.fromkeys(held, "run"), 3)


async def test_leases_are_kept_while_a_step_works_and_not_after(database: Database, held: list[Claim]) -> None:
    async def all_are_kept() -> bool:
        return await kept(database) == 3

    pulse = Pulse(database=database, every_seconds=OFTEN)
    with pulse.keeping(held[0]), pulse.keeping(held[1]), pulse.keeping(held[2]):
        await when(all_are_kept, seconds=5)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing beats where there is nothing to keep"
    async with database.transaction() as session:
        await session.execute(update(Run).values(lease_until=func.clock_timestamp()))
    await asyncio.sleep(4 * OFTEN)
    assert await kept(database) == 0


async def test_a_row_that_is_being_written_holds_nobody_up_and_loses_nothing(
    database: Database, held: list[Claim]
) -> None:
    async with database.transaction() as session, asyncio.timeout(5):
        await session.execute(select(Run).where(Run.id == held[0].run_id).with_for_update())
        assert await journal.extend(database.aside, held=held) == dict.fromkeys(held, "run")
        assert await kept(database) == 2


async def test_a_lease_that_another_has_is_gone_and_not_extended(database: Database, held: list[Claim]) -> None:
    async with database.transaction() as session:
        await session.execute(update(Run).where(Run.id == held[0].run_id).values(lease_token=7))
    assert await journal.extend(database.aside, held=held) == {held[0]: None, held[1]: "run", held[2]: "run"}
    assert await kept(database) == 2


@pytest.mark.parametrize(
    ("change", "why"), [({"lease_token": 7}, LeaseLost), ({"desired": "pause"}, Interrupted)], ids=["lost", "pause"]
)
async def test_only_the_step_that_must_end_is_ended(
    change: dict[str, object], why: type[Exception], database: Database, held: list[Claim]
) -> None:
    pulse, ended = Pulse(database=database, every_seconds=OFTEN), asyncio.Event()

    async def step(claim: Claim) -> None:
        with pulse.keeping(claim):
            async with pulse.minding(claim):
                await ended.wait()

    steps = [asyncio.create_task(step(claim)) for claim in held]
    await asyncio.sleep(0)
    async with database.transaction() as session:
        await session.execute(update(Run).where(Run.id == held[0].run_id).values(change))
    with pytest.raises(why):
        await steps[0]
    ended.set()
    await asyncio.gather(*steps[1:])


async def test_a_step_that_is_cancelled_from_outside_says_so(database: Database, held: list[Claim]) -> None:
    pulse = Pulse(database=database)

    async def step() -> None:
        with pulse.keeping(held[0]):
            async with pulse.minding(held[0]):
                await asyncio.sleep(60)

    task = asyncio.create_task(step())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_beat_that_the_database_does_not_answer_is_only_missed(database: Database, held: list[Claim]) -> None:
    async def all_are_kept() -> bool:
        return await kept(database) == 3

    pulse = Pulse(database=database, every_seconds=OFTEN)
    with pulse.keeping(held[0]), pulse.keeping(held[1]), pulse.keeping(held[2]):
        async with pulse.minding(held[0]):
            async with database.transaction() as session:
                await session.execute(text("ALTER TABLE runs RENAME TO away"))
            await asyncio.sleep(4 * OFTEN)
            async with database.transaction() as session:
                await session.execute(text("ALTER TABLE away RENAME TO runs"))
            await when(all_are_kept, seconds=5)
