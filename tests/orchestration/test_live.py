"""Watching: every event in order, none missing and none twice, through lost connections and beside many writers."""

import asyncio
import contextlib
import multiprocessing
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from sqlalchemy import text, update
from tests.database import MakeProject, MakeUser, connected
from tests.orchestration import tellers

from bottega.core.clock import SystemClock
from bottega.core.ids import new_id
from bottega.db.transaction import Database
from bottega.orchestration import journal, progress
from bottega.orchestration.events import Event, ProviderTrouble, StepStarted, TaskApproved
from bottega.orchestration.herald import Herald
from bottega.orchestration.journal import Claim
from bottega.orchestration.tables import Run, RunEvent
from bottega.orchestration.views import live
from bottega.orchestration.views.live import LiveEvents, Told
from bottega.projects.service import UnknownProject
from bottega.projects.tables import Project

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([tellers.__name__])
NEVER = 60.0
OFTEN = 0.05
STEP = StepStarted(kind="implement", task_key="T1", title="Count", attempt=1, model="m", position=0, total=2)

OpenProcess = Callable[..., Awaitable["Process"]]


@dataclass(kw_only=True)
class Process:
    """What a process of the installation has: its own pool, a herald, and its readers."""

    database: Database
    herald: Herald
    live: LiveEvents

    async def tell(self, project: Project, *keys: str) -> None:
        async with self.database.transaction() as session:
            told = tuple(TaskApproved(task_key=key) for key in keys)
            await progress.tell(session, project_id=project.id, events=told)


@pytest.fixture
async def open_process(database_url: str) -> AsyncIterator[OpenProcess]:
    async with contextlib.AsyncExitStack() as stack:

        async def open_one(*, poll_seconds: float = NEVER, wakes_others: bool = True) -> Process:
            database = Database(url=database_url)
            herald = Herald(database=database)
            live = LiveEvents(database=database, clock=SystemClock(), poll_seconds=poll_seconds)
            stack.push_async_callback(database.close)
            stack.push_async_callback(live.close)
            stack.push_async_callback(herald.close)
            database.hear(live.hear)
            if wakes_others:
                database.hear(herald.hear)
            return Process(database=database, herald=herald, live=live)

        yield open_one


@dataclass(kw_only=True)
class Reader:
    """Reads in the background until it has seen enough."""

    events: LiveEvents
    project: Project
    after: int = 0
    told: list[Told] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    def begin(self) -> "Reader":
        self.task = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        project = self.project
        async for told in self.events.follow(user_id=project.user_id, project_id=project.id, after=self.after):
            self.told.append(told)

    async def until(self, sequence: int) -> list[int]:
        """Return the numbers read, once this one is among them."""
        async with asyncio.timeout(10):
            while not self.numbers or self.numbers[-1] < sequence:
                assert self.task is not None
                assert not self.task.done(), self.task.exception()
                await asyncio.sleep(0.005)
        return self.numbers

    @property
    def numbers(self) -> list[int]:
        return [told.sequence for told in self.told if not told.is_passing]

    @property
    def steps(self) -> list[Event | None]:
        return [told.event for told in self.told if told.is_passing]


@pytest.fixture
async def project(make_user: MakeUser, make_project: MakeProject) -> Project:
    return await make_project(await make_user())


@pytest.fixture
async def held(database: Database, project: Project) -> Claim:
    run_id = new_id()
    async with database.transaction() as session:
        session.add(Run(id=run_id, project_id=project.id, user_id=project.user_id))
        await session.flush()
        claim = await journal.claim(session, run_id=run_id, owner="first")
    assert claim is not None
    return claim


def keys(told: Sequence[Told]) -> list[str]:
    return [one.event.task_key for one in told if isinstance(one.event, TaskApproved)]


LISTENERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"


async def eventually(is_so: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(10):
        while not await is_so():  # noqa: ASYNC110  # of other processes and the database's
            await asyncio.sleep(0.005)


async def listening(process: Process) -> None:
    """Wait until the process's readers are woken by notifications."""
    async with connected(url_of(process)) as connection:
        await eventually(lambda: connection.fetchval(LISTENERS))


async def has_steps(reader: Reader) -> None:
    async def has() -> bool:
        return bool(reader.steps)

    await eventually(has)


def url_of(process: Process) -> str:
    return process.database.engine.url.render_as_string(hide_password=False)


async def test_a_reader_gets_what_was_and_then_what_comes(open_process: OpenProcess, project: Project) -> None:
    here = await open_process()
    await here.tell(project, "a", "b", "c")
    reader = Reader(events=here.live, project=project, after=1).begin()
    await reader.until(3)
    await here.tell(project, "d")
    assert await reader.until(4) == [2, 3, 4]
    assert keys(reader.told) == ["b", "c", "d"]


async def test_a_reader_of_another_process_is_woken(open_process: OpenProcess, project: Project) -> None:
    here, there = await open_process(), await open_process()
    reader = Reader(events=there.live, project=project).begin()
    await listening(there)
    await asyncio.sleep(0.1)  # whatever was to be looked at for joining has been
    await here.tell(project, "a")
    assert await reader.until(1) == [1]


async def test_a_lost_notification_costs_no_more_than_the_next_look(
    open_process: OpenProcess, project: Project
) -> None:
    here, there = await open_process(wakes_others=False), await open_process(poll_seconds=OFTEN)
    reader = Reader(events=there.live, project=project).begin()
    await listening(there)
    await asyncio.sleep(0.1)  # whatever was to be looked at for joining has been
    await here.tell(project, "a")
    assert await reader.until(1) == [1]


async def test_what_is_rolled_back_is_told_to_nobody(open_process: OpenProcess, project: Project) -> None:
    here = await open_process()
    heard: list[object] = []
    here.database.hear(heard.append)

    async def fail() -> None:
        async with here.database.transaction() as session:
            await progress.tell(session, project_id=project.id, events=(TaskApproved(task_key="a"),))
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert heard == []
    await here.tell(project, "b", "c")
    assert heard == [progress.News(project_id=project.id)]


async def test_writers_in_several_processes_leave_no_gap_for_any_reader(
    open_process: OpenProcess, database_url: str, project: Project
) -> None:
    there = await open_process(poll_seconds=1.0)
    readers = [Reader(events=there.live, project=project, after=after).begin() for after in (0, 0, 0, 40)]
    writers = [
        PROCESSES.Process(
            target=tellers.tell_many,
            kwargs={"url": database_url, "project_id": project.id, "name": name, "count": 50},
        )
        for name in "xy"
    ]
    for writer in writers:
        writer.start()
    for reader in readers:
        assert await reader.until(100) == list(range(reader.after + 1, 101))
    for name in "xy":
        assert [key for key in keys(readers[0].told) if key[0] == name] == [f"{name}{n}" for n in range(50)]
    for writer in writers:
        await asyncio.to_thread(writer.join)
        assert writer.exitcode == 0


async def test_a_thousand_readers_take_one_connection_and_one_look(open_process: OpenProcess, project: Project) -> None:
    here, there = await open_process(), await open_process()
    readers = [Reader(events=there.live, project=project).begin() for _ in range(1000)]
    await listening(there)
    await here.tell(project, "a")
    for reader in readers:
        await reader.until(1)
    async with there.database.transaction() as session:
        assert (await session.execute(text(LISTENERS))).scalar_one() == 1
    await here.tell(project, *"bcdefgh")
    assert {tuple(await reader.until(8)) for reader in readers} == {tuple(range(1, 9))}


async def test_a_reader_survives_the_end_of_all_its_connections(open_process: OpenProcess, project: Project) -> None:
    here, there = await open_process(), await open_process(poll_seconds=0.5)
    reader = Reader(events=there.live, project=project).begin()
    await listening(there)
    for number in range(1, 4):
        async with connected(url_of(there)) as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        async with asyncio.timeout(5):
            while True:
                try:
                    await here.tell(project, str(number))
                    break
                except Exception:  # noqa: BLE001, S112  # a writer's own connection was ended too
                    continue
        assert await reader.until(number) == list(range(1, number + 1))
    await listening(there)  # again
    await here.tell(project, "again")
    assert await reader.until(4) == [1, 2, 3, 4]


async def test_a_slow_reader_holds_nothing_up_keeps_nothing_and_misses_nothing(
    open_process: OpenProcess, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PAGE", 8)
    here = await open_process()
    slow = here.live.follow(user_id=project.user_id, project_id=project.id)
    quick = Reader(events=here.live, project=project).begin()
    await here.tell(project, "1")
    first = await anext(slow)
    for number in range(2, 101):
        await here.tell(project, str(number))
    await quick.until(100)
    [feed] = here.live._feeds.values()
    assert len(feed.rows) == 8
    rest = [await anext(slow) for _ in range(99)]
    assert [first.sequence, *(told.sequence for told in rest)] == list(range(1, 101))
    await slow.aclose()


@pytest.mark.parametrize("after", [-5, 0, 2**31 - 1, 10**30])
async def test_a_number_that_makes_no_sense_harms_nobody_else(
    after: int, open_process: OpenProcess, project: Project
) -> None:
    here = await open_process()
    strange = Reader(events=here.live, project=project, after=after).begin()
    await asyncio.sleep(0.05)
    usual = Reader(events=here.live, project=project).begin()
    await here.tell(project, "a", "b")
    assert await usual.until(2) == [1, 2]
    await asyncio.sleep(0.02)
    assert strange.numbers == ([1, 2] if after <= 0 else [])


async def test_another_persons_project_does_not_exist(
    open_process: OpenProcess, project: Project, make_user: MakeUser
) -> None:
    here, stranger = await open_process(), await make_user()
    with pytest.raises(UnknownProject):
        await anext(here.live.follow(user_id=stranger.id, project_id=project.id))
    with pytest.raises(UnknownProject):
        await anext(here.live.follow(user_id=stranger.id, project_id=uuid.uuid4()))
    assert here.live._feeds == {}


async def test_closing_ends_every_reader(open_process: OpenProcess, project: Project) -> None:
    here = await open_process()
    reader = Reader(events=here.live, project=project).begin()
    await here.tell(project, "a")
    await reader.until(1)
    await here.live.close()
    assert reader.task is not None
    await asyncio.wait_for(reader.task, timeout=1)


async def test_the_step_under_way_reaches_other_processes(
    open_process: OpenProcess, project: Project, held: Claim
) -> None:
    here, there = await open_process(), await open_process()
    reader = Reader(events=there.live, project=project).begin()
    await listening(there)
    here.herald.under_way(project_id=project.id, held=held, after_sequence=0, step=STEP)
    await has_steps(reader)
    assert reader.steps == [STEP]
    late = Reader(events=there.live, project=project).begin()
    await here.tell(project, "a")
    await late.until(1)
    assert late.steps == [STEP]
    assert reader.steps == [STEP], "told once"


async def test_a_step_is_told_after_the_events_that_came_before_it(
    open_process: OpenProcess, project: Project, held: Claim
) -> None:
    here, there = await open_process(), await open_process()
    reader = Reader(events=there.live, project=project).begin()
    await listening(there)
    await here.tell(project, "a", "b")
    here.herald.under_way(project_id=project.id, held=held, after_sequence=2, step=STEP)
    await has_steps(reader)
    assert [told.sequence for told in reader.told] == [1, 2, 2]
    assert reader.told[-1].is_passing


@pytest.mark.parametrize("ending", ["the lease is another's", "the lease ran out", "the lease was given back"])
async def test_a_step_nobody_is_at_is_not_told(
    ending: str, database: Database, open_process: OpenProcess, project: Project, held: Claim
) -> None:
    here, there = await open_process(), await open_process()
    claim = replace(held, lease_token=held.lease_token - 1) if ending == "the lease is another's" else held
    if ending != "the lease is another's":
        async with database.transaction() as session:
            until = text("clock_timestamp() - interval '1 s'") if ending == "the lease ran out" else None
            await session.execute(update(Run).values(lease_until=until))
    here.herald.under_way(project_id=project.id, held=claim, after_sequence=0, step=STEP)
    await here.herald.close()
    await here.tell(project, "a")
    reader = Reader(events=there.live, project=project).begin()
    await reader.until(1)
    await asyncio.sleep(0.05)
    assert reader.steps == []


async def test_trouble_within_a_step_becomes_a_row_unless_its_runner_lost_the_run(
    open_process: OpenProcess, project: Project, held: Claim
) -> None:
    here = await open_process()
    trouble = ProviderTrouble(message="busy", retry_seconds=3, next_model=None)
    here.herald.aside(project_id=project.id, held=held, event=trouble)
    stale = replace(held, lease_token=held.lease_token - 1)
    here.herald.aside(project_id=project.id, held=stale, event=replace(trouble, message="a ghost's"))
    await here.herald.close()
    reader = Reader(events=here.live, project=project).begin()
    assert await reader.until(1) == [1]
    assert [told.event for told in reader.told] == [trouble]


async def test_an_event_of_another_version_is_passed_over_by_its_number(
    database: Database, open_process: OpenProcess, project: Project
) -> None:
    here = await open_process()
    await here.tell(project, "a")
    async with database.transaction() as session:
        session.add(RunEvent(project_id=project.id, sequence=2, type="from_the_future", payload={"x": 1}))
        session.add(RunEvent(project_id=project.id, sequence=3, type="task_approved", payload={"other": 1}))
        await session.execute(update(Project).values(event_sequence=3))
    await here.tell(project, "b")
    reader = Reader(events=here.live, project=project).begin()
    assert await reader.until(4) == [1, 2, 3, 4]
    assert [told.event for told in reader.told[1:3]] == [None, None]


async def test_a_herald_without_a_database_says_nothing_and_ends(open_process: OpenProcess, project: Project) -> None:
    here = await open_process()
    await here.tell(project, "a")
    await here.database.close()
    broken = Herald(database=Database(url="postgresql+asyncpg://nobody@127.0.0.1:1/nothing"))
    broken.hear(progress.News(project_id=project.id))
    await asyncio.wait_for(broken.close(), timeout=5)
