"""The durable half of a run: claim, heartbeat, and the fenced journal.

A claim takes a lease and raises `lease_token`; every later write names that token, so a runner whose lease was taken
over changes nothing (`LeaseLost`). `record` writes a step once, with everything that step makes true, and moves the
run on: one transaction, which also settles what the step's model calls owe. The database's clock is the only clock.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Interval, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.core.errors import AppError
from bottega.db.transaction import Autocommit, Execution, note
from bottega.orchestration.doorbell import Lane, RunDue
from bottega.orchestration.state import Phase, RunState, StopCode
from bottega.orchestration.tables import Run
from bottega.telemetry import metrics

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
    step_no: int  # the run was at when it was claimed
    project_id: uuid.UUID
    run_kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskMoves:
    """What a step made of its task. None leaves a thing as it is."""

    id: uuid.UUID
    stage: str | None = None
    attempts: int | None = None
    rung: int | None = None
    rung_failures: int | None = None
    proposal_step: int | None = None
    proposal_tree_hash: str | None = None
    feedback: str | None = None


_NO_TASK = TaskMoves(id=uuid.UUID(int=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One journaled step, where the run goes from here, and what the step made of its task."""

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
    task: TaskMoves | None = None


async def claim(at: Execution, *, run_id: uuid.UUID, owner: str, at_once: int = 100) -> Claim | None:
    """Take the lease of a run that is ready and due, or return None. Also to pause or cancel it, if that is desired.

    A lease that ran out may be taken over at once, unless runners have left the run before: see `take_back`.

    `at_once` is how many runs of one person may be under way. Two claims at one moment may exceed it by one: it keeps
    people from crowding each other out, and no truth hangs on it.
    """
    given = {"run_id": run_id, "owner": owner, "at_once": at_once, "lease": LEASE}
    row = (await at.execute(_CLAIM, given)).one_or_none()
    if row is None:
        return None
    return Claim(
        run_id=run_id,
        lease_token=row.lease_token,
        step_no=row.step_no,
        project_id=row.project_id,
        run_kind=row.kind,
    )


_CLAIM = text("""
UPDATE runs SET lease_owner = :owner, lease_token = lease_token + 1, claims = claims + 1,
    lease_until = clock_timestamp() + CAST(:lease AS interval)
WHERE id = :run_id AND state = 'ready' AND wake_at <= clock_timestamp()
  AND (lease_until IS NULL OR lease_until < clock_timestamp() AND claims < 2)
  AND (
    SELECT count(*) FROM runs AS other
    WHERE other.user_id = runs.user_id AND other.lease_owner IS NOT NULL AND other.lease_until > clock_timestamp()
      AND other.id <> runs.id
  ) < :at_once
RETURNING lease_token, step_no, project_id, kind
""")


async def extend(at: Autocommit, *, held: Sequence[Claim]) -> dict[Claim, str | None]:
    """Extend leases, and return of each run what is desired (run, pause or cancel), or None when the lease is gone.

    A row that somebody writes at this moment is passed over: it is being journaled, which renews its lease.
    """
    given = {"ids": [claim.run_id for claim in held], "tokens": [claim.lease_token for claim in held], "lease": LEASE}
    rows = (await at.execute(_EXTEND, given)).all()
    claims = {(claim.run_id, claim.lease_token): claim for claim in held}
    return {claims[row.id, row.token]: row.desired for row in rows}


# What is told is as the statement found it: a run that was claimed by another meanwhile is told of at the next beat.
_EXTEND = text("""
WITH held AS (
    SELECT id, token FROM unnest(CAST(:ids AS uuid[]), CAST(:tokens AS bigint[])) AS given (id, token)
), free AS (
    SELECT runs.id FROM runs JOIN held ON runs.id = held.id AND runs.lease_token = held.token
    FOR UPDATE OF runs SKIP LOCKED
), extended AS (
    UPDATE runs SET lease_until = clock_timestamp() + CAST(:lease AS interval) FROM free WHERE runs.id = free.id
)
SELECT held.id, held.token, CASE WHEN runs.lease_token = held.token THEN runs.desired END AS desired
FROM held LEFT JOIN runs ON runs.id = held.id
""")


async def take_back(at: Execution, *, owner: str | None = None) -> None:
    """Take back the leases of an owner that died, or of whoever let one run out.

    A run that was left twice in a row waits before it is claimed again: longer each time, and each run for a time of
    its own. One that kills its runners is soon alone with them, and those that were merely there get on in between.
    A death that several runs shared counts half against each.
    """
    await at.execute(_TAKE_BACK, {"owner": owner})


_TAKE_BACK = text("""
WITH left_behind AS (
    SELECT id, lease_token, count(*) OVER (PARTITION BY lease_owner) > 1 AS is_shared FROM runs
    WHERE lease_owner IS NOT NULL
      AND (lease_owner = CAST(:owner AS text) OR CAST(:owner AS text) IS NULL AND lease_until < clock_timestamp())
)
UPDATE runs SET lease_owner = NULL, lease_until = NULL, claims = CASE WHEN is_shared THEN claims - 0.5 ELSE claims END,
    wake_at = GREATEST(wake_at, clock_timestamp() + make_interval(
        secs => CASE WHEN claims < 2 THEN 0 ELSE (0.5 + random()) * 2 ^ LEAST(claims - 1, 5) END))
FROM left_behind
WHERE runs.id = left_behind.id AND runs.lease_token = left_behind.lease_token
  AND (lease_owner = CAST(:owner AS text) OR CAST(:owner AS text) IS NULL AND lease_until < clock_timestamp())
""")


async def release_unwished(at: Execution, *, held: Claim) -> bool:
    """Give the lease back where nobody wishes the run to pause or end; tell whether that was so."""
    given = {"run_id": held.run_id, "lease_token": held.lease_token}
    return (await at.execute(_RELEASE_UNWISHED, given)).one_or_none() is not None


_RELEASE_UNWISHED = text("""
UPDATE runs SET lease_until = NULL, lease_owner = NULL, wake_at = GREATEST(wake_at, clock_timestamp())
WHERE id = :run_id AND lease_token = :lease_token AND desired = 'run' RETURNING id
""")


async def release(session: AsyncSession, *, held: Claim) -> str | None:
    """Give the lease back, so that the next runner need not wait for it to run out: from now on the run is due.

    Returns what is desired of the run by then, or None when the lease was no longer ours.
    """
    statement = (
        update(Run)
        .where(Run.id == held.run_id, Run.lease_token == held.lease_token)
        .values(lease_until=None, lease_owner=None, wake_at=func.greatest(Run.wake_at, func.clock_timestamp()))
        .returning(Run.desired)
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def hand_over(session: AsyncSession, *, held: Claim, lane: Lane) -> None:
    """Give the lease back for workers of `lane` to take it. The claim does not count: the step was not tried."""
    statement = update(Run).where(Run.id == held.run_id, Run.lease_token == held.lease_token)
    values = {
        "lease_until": None,
        "lease_owner": None,
        "lane": lane,
        "claims": func.greatest(Run.claims - 1, 0),
        "wake_at": func.greatest(Run.wake_at, func.clock_timestamp()),  # it waits from now on
    }
    await session.execute(statement.values(values))


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
        **_moves(entry.task or _NO_TASK),
    }
    if (await session.execute(_RECORD, given)).scalar_one_or_none() is None:
        metrics.claimed(result="fenced")
        raise LeaseLost


def _moves(task: TaskMoves) -> dict[str, object]:
    return {
        "task_id": task.id,
        "stage": task.stage,
        "attempts": task.attempts,
        "rung": task.rung,
        "rung_failures": task.rung_failures,
        "proposal_step": task.proposal_step,
        "proposal_tree_hash": task.proposal_tree_hash,
        "feedback": task.feedback,
    }


# One statement: step and task are written by what moves the run on, and by nothing where the fence does not hold.
_RECORD = text(
    """
    WITH moved AS (
        UPDATE runs
        SET step_no = step_no + 1, claims = 0, failures = 0, phase = :phase, state = :state,
            stop_code = :stop_code, reason = :reason, credits_needed = NULL,
            working_ms = working_ms + :duration_ms, lease_until = clock_timestamp() + :lease,
            finished_at = CASE WHEN :is_final THEN clock_timestamp() END
        WHERE id = :run_id AND lease_token = :lease_token AND step_no = :step_no
        RETURNING id
    ), task AS (
        UPDATE tasks
        SET credits_charged = credits_charged + :credits_charged,
            stage = COALESCE(CAST(:stage AS varchar), stage),
            attempts = COALESCE(CAST(:attempts AS int), attempts),
            rung = COALESCE(CAST(:rung AS int), rung),
            rung_failures = COALESCE(CAST(:rung_failures AS int), rung_failures),
            proposal_step = COALESCE(CAST(:proposal_step AS int), proposal_step),
            proposal_tree_hash = COALESCE(CAST(:proposal_tree_hash AS varchar), proposal_tree_hash),
            feedback = COALESCE(CAST(:feedback AS text), feedback)
        FROM moved WHERE tasks.id = :task_id
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
    worked_ms: int = 0,
) -> None:
    """Leave the run in `state` without journaling a step: it waits, or tries the same step again at its wake time.

    `credits_needed` is how many credits wake a run that waits for them; `worked_ms` went into the step in vain.

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
            working_ms=Run.working_ms + worked_ms,
            claims=0,
            finished_at=func.clock_timestamp() if state.is_final else None,
        )
        .returning(Run.id)
    )
    if (await session.execute(statement)).scalar_one_or_none() is None:
        metrics.claimed(result="fenced")
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
    note(session, RunDue(run.id))


async def renew_allowance(session: AsyncSession, *, run: Run) -> None:
    """Count working time, attempts and steps anew: the person said to go on. The caller has locked the run."""
    await session.execute(update(Run).where(Run.id == run.id).values(allowance_from=Run.step_no, working_ms=0))


async def live_run(session: AsyncSession, *, project_id: uuid.UUID) -> Run | None:
    """Return the project's unfinished run, locked: no runner may move it while the caller decides about it."""
    statement = select(Run).where(Run.project_id == project_id, Run.finished_at.is_(None)).with_for_update()
    return (await session.scalars(statement)).one_or_none()


def operation_key(run_id: uuid.UUID, step_no: int) -> str:
    """Name the step under way, for the calls that are made for it."""
    return f"{run_id}:{step_no}"
