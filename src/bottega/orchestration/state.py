"""The state of a run as deciding sees it: plain values, loaded from rows once per step.

`phase` is what is being worked on, `state` is whether it goes on. What a person calls the project's status is a
rendering of the two (`project_status`), so that pausing or running dry never loses the place.
"""

from dataclasses import dataclass
from enum import StrEnum

from bottega.projects.status import ProjectStatus


class RunKind(StrEnum):
    BUILD = "build"  # from a brief to the first delivery
    REFINE = "refine"  # one more task on a delivered project, then another delivery


class Phase(StrEnum):
    GATHER = "gather"
    PLAN = "plan"
    APPROVE = "approve"
    IMPLEMENT = "implement"
    README = "readme"
    PACKAGE = "package"
    FINISHED = "finished"


class RunState(StrEnum):
    READY = "ready"  # a runner may go on, now or at wake_at
    WAITING = "waiting"  # for an answer or an approval
    REFINEMENT = "refinement"  # every rung failed a task; the person says how to go on
    PAUSED = "paused"
    CREDITS = "credits"  # the account or the project's limit leaves too few; `credits_needed` says how many it takes
    ATTENTION = "attention"  # it cannot go on by itself; `stop_code` and `reason` say why
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in {RunState.DONE, RunState.FAILED, RunState.CANCELLED}


class StopCode(StrEnum):
    """Why a run does not go on, for programs."""

    QUESTIONS = "questions"
    APPROVAL = "approval"
    TASK_STUCK = "task_stuck"
    GOING_IN_CIRCLES = "going_in_circles"
    PAUSED = "paused"
    OUT_OF_CREDITS = "out_of_credits"
    PROJECT_LIMIT = "project_limit"
    PROVIDER = "provider"
    CONFIGURATION = "configuration"
    UNUSABLE_REPLIES = "unusable_replies"
    README_FAILED = "readme_failed"
    WORKING_TIME = "working_time"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    TOO_MANY_STEPS = "too_many_steps"
    CRASHES = "crashes"
    DEFECT = "defect"


class StepKind(StrEnum):
    GATHER = "gather"
    PLAN = "plan"
    IMPLEMENT = "implement"
    CHECK = "check"
    VERIFY = "verify"
    COMMIT = "commit"
    README = "readme"
    CHECK_README = "check_readme"
    COMMIT_README = "commit_readme"
    PACKAGE = "package"


class TaskStatus(StrEnum):
    TODO = "todo"
    DONE = "done"
    UNCHECKED = "unchecked"  # written and approved, but its checks could not be executed
    DROPPED = "dropped"  # given up, with a refinement or by the person's word: nothing of it is in the project

    @property
    def is_accepted(self) -> bool:
        return self in {TaskStatus.DONE, TaskStatus.UNCHECKED}


class TaskStage(StrEnum):
    IMPLEMENT = "implement"
    CHECK = "check"
    VERIFY = "verify"
    COMMIT = "commit"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    key: str
    status: TaskStatus = TaskStatus.TODO
    stage: TaskStage = TaskStage.IMPLEMENT
    attempts: int = 0
    rung: int = 0  # index into the ladder of Implementer models
    rung_failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LastStep:
    kind: StepKind
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    phase: Phase
    state: RunState
    kind: RunKind = RunKind.BUILD
    tasks: tuple[TaskView, ...] = ()
    unanswered: int = 0
    can_afford_task: bool = True
    last: LastStep | None = None

    @property
    def current_task(self) -> TaskView | None:
        """The first task in order that is not finished."""
        return next((task for task in self.tasks if task.status is TaskStatus.TODO), None)


_BY_STATE = {
    RunState.PAUSED: ProjectStatus.PAUSED,
    RunState.CREDITS: ProjectStatus.AWAITING_CREDITS,
    RunState.REFINEMENT: ProjectStatus.AWAITING_REFINEMENT,
    RunState.ATTENTION: ProjectStatus.ATTENTION,
    RunState.FAILED: ProjectStatus.FAILED,
    RunState.CANCELLED: ProjectStatus.CANCELLED,
    RunState.DONE: ProjectStatus.COMPLETED,
}

_BY_PHASE = {
    Phase.GATHER: ProjectStatus.GATHERING_REQUIREMENTS,
    Phase.PLAN: ProjectStatus.PLANNING,
    Phase.APPROVE: ProjectStatus.AWAITING_APPROVAL,
    Phase.README: ProjectStatus.README_GENERATION,
    Phase.PACKAGE: ProjectStatus.README_GENERATION,
    Phase.FINISHED: ProjectStatus.COMPLETED,
}


def project_status(view: RunView, *, stop_code: StopCode | None = None) -> ProjectStatus:
    """Return the status a person sees. A refinement that ends, however it ends, leaves a delivered project."""
    if view.kind is RunKind.REFINE and view.state.is_final:
        return ProjectStatus.COMPLETED
    if view.kind is RunKind.REFINE and view.phase is Phase.PACKAGE and view.state is RunState.READY:
        return ProjectStatus.VERIFICATION_COMPLETE
    if stop_code is StopCode.README_FAILED:
        return ProjectStatus.README_FAILED
    if view.state in _BY_STATE:
        return _BY_STATE[view.state]
    if view.phase is Phase.README and view.last and view.last.kind is StepKind.COMMIT:
        return ProjectStatus.VERIFICATION_COMPLETE
    if view.phase is not Phase.IMPLEMENT:
        return _BY_PHASE[view.phase]
    task = view.current_task
    if task is None or task.stage is TaskStage.IMPLEMENT:
        return ProjectStatus.IMPLEMENTING
    return ProjectStatus.AWAITING_VERIFICATION
