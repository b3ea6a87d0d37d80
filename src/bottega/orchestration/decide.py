"""What happens next, as a pure function of a run's state: no database, no model, no clock.

    gather -> plan -> approve -> for every task: implement -> check -> verify -> commit
           -> readme -> check_readme -> commit_readme -> package -> done

A refinement begins at its task, and the package follows that task's commit.

`decide` names the next step; `transitions` says what a step's outcome does to the state. Neither can mark a task done:
only the commit step does, and only with evidence bound to the tree it commits.
"""

from dataclasses import dataclass
from typing import assert_never

from bottega.orchestration.state import Phase, RunKind, RunState, RunView, StepKind, StopCode, TaskStage

_STAGE_STEP = {
    TaskStage.IMPLEMENT: StepKind.IMPLEMENT,
    TaskStage.CHECK: StepKind.CHECK,
    TaskStage.VERIFY: StepKind.VERIFY,
    TaskStage.COMMIT: StepKind.COMMIT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Do:
    kind: StepKind
    task_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    state: RunState
    stop_code: StopCode


@dataclass(frozen=True, slots=True)
class Done:
    pass


Decision = Do | Wait | Done


def decide(view: RunView) -> Decision:
    """Return the next step of a run that is ready."""
    match view.phase:
        case Phase.GATHER if view.unanswered:
            return Wait(state=RunState.WAITING, stop_code=StopCode.QUESTIONS)
        case Phase.GATHER:
            return Do(kind=StepKind.GATHER)
        case Phase.PLAN:
            return Do(kind=StepKind.PLAN)
        case Phase.APPROVE:
            return Wait(state=RunState.WAITING, stop_code=StopCode.APPROVAL)
        case Phase.IMPLEMENT:
            return _next_of_task(view)
        case Phase.README:
            return Do(kind=_next_of_readme(view))
        case Phase.PACKAGE:
            return Do(kind=StepKind.PACKAGE)
        case Phase.FINISHED:
            return Done()
        case _:
            assert_never(view.phase)


def _next_of_task(view: RunView) -> Decision:
    task = view.current_task
    if task is None:
        return Do(kind=StepKind.PACKAGE if view.kind is RunKind.REFINE else StepKind.README)
    is_new = task.stage is TaskStage.IMPLEMENT and task.attempts == 0
    if is_new and not view.can_afford_task:
        return Wait(state=RunState.CREDITS, stop_code=StopCode.OUT_OF_CREDITS)
    return Do(kind=_STAGE_STEP[task.stage], task_key=task.key)


def _next_of_readme(view: RunView) -> StepKind:
    match view.last.outcome if view.last else None:
        case "written":
            return StepKind.CHECK_README
        case "passed" | "not_executed" if view.last and view.last.kind is StepKind.CHECK_README:
            return StepKind.COMMIT_README
        case _:
            return StepKind.README
