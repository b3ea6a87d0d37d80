"""The in-process runner: drives runs in this process, sleeps until a run is due, and takes over from a dead one.

`run` drives one run for somebody who watches; `patrol` drives whichever are due, with nobody at a terminal.

The row is the truth; this is one way of driving it. A lease left by a process of this machine that no longer lives is
released at once instead of being waited for.
"""

import asyncio
import os
import socket
import uuid
from dataclasses import dataclass

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.exc import SQLAlchemyError

from bottega.core.clock import Clock
from bottega.db.transaction import Database
from bottega.orchestration import funding
from bottega.orchestration.advance import Advanced, Advancer
from bottega.orchestration.events import Announce, DrivenElsewhere
from bottega.orchestration.state import RunState
from bottega.orchestration.tables import Run

BUSY_POLL_SECONDS = 1.0
LOOK_AGAIN_SECONDS = 5.0  # while a run is not due, somebody may pause, cancel or resume it

log = structlog.get_logger()


def runner_name() -> str:
    """Return a name for this process that tells whether it still lives: host, pid and the pid's start."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started_at(os.getpid())}"


def is_dead(owner: str) -> bool:
    """Tell whether a runner of this machine is surely gone; never true of another machine's."""
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    pid, started = (rest, owner.rpartition(":")[2])
    if host != socket.gethostname() or not pid.isdigit():
        return False
    return _started_at(int(pid)) != started


def _started_at(pid: int) -> str:
    """Return the process's start in clock ticks since boot, or an empty string when there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:  # noqa: PTH123  # a kernel file, not a document
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    state: RunState
    wait_seconds: float
    lease_owner: str | None


class InProcessRunner:
    def __init__(self, *, database: Database, advancer: Advancer, clock: Clock, announce: Announce) -> None:
        self._announce = announce
        self._database = database
        self._advancer = advancer
        self._clock = clock

    async def run(self, *, run_id: uuid.UUID) -> RunState:
        """Drive a run until it is finished or needs the person; return the state it is in."""
        was_told = False
        while True:
            due = await self._due(run_id)
            if due.state is not RunState.READY:
                return due.state
            if due.lease_owner and is_dead(due.lease_owner):
                await self._evict(run_id, due.lease_owner)
            elif due.lease_owner:
                if not was_told:
                    self._announce(DrivenElsewhere())
                    was_told = True
                await self._clock.sleep(BUSY_POLL_SECONDS)
            elif due.wait_seconds > 0:
                await self._clock.sleep(min(due.wait_seconds, LOOK_AGAIN_SECONDS))
            await self._advancer.drive(run_id)

    async def patrol(self, *, every_seconds: float = LOOK_AGAIN_SECONDS, at_once: int = 4) -> None:
        """Drive every run of the installation that is due, some at once, until cancelled.

        Other processes may do the same: the lease lets one of them have a run. When it is cancelled, so are the runs it
        drives, and their leases are given back before this returns.
        """
        driven: dict[uuid.UUID, asyncio.Task[Advanced]] = {}
        try:
            while True:
                _drop_ended(driven)
                try:
                    await self._wake_funded()
                    due = await self._all_due()
                except (OSError, SQLAlchemyError) as error:
                    log.warning("runner.patrol.missed", reason=str(error))
                    due = ()
                for run_id in [run_id for run_id in due if run_id not in driven][: at_once - len(driven)]:
                    driven[run_id] = asyncio.create_task(self._advancer.drive(run_id))
                await self._clock.sleep(every_seconds)
        finally:
            for task in driven.values():
                task.cancel()
            await asyncio.gather(*driven.values(), return_exceptions=True)

    async def _wake_funded(self) -> None:
        async with self._database.transaction() as session:
            people = await funding.whose_need_is_met(session)
        for user_id in people:
            async with self._database.transaction() as session:
                await funding.wake_for_credits(session, user_id)

    async def _all_due(self) -> tuple[uuid.UUID, ...]:
        """Return the runs that are ready, due and not driven by a living process, those that wait longest first."""
        now = func.clock_timestamp()
        statement = (
            select(Run.id, Run.lease_owner, Run.lease_until > now)
            .where(Run.state == RunState.READY, Run.wake_at <= now)
            .order_by(Run.wake_at)
        )
        async with self._database.transaction() as session:
            rows = (await session.execute(statement)).all()
        due = []
        for run_id, owner, is_leased in rows:
            if owner is not None and is_leased:
                if not is_dead(owner):
                    continue
                await self._evict(run_id, owner)
            due.append(run_id)
        return tuple(due)

    async def _due(self, run_id: uuid.UUID) -> _Due:
        wait = func.extract("epoch", Run.wake_at - func.clock_timestamp())
        statement = select(Run.state, wait, Run.lease_owner).where(Run.id == run_id)
        async with self._database.transaction() as session:
            state, seconds, owner = (await session.execute(statement)).one()
        return _Due(state=RunState(state), wait_seconds=float(seconds), lease_owner=owner)

    async def _evict(self, run_id: uuid.UUID, owner: str) -> None:
        statement = update(Run).where(Run.id == run_id, Run.lease_owner == owner)
        async with self._database.transaction() as session:
            await session.execute(statement.values(lease_until=None, lease_owner=None))


def _drop_ended(driven: dict[uuid.UUID, "asyncio.Task[Advanced]"]) -> None:
    """Forget the runs that wait by now. One that could not even be set aside is due again and tried again."""
    for run_id, task in [(run_id, task) for run_id, task in driven.items() if task.done()]:
        del driven[run_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("runner.run.failed", run_id=str(run_id), exc_info=error)
