"""Keeping leases alive while their runs are driven, and ending a step when its lease is lost or the person says stop.

All runs of a process are extended by one statement: a thousand that wait for their models cost what one does, and none
of them queues behind the others' work for a connection.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError

from bottega.db.transaction import Database
from bottega.orchestration import journal
from bottega.orchestration.journal import Claim, LeaseLost
from bottega.orchestration.running.ceilings import WorkingTimeOver
from bottega.orchestration.setbacks import Interrupted

HEARTBEAT_SECONDS = 10.0  # a third of the lease: two beats may fail before it runs out

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Step:
    """A block that may be ended, and why it was."""

    task: "asyncio.Task[object]"
    verdict: Exception | None = None

    def end(self, why: Exception) -> None:
        if self.verdict is None:
            self.verdict = why
            self.task.cancel()


class Pulse:
    """The heartbeat of a process: beats while there is a lease to keep."""

    def __init__(self, *, database: Database, every_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._database = database
        self._every_seconds = every_seconds
        self._kept: dict[Claim, _Step | None] = {}
        self._beating: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def keeping(self, held: Claim) -> Iterator[None]:
        """Extend the lease again and again while the block runs."""
        self._kept[held] = None
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat_again_and_again())
        try:
            yield
        finally:
            del self._kept[held]
            if not self._kept:
                self._beating.cancel()
                self._beating = None

    @contextlib.asynccontextmanager
    async def minding(self, held: Claim) -> AsyncIterator[None]:
        """Let a beat end the block, which is a step of a run whose lease is kept.

        Raises:
            Interrupted: the run is to pause or to be cancelled; the block was cancelled.
            LeaseLost: another runner has the run; the block was cancelled.
        """
        block = asyncio.current_task()
        assert block is not None  # noqa: S101  # a coroutine is run by a task
        self._kept[held] = step = _Step(block)
        try:
            yield
        except asyncio.CancelledError:
            if step.verdict is None:
                raise
            block.uncancel()
            raise step.verdict from None
        finally:
            self._kept[held] = None

    async def _beat_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(self._every_seconds)
            await self._beat(tuple(self._kept))

    async def _beat(self, kept: tuple[Claim, ...]) -> None:
        """Extend the leases once, and end the steps that must.

        A beat the database did not answer is only missed: the steps' work is worth more, and if a lease is really lost,
        the journal is fenced anyway.
        """
        try:
            desires = await journal.extend(self._database.aside, held=kept)
        except (OSError, SQLAlchemyError) as error:
            log.warning("run.heartbeat.missed", runs=len(kept), reason=str(error))
            return
        for held, desired in desires.items():
            step = self._kept.get(held)
            if step is not None and desired != "run":
                step.end(LeaseLost() if desired is None else Interrupted(desired))


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
