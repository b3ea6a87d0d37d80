"""Long polling: nothing is confirmed before it is kept, one polls at a time, and no trouble is for ever."""

import asyncio
import multiprocessing

import pytest
import structlog
from sqlalchemy import text

from bottega.core.clock import SystemClock
from bottega.db.transaction import Database
from bottega.entrypoints.telegram import poller
from bottega.entrypoints.telegram.api import BotApi
from bottega.entrypoints.telegram.poller import Poller
from bottega.entrypoints.telegram.receiving import SOURCE
from bottega.orchestration.post.inbox import Inbox
from tests.entrypoints.telegram import polling
from tests.entrypoints.telegram.wires import Wires, going_on, wired
from tests.fakes.telegram import TOKEN
from tests.waiting import when

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([polling.__name__])


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(poller, "TURN_SECONDS", 0.1)


async def kept(database: Database) -> list[str]:
    async with database.transaction() as session:
        return list(await session.scalars(text("SELECT external_id FROM inbox ORDER BY id")))


async def have_come(wires: Wires, count: int) -> None:
    async def have() -> bool:
        return len(await kept(wires.database)) >= count and not wires.telegram.undelivered

    await when(have, seconds=10)


async def test_updates_are_kept_first_and_confirmed_by_the_next_question(database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        before = [await ada.says(f"{number}") for number in range(3)]
        async with going_on(wires.poller().work()):
            await have_come(wires, 3)
            after = await ada.says("and this")
            await have_come(wires, 4)
        assert await kept(database) == [str(number) for number in (*before, after)]
        offsets = [int(call["offset"]) for call in wires.telegram.calls("getUpdates")]
        assert offsets[:3] == [0, before[-1] + 1, after + 1]
        assert wires.telegram.allowed == ["message", "callback_query", "pre_checkout_query", "my_chat_member"]


async def test_what_cannot_be_kept_is_not_confirmed(database: Database) -> None:
    async with wired(database) as wires:
        await wires.telegram.person(7).says("keep me")
        async with database.transaction() as session:
            await session.execute(text("ALTER TABLE inbox RENAME TO away"))
        try:
            async with going_on(wires.poller().work()):
                await when(lambda: _so(len(wires.telegram.calls("getUpdates")) >= 3), seconds=10)
                assert wires.telegram.undelivered == 1
        finally:
            async with database.transaction() as session:
                await session.execute(text("ALTER TABLE away RENAME TO inbox"))
        async with going_on(wires.poller().work()):
            await have_come(wires, 1)


async def test_a_webhook_that_was_set_is_taken_back_without_losing_what_waits(database: Database) -> None:
    async with wired(database) as wires:
        await wires.api.set_webhook(url="http://127.0.0.1:9/telegram/webhook", secret="s" * 16)
        await wires.telegram.person(7).says("before")
        async with going_on(wires.poller().work()):
            await have_come(wires, 1)
        assert wires.telegram.webhook is None


async def test_malformed_updates_and_unknown_kinds_do_not_stop_it(database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        await ada.says("one")
        first = 870_000_000 + wires.telegram.number()
        broken = {"chat": {"id": 7}, "text": "\0\ud800"}
        strange: list[dict[str, object]] = [{"mystery": {}}, {"message": "x"}, {"message": broken}]
        for number, what in enumerate(strange):
            wires.telegram.number()
            wires.telegram.deliver_raw({"update_id": first + number, **what})
        await ada.says("two")
        strangest: tuple[object, ...] = ("not an update", None, {"update_id": "x"}, {})
        for odd in strangest:
            wires.telegram.deliver_raw(odd)
        async with going_on(wires.poller().work()):
            await when(lambda: _so(wires.telegram.undelivered == 4), seconds=10)
            wires.telegram._updates.clear()
            await ada.says("three")
            await have_come(wires, 4)
        assert str(first) not in await kept(database)


@pytest.mark.parametrize("status", [409, 429, 500, 401])
async def test_trouble_is_waited_out_and_said(status: int, database: Database) -> None:
    async with wired(database) as wires:
        for _ in range(2):
            wires.telegram.refuses_next_poll(status)
        await wires.telegram.person(7).says("hello")
        with structlog.testing.capture_logs() as logs:
            async with going_on(wires.poller().work()):
                await have_come(wires, 1)
        assert len([line for line in logs if line["event"] == "telegram.polling.waits"]) == 2


async def test_only_one_of_two_pollers_asks_and_the_other_takes_over(database: Database, database_url: str) -> None:
    elsewhere = Database(url=database_url)
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        other_api = BotApi(token=TOKEN, base_url=wires.telegram.url)
        other_inbox = Inbox(database=elsewhere, source=SOURCE)
        other = Poller(api=other_api, inbox=other_inbox, database=elsewhere, clock=SystemClock())
        first = asyncio.create_task(wires.poller().work())
        await ada.says("one")
        await have_come(wires, 1)
        async with going_on(other.work()):
            await asyncio.sleep(0.3)
            assert wires.telegram.conflicts == 0
            first.cancel()
            await asyncio.wait([first])
            await ada.says("two")
            await have_come(wires, 2)
        assert wires.telegram.conflicts == 0
        await other_inbox.close()
        await other_api.close()
    await elsewhere.close()


@pytest.mark.slow
async def test_a_poller_that_is_killed_is_followed_within_seconds(database: Database, database_url: str) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        given = {"url": database_url, "api_url": wires.telegram.url, "token": TOKEN}
        victim = PROCESSES.Process(target=polling.poll, kwargs=given, daemon=True)
        victim.start()
        await ada.says("one")
        await have_come(wires, 1)
        async with going_on(wires.poller().work()):
            victim.kill()
            await asyncio.to_thread(victim.join)
            await ada.says("two")
            await have_come(wires, 2)


async def test_who_loses_the_lock_stops_polling(database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        with structlog.testing.capture_logs() as logs:
            async with going_on(wires.poller().work()):
                await ada.says("one")
                await have_come(wires, 1)
                async with database.transaction() as session:
                    await session.execute(
                        text(
                            "SELECT pg_terminate_backend(pid) FROM pg_locks"
                            " WHERE locktype = 'advisory' AND pid <> pg_backend_pid() AND database ="
                            " (SELECT oid FROM pg_database WHERE datname = current_database())"  # of no other test
                        )
                    )
                await when(lambda: _so(_count(logs, "telegram.polling.began") == 2), seconds=5)  # less than a probe
                await ada.says("two")
                await have_come(wires, 2)


def _count(logs: list[structlog.typing.EventDict], event: str) -> int:
    return sum(line["event"] == event for line in logs)


async def _so(value: bool) -> bool:  # noqa: FBT001
    return value
