"""What a person means by a message, from its words and from what their project waits for. Pure.

The typed forms of the chat stand first ("implement task 2 of project ID"); otherwise the project's state decides: an
answer while there are questions, a go or a wish while a plan waits, a remark while work goes on.
"""

import re
import uuid
from dataclasses import dataclass

from bottega.orchestration.state import Phase, RunState, StopCode

_IMPLEMENT = re.compile(r"\s*implement\s+task\s+T?(\d+)\s+of\s+project\s+([0-9a-f-]{36})\s*", re.IGNORECASE)
_GO = {"go", "yes", "ok", "okay", "build", "build it", "approve", "start"}
_AGAIN = {"again", "try again", "retry", "resume", "continue", "go on"}
_CANCEL = {"cancel", "stop"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    brief: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Implement:
    task_number: int
    project_id: uuid.UUID


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    text: str


Intent = Begin | Implement | AnswerNext | Approve | ChangePlan | Resume | Cancel | Remark


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the person's project is doing while they speak; None in `understand` when there is none."""

    phase: Phase
    state: RunState
    stop_code: StopCode | None


def understand(text: str, scene: Scene | None) -> Intent:
    """Return what is meant."""
    if typed := _IMPLEMENT.fullmatch(text):
        return Implement(task_number=int(typed.group(1)), project_id=uuid.UUID(typed.group(2)))
    if scene is None or scene.state.is_final:
        return Begin(brief=text)
    words = " ".join(text.lower().split()).strip(" .!")
    if words in _CANCEL:
        return Cancel()
    if scene.stop_code is StopCode.QUESTIONS:
        return AnswerNext(text=text)
    if scene.phase is Phase.APPROVE:
        return Approve() if words in _GO else ChangePlan(wish=text)
    if scene.state is RunState.READY:
        return Remark(text=text)
    return Resume(remark="" if words in _AGAIN | _GO else text)
