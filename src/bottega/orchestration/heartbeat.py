"""Keeping a lease alive while a step runs, and ending the step when the lease is lost or the person says stop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog
from sqlalchemy.exc import SQLAlchemyError

from bottega.db.transaction import Database
from bottega.orchestration import journal
from bottega.orchestration.ceilings import WorkingTimeOver
from bottega.orchestration.journal import Claim, LeaseLost
from bottega.orchestration.setbacks import Interrupted

HEARTBEAT_SECONDS = 10.0  # a third of the lease: two beats may fail before it runs out

log = structlog.get_logger()


@contextlib.asynccontextmanager
async def heartbeat(database: Database, *, held: Claim, every_seconds: float) -> AsyncIterator[None]:
    """Extend the lease again and again while the block runs.

    Raises:
        Interrupted: the run is to pause or to be cancelled; the block was cancelled.
        LeaseLost: another runner has the run; the block was cancelled.
    """
    block = asyncio.current_task()
    verdict: list[Exception] = []

    async def beat() -> None:
        while True:
            await asyncio.sleep(every_seconds)
            fault = await _beat(database, held=held)
            if fault is None:
                continue
            verdict.append(fault)
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
        await asyncio.wait([heart])  # unlike awaiting it, this cannot swallow a cancellation of the block


@contextlib.asynccontextmanager
async def at_most(seconds: float) -> AsyncIterator[None]:
    """Raise WorkingTimeOver when the block works longer; a timeout of the block's own passes as it is."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if limit.expired():
            raise WorkingTimeOver from error
        raise


async def _beat(database: Database, *, held: Claim) -> Exception | None:
    """Extend the lease once and return why the step must end, if it must.

    A beat the database did not answer is only missed: the step's work is worth more, and if the lease is really lost,
    the journal is fenced anyway.
    """
    try:
        async with database.transaction() as session:
            desired = await journal.extend(session, held=held)
    except (OSError, SQLAlchemyError) as error:
        log.warning("run.heartbeat.missed", reason=str(error))
        return None
    if desired == "run":
        return None
    return LeaseLost() if desired is None else Interrupted(desired)
