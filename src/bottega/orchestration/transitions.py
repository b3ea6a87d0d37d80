"""What an outcome does to a task: the repair loop and the ladder of models, as pure functions.

A failed check, a rejection, a refusal or three unusable replies in a row is one failure. After two failures the next
model of the ladder takes over; after two on the last rung the task is stuck and the person is asked. Nothing is ever
accepted by exhaustion.
"""

from dataclasses import dataclass, replace

from bottega.orchestration.state import TaskStage, TaskView

FAILURES_PER_RUNG = 2
UNUSABLE_REPLIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The task after a failure; `stuck` when no rung is left, `escalated` when the next one took over."""

    task: TaskView
    escalated: bool = False
    stuck: bool = False


def proposed(task: TaskView) -> TaskView:
    return replace(task, stage=TaskStage.CHECK, attempts=task.attempts + 1)


def checked(task: TaskView) -> TaskView:
    return replace(task, stage=TaskStage.VERIFY)


def approved(task: TaskView) -> TaskView:
    return replace(task, stage=TaskStage.COMMIT)


def failed(task: TaskView, *, rungs: int) -> Failed:
    """Count one failure of the current rung and say who tries next."""
    failures = task.rung_failures + 1
    if failures < FAILURES_PER_RUNG:
        return Failed(task=replace(task, stage=TaskStage.IMPLEMENT, rung_failures=failures))
    if task.rung + 1 < rungs:
        return Failed(
            task=replace(task, stage=TaskStage.IMPLEMENT, rung=task.rung + 1, rung_failures=0), escalated=True
        )
    return Failed(task=replace(task, stage=TaskStage.IMPLEMENT, rung_failures=failures), stuck=True)


def retried(task: TaskView, *, rungs: int) -> TaskView:
    """Give a stuck task another round at the strongest rung."""
    return replace(task, stage=TaskStage.IMPLEMENT, rung=rungs - 1, rung_failures=0)
