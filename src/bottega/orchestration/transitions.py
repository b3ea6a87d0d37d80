"""What an outcome does to a task: the repair loop and the ladder of models, as pure functions.

A failed check, a rejection, a refusal, a proposal that failed before or three unusable replies in a row is one failure.
After two failures the next model of the ladder takes over; after two on the last rung the task is stuck and the person
is asked. A task that goes in circles does not wait for its second failure; the last reply it may waste is the strongest
model's. Nothing is ever accepted by exhaustion.
"""

from dataclasses import dataclass, replace

from bottega.orchestration.loops import WASTED_CALLS, Circle
from bottega.orchestration.state import TaskStage, TaskView

FAILURES_PER_RUNG = 2
UNUSABLE_REPLIES = 3
STRAIGHT = Circle()


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


def failed(task: TaskView, *, rungs: int, circle: Circle = STRAIGHT) -> Failed:
    """Count one failure of the current rung and say who tries next."""
    failures, last = task.rung_failures + 1, rungs - 1
    is_last_chance = circle.wasted == WASTED_CALLS - 1
    has_had_enough = circle.period is not None or failures >= FAILURES_PER_RUNG
    if circle.wasted >= WASTED_CALLS or (has_had_enough and task.rung >= last):
        return Failed(task=replace(task, stage=TaskStage.IMPLEMENT, rung_failures=failures), stuck=True)
    if has_had_enough or (is_last_chance and task.rung < last):
        rung = last if is_last_chance else task.rung + 1
        return Failed(task=replace(task, stage=TaskStage.IMPLEMENT, rung=rung, rung_failures=0), escalated=True)
    return Failed(task=replace(task, stage=TaskStage.IMPLEMENT, rung_failures=failures))


def retried(task: TaskView, *, rungs: int) -> TaskView:
    """Give a stuck task another round at the strongest rung."""
    return replace(task, stage=TaskStage.IMPLEMENT, rung=rungs - 1, rung_failures=0)
