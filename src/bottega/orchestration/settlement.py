"""What the end of a step makes true, all in the caller's transaction: money, journal, task, status and events.

A step that was done is journaled and paid for; one that could not be done leaves its run waiting, with the reason.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing.metering import MeteredLLM
from bottega.orchestration import journal, progress, refining
from bottega.orchestration.decide import Do
from bottega.orchestration.journal import Claim, Entry
from bottega.orchestration.setbacks import Setback
from bottega.orchestration.situation import Loaded
from bottega.orchestration.state import LastStep, RunView
from bottega.orchestration.steps.types import Situation, StepResult
from bottega.orchestration.tables import Task


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
    if result.task or charged:
        await _update_task(session, todo=todo, result=result, charged=charged)
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
    )


async def _update_task(session: AsyncSession, *, todo: Situation, result: StepResult, charged: Decimal) -> None:
    if todo.task_key is None:
        return
    values: dict[str, object] = {"credits_charged": Task.credits_charged + charged}
    if result.task:
        values |= {
            "stage": result.task.stage,
            "attempts": result.task.attempts,
            "rung": result.task.rung,
            "rung_failures": result.task.rung_failures,
        }
    if result.proposal_tree_hash is not None:
        values |= {"proposal_step": todo.run.step_no, "proposal_tree_hash": result.proposal_tree_hash}
    if result.feedback is not None:
        values["feedback"] = result.feedback
    await session.execute(update(Task).where(Task.id == todo.task.id).values(values))


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
