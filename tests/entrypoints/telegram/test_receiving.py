"""From Telegram to whoever answers and back: nothing lost, nothing twice, in each chat's order, whoever is killed."""

import asyncio
import multiprocessing
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import func, select, update

from bottega.db.transaction import Database
from bottega.entrypoints.telegram.reading import arrival_of
from bottega.entrypoints.telegram.types import CheckoutAsked, Incoming, TextSent
from bottega.orchestration.post import inbox
from bottega.orchestration.tables import Inbox as InboxRow
from bottega.orchestration.tables import Outbox
from tests.entrypoints.telegram import polling
from tests.entrypoints.telegram.wires import Wires, going_on, wired
from tests.fakes.telegram_people import Person
from tests.waiting import when

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([polling.__name__])


@asynccontextmanager
async def listening(wires: Wires) -> AsyncIterator[None]:
    clerk = wires.clerk(wires.echo)
    async with going_on(wires.poller().work(), clerk.work(), wires.postman.work()):
        yield


def answers(person: Person) -> list[str]:
    return [message.text.removeprefix("you: ") for message in person.sees()]


async def test_each_update_twice_and_out_of_order_between_chats_is_answered_once_and_in_order(
    database: Database,
) -> None:
    async with wired(database) as wires:
        people = [wires.telegram.person(number, f"P{number}") for number in range(1, 6)]
        for number in range(8):
            for person in people:
                await person.says(f"{number}")
        delivered = wires.telegram._updates
        by_chat = {person.id: [u for u in delivered if u["message"]["chat"]["id"] == person.id] for person in people}
        chances = random.Random(5)  # noqa: S311
        shuffled = []
        while any(by_chat.values()):
            chat = chances.choice([chat_id for chat_id, left in by_chat.items() if left])
            shuffled += [by_chat[chat].pop(0)] * 2
        arrivals = [arrival for each in shuffled if (arrival := arrival_of(each)) is not None]
        clerks = [wires.clerk(wires.echo) for _ in range(2)]
        async with going_on(*(clerk.work() for clerk in clerks), wires.postman.work()):
            for start in range(0, len(arrivals), 7):
                await wires.inbox.take_in(arrivals[start : start + 7])
            await asyncio.gather(*(person.waits_for("you: 7") for person in people))
        assert [answers(person) for person in people] == [[str(number) for number in range(8)]] * 5


@pytest.mark.slow
async def test_a_killed_answerer_loses_nothing_and_repeats_nothing(database: Database, database_url: str) -> None:
    """Killed again and again between the receipt of an update and its answer."""
    async with wired(database) as wires:
        people = [wires.telegram.person(number, f"P{number}") for number in range(1, 5)]

        def start() -> multiprocessing.process.BaseProcess:
            given = {"url": database_url, "lease_seconds": 0.3}
            process = PROCESSES.Process(target=polling.answer, kwargs=given, daemon=True)
            process.start()
            return process

        async with going_on(wires.poller().work(), wires.postman.work()):
            victim = start()
            for number in range(12):
                for person in people:
                    await person.says(f"{number}")
                if number % 4 == 1:
                    await people[0].waits_for(f"you: {number - 1}", within=10)
                    victim.kill()
                    await asyncio.to_thread(victim.join)
                    victim = start()
            await asyncio.gather(*(person.waits_for("you: 11", within=10) for person in people))
            victim.kill()
            await asyncio.to_thread(victim.join)
        assert [answers(person) for person in people] == [[str(number) for number in range(12)]] * 4


async def test_who_cannot_be_answered_is_told_so_once_and_the_next_message_is_answered(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "PAUSE_SECONDS", 0.001)
    async with wired(database) as wires:

        async def fail(incoming: Incoming) -> None:
            if isinstance(incoming, TextSent) and incoming.text == "poison":
                raise ZeroDivisionError
            await wires.echo(incoming)

        ada = wires.telegram.person(7)
        poison = await ada.says("poison")
        await ada.says("water")
        clerk = wires.clerk(fail)
        async with going_on(wires.poller().work(), clerk.work(every_seconds=0.05), wires.postman.work()):
            await ada.waits_for("you: water", within=10)
        assert answers(ada) == [f"sorry about {poison}", "water"]


async def test_nobody_is_told_that_a_checkout_failed_which_nobody_waits_for_any_more(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "DEFECTS", 1)
    async with wired(database) as wires:

        async def fail(_: Incoming) -> None:
            raise ZeroDivisionError

        ada = wires.telegram.person(7)
        about = {"currency": "XTR", "total_amount": 80, "invoice_payload": "order"}
        wires.telegram.deliver("pre_checkout_query", {"id": "q", "from": ada.as_json(), **about})
        ada.blocks()
        arrivals = [arrival for each in wires.telegram._updates if (arrival := arrival_of(each)) is not None]
        assert await wires.inbox.take_in(arrivals) == 2
        await wires.clerk(fail).work_off()
        async with database.transaction() as session:
            assert len((await session.scalars(select(InboxRow).where(InboxRow.refused_at.is_not(None)))).all()) == 2
            assert (await session.scalars(select(Outbox))).all() == []


async def test_a_checkout_does_not_wait_for_a_message_that_has_to(database: Database) -> None:
    async with wired(database) as wires:
        hangs, asked = asyncio.Event(), asyncio.Event()

        async def handle(incoming: Incoming) -> None:
            if isinstance(incoming, CheckoutAsked):
                asked.set()
            else:
                await hangs.wait()

        ada = wires.telegram.person(7)
        clerk = wires.clerk(handle)
        async with going_on(wires.poller().work(), clerk.work()):
            await ada.says("a long story")
            about = {"currency": "XTR", "total_amount": 80, "invoice_payload": "order"}
            wires.telegram.deliver("pre_checkout_query", {"id": "q", "from": ada.as_json(), **about})
            async with asyncio.timeout(5):
                await asked.wait()
            hangs.set()


async def test_a_message_is_answered_after_the_answerer_comes_back(database: Database) -> None:
    """Received and confirmed, then everything stops: the row waits."""
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        await ada.says("before the crash")
        async with going_on(wires.poller().work()):
            await when(lambda: _none_left(wires), seconds=10)
        async with database.transaction() as session:
            await session.execute(update(InboxRow).values(created_at=func.now()))
            assert len((await session.scalars(select(InboxRow))).all()) == 1
        async with listening(wires):
            await ada.waits_for("you: before the crash")


async def _none_left(wires: Wires) -> bool:
    offsets = [int(call["offset"]) for call in wires.telegram.calls("getUpdates")]
    return wires.telegram.undelivered == 0 and max(offsets) > 0
