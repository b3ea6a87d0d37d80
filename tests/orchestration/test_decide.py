"""What happens next, as a table."""

import pytest

from bottega.orchestration.decide import Decision, Do, Done, Wait, decide
from bottega.orchestration.state import (
    LastStep,
    Phase,
    RunKind,
    RunState,
    RunView,
    StepKind,
    StopCode,
    TaskStage,
    TaskStatus,
    TaskView,
    project_status,
)

FIRST = TaskView(key="T1")
SECOND = TaskView(key="T2")
THIRD = TaskView(key="T3")
DROPPED = TaskView(key="T2", status=TaskStatus.DROPPED)
FINISHED = TaskView(key="T1", status=TaskStatus.DONE)


def view(phase: Phase, **rest: object) -> RunView:
    return RunView(phase=phase, state=RunState.READY, **rest)  # type: ignore[arg-type]


def last(kind: StepKind, outcome: str) -> LastStep:
    return LastStep(kind=kind, outcome=outcome)


@pytest.mark.parametrize(
    ("state", "decision"),
    [
        (view(Phase.GATHER), Do(kind=StepKind.GATHER)),
        (view(Phase.GATHER, unanswered=1), Wait(state=RunState.WAITING, stop_code=StopCode.QUESTIONS)),
        (view(Phase.PLAN), Do(kind=StepKind.PLAN)),
        (view(Phase.APPROVE), Wait(state=RunState.WAITING, stop_code=StopCode.APPROVAL)),
        (view(Phase.IMPLEMENT, tasks=(FIRST, SECOND)), Do(kind=StepKind.IMPLEMENT, task_key="T1")),
        (view(Phase.IMPLEMENT, tasks=(FINISHED, SECOND)), Do(kind=StepKind.IMPLEMENT, task_key="T2")),
        (
            view(Phase.IMPLEMENT, tasks=(FIRST,), can_afford_task=False),
            Wait(state=RunState.CREDITS, stop_code=StopCode.OUT_OF_CREDITS),
        ),
        (
            view(Phase.IMPLEMENT, tasks=(TaskView(key="T1", attempts=1),), can_afford_task=False),
            Do(kind=StepKind.IMPLEMENT, task_key="T1"),
        ),
        (
            view(Phase.IMPLEMENT, tasks=(TaskView(key="T1", stage=TaskStage.CHECK, attempts=1),)),
            Do(kind=StepKind.CHECK, task_key="T1"),
        ),
        (
            view(Phase.IMPLEMENT, tasks=(TaskView(key="T1", stage=TaskStage.VERIFY, attempts=1),)),
            Do(kind=StepKind.VERIFY, task_key="T1"),
        ),
        (
            view(Phase.IMPLEMENT, tasks=(TaskView(key="T1", stage=TaskStage.COMMIT, attempts=1),)),
            Do(kind=StepKind.COMMIT, task_key="T1"),
        ),
        (view(Phase.README, last=last(StepKind.COMMIT, "committed")), Do(kind=StepKind.README)),
        (view(Phase.README, last=last(StepKind.README, "unusable")), Do(kind=StepKind.README)),
        (view(Phase.README, last=last(StepKind.README, "written")), Do(kind=StepKind.CHECK_README)),
        (view(Phase.README, last=last(StepKind.CHECK_README, "failed")), Do(kind=StepKind.README)),
        (view(Phase.README, last=last(StepKind.CHECK_README, "passed")), Do(kind=StepKind.COMMIT_README)),
        (view(Phase.README, last=last(StepKind.CHECK_README, "not_executed")), Do(kind=StepKind.COMMIT_README)),
        (view(Phase.PACKAGE), Do(kind=StepKind.PACKAGE)),
        (view(Phase.IMPLEMENT, tasks=(FINISHED,)), Do(kind=StepKind.README)),
        (view(Phase.IMPLEMENT, tasks=(FINISHED,), kind=RunKind.REFINE), Do(kind=StepKind.PACKAGE)),
        (
            view(Phase.IMPLEMENT, tasks=(FINISHED, DROPPED, THIRD), kind=RunKind.REFINE),
            Do(kind=StepKind.IMPLEMENT, task_key="T3"),
        ),
        (view(Phase.FINISHED), Done()),
    ],
)
def test_decide_names_the_next_step(state: RunView, decision: Decision) -> None:
    assert decide(state) == decision


def test_a_finished_task_is_never_worked_on_again() -> None:
    unchecked = TaskView(key="T1", status=TaskStatus.UNCHECKED, stage=TaskStage.COMMIT)
    assert decide(view(Phase.IMPLEMENT, tasks=(unchecked, SECOND))) == Do(kind=StepKind.IMPLEMENT, task_key="T2")


@pytest.mark.parametrize("state", [RunState.DONE, RunState.CANCELLED, RunState.FAILED])
@pytest.mark.parametrize("phase", [Phase.IMPLEMENT, Phase.PACKAGE, Phase.FINISHED])
def test_a_refinement_that_ended_leaves_a_completed_project(phase: Phase, state: RunState) -> None:
    assert project_status(RunView(phase=phase, state=state, kind=RunKind.REFINE)) == "completed"


def test_a_refinement_is_shown_as_the_work_it_is() -> None:
    assert project_status(view(Phase.IMPLEMENT, tasks=(THIRD,), kind=RunKind.REFINE)) == "implementing"
    assert project_status(view(Phase.PACKAGE, kind=RunKind.REFINE)) == "verification_complete"
    paused = RunView(phase=Phase.PACKAGE, state=RunState.PAUSED, kind=RunKind.REFINE)
    assert project_status(paused) == "paused"
