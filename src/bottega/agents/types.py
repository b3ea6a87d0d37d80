"""What agents are given and what they give back. Values only: no database, no files, no clock."""

from collections.abc import Mapping
from dataclasses import dataclass

from bottega.core.errors import AppError


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    question: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """The person's words, the answers to our questions, and what they said since."""

    text: str
    answers: tuple[Answer, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuestion:
    text: str
    options: tuple[str, ...]
    recommended: int  # index into options


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    title: str
    questions: tuple[AskedQuestion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTask:
    key: str  # T1, T2, ...
    title: str
    description: str
    files: tuple[str, ...]
    depends_on: tuple[str, ...]
    commands: tuple[str, ...]  # acceptance: shell commands that must exit 0 in the project's root
    criteria: tuple[str, ...]  # acceptance: points the Architect judges
    size: str  # small | medium | large


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`tasks` are in an order in which every task comes after what it depends on."""

    title: str
    documentation: str
    tech_stack: Mapping[str, str]
    tasks: tuple[PlannedTask, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextFile:
    """A piece of the project an agent should see. `first_line` is 1 for a whole file."""

    path: str
    text: str
    first_line: int = 1
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """Evidence in an agent's words. `output` is already cut and free of control characters."""

    command: str
    executed: bool
    passed: bool
    exit_code: int | None
    output: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Everything an Implementer sees for one attempt at one task."""

    project_title: str
    documentation: str
    task: PlannedTask
    tree: tuple[str, ...]  # every path of the project, with the signatures of files that are not in `context`
    context: tuple[ContextFile, ...]
    feedback: str = ""  # what the last attempt got wrong; its files are in `context`
    results: tuple[CommandResult, ...] = ()  # the failed checks of the last attempt
    attempt: int = 1
    session: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Everything the Architect sees to judge one attempt."""

    brief: Brief
    documentation: str
    task: PlannedTask
    diff: str
    context: tuple[ContextFile, ...]
    results: tuple[CommandResult, ...]
    findings: tuple[str, ...] = ()  # what a static look at the change found (stubs, disappeared tests)
    attempt: int = 1
    session: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionVerdict:
    criterion: str
    met: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`approved` only if every criterion is met; `feedback` says what to change when it is not."""

    approved: bool
    criteria: tuple[CriterionVerdict, ...]
    feedback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadmeRequest:
    brief: Brief
    title: str
    documentation: str
    tech_stack: Mapping[str, str]
    tree: tuple[str, ...]
    context: tuple[ContextFile, ...]
    commands: tuple[str, ...]  # acceptance commands known to pass
    previous: str = ""  # the last README, when its commands failed
    results: tuple[CommandResult, ...] = ()  # what failed of them
    attempt: int = 1
    session: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readme:
    text: str
    commands: tuple[str, ...]  # what its ```sh blocks tell a reader to run, in order


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """The model's last reply to the same request, and why it could not be used.

    `truncated` says that it was cut at the output limit, so that the next one is allowed more.
    """

    reply: str
    complaint: str
    truncated: bool = False


class UnusableReply(AppError):
    """The model's text could not be used; `complaint` is written for the model, `reply` is what it said."""

    code = "unusable_reply"
    http_status = 502

    def __init__(self, complaint: str, *, reply: str, truncated: bool = False) -> None:
        super().__init__(complaint)
        self.complaint = complaint
        self.reply = "".join(c for c in reply if c != "\0" and not "\ud800" <= c <= "\udfff")  # what can be stored
        self.truncated = truncated
