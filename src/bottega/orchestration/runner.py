"""The in-process runner: drives runs in this process, sleeps until a run is due, and takes over from a dead one.

The row is the truth; this is one way of driving it. A lease left by a process of this machine that no longer lives is
released at once instead of being waited for.
"""

import os
import socket
import uuid
from dataclasses import dataclass

from sqlalchemy import func, select, update

from bottega.core.clock import Clock
from bottega.db.transaction import Database
from bottega.orchestration.advance import Advancer
from bottega.orchestration.state import RunState
from bottega.orchestration.tables import Run

BUSY_POLL_SECONDS = 1.0
LOOK_AGAIN_SECONDS = 5.0  # while a run is not due, somebody may pause, cancel or resume it


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
    def __init__(self, *, database: Database, advancer: Advancer, clock: Clock) -> None:
        self._database = database
        self._advancer = advancer
        self._clock = clock

    async def run(self, *, run_id: uuid.UUID) -> RunState:
        """Drive a run until it is finished or needs the person; return the state it is in."""
        while True:
            due = await self._due(run_id)
            if due.state is not RunState.READY:
                return due.state
            if due.lease_owner and is_dead(due.lease_owner):
                await self._evict(run_id, due.lease_owner)
            elif due.lease_owner:
                await self._clock.sleep(BUSY_POLL_SECONDS)
            elif due.wait_seconds > 0:
                await self._clock.sleep(min(due.wait_seconds, LOOK_AGAIN_SECONDS))
            await self._advancer.drive(run_id)

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
