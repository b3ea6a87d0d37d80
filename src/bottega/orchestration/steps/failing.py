"""What a failure of a task leads to: the same model again, the next of the ladder, or the person is asked.

A task that goes in circles climbs or stops at once (`loops`), and the person who is asked reads what was tried. Every
choice that is offered is a message or a command that does it.
"""

from bottega.orchestration import loops
from bottega.orchestration.events import Event, ModelEscalated, RunStopped
from bottega.orchestration.loops import Attempt
from bottega.orchestration.state import RunKind, RunState, StopCode
from bottega.orchestration.steps.types import Situation, StepResult, Workbench, Write
from bottega.orchestration.transitions import Failed, failed

STUCK_CHOICES = (
    "try again: two more attempts with the strongest model",
    "say what to do differently: it tries again with that",
    "drop the task: go on without it and what depends on it",
    "cancel: stop here; what was accepted stays",
)


def failure(
    situation: Situation,
    bench: Workbench,
    *,
    outcome: str,
    feedback: str,
    attempt: Attempt,
    events: tuple[Event, ...] = (),
    output: dict[str, object] | None = None,
    write: Write | None = None,
) -> StepResult:
    """Count a failure of the current task. `attempt` is the one that failed, `feedback` is for the next."""
    tried = (*_before(situation, attempt), attempt)
    circle = loops.circle(tried)
    verdict = failed(situation.task_view, rungs=len(bench.implementer_models), circle=circle)
    stopped = _stopped(verdict, tried, feedback=feedback, choices=_choices(situation)) if verdict.stuck else None
    return StepResult(
        outcome=outcome,
        output=(output or {}) | attempt.as_output(),
        state=RunState.REFINEMENT if stopped else RunState.READY,
        stop_code=StopCode(stopped.stop_code) if stopped else None,
        reason=stopped.reason if stopped else None,
        task=verdict.task,
        feedback=feedback,
        write=write,
        events=(*events, *_escalation(verdict, bench), *([stopped] if stopped else [])),
    )


def under_review(situation: Situation) -> Attempt:
    """Return the attempt whose proposal is being judged."""
    if situation.tried and situation.tried[-1].failure is None:
        return situation.tried[-1]
    tree = situation.task.proposal_tree_hash or ""  # it was proposed before the person said to go on
    return Attempt(model="", substance=tree, tree=tree)


def goes_in_circles(situation: Situation, attempt: Attempt) -> bool:
    """Tell whether this attempt repeats earlier ones, or wastes the last reply that may be wasted."""
    circle = loops.circle((*situation.tried, attempt))
    return circle.period is not None or circle.wasted >= loops.WASTED_CALLS - 1


def _before(situation: Situation, attempt: Attempt) -> tuple[Attempt, ...]:
    """Return the attempts before this one, which may be the last of the journal, judged by now."""
    tried = situation.tried
    is_judged_now = bool(tried) and tried[-1].failure is None and tried[-1].tree == attempt.tree
    return tried[:-1] if is_judged_now else tried


def _choices(situation: Situation) -> tuple[str, ...]:
    """Return what a person can say; a refinement is one task, so dropping it is cancelling it."""
    is_refinement = situation.view.kind is RunKind.REFINE
    return tuple(choice for choice in STUCK_CHOICES if not (is_refinement and choice.startswith("drop")))


def _stopped(verdict: Failed, tried: tuple[Attempt, ...], *, feedback: str, choices: tuple[str, ...]) -> RunStopped:
    key, is_circle = verdict.task.key, loops.circle(tried)
    if is_circle.period is not None or is_circle.wasted >= loops.WASTED_CALLS:
        reason, stop_code = loops.summary(key, tried), StopCode.GOING_IN_CIRCLES
    else:
        who = f" ({tally})" if (tally := loops.tally(tried)) else ""
        reason = f"{key} failed with every model{who}. The last word on it: {feedback}"
        stop_code = StopCode.TASK_STUCK
    return RunStopped(stop_code=stop_code, reason=reason, choices=choices)


def _escalation(verdict: Failed, bench: Workbench) -> tuple[Event, ...]:
    if not verdict.escalated:
        return ()
    return (ModelEscalated(task_key=verdict.task.key, model=str(bench.implementer_models[verdict.task.rung])),)
