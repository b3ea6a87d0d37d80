"""What a person means, as a table."""

import uuid

import pytest

from bottega.orchestration.commands.understanding import (
    AnswerNext,
    Approve,
    Begin,
    Cancel,
    ChangePlan,
    DropTask,
    Implement,
    Intent,
    Refine,
    Remark,
    Resume,
    Scene,
    UnclearForm,
    understand,
)
from bottega.orchestration.state import Phase, RunState, StopCode

PROJECT = uuid.UUID("123e4567-e89b-12d3-a456-426614174000")
ASKING = Scene(phase=Phase.GATHER, state=RunState.WAITING, stop_code=StopCode.QUESTIONS)
PLANNED = Scene(phase=Phase.APPROVE, state=RunState.WAITING, stop_code=StopCode.APPROVAL)
WORKING = Scene(phase=Phase.IMPLEMENT, state=RunState.READY, stop_code=None)
STUCK = Scene(phase=Phase.IMPLEMENT, state=RunState.REFINEMENT, stop_code=StopCode.TASK_STUCK)
LOOPING = Scene(phase=Phase.IMPLEMENT, state=RunState.REFINEMENT, stop_code=StopCode.GOING_IN_CIRCLES)
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
        ("Drop the task.", STUCK, DropTask()),
        ("skip it", LOOPING, DropTask()),
        ("Drop the task that counts", STUCK, Resume(remark="Drop the task that counts")),
        ("drop the task", WORKING, Remark(text="drop the task")),
        ("drop the task", PLANNED, ChangePlan(wish="drop the task")),
    ],
)
def test_understand(text: str, scene: Scene | None, intent: Intent) -> None:
    assert understand(text, scene) == intent


def form(path: str = "words/count.py", instruction: str = "Count hyphens.") -> str:
    return f"refine file {path} in project {PROJECT} with instruction: {instruction}"


def wanted(path: str = "words/count.py", instruction: str = "Count hyphens.") -> Refine:
    return Refine(path=path, project_id=PROJECT, instruction=instruction)


@pytest.mark.parametrize("scene", [None, WORKING, STUCK, DONE, ASKING])
@pytest.mark.parametrize(
    ("text", "intent"),
    [
        (form(), wanted()),
        (f"  {form().upper()}\n", wanted("WORDS/COUNT.PY", "COUNT HYPHENS.")),
        (f"`{form()}`", wanted()),
        (form(instruction="`x` is\nno `name`"), wanted(instruction="`x` is\nno `name`")),
        (form("my words/the count.py"), wanted("my words/the count.py")),
        (form("`words/count.py`"), wanted()),
        (form("a in project b.py"), wanted("a in project b.py")),
        (form(instruction=""), wanted(instruction="")),
        (form(instruction=f"as in project {PROJECT} with instruction: x"),) * 2,
    ],
)
def test_the_form_that_refines_a_file(text: str, intent: Refine | str, scene: Scene | None) -> None:
    if isinstance(intent, str):
        intent = wanted(instruction=f"as in project {PROJECT} with instruction: x")
    assert understand(text, scene) == intent


@pytest.mark.parametrize(
    "text",
    [
        "refine file words/count.py",
        "Refine file words/count.py in project 12 with instruction: x",
        f"refine file words/count.py in project {'-' * 36} with instruction: x",
        f"refine file a\nb in project {PROJECT} with instruction: x",
        f"refine file {'x' * 500} in project {PROJECT} with instruction: x",
        f"refine file words/count.py in project {PROJECT}",
    ],
)
def test_a_form_with_a_part_missing_begins_no_project(text: str) -> None:
    for scene in (None, DONE):
        with pytest.raises(UnclearForm, match="refine file PATH in project ID"):
            understand(text, scene)
    assert understand(text, WORKING) == Remark(text=text)


def test_a_form_of_a_megabyte_is_read_at_once() -> None:
    for text in ("refine file " + " " * 10**6, "refine file " + "x in project " * 10**5, form() + " " * 10**6):
        understand(text, WORKING)


def test_an_id_of_dashes_is_no_id() -> None:
    text = f"implement task 2 of project {'-' * 36}"
    assert understand(text, WORKING) == Remark(text=text)
