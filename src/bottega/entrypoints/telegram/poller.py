"""Updates by long polling: in the inbox first, and only then confirmed, by the next question.

One process polls at a time: whoever has an advisory lock, on a connection of its own that nobody else uses. Others look
every two seconds whether it is free. Who loses that connection stops polling; should two ask at once for a moment,
Telegram refuses one, and the inbox takes no update twice. Trouble is waited out and said in the log.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import structlog

from bottega.core.clock import Clock
from bottega.db.transaction import FAULTS, Database
from bottega.entrypoints.telegram.api import BotApi
from bottega.entrypoints.telegram.reading import arrival_of, number_of
from bottega.orchestration.post.inbox import Inbox
from bottega.orchestration.post.outbox import TryLater

TURN_SECONDS = 2.0
PROBE_SECONDS = 10.0  # a connection that a firewall forgot says nothing by itself
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
_TURN = 0x626F745F706F6C6C  # "bot_poll": the advisory lock of whoever polls

if TYPE_CHECKING:
    import asyncpg

log = structlog.get_logger()


class Poller:
    def __init__(self, *, api: BotApi, inbox: Inbox, database: Database, clock: Clock) -> None:
        self._api = api
        self._inbox = inbox
        self._database = database
        self._clock = clock

    async def work(self) -> NoReturn:
        """Poll whenever nobody else does, until cancelled."""
        while True:
            try:
                await self._take_turn()
            except FAULTS as error:
                log.warning("telegram.polling.turn_lost", reason=type(error).__name__)
            await self._clock.sleep(PAUSE_SECONDS)

    async def _take_turn(self) -> None:
        """Wait for the lock and poll for as long as it is held."""
        async with self._database.own_connection() as connection:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _connection: lost.set())
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _TURN):
                await self._clock.sleep(TURN_SECONDS)
            log.info("telegram.polling.began")
            tasks = {asyncio.create_task(self._poll()), asyncio.create_task(_until_lost(connection, lost))}
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                task.result()

    async def _poll(self) -> NoReturn:
        offset, attempt, has_webhook = 0, 0, True
        while True:
            try:
                if has_webhook:
                    await self._api.delete_webhook()
                has_webhook = False
                updates = await self._api.updates(offset=offset)
                await self._inbox.take_in([arrival for each in updates if (arrival := arrival_of(each)) is not None])
            except (TryLater, *FAULTS) as error:
                attempt += 1
                await self._wait_out(error, attempt=attempt)
                continue
            attempt = 0
            offset = await self._following(updates, offset=offset)

    async def _following(self, updates: Sequence[Any], *, offset: int) -> int:
        """Return what to ask for next, which confirms all before it."""
        numbers = [number for each in updates if (number := number_of(each)) is not None]
        if len(numbers) < len(updates):
            log.error("telegram.update.malformed", updates=len(updates) - len(numbers))
            await self._clock.sleep(PAUSE_SECONDS)  # such a thing cannot be confirmed by itself, and comes again
        return max([offset, *(number + 1 for number in numbers)])

    async def _wait_out(self, error: Exception, *, attempt: int) -> None:
        asked = error.after_seconds if isinstance(error, TryLater) else None
        wait = max(min(PAUSE_SECONDS * 2 ** min(attempt - 1, 10), LONGEST_PAUSE_SECONDS), asked or 0.0)
        reason = error.message if isinstance(error, TryLater) else type(error).__name__
        log.warning("telegram.polling.waits", reason=reason, seconds=wait)
        await self._clock.sleep(wait)


async def _until_lost(connection: "asyncpg.Connection[asyncpg.Record]", lost: asyncio.Event) -> None:
    while not lost.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(PROBE_SECONDS):
                await lost.wait()
        if not lost.is_set():
            await connection.execute("SELECT 1", timeout=PROBE_SECONDS)
