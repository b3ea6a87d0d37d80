"""The durable half of a run: claim, heartbeat, and the fenced journal.

A claim takes a lease and raises `lease_token`; every later write names that token, so a runner whose lease was taken
over changes nothing (`LeaseLost`). `record` writes a step once, with everything that step makes true, and moves the
run on: one transaction, which also settles what the step's model calls owe. The database's clock is the only clock.
"""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Interval, bindparam, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.core.errors import AppError
from bottega.orchestration.state import Phase, RunState, StopCode
from bottega.orchestration.tables import Run

LEASE = timedelta(seconds=30)
CLAIMS_WITHOUT_PROGRESS = 5  # a run claimed more often without journaling a step kills its runners


class LeaseLost(AppError):
    code = "lease_lost"

    def __init__(self) -> None:
        super().__init__("Another runner has taken this run over.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    run_id: uuid.UUID
    lease_token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One journaled step and where the run goes from here."""

    kind: str
    task_key: str | None
    outcome: str
    output: dict[str, Any]
    credits_charged: Decimal
    duration_ms: int
    phase: Phase
    state: RunState
    stop_code: StopCode | None
    reason: str | None


async def claim(session: AsyncSession, *, run_id: uuid.UUID, owner: str) -> Claim | None:
    """Take the lease of a run that is ready and due, or return None. Also to pause or cancel it, if that is desired."""
    now = func.clock_timestamp()
    statement = (
        update(Run)
        .where(
            Run.id == run_id,
            Run.state == RunState.READY,
            Run.wake_at <= now,
            or_(Run.lease_until.is_(None), Run.lease_until < now),
        )
        .values(lease_owner=owner, lease_token=Run.lease_token + 1, lease_until=now + LEASE, claims=Run.claims + 1)
        .returning(Run.lease_token)
    )
    lease_token = (await session.execute(statement)).scalar_one_or_none()
    return None if lease_token is None else Claim(run_id=run_id, lease_token=lease_token)


async def extend(session: AsyncSession, *, held: Claim) -> str | None:
    """Extend the lease; return what is desired of the run (run, pause or cancel), or None when the lease is gone."""
    statement = (
        update(Run)
        .where(Run.id == held.run_id, Run.lease_token == held.lease_token)
        .values(lease_until=func.clock_timestamp() + LEASE)
        .returning(Run.desired)
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def release(session: AsyncSession, *, held: Claim) -> str | None:
    """Give the lease back, so that the next runner need not wait for it to run out.

    Returns what is desired of the run by then, or None when the lease was no longer ours.
    """
    statement = (
        update(Run)
        .where(Run.id == held.run_id, Run.lease_token == held.lease_token)
        .values(lease_until=None, lease_owner=None)
        .returning(Run.desired)
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def seize(session: AsyncSession, *, run: Run) -> None:
    """Take the lease away from whoever had it, without claiming the run: what they still do is fenced."""
    values = {"lease_token": Run.lease_token + 1, "lease_owner": None, "lease_until": None}
    await session.execute(update(Run).where(Run.id == run.id).values(values))


async def lease_runs(session: AsyncSession, *, run: Run) -> bool:
    """Tell whether somebody's lease on this run has not run out."""
    statement = select(Run.lease_until > func.clock_timestamp()).where(Run.id == run.id)
    return bool((await session.execute(statement)).scalar_one())


async def record(session: AsyncSession, *, held: Claim, step_no: int, entry: Entry) -> None:
    """Journal one step and move the run on, its lease as new: steps too short for a heartbeat add up.

    Raises:
        LeaseLost: the lease or the step is no longer ours; the caller's transaction must roll back.
    """
    given = {
        "run_id": held.run_id,
        "lease_token": held.lease_token,
        "lease": LEASE,
        "step_no": step_no,
        "kind": entry.kind,
        "task_key": entry.task_key,
        "outcome": entry.outcome,
        "output": entry.output,
        "credits_charged": entry.credits_charged,
        "duration_ms": entry.duration_ms,
        "phase": entry.phase,
        "state": entry.state,
        "is_final": entry.state.is_final,
        "stop_code": entry.stop_code,
        "reason": entry.reason,
    }
    if (await session.execute(_RECORD, given)).scalar_one_or_none() is None:
        raise LeaseLost


# One statement: the step is inserted by what moves the run on, and by nothing where the fence does not hold.
_RECORD = text(
    """
    WITH moved AS (
        UPDATE runs
        SET step_no = step_no + 1, claims = 0, failures = 0, phase = :phase, state = :state,
            stop_code = :stop_code, reason = :reason, credits_needed = NULL,
            lease_until = clock_timestamp() + :lease,
            finished_at = CASE WHEN :is_final THEN clock_timestamp() END
        WHERE id = :run_id AND lease_token = :lease_token AND step_no = :step_no
        RETURNING id
    )
    INSERT INTO steps
        (run_id, step_no, kind, task_key, outcome, output, lease_token, credits_charged, duration_ms)
    SELECT id, :step_no, :kind, :task_key, :outcome, :output, :lease_token, :credits_charged, :duration_ms
    FROM moved
    RETURNING step_no
    """
).bindparams(bindparam("output", type_=JSONB), bindparam("lease", type_=Interval))


async def stop(
    session: AsyncSession,
    *,
    held: Claim,
    state: RunState,
    stop_code: StopCode | None,
    reason: str | None,
    wake_in_seconds: float = 0.0,
    failures: int = 0,
    credits_needed: Decimal | None = None,
) -> None:
    """Leave the run in `state` without journaling a step: it waits, or tries the same step again at its wake time.

    `credits_needed` is how many credits wake a run that waits for them.

    Raises:
        LeaseLost: the lease is no longer ours.
    """
    statement = (
        update(Run)
        .where(Run.id == held.run_id, Run.lease_token == held.lease_token)
        .values(
            state=state,
            stop_code=stop_code,
            reason=reason,
            wake_at=func.clock_timestamp() + timedelta(seconds=wake_in_seconds),
            failures=failures,
            credits_needed=credits_needed,
            claims=0,
            finished_at=func.clock_timestamp() if state.is_final else None,
        )
        .returning(Run.id)
    )
    if (await session.execute(statement)).scalar_one_or_none() is None:
        raise LeaseLost


async def make_ready(session: AsyncSession, *, run: Run, phase: Phase) -> None:
    """Let a run that waits or was stopped go on in `phase`, at the step it is at. The caller has locked it."""
    values = {
        "phase": phase,
        "state": RunState.READY,
        "desired": "run",
        "stop_code": None,
        "reason": None,
        "credits_needed": None,
        "claims": Run.claims if run.state == RunState.READY else 0,  # one that was cut off has not been looked at
        "failures": 0,
        "wake_at": func.clock_timestamp(),
    }
    await session.execute(update(Run).where(Run.id == run.id).values(values))
    await session.refresh(run)


async def live_run(session: AsyncSession, *, project_id: uuid.UUID) -> Run | None:
    """Return the project's unfinished run, locked: no runner may move it while the caller decides about it."""
    statement = select(Run).where(Run.project_id == project_id, Run.finished_at.is_(None)).with_for_update()
    return (await session.scalars(statement)).one_or_none()


def operation_key(run: Run) -> str:
    """Name the step under way, for the calls that are made for it."""
    return f"{run.id}:{run.step_no}"
