"""What a person means by a message, from its words and from what their project waits for. Pure.

The typed forms of the chat stand first ("implement task 2 of project ID", "refine file PATH in project ID with
instruction: TEXT"); otherwise the project's state decides: an answer while there are questions, a go or a wish while a
plan waits, a remark while work goes on.
"""

import re
import uuid
from dataclasses import dataclass

from bottega.core.errors import AppError
from bottega.orchestration.state import Phase, RunState, StopCode

_ID = r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_IMPLEMENT = re.compile(rf"\s*implement\s+task\s+T?(\d+)\s+of\s+project\s+{_ID}\s*", re.IGNORECASE)
_REFINE_FILE = re.compile(r"\s*`?\s*refine\s+file\b", re.IGNORECASE)
_REFINE = re.compile(  # every piece is bounded: the text may be anybody's, and of any length
    rf"\s{{0,9}}`?refine\s{{1,9}}file\s{{1,9}}(\S[^\n]{{0,400}}?)\s{{1,9}}in\s{{1,9}}project\s{{1,9}}{_ID}"
    r"\s{1,9}with\s{1,9}instructions?\s{0,9}:(.*)",
    re.IGNORECASE | re.DOTALL,
)
_QUOTES = ("`", '"', "'")
_GO = {"go", "yes", "ok", "okay", "build", "build it", "approve", "start", "sí", "si", "vale", "adelante"}
_AGAIN = {"again", "try again", "retry", "resume", "continue", "go on", "otra vez", "reintentar", "continuar"}
_CANCEL = {"cancel", "stop", "cancelar", "parar"}
_DROP = {f"{verb}{what}" for verb in ("drop", "skip") for what in ("", " it", " the task", " this task")}
_AT_A_TASK = {StopCode.TASK_STUCK, StopCode.GOING_IN_CIRCLES, StopCode.TOO_MANY_ATTEMPTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    brief: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Implement:
    task_number: int
    project_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Refine:
    path: str
    project_id: uuid.UUID
    instruction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerNext:
    text: str


@dataclass(frozen=True, slots=True)
class Approve:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePlan:
    wish: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    pass


@dataclass(frozen=True, slots=True)
class DropTask:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    text: str


Saying = AnswerNext | Approve | ChangePlan | Resume | Cancel | DropTask | Remark  # about the project that is spoken of
Intent = Begin | Implement | Refine | Saying


class UnclearForm(AppError):
    code = "unclear_form"
    http_status = 422

    def __init__(self) -> None:
        super().__init__(
            "To refine a file of a project, write: refine file PATH in project ID with instruction: WHAT TO CHANGE."
            " Nothing was started."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the person's project is doing while they speak; None in `understand` when there is none."""

    phase: Phase
    state: RunState
    stop_code: StopCode | None


def understand(text: str, scene: Scene | None) -> Intent:
    """Return what is meant, or raise UnclearForm for a typed form with a part missing."""
    if typed := named(text):
        return typed
    if scene is None or scene.state.is_final:
        if _REFINE_FILE.match(text):
            raise UnclearForm
        return Begin(brief=text)
    words = " ".join(text.lower().split()).strip(" .!")
    if words in _CANCEL:
        return Cancel()
    if words in _DROP and scene.stop_code in _AT_A_TASK:
        return DropTask()
    if scene.stop_code is StopCode.QUESTIONS:
        return AnswerNext(text=text)
    if scene.phase is Phase.APPROVE:
        return Approve() if words in _GO else ChangePlan(wish=text)
    if scene.state is RunState.READY:
        return Remark(text=text)
    return Resume(remark="" if words in _AGAIN | _GO else text)


def named(text: str) -> Implement | Refine | None:
    """Return the typed form a message is in, which names its project itself, or None."""
    if typed := _IMPLEMENT.fullmatch(text):
        return Implement(task_number=int(typed.group(1)[:9]), project_id=uuid.UUID(typed.group(2)))
    if typed := _REFINE.fullmatch(text):
        path, project_id, instruction = typed.groups()
        is_quoted = text.lstrip().startswith("`")  # the form as it is shown to people, copied with its ticks
        return Refine(
            path=_unquoted(path.strip()),
            project_id=uuid.UUID(project_id),
            instruction=(instruction.rstrip().removesuffix("`") if is_quoted else instruction).strip(),
        )
    return None


def _unquoted(path: str) -> str:
    is_quoted = len(path) > 2 and path[0] == path[-1] and path[0] in _QUOTES  # noqa: PLR2004
    return path[1:-1] if is_quoted else path
