"""Hearing NOTIFY: one connection of a process that listens to one channel, for as long as the process wants.

A notification is a hint and may be lost: with a connection that was cut, with one that died unheard. So `missed` is
called whenever listening begins anew, and whoever must not miss anything looks for itself now and then.
"""

import asyncio
from collections.abc import Callable
from typing import NoReturn

import structlog

from bottega.core.clock import Clock
from bottega.db.transaction import FAULTS, Database

PROBE_SECONDS = 30.0  # a connection that a firewall forgot says nothing by itself
RECONNECT_SECONDS = 1.0

log = structlog.get_logger()


async def listen(
    database: Database, *, channel: str, heard: Callable[[str], None], missed: Callable[[], None], clock: Clock
) -> NoReturn:
    """Call `heard` with every notification's payload, until cancelled; a lost connection is made anew."""
    while True:
        try:
            await _listen(database, channel=channel, heard=heard, missed=missed)
        except FAULTS as error:
            log.warning("database.listening.lost", channel=channel, reason=type(error).__name__)
        await clock.sleep(RECONNECT_SECONDS)


async def _listen(
    database: Database, *, channel: str, heard: Callable[[str], None], missed: Callable[[], None]
) -> None:
    lost = asyncio.Event()
    async with database.own_connection() as connection:
        connection.add_termination_listener(lambda _connection: lost.set())
        await connection.add_listener(channel, lambda _connection, _pid, _channel, payload: heard(payload))
        missed()
        while not lost.is_set():
            try:
                async with asyncio.timeout(PROBE_SECONDS):
                    await lost.wait()
            except TimeoutError:
                await connection.execute("SELECT 1", timeout=PROBE_SECONDS)
