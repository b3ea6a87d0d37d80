"""The in-process runner: drives runs in this process, sleeps until a run is due, and takes over from a dead one.

`run` drives one run for somebody who watches; `patrol` drives whichever are due, with nobody at a terminal.

The rows are the truth; this is one way of driving them. A lease left by a process of this machine that no longer lives
is released at once instead of being waited for.
"""

import asyncio
import contextlib
import math
import os
import socket
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import structlog
from sqlalchemy import false, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from bottega.core.clock import Clock
from bottega.db.transaction import Database
from bottega.orchestration import funding, journal
from bottega.orchestration.doorbell import Lane
from bottega.orchestration.events import Announce, DrivenElsewhere, InLine
from bottega.orchestration.running.advance import Advanced, Advancer, Shift
from bottega.orchestration.state import RunState
from bottega.orchestration.tables import Run

BUSY_POLL_SECONDS = 1.0
REFUSED_FOR_GOOD = 2  # once may be somebody who was quicker; then the lease says so
TOGETHER_SECONDS = 0.1  # runs that end within it make room together: a thousand that end are not a thousand looks
LOOK_AGAIN_SECONDS = 5.0  # while a run is not due, somebody may pause, cancel or resume it
AT_ONCE = 64
GRACE_SECONDS = 20.0  # for the steps under way, when a patrol ends

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
    lease_runs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What a patrol looks for: at most `room` runs of a lane (None: any), due for so long, that it does not drive."""

    room: int
    except_for: tuple[uuid.UUID, ...]
    overdue_seconds: float
    lane: Lane | None


class InProcessRunner:
    """`at_once_per_person` is how many runs of one person are driven at a time, in all processes together."""

    def __init__(
        self, *, database: Database, advancer: Advancer, clock: Clock, announce: Announce, at_once_per_person: int
    ) -> None:
        self._announce = announce
        self._database = database
        self._advancer = advancer
        self._clock = clock
        self._at_once_per_person = at_once_per_person
        self._rung = asyncio.Event()
        self._room_is_told = False

    def ring(self, run_id: uuid.UUID, *, lane: Lane) -> None:  # noqa: ARG002  # the rows say which run, and for whom
        """Look at once what is due."""
        self._rung.set()

    async def run(self, *, run_id: uuid.UUID) -> RunState:
        """Drive a run until it is finished or needs the person; return the state it is in."""
        was_told, refused = False, 0
        while True:
            due = await self._due(run_id)
            if due.state is not RunState.READY:
                return due.state
            if due.lease_owner and is_dead(due.lease_owner):
                await journal.take_back(self._database.autocommit, owner=due.lease_owner)
            elif due.lease_owner and not due.lease_runs:
                await journal.take_back(self._database.autocommit)
            elif due.lease_owner:
                if not was_told:
                    self._announce(DrivenElsewhere())
                    was_told = True
                await self._clock.sleep(BUSY_POLL_SECONDS)
            elif due.wait_seconds > 0:
                await self._clock.sleep(min(due.wait_seconds, LOOK_AGAIN_SECONDS))
            elif await self._advancer.drive(run_id) is Advanced.BUSY:
                refused += 1
                if refused == REFUSED_FOR_GOOD:
                    self._announce(InLine(at_once=self._at_once_per_person))
                await self._clock.sleep(BUSY_POLL_SECONDS)

    async def patrol(
        self,
        *,
        every_seconds: float = LOOK_AGAIN_SECONDS,
        at_once: int = AT_ONCE,
        shift: Shift | None = None,
        overdue_seconds: float = 0.0,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        """Drive every run of the installation that is due, some at once, until cancelled.

        Other processes may do the same: the lease lets one of them have a run. With `overdue_seconds` a run is left to
        them for that long. When it is cancelled, the steps under way may end, for a while; then leases are given back.
        """
        shift = shift or Shift()
        driven: dict[uuid.UUID, asyncio.Task[Advanced]] = {}
        mended_at = -math.inf
        try:
            while True:
                self._rung.clear()
                _drop_ended(driven)
                if self._clock.monotonic() >= mended_at + every_seconds:
                    await self._mend()
                    mended_at = self._clock.monotonic()
                if room := at_once - len(driven):
                    look = _Look(room=room, except_for=tuple(driven), overdue_seconds=overdue_seconds, lane=shift.lane)
                    for run_id in await self._look(look):
                        driven[run_id] = task = asyncio.create_task(self._advancer.drive(run_id, shift=shift))
                        task.add_done_callback(self._look_again)
                await self._rest(every_seconds)
        finally:
            shift.is_over = True
            await _wind_up(tuple(driven.values()), within_seconds=grace_seconds)

    def _look_again(self, ended: "asyncio.Task[Advanced]") -> None:
        """There is room for another run; for one that failed for no known reason there is time."""
        if self._room_is_told or ended.cancelled() or ended.exception() is not None:
            return
        self._room_is_told = True
        asyncio.get_running_loop().call_later(TOGETHER_SECONDS, self._tell_of_room)

    def _tell_of_room(self) -> None:
        self._room_is_told = False
        self._rung.set()

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()

    async def _look(self, look: "_Look") -> Sequence[uuid.UUID]:
        try:
            async with self._database.reading() as session:
                found = await session.scalars(_DUE, {"at_once": self._at_once_per_person, **asdict(look)})
                return found.all()
        except (OSError, SQLAlchemyError) as error:
            log.warning("runner.patrol.missed", reason=str(error))
            return ()

    async def _mend(self) -> None:
        """Set going what nobody rings for: runs whose credits came back, and those of the dead."""
        try:
            await self._wake_funded()
            await self._take_back()
        except (OSError, SQLAlchemyError) as error:
            log.warning("runner.patrol.missed", reason=str(error))

    async def _wake_funded(self) -> None:
        async with self._database.transaction() as session:
            people = await funding.whose_need_is_met(session)
        for user_id in people:
            async with self._database.transaction() as session:
                await funding.wake_for_credits(session, user_id)

    async def _due(self, run_id: uuid.UUID) -> _Due:
        wait = func.extract("epoch", Run.wake_at - func.clock_timestamp())
        lease_runs = func.coalesce(Run.lease_until > func.clock_timestamp(), false())
        statement = select(Run.state, wait, Run.lease_owner, lease_runs).where(Run.id == run_id)
        async with self._database.reading() as session:
            state, seconds, owner, runs = (await session.execute(statement)).one()
        return _Due(state=RunState(state), wait_seconds=float(seconds), lease_owner=owner, lease_runs=runs)

    async def _take_back(self) -> None:
        owners = select(Run.lease_owner).where(Run.lease_owner.is_not(None)).distinct()
        async with self._database.reading() as session:
            found = (await session.scalars(owners)).all()
        for owner in found:
            if owner is not None and is_dead(owner):
                await journal.take_back(self._database.autocommit, owner=owner)
        await journal.take_back(self._database.autocommit)


# The longest wait first, but of nobody more than they may have under way: the rest of theirs must not fill the room.
_DUE = text("""
WITH busy AS (
    SELECT user_id, count(*) AS runs FROM runs
    WHERE lease_owner IS NOT NULL AND lease_until > clock_timestamp() GROUP BY user_id
), due AS (
    SELECT id, user_id, wake_at, row_number() OVER (PARTITION BY user_id ORDER BY wake_at, id) AS turn FROM runs
    WHERE state = 'ready' AND wake_at <= clock_timestamp() - make_interval(secs => :overdue_seconds)
      AND (lease_until IS NULL OR lease_until < clock_timestamp() - make_interval(secs => :overdue_seconds))
      AND (CAST(:lane AS text) IS NULL OR lane = :lane)
)
SELECT due.id FROM due LEFT JOIN busy ON busy.user_id = due.user_id
WHERE turn + COALESCE(busy.runs, 0) <= :at_once AND NOT due.id = ANY(CAST(:except_for AS uuid[]))
ORDER BY wake_at, due.id LIMIT :room
""")


def _drop_ended(driven: dict[uuid.UUID, "asyncio.Task[Advanced]"]) -> None:
    """Forget the runs that wait by now. One that could not even be set aside is due again and tried again."""
    for run_id, task in [(run_id, task) for run_id, task in driven.items() if task.done()]:
        del driven[run_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("runner.run.failed", run_id=str(run_id), exc_info=error)


async def _wind_up(driven: Sequence["asyncio.Task[Advanced]"], *, within_seconds: float) -> None:
    """Let the steps under way end, and cut off those that take too long: their runs keep their place."""
    if driven:
        await asyncio.wait(driven, timeout=within_seconds)
    for task in driven:
        task.cancel()
    await asyncio.gather(*driven, return_exceptions=True)
