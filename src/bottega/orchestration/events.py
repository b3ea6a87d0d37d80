"""What may be told to a person, as values. Every front end renders these and nothing else.

An event is written to `run_events` in the transaction that makes it true, and announced after that transaction.
Four are announced at once, since nothing is true of them that a transaction could make so: `StepStarted` (other
processes read it in `work_under_way`, the newest alone), a `ProviderTrouble` that is waited for within a step (a row
follows), and `DrivenElsewhere` and `InLine` (of this process alone).
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    type: ClassVar[str]

    def payload(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {field.name: _as_json(getattr(self, field.name)) for field in dataclasses.fields(self)}


def read_event(*, type: str, payload: Mapping[str, Any]) -> "Event | None":  # noqa: A002  # as the column is called
    """Return the event of a row, or None where another version of Bottega wrote one that this one does not know."""
    kind = _kinds().get(type)
    if kind is None:
        return None
    names = {field.name for field in dataclasses.fields(kind)}
    known = {name: tuple(value) if isinstance(value, list) else value for name, value in payload.items()}
    return kind(**{name: known[name] for name in names}) if names <= known.keys() else None


@cache
def _kinds() -> Mapping[str, type["Event"]]:
    return {kind.type: kind for kind in Event.__subclasses__()}


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_as_json(item) for item in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(Event):
    type: ClassVar[str] = "step_started"
    kind: str
    task_key: str | None
    title: str
    attempt: int
    model: str | None
    position: int  # finished steps of the whole, for a progress bar
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectStarted(Event):
    type: ClassVar[str] = "project_started"
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionsAsked(Event):
    type: ClassVar[str] = "questions_asked"
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementsClear(Event):
    type: ClassVar[str] = "requirements_clear"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReady(Event):
    type: ClassVar[str] = "plan_ready"
    title: str
    tasks: tuple[str, ...]
    low_credits: str
    high_credits: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanApproved(Event):
    type: ClassVar[str] = "plan_approved"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinementStarted(Event):
    type: ClassVar[str] = "refinement_started"
    task_key: str
    title: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskImplemented(Event):
    type: ClassVar[str] = "task_implemented"
    task_key: str
    title: str
    attempt: int
    model: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRepeated(Event):
    """A reply led back to files that had failed before: nothing was run or reviewed again."""

    type: ClassVar[str] = "proposal_repeated"
    task_key: str
    model: str
    said: str  # what had failed


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyUnusable(Event):
    type: ClassVar[str] = "reply_unusable"
    kind: str
    task_key: str | None
    complaint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksPassed(Event):
    type: ClassVar[str] = "checks_passed"
    task_key: str | None
    commands: int
    tests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksFailed(Event):
    type: ClassVar[str] = "checks_failed"
    task_key: str | None
    command: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksNotExecuted(Event):
    type: ClassVar[str] = "checks_not_executed"
    task_key: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskApproved(Event):
    type: ClassVar[str] = "task_approved"
    task_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRejected(Event):
    type: ClassVar[str] = "task_rejected"
    task_key: str
    feedback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEscalated(Event):
    type: ClassVar[str] = "model_escalated"
    task_key: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksDropped(Event):
    """The person gave up a task; what depended on it went with it."""

    type: ClassVar[str] = "tasks_dropped"
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDone(Event):
    type: ClassVar[str] = "task_done"
    task_key: str
    title: str
    commit_sha: str
    executed: bool
    credits_charged: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadmeWritten(Event):
    type: ClassVar[str] = "readme_written"
    commands: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadmeCommitted(Event):
    type: ClassVar[str] = "readme_committed"
    executed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered(Event):
    type: ClassVar[str] = "delivered"
    title: str
    files: int
    size_bytes: int
    credits_charged: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTrouble(Event):
    type: ClassVar[str] = "provider_trouble"
    message: str
    retry_seconds: int
    next_model: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStopped(Event):
    """The run waits for the person; `choices` are what they can say or do next."""

    type: ClassVar[str] = "run_stopped"
    stop_code: str
    reason: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrivenElsewhere(Event):
    """Another process is working on the run; this one watches and takes over when it ends."""

    type: ClassVar[str] = "driven_elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class InLine(Event):
    """The person has as many runs under way as anybody may; this one follows when one of them waits or ends."""

    type: ClassVar[str] = "in_line"
    at_once: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed(Event):
    type: ClassVar[str] = "run_resumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCancelled(Event):
    """The person stopped it for good; what was accepted stays."""

    type: ClassVar[str] = "run_cancelled"


Announce = Callable[[Event], None]
