"""Workers over Redis: the same runs, the same journal, whoever drives them and whatever becomes of the messages."""

import asyncio
import multiprocessing
import os
import random
import signal
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from bottega.core.clock import SystemClock
from bottega.db.embedded import EmbeddedPostgres
from bottega.orchestration.doorbell import Lane
from bottega.orchestration.running.advance import Advanced
from bottega.orchestration.state import RunState
from bottega.orchestration.tables import Run, Step
from bottega.orchestration.views.standing import Status
from tests.fakes.redis_server import RedisServer
from tests.journeys import scripts, working
from tests.journeys.conftest import OpenWorkshop, Workshop, opened, scripted, settings_for
from tests.journeys.test_kill import (
    BEFORE_APPROVAL,
    PLACES_IN_A_CALL,
    PLACES_WITHOUT_A_CALL,
    Outcome,
    outcome,
    swept,
    undisturbed,
)
from tests.journeys.test_patrol import journal
from tests.waiting import when

__all__ = ["undisturbed"]

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([working.__name__])
BOTH = ("steps", "sandbox")


@dataclass(kw_only=True)
class Floor:
    """Workers of one installation, and a person who only ever sees the orchestrator."""

    workshop: Workshop
    redis: RedisServer
    database_url: str
    home: Path
    workers: list[ForkServerProcess] = field(default_factory=list)

    def hire(
        self, *lanes: str, at_once: int = 16, seconds: float = 0.0, dies: tuple[str, uuid.UUID] | None = None
    ) -> ForkServerProcess:
        """Start a worker whose models think for so long, and which dies at a place of a run."""
        where = {"database_url": self.database_url, "home": self.home, "redis_url": self.redis.url}
        how = {"lanes": lanes or BOTH, "at_once": at_once, "seconds": seconds, "dies": dies}
        worker = PROCESSES.Process(target=working.work_on, kwargs=where | how)
        worker.start()
        self.workers.append(worker)
        return worker

    async def begin(self) -> uuid.UUID:
        return await self.workshop.start(scripts.BRIEF)

    async def approve(self, project_id: uuid.UUID) -> None:
        await self.workshop.app.orchestrator.approve(user_id=self.workshop.user_id, project_id=project_id)

    async def build(self) -> Status:
        """Start a project and say go to its plan; workers do the rest."""
        project_id = await self.begin()
        await self.until(project_id, RunState.WAITING)
        await self.approve(project_id)
        return await self.until(project_id, RunState.DONE)

    async def until(self, project_id: uuid.UUID, state: RunState, *, seconds: float = 100) -> Status:
        async def is_so() -> bool:
            status = await self.workshop.status(project_id)
            assert status.state in {state, RunState.READY, RunState.WAITING}, status
            return status.state is state

        await when(is_so, seconds=seconds)
        return await self.workshop.status(project_id)

    async def approved(self, count: int) -> list[uuid.UUID]:
        """Begin so many projects and bring them to where their tasks begin, without any worker."""
        projects = [await self.begin() for _ in range(count)]
        for project_id in projects:
            run_id = (await self.workshop.status(project_id)).run_id
            assert run_id is not None
            assert await self.workshop.app.runner.run(run_id=run_id) is RunState.WAITING
            await self.approve(project_id)
        return projects

    async def states(self) -> Counter[str]:
        counted = select(Run.state, func.count().label("runs")).group_by(Run.state)
        async with self.workshop.app.database.transaction() as session:
            return Counter({row.state: row.runs for row in (await session.execute(counted)).all()})

    async def steps(self) -> int:
        async with self.workshop.app.database.transaction() as session:
            return (await session.execute(select(func.count()).select_from(Step))).scalar_one()

    async def has_steps(self, count: int) -> bool:
        return await self.steps() >= count

    async def drives(self, count: int) -> bool:
        """Tell whether workers have at least so many runs at once."""
        leased = select(func.count()).where(Run.lease_until > func.clock_timestamp())
        async with self.workshop.app.database.transaction() as session:
            return (await session.execute(leased)).scalar_one() >= count

    async def saw(self, **calls: int) -> bool:
        """Tell whether there are at least so many calls that ended so."""
        return Counter(calls) <= await self.workshop.calls()

    async def all_done(self, count: int, *, seconds: float) -> None:
        async def is_so() -> bool:
            states = await self.states()
            assert states.keys() <= {RunState.READY, RunState.DONE}, states
            return states == Counter({RunState.DONE: count})

        await when(is_so, seconds=seconds)

    async def dismiss(self, workers: Sequence[ForkServerProcess] | None = None) -> list[int | None]:
        workers = self.workers if workers is None else workers
        for worker in workers:
            worker.terminate()
        for worker in workers:
            await asyncio.to_thread(worker.join, 40)
        return [worker.exitcode for worker in workers]


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def floor(tmp_path: Path, database_url: str, redis: RedisServer) -> AsyncIterator[Floor]:
    async for opened_floor in open_floor(home=tmp_path / "home", database_url=database_url, redis=redis):
        yield opened_floor


async def open_floor(*, home: Path, database_url: str, redis: RedisServer) -> AsyncIterator[Floor]:
    settings = working.with_redis(
        settings_for(home=home, database_url=database_url, credits=Decimal(100_000)), redis_url=redis.url
    )
    async with opened(settings, llm=scripted(scripts.GOOD)) as workshop:
        floor = Floor(workshop=workshop, redis=redis, database_url=database_url, home=home)
        try:
            yield floor
        finally:
            for worker in floor.workers:
                worker.kill()
                worker.join()


@pytest.mark.slow
async def test_two_lanes_of_workers_write_the_journal_that_the_runner_in_process_writes(floor: Floor) -> None:
    floor.hire("steps")
    floor.hire("sandbox")
    status = await floor.build()
    assert await floor.dismiss() == [0, 0]

    alone = await floor.workshop.build(scripts.BRIEF)
    assert await journal(floor.workshop, status) == await journal(floor.workshop, alone)
    assert (floor.home / "heartbeat").exists()
    await floor.workshop.audit()


async def test_a_ring_heard_twenty_times_at_once_is_one_claim(open_workshop: OpenWorkshop) -> None:
    workshop = await open_workshop(scripts.GOOD)
    status = await workshop.status(await workshop.start(scripts.BRIEF))
    assert status.run_id is not None
    came = await asyncio.gather(*(workshop.app.advancer.drive(status.run_id) for _ in range(20)))
    assert Counter(came) == Counter({Advanced.BUSY: 19, Advanced.STOPPED: 1})
    async with workshop.app.database.transaction() as session:
        assert (await session.get_one(Run, status.run_id)).lease_token == 1


@pytest.mark.slow
async def test_twenty_messages_about_one_run_are_one_claim(floor: Floor) -> None:
    floor.hire(seconds=0.2)
    project_id = await floor.begin()
    run_id = (await floor.workshop.status(project_id)).run_id
    assert run_id is not None
    for _ in range(20):
        floor.workshop.app.bells.ring(run_id, lane=Lane.STEPS)
    await floor.until(project_id, RunState.WAITING)
    async with floor.workshop.app.database.transaction() as session:
        assert (await session.get_one(Run, run_id)).lease_token == 1


@pytest.mark.slow
async def test_a_broker_that_forgets_everything_costs_seconds(floor: Floor) -> None:
    async def forget() -> None:
        while True:
            floor.redis.forget_everything()
            await asyncio.sleep(0.01)

    floor.hire()
    forgetting = asyncio.create_task(forget())
    try:
        await floor.build()
    finally:
        forgetting.cancel()
    await floor.workshop.audit()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_broker_that_is_away_holds_nothing_up_and_is_used_again_when_it_is_back(floor: Floor) -> None:
    floor.hire("steps", seconds=0.5)
    floor.hire("sandbox")
    first = await floor.begin()
    await floor.until(first, RunState.WAITING)
    floor.redis.stop()
    away = asyncio.create_task(asyncio.sleep(30))
    await floor.approve(first)
    await floor.until(first, RunState.DONE)  # by what looks at the rows
    await away
    floor.redis.start()
    await floor.build()
    assert await floor.dismiss() == [0, 0]
    await floor.workshop.audit()


@pytest.mark.slow
async def test_a_worker_that_was_stopped_past_its_lease_changes_nothing_when_it_wakes(floor: Floor) -> None:
    frozen = floor.hire(seconds=1.0)
    project_id = await floor.begin()
    await when(lambda: floor.saw(settled=1, started=1))
    os.kill(_pid(frozen), signal.SIGSTOP)  # in the call that plans
    async with floor.workshop.app.database.transaction() as session:
        await session.execute(update(Run).values(lease_until=func.clock_timestamp()))
    floor.hire()
    await floor.until(project_id, RunState.WAITING)
    os.kill(_pid(frozen), signal.SIGCONT)
    await asyncio.sleep(2)  # by then its answer has come
    assert await floor.dismiss() == [0, 0]
    assert await floor.steps() == 2
    assert await floor.workshop.calls() == Counter(settled=2, fenced=1)
    await floor.workshop.audit()


@pytest.mark.parametrize("place", swept([*PLACES_WITHOUT_A_CALL, *PLACES_IN_A_CALL], always=set()))
async def test_a_worker_killed_at(place: str, floor: Floor, undisturbed: Outcome) -> None:
    if place.partition(":")[2] in BEFORE_APPROVAL or place in {"claimed", "told:plan_ready"}:
        project_id = await floor.begin()
    else:
        (project_id,) = await floor.approved(1)
    run_id = (await floor.workshop.status(project_id)).run_id
    assert run_id is not None
    mortal = floor.hire(dies=(place, run_id))
    await asyncio.to_thread(mortal.join, 60)
    assert mortal.exitcode == -signal.SIGKILL, f"{place} was never reached"

    floor.hire()
    status = await floor.workshop.status(project_id)
    if status.state is not RunState.DONE:
        if place.partition(":")[2] in BEFORE_APPROVAL or place in {"claimed", "told:plan_ready"}:
            await floor.until(project_id, RunState.WAITING)
            await floor.approve(project_id)
        status = await floor.until(project_id, RunState.DONE)
    assert await outcome(floor.workshop, status, home=floor.home) == undisturbed
    lost = {"orphan": 1} if place in PLACES_IN_A_CALL else {}
    assert await floor.workshop.calls() == Counter({"settled": undisturbed.charges.total(), **lost})
    await floor.workshop.audit()


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_storm_of_fifty_kills_over_three_workers_and_sixty_runs(floor: Floor) -> None:
    chance = random.Random(4)  # noqa: S311 -- the same storm each time
    await floor.approved(60)
    working = [floor.hire(at_once=6, seconds=0.3) for _ in range(3)]
    lost = []
    for _ in range(50):
        await asyncio.sleep(chance.uniform(0.5, 2.5))
        if (await floor.states())[RunState.DONE] == 60:
            break
        victim = working.pop(chance.randrange(3))
        victim.kill()
        await asyncio.to_thread(victim.join)
        working.append(floor.hire(at_once=6, seconds=0.3))
        lost.append((await floor.workshop.calls())["orphan"])
    assert len(lost) == 50, f"only {len(lost)} kills were needed to let all end"
    await floor.all_done(60, seconds=600)
    calls = await floor.workshop.calls()
    print(f"50 kills, {calls['orphan']} calls lost: {calls['orphan'] / 50:.1f} a kill")  # noqa: T201 -- with -rP
    assert calls.keys() <= {"settled", "orphan", "fenced"}
    assert await floor.steps() == 60 * 14
    await floor.workshop.audit()


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_rolling_restart_with_a_hundred_runs_in_flight_loses_nothing(floor: Floor) -> None:
    await floor.approved(100)
    old = floor.hire(at_once=100, seconds=2.0)
    await when(lambda: floor.drives(90))
    for _ in range(3):
        new = floor.hire(at_once=100, seconds=2.0)
        await asyncio.sleep(4)
        assert await floor.dismiss([old]) == [0]
        old = new
    await floor.all_done(100, seconds=600)
    calls = await floor.workshop.calls()
    assert calls.keys() == {"settled"}, "a step under way may end before its worker does"
    await floor.workshop.audit()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_database_stopped_at_once_in_the_middle_of_steps_is_gone_on_with(
    tmp_path: Path, redis: RedisServer
) -> None:
    server = EmbeddedPostgres(home=tmp_path / "database", clock=SystemClock())
    url = await server.start()
    try:
        async for floor in open_floor(home=tmp_path / "home", database_url=url, redis=redis):
            await floor.approved(5)
            floor.hire("steps", seconds=0.5)
            floor.hire("sandbox")
            for _ in range(3):
                wanted = await floor.steps() + 5
                await when(lambda: floor.has_steps(wanted))  # noqa: B023 -- it is over before the next round
                stop_at_once(tmp_path / "database")
                await asyncio.sleep(2)
                assert await server.start() == url
                await floor.workshop.app.database.engine.dispose()
            await floor.all_done(5, seconds=200)
            await floor.workshop.audit()
            assert await floor.dismiss() == [0, 0]
    finally:
        await server.stop()


def stop_at_once(home: Path) -> None:
    """Do what `pg_ctl stop -m immediate` does, and wait until the server is gone."""
    pid = int((home / "postgres/data/postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    while Path(f"/proc/{pid}").exists():
        pass


def _pid(worker: ForkServerProcess) -> int:
    assert worker.pid is not None
    return worker.pid
