"""What a server does beside answering: each chore at its own pace, and none ends because it, or another, failed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from bottega.bootstrap import Chore
from bottega.core.clock import Clock

log = structlog.get_logger()


@asynccontextmanager
async def doing(chores: Sequence[Chore], *, clock: Clock) -> AsyncIterator[None]:
    """Do the chores, from now on and while the block runs."""
    tasks = [asyncio.create_task(_keep_doing(chore, clock), name=f"chore {chore.name}") for chore in chores]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_doing(chore: Chore, clock: Clock) -> None:
    while True:
        try:
            await chore.work()
        except Exception:  # a chore's edge: the next time may go better
            log.exception("chore.failed", chore=chore.name)
        await clock.sleep(chore.every_seconds)
