"""The outbox: once for each key, at least once to whom it is for, in order, and nobody waits for somebody else."""

import asyncio
import contextlib
import multiprocessing
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update
from tests.orchestration import postmen

from bottega.core.clock import SystemClock
from bottega.db.transaction import Database, transaction_open
from bottega.orchestration.post import outbox
from bottega.orchestration.post.outbox import Message, Postman, Refused, Sender, TryLater, wait_after
from bottega.orchestration.tables import Outbox

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([postmen.__name__])


class Recorder:
    """Remembers what it was given; `answer` may wait or raise first."""

    def __init__(self, answer: Callable[[Message], Awaitable[None]] | None = None) -> None:
        self._answer = answer
        self.messages: list[Message] = []

    async def send(self, message: Message) -> None:
        assert not transaction_open(), "a message was sent while a transaction was open"
        self.messages.append(message)
        if self._answer is not None:
            await self._answer(message)

    @property
    def numbers(self) -> list[object]:
        return [message.payload["n"] for message in self.messages]


def postman(database: Database, sender: Sender) -> Postman:
    return Postman(database=database, senders={"notes": sender}, clock=SystemClock())


async def posted(database: Database, *numbers: int, recipient: str = "", target: str = "notes") -> None:
    for number in numbers:
        async with database.transaction() as session:
            key = f"{target}:{recipient}:{number}"
            await outbox.post(session, target=target, recipient=recipient, payload={"n": number}, dedupe_key=key)


async def rows(database: Database) -> Sequence[Outbox]:
    async with database.transaction() as session:
        return (await session.scalars(select(Outbox).order_by(Outbox.id))).all()


async def make_due(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(update(Outbox).values(wake_at=func.now() - timedelta(seconds=1)))


async def wait_of(database: Database) -> float:
    """Return the seconds until the only message is due."""
    async with database.transaction() as session:
        seconds = func.extract("epoch", Outbox.wake_at - func.clock_timestamp())
        return float((await session.execute(select(seconds))).scalar_one())


async def test_a_key_is_posted_once_even_by_twins_at_the_same_moment(database: Database) -> None:
    async def post() -> bool:
        async with database.transaction() as session:
            return await outbox.post(session, target="notes", payload={"n": 1}, dedupe_key="same")

    assert Counter(await asyncio.gather(*(post() for _ in range(8)))) == Counter({False: 7, True: 1})
    assert len(await rows(database)) == 1


async def test_what_is_rolled_back_is_not_sent(database: Database) -> None:
    with contextlib.suppress(LookupError):
        async with database.transaction() as session:
            await outbox.post(session, target="notes", payload={"n": 1}, dedupe_key="x")
            raise LookupError
    recorder = Recorder()
    assert await postman(database, recorder).deliver_due() == 0
    assert recorder.messages == []


async def test_a_message_is_sent_once_and_says_what_it_is(database: Database) -> None:
    await posted(database, 7, recipient="ada")
    recorder = Recorder()
    assert await postman(database, recorder).deliver_due() == 1
    assert await postman(database, recorder).deliver_due() == 0
    [message] = recorder.messages
    assert (message.recipient, message.payload, message.attempt) == ("ada", {"n": 7}, 1)
    assert (message.target, message.dedupe_key) == ("notes", "notes:ada:7")
    [row] = await rows(database)
    assert (row.sent_at is not None, row.attempts) == (True, 1)


async def test_a_target_without_a_sender_keeps_its_messages(database: Database) -> None:
    await posted(database, 1, target="later")
    nobody = Postman(database=database, senders={}, clock=SystemClock())
    other = Recorder()
    assert (await nobody.deliver_due(), await postman(database, other).deliver_due()) == (0, 0)
    now = Recorder()
    assert await Postman(database=database, senders={"later": now}, clock=SystemClock()).deliver_due() == 1


async def test_a_recipients_messages_keep_their_order_and_hold_up_nobody_else(database: Database) -> None:
    for recipient in ("ada", "bob"):
        await posted(database, *range(20), recipient=recipient)

    async def fail_once(message: Message) -> None:
        if message.recipient == "ada" and message.payload["n"] == 3 and message.attempt == 1:
            raise TryLater("not now")

    recorder = Recorder(fail_once)
    await postman(database, recorder).deliver_due()
    by = defaultdict(list)
    for message in recorder.messages:
        by[message.recipient].append(message.payload["n"])
    assert by == {"ada": [0, 1, 2, 3], "bob": list(range(20))}
    await make_due(database)
    await postman(database, recorder).deliver_due()
    assert [m.payload["n"] for m in recorder.messages if m.recipient == "ada"] == [0, 1, 2, 3, *range(3, 20)]


async def test_a_recipient_that_hangs_is_cut_and_holds_up_nobody(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "SENDING_SECONDS", 0.5)
    await posted(database, 1, 2, recipient="hangs")
    await posted(database, *range(10), recipient="quick")
    done = asyncio.Event()

    async def answer(message: Message) -> None:
        if message.recipient == "hangs":
            await asyncio.Event().wait()
        if message.payload["n"] in {9, 99}:
            done.set()

    working = asyncio.create_task(postman(database, Recorder(answer)).work(every_seconds=0.02))
    await asyncio.wait_for(done.wait(), timeout=0.4)
    done.clear()
    await posted(database, 99, recipient="quick")  # posted while another recipient hangs
    await asyncio.wait_for(done.wait(), timeout=0.4)
    await asyncio.sleep(0.5)
    working.cancel()
    await asyncio.wait([working])
    hung = [row for row in await rows(database) if row.recipient == "hangs"]
    assert [(row.attempts, row.last_fault, row.sent_at) for row in hung] == [(1, "TimeoutError", None), (0, None, None)]


@pytest.mark.parametrize(
    ("error", "least", "most", "fault"),
    [
        (TryLater("busy"), 0.5, 2.1, "busy"),
        (TryLater("busy", after_seconds=120.0), 119.0, 120.0, "busy"),
        (TryLater("busy", after_seconds=1e12), 86_000.0, 86_400.0, "busy"),
        (TryLater("busy", after_seconds=-5.0), 0.5, 2.1, "busy"),
        (TryLater("busy", after_seconds=float("nan")), 0.5, 2.1, "busy"),
        (ZeroDivisionError("a secret"), 0.5, 2.1, "ZeroDivisionError"),
    ],
)
async def test_what_cannot_be_sent_now_waits(
    error: Exception, least: float, most: float, fault: str, database: Database
) -> None:
    async def fail(_message: Message) -> None:
        raise error

    await posted(database, 1)
    assert await postman(database, Recorder(fail)).deliver_due() == 0
    assert least <= await wait_of(database) <= most
    assert [row.last_fault for row in await rows(database)] == [fault]


def test_pauses_grow_to_an_hour_and_no_further() -> None:
    pauses = [wait_after(attempt, asked=None) for attempt in (1, 5, 10, 10_000)]
    assert [1 <= pauses[0] <= 2, 16 <= pauses[1] <= 32, 512 <= pauses[2] <= 1024] == [True, True, True]
    assert 1800 <= pauses[3] <= 3600


async def test_what_is_refused_is_set_aside_with_its_reason_and_counted(database: Database) -> None:
    async def refuse(message: Message) -> None:
        if message.payload["n"] == 1:
            raise Refused("No such mailbox.")

    await posted(database, 1, 2, recipient="ada")
    recorder = Recorder(refuse)
    assert await postman(database, recorder).deliver_due() == 1
    assert recorder.numbers == [1, 2], "what is set aside holds nothing up"
    first, _ = await rows(database)
    assert (first.refusal, first.refused_at is None, first.sent_at) == ("No such mailbox.", False, None)
    await posted(database, 3, target="later")
    async with database.transaction() as session:
        left = await outbox.backlog(session)
    assert (left.waiting, left.refused, 0 <= left.oldest_seconds < 5) == (1, 1, True)


async def test_a_message_is_not_tried_for_ever(database: Database) -> None:
    await posted(database, 1)
    async with database.transaction() as session:
        await session.execute(update(Outbox).values(attempts=outbox.ATTEMPTS))
    recorder = Recorder()
    await postman(database, recorder).deliver_due()
    [row] = await rows(database)
    assert (recorder.messages, row.refusal) == ([], "It was tried 50 times.")


async def test_old_messages_are_forgotten_or_set_aside(database: Database) -> None:
    await posted(database, 1)
    await postman(database, Recorder()).deliver_due()
    await posted(database, 2, 3, target="later")
    async with database.transaction() as session:
        old = func.now() - timedelta(days=31)
        await session.execute(update(Outbox).values(created_at=old))
        await session.execute(update(Outbox).where(Outbox.sent_at.is_not(None)).values(sent_at=old))
    await posted(database, 4, target="later")
    await postman(database, Recorder()).tidy()
    left = [(row.payload["n"], row.refusal) for row in await rows(database)]
    assert left == [(2, "Nobody sent it within 30 days."), (3, "Nobody sent it within 30 days."), (4, None)]


async def test_who_was_late_notes_nothing_about_a_later_attempt(database: Database) -> None:
    may_end, begun = asyncio.Event(), asyncio.Event()

    async def freeze(_message: Message) -> None:
        begun.set()
        await may_end.wait()
        raise Refused("says one that was written off")

    await posted(database, 1)
    late = asyncio.create_task(postman(database, Recorder(freeze)).deliver_due())
    await begun.wait()
    await make_due(database)  # its lease ran out
    second_begun, second_may_end = asyncio.Event(), asyncio.Event()

    async def take_long(_message: Message) -> None:
        second_begun.set()
        await second_may_end.wait()

    second = Recorder(take_long)
    sending = asyncio.create_task(postman(database, second).deliver_due())
    await second_begun.wait()
    may_end.set()
    await late
    [row] = await rows(database)
    assert (row.refusal, row.sent_at) == (None, None)
    second_may_end.set()
    assert await sending == 1
    assert [message.attempt for message in second.messages] == [2], "a sender sees that it may be the second"


async def test_many_postmen_at_once_send_each_message_once_and_in_order(database: Database) -> None:
    for recipient in "abcdefgh":
        await posted(database, *range(10), recipient=recipient)
    recorder = Recorder()
    sent = await asyncio.gather(*(postman(database, recorder).deliver_due() for _ in range(6)))
    assert sum(sent) == 80
    for recipient in "abcdefgh":
        assert [m.payload["n"] for m in recorder.messages if m.recipient == recipient] == list(range(10))
    assert {message.attempt for message in recorder.messages} == {1}


async def test_a_long_queue_of_one_recipient_does_not_slow_down_the_claim(database: Database) -> None:
    async with database.transaction() as session:
        values = [
            {"target": "notes", "recipient": "long", "payload": {"n": n}, "dedupe_key": f"l{n}"} for n in range(20_000)
        ]
        for start in range(0, len(values), 5_000):
            await session.execute(insert(Outbox), values[start : start + 5_000])
    await posted(database, 1, recipient="short")
    began = time.perf_counter()
    claimed = await postman(database, Recorder())._claim(16)
    assert sorted(message.recipient for message in claimed) == ["long", "short"]
    assert time.perf_counter() - began < 0.2


@pytest.mark.slow
async def test_a_storm_of_killed_postmen_loses_nothing_and_keeps_the_order(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """Four processes, one killed every 0.3 s in the middle of whatever it does."""
    recipients, count, path = [f"r{n}" for n in range(20)], 15, tmp_path / "sent"
    for recipient in recipients:
        await posted(database, *range(count), recipient=recipient)

    def start() -> multiprocessing.process.BaseProcess:
        process = PROCESSES.Process(
            target=postmen.work, kwargs={"url": database_url, "path": path, "lease_seconds": 0.5}, daemon=True
        )
        process.start()
        return process

    working, kills = [start() for _ in range(4)], 0
    try:
        async with asyncio.timeout(60):
            while any(row.sent_at is None for row in await rows(database)):
                await asyncio.sleep(0.3)
                victim = working.pop(random.randrange(4))  # noqa: S311
                victim.kill()
                await asyncio.to_thread(victim.join)
                kills += 1
                working.append(start())
    finally:
        for process in working:
            process.kill()
            await asyncio.to_thread(process.join)
    sent = postmen.lines(path)
    again = len(sent) - len(recipients) * count
    assert kills >= 3
    assert again <= kills * outbox.AT_ONCE, "only what was under way in a killed process is sent again"
    for recipient in recipients:
        numbers = [int(str(line["n"])) for line in sent if line["recipient"] == recipient]
        assert list(dict.fromkeys(numbers)) == list(range(count))
        assert numbers == sorted(numbers), "a repeated message comes before the next one"
