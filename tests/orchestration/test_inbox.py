"""The inbox: an update is taken in once, and dealt with at least once, in the order of its stream."""

import asyncio
import json
import multiprocessing
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from tests.orchestration import clerks
from tests.waiting import when

from bottega.core.clock import SystemClock
from bottega.db.transaction import Database, transaction_open
from bottega.orchestration.post import inbox, outbox
from bottega.orchestration.post.inbox import Arrival, Clerk, Inbox, Received, pause_after, storable
from bottega.orchestration.post.outbox import Refused, TryLater
from bottega.orchestration.tables import Inbox as InboxRow
from bottega.orchestration.tables import Outbox

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([clerks.__name__])


def arrival(number: int, *, stream: str = "ada") -> Arrival:
    return Arrival(external_id=str(number), stream=stream, payload=f'{{"n": {number}}}')


class Recorder:
    """Remembers what it was given; `answer` may wait or raise first."""

    def __init__(self, answer: Callable[[Received], Awaitable[None]] | None = None) -> None:
        self._answer = answer
        self.seen: list[Received] = []

    async def __call__(self, received: Received) -> None:
        assert not transaction_open(), "an update was handled while a transaction was open"
        self.seen.append(received)
        if self._answer is not None:
            await self._answer(received)

    @property
    def numbers(self) -> list[object]:
        return [received.payload["n"] for received in self.seen]


async def lament(session: AsyncSession, received: Received) -> None:
    await outbox.post(session, target="sorry", payload={}, dedupe_key=f"sorry:{received.external_id}")


def clerk(database: Database, takes: inbox.Takes) -> Clerk:
    return Clerk(database=database, source="test", takes=takes, given_up=lament, clock=SystemClock())


@asynccontextmanager
async def working(*clerks: Clerk) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.work()) for one in clerks]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def rows(database: Database) -> Sequence[InboxRow]:
    async with database.transaction() as session:
        return (await session.scalars(select(InboxRow).order_by(InboxRow.id))).all()


async def make_due(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(update(InboxRow).values(wake_at=func.now() - timedelta(seconds=1)))


async def test_an_update_is_taken_in_once_even_by_twins_at_the_same_moment(database: Database) -> None:
    doors = [Inbox(database=database, source="test") for _ in range(6)]
    batch = [arrival(number) for number in (1, 2, 2)]
    kept = await asyncio.gather(*(door.take_in(batch) for door in doors))
    assert sorted(kept) == [0, 0, 0, 0, 0, 2]
    other = Inbox(database=database, source="other")
    assert await other.take_in([arrival(1)]) == 1, "another source has names of its own"
    assert await other.take_in([]) == 0
    for door in [*doors, other]:
        await door.close()


async def test_an_update_is_dealt_with_once_and_says_what_it_is(database: Database) -> None:
    await Inbox(database=database, source="test").take_in([arrival(7)])
    recorder = Recorder()
    assert await clerk(database, recorder).work_off() == 1
    assert await clerk(database, recorder).work_off() == 0
    [received] = recorder.seen
    assert (received.source, received.external_id, received.stream) == ("test", "7", "ada")
    assert (received.payload, received.attempt) == ({"n": 7}, 1)


async def test_a_stream_keeps_its_order_and_holds_up_nobody_else(database: Database) -> None:
    door = Inbox(database=database, source="test")
    await door.take_in([arrival(n, stream="ada") for n in range(10)])
    await door.take_in([arrival(n + 100, stream="bob") for n in range(10)])

    async def fail_once(received: Received) -> None:
        if received.payload["n"] == 3 and received.attempt == 1:
            raise TryLater("not now")

    recorder = Recorder(fail_once)
    await clerk(database, recorder).work_off()
    assert [n for n in recorder.numbers if n in range(100)] == [0, 1, 2, 3]
    assert [n for n in recorder.numbers if n not in range(100)] == list(range(100, 110))
    await make_due(database)
    await clerk(database, recorder).work_off()
    assert [n for n in recorder.numbers if n in range(100)] == [0, 1, 2, 3, *range(3, 10)]


async def test_a_stream_waits_for_what_is_being_taken_in_before_it(database: Database) -> None:
    """Otherwise a later update could be seen, and handled, before an earlier one is there."""
    door = Inbox(database=database, source="test")
    row = '[{"external_id": "1", "stream": "ada", "payload": "{}"}]'
    async with database.transaction() as session:
        await session.execute(inbox._TAKE_IN, {"source": "test", "rows": row})
        behind = asyncio.create_task(door.take_in([arrival(2)]))
        assert await door.take_in([arrival(3, stream="bob")]) == 1
        await asyncio.sleep(0.1)
        assert not behind.done()
    assert await behind == 1
    await door.close()


async def test_many_doors_and_clerks_keep_each_streams_order(database: Database, database_url: str) -> None:
    """Updates of a stream that arrive at the same moment get ids in the order in which they become visible."""
    other = Database(url=database_url)
    doors = [Inbox(database=each, source="test") for each in (database, other) for _ in range(3)]
    under_way: dict[str, int] = defaultdict(int)

    async def one_at_a_time(received: Received) -> None:
        under_way[received.stream] += 1
        assert under_way[received.stream] == 1, "two updates of a stream are handled at once"
        await asyncio.sleep(0)
        under_way[received.stream] -= 1

    recorder = Recorder(one_at_a_time)

    async def deliver(number: int) -> None:
        await doors[number % 6].take_in([arrival(number, stream=f"s{number % 4}")])

    async with working(clerk(database, recorder), clerk(other, recorder)):
        await asyncio.gather(*(deliver(number) for number in range(120)))
        await when(lambda: _is(len(recorder.seen) >= 120), seconds=10)
    by_id = [row.payload["n"] for row in await rows(database)]
    for stream in range(4):
        handled = [n for n in recorder.numbers if isinstance(n, int) and n % 4 == stream]
        assert handled == [n for n in by_id if n % 4 == stream]
    assert [row.last_fault for row in await rows(database)] == [None] * 120
    for door in doors:
        await door.close()
    await other.close()


async def test_whoever_works_in_this_process_or_another_is_woken_at_once(database: Database, database_url: str) -> None:
    """Looking every two seconds alone would take a second on average."""
    elsewhere = Database(url=database_url)
    took: list[float] = []
    for far in (False, True):
        door = Inbox(database=elsewhere if far else database, source="test")
        arrived = asyncio.Event()

        async def note_arrival(_: Received, arrived: asyncio.Event = arrived) -> None:
            arrived.set()

        one = clerk(database, Recorder(note_arrival))
        if not far:
            door.hear(one.wake)
        async with working(one):
            await asyncio.sleep(0.3)  # it listens by then
            began = time.monotonic()
            await door.take_in([arrival(10 + far)])
            async with asyncio.timeout(5):
                await arrived.wait()
            took.append(time.monotonic() - began)
        await door.close()
    await elsewhere.close()
    assert max(took) < 0.5, took


async def test_what_fails_again_and_again_is_set_aside_and_said_once(database: Database) -> None:
    async def fail(received: Received) -> None:
        if received.payload["n"] == 1:
            raise ZeroDivisionError("a secret")

    door = Inbox(database=database, source="test")
    await door.take_in([arrival(1), arrival(2)])
    recorder = Recorder(fail)
    for _ in range(inbox.DEFECTS + 1):
        await make_due(database)
        await clerk(database, recorder).work_off()
    first, second = await rows(database)
    assert (first.refusal, first.attempts) == ("ZeroDivisionError", inbox.DEFECTS)
    assert second.done_at is not None, "what comes after it goes on"
    async with database.transaction() as session:
        assert (await session.scalars(select(Outbox.dedupe_key))).all() == ["sorry:1"]
    await door.close()


async def test_what_cannot_be_done_yet_is_tried_for_longer_than_a_defect(database: Database) -> None:
    async def later(_: Received) -> None:
        raise TryLater("Telegram is away.", after_seconds=7)

    door = Inbox(database=database, source="test")
    await door.take_in([arrival(1)])
    async with database.transaction() as session:
        await session.execute(update(InboxRow).values(attempts=inbox.DEFECTS + 3))
    await clerk(database, Recorder(later)).work_off()
    [row] = await rows(database)
    assert (row.refused_at, row.last_fault) == (None, "Telegram is away.")
    async with database.transaction() as session:
        await session.execute(update(InboxRow).values(attempts=inbox.ATTEMPTS, wake_at=func.now()))
    untouched = Recorder()
    await clerk(database, untouched).work_off()
    [row] = await rows(database)
    assert (row.refusal, untouched.seen) == ("It was tried 40 times.", [])
    await door.close()


async def test_a_refused_update_is_set_aside_at_once(database: Database) -> None:
    async def refuse(_: Received) -> None:
        raise Refused("It is none.")

    door = Inbox(database=database, source="test")
    await door.take_in([arrival(1)])
    assert await clerk(database, Recorder(refuse)).work_off() == 0
    assert [row.refusal for row in await rows(database)] == ["It is none."]
    await door.close()


async def test_a_handler_that_hangs_is_cut_off(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "HANDLING_SECONDS", 0.05)

    async def hang(_: Received) -> None:
        await asyncio.Event().wait()

    door = Inbox(database=database, source="test")
    await door.take_in([arrival(1)])
    await clerk(database, Recorder(hang)).work_off()
    assert [row.last_fault for row in await rows(database)] == ["TimeoutError"]
    await door.close()


async def test_who_is_told_to_stop_ends_what_it_has_begun(database: Database) -> None:
    begun = asyncio.Event()

    async def take_a_moment(_: Received) -> None:
        begun.set()
        await asyncio.sleep(0.1)

    door = Inbox(database=database, source="test")
    await door.take_in([arrival(1)])
    async with working(clerk(database, Recorder(take_a_moment))):
        await begun.wait()
    assert [row.done_at is not None for row in await rows(database)] == [True]
    await door.close()


async def test_killed_in_the_middle_the_next_one_does_it(database: Database, database_url: str, tmp_path: Path) -> None:
    """Kill -9 after the update was taken in and while it is handled: it is handled again, and the next only then."""
    door = Inbox(database=database, source="test")
    await door.take_in([arrival(1), arrival(2)])
    path = tmp_path / "begun"
    victim = PROCESSES.Process(target=clerks.hang, kwargs={"url": database_url, "path": path}, daemon=True)
    victim.start()
    await when(lambda: _is(path.exists()), seconds=20)
    victim.kill()
    await asyncio.to_thread(victim.join)
    recorder = Recorder()
    assert await clerk(database, recorder).work_off() == 0, "the lease of the dead runs"
    await make_due(database)
    await clerk(database, recorder).work_off()
    assert [(r.payload["n"], r.attempt) for r in recorder.seen] == [(1, 2), (2, 1)]
    await door.close()


async def test_old_updates_are_forgotten_and_open_ones_are_not(database: Database) -> None:
    door = Inbox(database=database, source="test")
    await door.take_in([arrival(1)])
    one = clerk(database, Recorder())
    await one.work_off()
    await door.take_in([arrival(2)])
    async with database.transaction() as session:
        old = func.now() - timedelta(days=31)
        await session.execute(update(InboxRow).values(created_at=old))
        await session.execute(update(InboxRow).where(InboxRow.done_at.is_not(None)).values(done_at=old))
    await one.tidy()
    assert [row.external_id for row in await rows(database)] == ["2"]
    await door.close()


def test_pauses_grow_to_a_minute_and_no_further() -> None:
    pauses = [pause_after(attempt, asked=None) for attempt in (1, 4, 1_000)]
    assert [0.25 <= pauses[0] <= 0.5, 2 <= pauses[1] <= 4, 30 <= pauses[2] <= 60] == [True] * 3
    assert [pause_after(1, asked=asked) for asked in (30.0, 1e12)] == [30.0, 60.0]
    assert pause_after(1, asked=float("nan")) <= 0.5


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(values=st.lists(JSON_VALUES, max_size=4))
def test_what_is_storable_holds_nothing_that_a_column_refuses(values: list[object]) -> None:
    written = storable(values)
    if written is not None:
        read = json.dumps(json.loads(written), ensure_ascii=False)
        assert "\\u0000" not in read.replace("\\\\", "")
        read.encode()


@pytest.mark.parametrize("odd", ["\0", "\ud800", "\udfff\ud800", "a\\u0000", "😀", "\\"])
async def test_odd_characters_are_kept_as_far_as_can_be(odd: str, database: Database) -> None:
    door = Inbox(database=database, source="test")
    payload = storable({"n": odd})
    assert payload is not None
    assert await door.take_in([Arrival(external_id="1", stream="s", payload=payload)]) == 1
    [row] = await rows(database)
    assert row.payload["n"] == "".join("�" if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in odd)
    await door.close()


def test_what_is_no_json_is_not_storable() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert [storable(odd) for odd in (float("nan"), float("-inf"), deep, {(1, 2): 3})] == [None] * 4


async def _is(value: bool) -> bool:  # noqa: FBT001
    return value
