"""kill -9 of the bot anywhere: the person in the chat comes to the same end, is told all there is, and pays once.

A bot in a process of its own dies at a place given to it, and another is started on the same database and home. What
comes out must equal what a bot that nobody killed makes of the same conversation. Only a message that Telegram took and
that the bot did not live to note may be there twice: Telegram has no key by which it could know it again.
"""

import asyncio
import io
import multiprocessing
import re
import signal
import zipfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text

from bottega.billing.audit import audit
from bottega.db.transaction import Database
from tests.database import wipe
from tests.entrypoints.telegram.bots import WORK_SECONDS, free_port
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram_people import Person
from tests.journeys import dying_bot, scripts
from tests.waiting import when

PROCESSES = multiprocessing.get_context("forkserver")  # a fresh process each, without a second of imports each
PROCESSES.set_forkserver_preload([dying_bot.__name__])
TRANSPORTS = ("polling", "webhook")
UPDATES = (1, 2, 3, 4)  # /start, the brief, the answer, the go-ahead
STRETCHES = 3  # of work, each with a status message: asking, planning, building


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What must not depend on being killed."""

    projects: tuple[str, ...]
    journal: tuple[tuple[Any, ...], ...]
    charges: Counter[tuple[Any, ...]]  # purpose, task, credits of every settled call
    balance: Decimal
    archives: tuple[frozenset[tuple[str, bytes]], ...]
    said: Counter[str]  # without numbers, which tell how long it took


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    html: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One installation without its bot, and the Telegram that it is reached by."""

    telegram: FakeTelegram
    ada: Person
    database: Database
    url: str
    home: Path
    port: int | None

    def start(self, place: str = "") -> BaseProcess:
        """Start a bot, which dies at `place`."""
        where = {"database_url": self.url, "home": self.home, "api_url": self.telegram.url}
        given = where | {"webhook_port": self.port, "place": place}
        process = PROCESSES.Process(target=dying_bot.talk, kwargs=given)
        process.start()
        return process

    @asynccontextmanager
    async def dying(self, place: str) -> AsyncIterator[None]:
        """Lend a bot that dies at `place` and has an heir; wait for both to be done with everything."""
        mortal = self.start(place)
        heir = asyncio.create_task(self._follow(mortal))
        try:
            yield
            async with asyncio.timeout(WORK_SECONDS):
                await asyncio.shield(heir)
            await self.is_done()
            assert mortal.exitcode == -signal.SIGKILL
        except TimeoutError:
            raise AssertionError(f"{place} was never reached") from None
        finally:
            await end(mortal)
            await end(await heir)

    async def _follow(self, mortal: BaseProcess) -> BaseProcess:
        await asyncio.to_thread(mortal.join)
        await self.let_leases_end()
        return self.start()

    async def let_leases_end(self) -> None:
        """Do what half a minute does: whatever a dead process held is free again."""
        async with self.database.transaction() as session:
            for table, done_at in (("inbox", "done_at"), ("outbox", "sent_at")):
                await session.execute(text(f"UPDATE {table} SET wake_at = now() WHERE {done_at} IS NULL"))  # noqa: S608
            await session.execute(text("UPDATE chat_projects SET show_at = now()"))

    async def is_done(self) -> None:
        """Wait until everything is answered, told and shown."""

        async def nothing_is_left() -> bool:
            async with self.database.transaction() as session:
                left: int = (await session.execute(_LEFT)).scalar_one()
            return left == 0

        await when(nothing_is_left, seconds=WORK_SECONDS)

    async def posted(self) -> list[Posted]:
        async with self.database.transaction() as session:
            return [Posted(**row) for row in (await session.execute(_POSTED)).mappings()]

    async def outcome(self) -> Outcome:
        async with self.database.transaction() as session:
            assert await audit(session) == ()
            projects = (await session.execute(text("SELECT status FROM projects"))).scalars().all()
            journal = await session.execute(text("SELECT step_no, kind, task_key, outcome FROM steps ORDER BY 1"))
            charges = await session.execute(_CHARGES)
            balances = await session.execute(text("SELECT credit_balance FROM users WHERE telegram_user_id = 7"))
            return Outcome(
                projects=tuple(projects),
                journal=tuple(map(tuple, journal.all())),
                charges=Counter(map(tuple, charges.all())),
                balance=balances.scalar_one(),
                archives=tuple(unpacked(file.read_bytes()) for file in self.home.rglob("*.zip")),
                said=Counter(re.sub(r"\d+", "#", one.html) for one in await self.posted()),
            )

    async def everything_was_seen(self, *, at_most_again: int) -> None:
        """Assert that the chat got each message; again only what the postman sent again."""
        posted = await self.posted()
        sent = [*self.telegram.calls("sendMessage"), *self.telegram.calls("sendDocument")]
        seen = Counter(call["text"] if "text" in call else call.get("caption", "") for call in sent)
        once = Counter(one.html for one in posted)
        assert once - seen == Counter(), "messages were lost"
        again = Counter({html: seen[html] for html in once}) - once
        assert again.total() <= at_most_again
        assert set(again) <= {one.html for one in posted if one.attempts > 1}
        shown = Counter({html: number for html, number in seen.items() if html not in once})
        assert shown.total() <= STRETCHES + 1


_LEFT = text(
    """
    SELECT (SELECT count(*) FROM inbox WHERE done_at IS NULL) + (SELECT count(*) FROM outbox WHERE sent_at IS NULL)
        + (SELECT count(*) FROM chat_projects JOIN projects ON projects.id = project_id
            WHERE told < event_sequence OR status_message_id IS NOT NULL)
    """
)
_POSTED = text("SELECT payload->>'html' AS html, attempts FROM outbox ORDER BY id")
_CHARGES = text("SELECT task_type, task_key, credits_charged FROM api_key_usage WHERE status = 'settled'")


def unpacked(content: bytes) -> frozenset[tuple[str, bytes]]:
    """Return what is in an archive, but for what differs by nature: times, counts of lost calls and of milliseconds."""
    archive = zipfile.ZipFile(io.BytesIO(content))
    alike = [name for name in archive.namelist() if not name.endswith((".bundle", "RECEIPT.md", "TESTS.md"))]
    return frozenset((name, archive.read(name)) for name in alike)


async def end(process: BaseProcess) -> None:
    process.kill()
    await asyncio.to_thread(process.join)


@asynccontextmanager
async def a_stage(*, url: str, home: Path, transport: str) -> AsyncIterator[Stage]:
    database = Database(url=url)
    try:
        async with FakeTelegram(limits=None) as telegram:
            ada, port = telegram.person(7, "Ada"), free_port() if transport == "webhook" else None
            yield Stage(telegram=telegram, ada=ada, database=database, url=url, home=home, port=port)
    finally:
        await database.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def undisturbed(worker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    await wipe(url=worker_url)
    async with a_stage(url=worker_url, home=tmp_path_factory.mktemp("undisturbed"), transport="polling") as stage:
        bot = stage.start()
        try:
            for act in JOURNEY:
                await act(stage.ada)
            await stage.is_done()
        finally:
            await end(bot)
        await stage.everything_was_seen(at_most_again=0)
        return await stage.outcome()


async def greets(ada: Person) -> None:
    await ada.says("/start")
    await ada.waits_for("Welcome, Ada", within=WORK_SECONDS)


async def describes(ada: Person) -> None:
    await ada.says(scripts.BRIEF)
    await ada.waits_for("Count characters too?", within=WORK_SECONDS)


async def answers(ada: Person) -> None:
    await ada.presses("2. No")
    await ada.waits_for(lambda message: any("Build it" in label for label in message.labels), within=WORK_SECONDS)


async def approves(ada: Person) -> None:
    await ada.presses("Build it")
    await ada.waits_for(lambda message: message.document is not None, within=WORK_SECONDS)
    await ada.waits_for("How to run it", within=WORK_SECONDS)


JOURNEY = (greets, describes, answers, approves)
PLACES = (
    *(f"{moment}:{update}" for moment in ("fetched", "kept", "claimed", "undeeded", "handled") for update in UPDATES),
    *(f"commanded:{command}" for command in (1, 2, 3)),
    *(f"sent:{message}" for message in (1, 2, 3, 4, 5, 6, 7)),
    *("shown:1", "edited:1", "answered:plan-1", "asking:implement-T1-2"),
)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_bot_killed_at(
    transport: str, place: str, undisturbed: Outcome, database_url: str, tmp_path: Path
) -> None:
    async with a_stage(url=database_url, home=tmp_path / "home", transport=transport) as stage:
        async with stage.dying(place):
            for act in JOURNEY:
                await act(stage.ada)
        await stage.everything_was_seen(at_most_again=1)
        assert await stage.outcome() == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_bot_killed_between_any_two_updates(
    transport: str, undisturbed: Outcome, database_url: str, tmp_path: Path
) -> None:
    async with a_stage(url=database_url, home=tmp_path / "home", transport=transport) as stage:
        for act in JOURNEY:
            bot = stage.start()
            try:
                await act(stage.ada)
            finally:
                await end(bot)
            await stage.let_leases_end()
        last = stage.start()
        try:
            await stage.is_done()
        finally:
            await end(last)
        await stage.everything_was_seen(at_most_again=len(JOURNEY))
        assert await stage.outcome() == undisturbed
