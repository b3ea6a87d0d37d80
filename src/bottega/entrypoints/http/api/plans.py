"""From questions to a go: what the Architect asks, the plan it made, and what a person makes of both."""

import uuid
from datetime import datetime

from fastapi import APIRouter
from pydantic import Field, StrictStr

from bottega.core.errors import AppError
from bottega.entrypoints.http.api.house import CHANNEL, OnceKey, Reader, TheHouse, Writer
from bottega.entrypoints.http.api.projects import Project, Said, shown
from bottega.entrypoints.http.api.route import ApiRoute
from bottega.entrypoints.http.api.wire import Asked, Exact, ProjectId, TaskKey, Told, problems
from bottega.orchestration import tables
from bottega.orchestration.commands.effects import LONGEST_ANSWER
from bottega.orchestration.commands.replanning import TaskWish, revision_of

router = APIRouter(prefix="/v1/projects/{project_id}", route_class=ApiRoute)
PLAN, TASKS = "Questions and plan", "Tasks"
MOST = 50


class UnknownQuestion(AppError):
    code = "unknown_question"
    http_status = 422

    def __init__(self) -> None:
        super().__init__(
            "There is no such question, and no answer was kept. Take `id` from GET /v1/projects/{project_id}/questions."
        )


class Question(Told):
    id: uuid.UUID
    ordinal: int
    text: str
    options: list[str]
    recommended: int = Field(description="Index into `options`.")
    answer: str | None


class Questions(Told):
    items: list[Question]


class Answer(Asked):
    question_id: uuid.UUID
    text: StrictStr = Field(
        min_length=1,
        max_length=LONGEST_ANSWER,
        description="One of the options, or your own words.",
        examples=["Yes"],
    )


class Answers(Asked):
    answers: list[Answer] = Field(min_length=1, max_length=MOST)


class Change(Asked):
    wish: Said = Field(min_length=1, examples=["Leave out the command line"])


class TaskEdit(Asked):
    """A task that stays. What is left out of it stays as it is."""

    key: StrictStr = Field(max_length=20, examples=["T2"])
    title: StrictStr | None = Field(default=None, max_length=1000, examples=["Counting lines"])
    description: Said | None = None


class PlanEdit(Asked):
    """The tasks that stay, in the order they are to have; those that are not named are dropped."""

    revision: StrictStr = Field(max_length=64, description="`revision` of the tasks as you read them.")
    tasks: list[TaskEdit] = Field(min_length=1, max_length=MOST)


class Task(Told):
    key: str = Field(examples=["T1"])
    ordinal: int
    title: str
    description: str
    files: list[str]
    depends_on: list[str]
    commands: list[str]
    criteria: list[str]
    size: str = Field(examples=["small"])
    status: str = Field(description="`todo`, `done`, `unchecked` or `dropped`.", examples=["todo"])
    stage: str = Field(examples=["implement"])
    attempts: int
    feedback: str | None = Field(description="What the last attempt got wrong.")
    commit_sha: str | None
    credits_charged: Exact


class Tasks(Told):
    revision: str = Field(description="Names this very plan; an edit says which one it is of.")
    items: list[Task]


class Evidence(Told):
    """A command that ran on a tree, or could not."""

    command: str
    executed: bool
    passed: bool
    exit_code: int | None
    output: str = Field(description="The last 8 KiB.")
    tests_run: int | None
    tests_skipped: int | None
    reason: str | None
    isolation: str
    tree_hash: str
    duration_ms: int


class Attempt(Told):
    step_no: int
    kind: str = Field(examples=["implement"])
    outcome: str = Field(examples=["proposed"])
    model: str | None
    credits_charged: Exact
    duration_ms: int
    at: datetime
    evidence: list[Evidence]


class TaskHistory(Told):
    task: Task
    attempts: list[Attempt]


class TaskDiff(Told):
    commit: str
    diff: str = Field(description="Unified; files left out for size are named at its end.")


@router.get("/questions", tags=[PLAN], responses=problems(404))
async def list_questions(project_id: ProjectId, who: Reader, house: TheHouse) -> Questions:
    """List what was asked, with your answers."""
    found = await house.browser.questions(user_id=who.user_id, project_id=project_id)
    return Questions(items=[Question.model_validate(one) for one in found])


@router.post("/answers", tags=[PLAN], responses=problems(404, 409))
async def answer_questions(
    project_id: ProjectId, given: Answers, who: Writer, house: TheHouse, key: OnceKey
) -> Project:
    """Answer questions, some or all. When none is open any more, planning begins."""
    asked = {one.id for one in await house.browser.questions(user_id=who.user_id, project_id=project_id)}
    answers = {answer.question_id: answer.text for answer in given.answers}
    if not asked.issuperset(answers):
        raise UnknownQuestion
    await house.orchestrator.answer(user_id=who.user_id, project_id=project_id, answers=answers, idempotency_key=key)
    return await shown(house, who, project_id)


@router.post("/plan/approve", tags=[PLAN], responses=problems(404, 409))
async def approve_plan(project_id: ProjectId, who: Writer, house: TheHouse, key: OnceKey) -> Project:
    """Say go to the plan and its quote."""
    await house.orchestrator.approve(user_id=who.user_id, project_id=project_id, idempotency_key=key)
    return await shown(house, who, project_id)


@router.post("/plan/change", tags=[PLAN], responses=problems(404, 409))
async def change_plan(project_id: ProjectId, change: Change, who: Writer, house: TheHouse, key: OnceKey) -> Project:
    """Say in words what to change; the Architect makes the plan anew."""
    await house.orchestrator.change_plan(
        user_id=who.user_id, project_id=project_id, channel=CHANNEL, wish=change.wish, idempotency_key=key
    )
    return await shown(house, who, project_id)


@router.post("/plan/edit", tags=[PLAN], responses=problems(404, 409))
async def edit_plan(project_id: ProjectId, edit: PlanEdit, who: Writer, house: TheHouse, key: OnceKey) -> Tasks:
    """Edit the tasks yourself before the go: titles, descriptions, their order, and which of them are built.

    Keys follow the new order. No task may be left without one it builds on, or come before it. The quote is made anew.
    """
    wanted = [TaskWish(key=one.key, title=one.title, description=one.description) for one in edit.tasks]
    await house.orchestrator.edit_plan(
        user_id=who.user_id, project_id=project_id, wanted=wanted, revision=edit.revision, idempotency_key=key
    )
    return _tasks(await house.orchestrator.tasks(user_id=who.user_id, project_id=project_id))


@router.get("/tasks", tags=[TASKS], responses=problems(404))
async def list_tasks(project_id: ProjectId, who: Reader, house: TheHouse) -> Tasks:
    """List the tasks of the plan, in order."""
    return _tasks(await house.orchestrator.tasks(user_id=who.user_id, project_id=project_id))


@router.get("/tasks/{task_key}", tags=[TASKS], responses=problems(404))
async def read_task(project_id: ProjectId, task_key: TaskKey, who: Reader, house: TheHouse) -> TaskHistory:
    """Read a task with every attempt at it, and what ran for it."""
    task = await house.browser.task(user_id=who.user_id, project_id=project_id, key=task_key)
    attempts = await house.browser.attempts(user_id=who.user_id, project_id=project_id, key=task_key)
    return TaskHistory(
        task=Task.model_validate(task), attempts=[Attempt.model_validate(attempt) for attempt in attempts]
    )


@router.get("/tasks/{task_key}/diff", tags=[TASKS], responses=problems(404, 409))
async def read_task_diff(project_id: ProjectId, task_key: TaskKey, who: Reader, house: TheHouse) -> TaskDiff:
    """Read what a task changed."""
    commit, diff = await house.browser.diff(user_id=who.user_id, project_id=project_id, key=task_key)
    return TaskDiff(commit=commit, diff=diff)


def _tasks(found: tuple[tables.Task, ...]) -> Tasks:
    return Tasks(revision=revision_of(found), items=[Task.model_validate(task) for task in found])
