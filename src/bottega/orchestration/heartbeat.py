"""Keeping a lease alive while a step runs, and ending the step when the lease is lost or the person says stop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from bottega.db.transaction import Database
from bottega.orchestration import journal
from bottega.orchestration.journal import Claim, LeaseLost
from bottega.orchestration.setbacks import Interrupted

HEARTBEAT_SECONDS = 10.0


@contextlib.asynccontextmanager
async def heartbeat(database: Database, *, held: Claim) -> AsyncIterator[None]:
    """Extend the lease every ten seconds while the block runs.

    Raises:
        Interrupted: the run is to pause or to be cancelled; the block was cancelled.
        LeaseLost: another runner has the run; the block was cancelled.
    """
    block = asyncio.current_task()
    verdict: list[Exception] = []

    async def beat() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            async with database.transaction() as session:
                desired = await journal.extend(session, held=held)
            if desired == "run":
                continue
            verdict.append(LeaseLost() if desired is None else Interrupted(desired))
            if block is not None:
                block.cancel()
            return

    heart = asyncio.create_task(beat())
    try:
        yield
    except asyncio.CancelledError:
        if not verdict:
            raise
        if block is not None:
            block.uncancel()
        raise verdict[0] from None
    finally:
        heart.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await heart
