"""What a person means, as a table."""

import uuid

import pytest

from bottega.orchestration.messages import (
    AnswerNext,
    Approve,
    Begin,
    Cancel,
    ChangePlan,
    Implement,
    Intent,
    Remark,
    Resume,
    Scene,
    understand,
)
from bottega.orchestration.state import Phase, RunState, StopCode

PROJECT = uuid.UUID("123e4567-e89b-12d3-a456-426614174000")
ASKING = Scene(phase=Phase.GATHER, state=RunState.WAITING, stop_code=StopCode.QUESTIONS)
PLANNED = Scene(phase=Phase.APPROVE, state=RunState.WAITING, stop_code=StopCode.APPROVAL)
WORKING = Scene(phase=Phase.IMPLEMENT, state=RunState.READY, stop_code=None)
STUCK = Scene(phase=Phase.IMPLEMENT, state=RunState.REFINEMENT, stop_code=StopCode.TASK_STUCK)
DONE = Scene(phase=Phase.FINISHED, state=RunState.DONE, stop_code=None)


@pytest.mark.parametrize(
    ("text", "scene", "intent"),
    [
        ("A to-do list", None, Begin(brief="A to-do list")),
        ("Another one", DONE, Begin(brief="Another one")),
        (f"implement task 2 of project {PROJECT}", None, Implement(task_number=2, project_id=PROJECT)),
        (f"Implement task T2 of project {PROJECT} ", WORKING, Implement(task_number=2, project_id=PROJECT)),
        ("go", ASKING, AnswerNext(text="go")),
        ("Both, please", ASKING, AnswerNext(text="Both, please")),
        ("Go!", PLANNED, Approve()),
        ("build it", PLANNED, Approve()),
        ("Use one file", PLANNED, ChangePlan(wish="Use one file")),
        ("Make it blue", WORKING, Remark(text="Make it blue")),
        ("try again", STUCK, Resume()),
        ("Use a dict there", STUCK, Resume(remark="Use a dict there")),
        ("cancel", STUCK, Cancel()),
    ],
)
def test_understand(text: str, scene: Scene | None, intent: Intent) -> None:
    assert understand(text, scene) == intent
