"""Editing the tasks of a plan before its go: other titles and descriptions, another order, fewer of them.

An edited plan can be carried out as the Architect's could: keys are T1 to Tn in the order of the tasks, each task comes
after what it builds on, and nothing that is kept builds on what was left out. Files, commands and criteria stay the
Architect's. Where a text names a task by its key, it goes on to name the same task.

Keys follow the order, so they may change with every edit: whoever edits says which plan they read (`revision_of`).
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.agents.planning import plan_faults
from bottega.agents.types import Plan, PlannedTask
from bottega.billing.quote import Quote, SizedTask
from bottega.core.errors import AppError
from bottega.core.ids import new_id
from bottega.core.money import show_credits
from bottega.orchestration.briefs import storable
from bottega.orchestration.events import PlanReady
from bottega.orchestration.situation import Loaded, load_tasks
from bottega.orchestration.steps import workspace
from bottega.orchestration.tables import Task
from bottega.projects.tables import Project
from bottega.projects.todo import TodoItem, TodoState, render_todo

LONGEST_TITLE, LONGEST_DESCRIPTION = 300, 20_000
_KEY = re.compile(r"\bT[1-9][0-9]?\b")


class InvalidPlan(AppError):
    code = "invalid_plan"
    http_status = 422


class PlanChanged(AppError):
    code = "plan_changed"
    http_status = 409

    def __init__(self) -> None:
        super().__init__("The plan is another one by now; nothing was changed. Read its tasks again, then edit those.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskWish:
    """A task that stays in the plan. None leaves a text as it is."""

    key: str
    title: str | None = None
    description: str | None = None


def revision_of(tasks: Sequence[Task]) -> str:
    """Name this very plan: planning and editing give tasks new ids."""
    return hashlib.sha256(b"".join(task.id.bytes for task in tasks)).hexdigest()[:16]


def sized(tasks: Sequence[Task], *, wanted: Sequence[TaskWish]) -> tuple[SizedTask, ...]:
    """Return what a quote is made of."""
    kept = {wish.key for wish in wanted}
    return tuple(SizedTask(key=task.key, size=task.size) for task in tasks if task.key in kept)


def edited(tasks: Sequence[PlannedTask], *, wanted: Sequence[TaskWish]) -> tuple[PlannedTask, ...]:
    """Return the tasks of the edited plan, under their new keys. Raise InvalidPlan with everything that is wrong."""
    known = {task.key: task for task in tasks}
    faults = _faults(known, wanted)
    if faults:
        raise InvalidPlan(f"The plan was not changed: {'; '.join(faults)}.")
    new_keys = {wish.key: f"T{place}" for place, wish in enumerate(wanted, start=1)}
    made = tuple(_reworded(known[wish.key], wish, new_keys) for wish in wanted)
    left = plan_faults(Plan(title="", documentation="", tech_stack={}, tasks=made))
    if left:
        raise InvalidPlan(f"The plan was not changed: {'; '.join(left)}.")
    return made


def _faults(known: Mapping[str, PlannedTask], wanted: Sequence[TaskWish]) -> list[str]:
    if not wanted:
        return ["nothing would be left to build; cancel the project instead"]
    faults = [
        f"{key[:20]!r} is named twice" for key, times in Counter(wish.key for wish in wanted).items() if times > 1
    ]
    faults += [f"there is no task {wish.key[:20]!r}" for wish in wanted if wish.key not in known]
    if faults:
        return faults
    kept, before = {wish.key for wish in wanted}, set[str]()
    for wish in wanted:
        for needed in known[wish.key].depends_on:
            if needed not in kept:
                faults.append(f"{wish.key} builds on {needed}, which would be left out: leave out both or neither")
            elif needed not in before:
                faults.append(f"{wish.key} builds on {needed} and must come after it")
        before.add(wish.key)
    return faults + [fault for wish in wanted for fault in _text_faults(wish)]


def _text_faults(wish: TaskWish) -> list[str]:
    faults = []
    for name, text, most in (
        ("title", wish.title, LONGEST_TITLE),
        ("description", wish.description, LONGEST_DESCRIPTION),
    ):
        if text is not None and not 0 < len(storable(text)) <= most:
            faults.append(f"the {name} of {wish.key} must have 1 to {most:,} characters")
    return faults


def _reworded(task: PlannedTask, wish: TaskWish, new_keys: Mapping[str, str]) -> PlannedTask:
    def renamed(text: str) -> str:
        return _KEY.sub(lambda found: new_keys.get(found.group(), found.group()), text)

    title = task.title if wish.title is None else " ".join(storable(wish.title).split())
    return replace(
        task,
        key=new_keys[task.key],
        title=renamed(title),
        description=renamed(task.description if wish.description is None else storable(wish.description)),
        depends_on=tuple(new_keys[key] for key in task.depends_on),
        criteria=tuple(map(renamed, task.criteria)),
    )


async def edit(
    session: AsyncSession, *, loaded: Loaded, wanted: Sequence[TaskWish], revision: str, quote: Quote
) -> PlanReady:
    """Write the edited plan in place of the one that was read, with its quote; return what to tell."""
    before = await load_tasks(session, project_id=loaded.project.id)
    if revision_of(before) != revision:
        raise PlanChanged
    made = edited([workspace.planned(task) for task in before], wanted=wanted)
    await session.execute(delete(Task).where(Task.project_id == loaded.project.id))
    session.add_all(_row(loaded.project, ordinal, task) for ordinal, task in enumerate(made, start=1))
    await session.flush()
    todo = tuple(TodoItem(key=task.key, title=task.title, state=TodoState.TODO) for task in made)
    values = {
        "quote_low_credits": quote.low_credits,
        "estimated_credit_cost": quote.high_credits,
        "current_todo_markdown": render_todo(title=loaded.project.title, items=todo),
    }
    await session.execute(update(Project).where(Project.id == loaded.project.id).values(values))
    return PlanReady(
        title=loaded.project.title,
        tasks=tuple(f"{task.key} {task.title}" for task in made),
        low_credits=show_credits(quote.low_credits),
        high_credits=show_credits(quote.high_credits),
    )


def _row(project: Project, ordinal: int, task: PlannedTask) -> Task:
    return Task(
        id=new_id(),
        project_id=project.id,
        ordinal=ordinal,
        key=task.key,
        title=task.title,
        description=task.description,
        files=list(task.files),
        depends_on=list(task.depends_on),
        commands=list(task.commands),
        criteria=list(task.criteria),
        size=task.size,
    )
