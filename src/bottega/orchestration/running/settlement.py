"""What the end of a step makes true, all in the caller's transaction: money, journal, task, status and events.

A step that was done is journaled and paid for; one that could not be done leaves its run waiting, with the reason.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing.metering import MeteredLLM
from bottega.orchestration import journal, progress, refining
from bottega.orchestration.decide import Do
from bottega.orchestration.journal import Claim, Entry, TaskMoves
from bottega.orchestration.setbacks import Setback
from bottega.orchestration.situation import Loaded
from bottega.orchestration.state import LastStep, RunView
from bottega.orchestration.steps.types import Situation, StepResult


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneStep:
    """A step, what it began from, and what came of it."""

    step: Do
    todo: Situation
    result: StepResult
    duration_ms: int


async def record(session: AsyncSession, *, held: Claim, done: DoneStep, meter: MeteredLLM) -> Decimal:
    """Journal the step with all that it made true; return the credits it was charged.

    Raises:
        LeaseLost: the lease or the step is no longer ours; the transaction must roll back.
    """
    todo, result = done.todo, done.result
    charged = await _bill(session, meter=meter, result=result)
    entry = _entry(done, credits_charged=charged)
    await journal.record(session, held=held, step_no=todo.run.step_no, entry=entry)
    if result.write:
        await result.write(session)
    await progress.report(
        session,
        project=todo.project,
        run_id=held.run_id,
        view=_after(done),
        stop_code=result.stop_code,
        events=result.events,
    )
    return charged


async def stop(session: AsyncSession, *, held: Claim, loaded: Loaded, setback: Setback, worked_ms: int = 0) -> None:
    """Leave the run as the setback says, and tell the person; no step is journaled."""
    await journal.stop(
        session,
        held=held,
        state=setback.state,
        stop_code=setback.stop_code,
        reason=setback.reason,
        wake_in_seconds=setback.wake_in_seconds,
        failures=setback.failures,
        credits_needed=setback.credits_needed,
        worked_ms=worked_ms,
    )
    if setback.state.is_final:
        await refining.drop(session, loaded=loaded)
    after = replace(loaded.view, state=setback.state)
    await progress.report(
        session,
        project=loaded.project,
        run_id=held.run_id,
        view=after,
        stop_code=setback.stop_code,
        events=setback.events,
    )


async def _bill(session: AsyncSession, *, meter: MeteredLLM, result: StepResult) -> Decimal:
    """Charge what the step's replies cost, or nothing for those that nobody is to pay for; return the credits."""
    if result.forgiven is None:
        return await meter.settle(session)
    await meter.forgive(session, error_code=result.forgiven)
    return Decimal(0)


def _entry(done: DoneStep, *, credits_charged: Decimal) -> Entry:
    step, todo, result = done.step, done.todo, done.result
    return Entry(
        kind=step.kind,
        task_key=step.task_key,
        outcome=result.outcome,
        output=result.output,
        credits_charged=credits_charged,
        duration_ms=done.duration_ms,
        phase=result.phase or todo.view.phase,
        state=result.state,
        stop_code=result.stop_code,
        reason=result.reason,
        task=_moves(done),
    )


def _moves(done: DoneStep) -> TaskMoves | None:
    todo, result = done.todo, done.result
    if todo.task_key is None:
        return None
    task, proposal = result.task, result.proposal_tree_hash
    return TaskMoves(
        id=todo.task.id,
        stage=task.stage if task else None,
        attempts=task.attempts if task else None,
        rung=task.rung if task else None,
        rung_failures=task.rung_failures if task else None,
        proposal_step=None if proposal is None else todo.run.step_no,
        proposal_tree_hash=proposal,
        feedback=result.feedback,
    )


def _after(done: DoneStep) -> RunView:
    view, result = done.todo.view, done.result
    changed = result.task
    return replace(
        view,
        phase=result.phase or view.phase,
        state=result.state,
        tasks=tuple(changed if changed and task.key == changed.key else task for task in view.tasks),
        last=LastStep(kind=done.step.kind, outcome=result.outcome),
    )
