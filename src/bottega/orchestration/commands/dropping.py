"""Giving up a task of a build that no model gets done, so that the rest is delivered all the same.

What depends on it goes with it: it would be built on nothing. What was accepted stays; the TODO says what was given up.
It is the person's word alone that drops a task, and something must be left to deliver.
"""

from collections.abc import Sequence

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.core.errors import AppError
from bottega.orchestration import refining
from bottega.orchestration.events import TasksDropped
from bottega.orchestration.situation import Loaded
from bottega.orchestration.state import Phase, RunKind, RunState, TaskStatus
from bottega.orchestration.tables import Task


class CannotDrop(AppError):
    code = "cannot_drop"
    http_status = 409


async def drop_task(session: AsyncSession, *, loaded: Loaded) -> tuple[Phase, TasksDropped]:
    """Give up the task a run has stopped at; return the phase in which the run goes on, and what to tell.

    Raises:
        CannotDrop: the run works, no task is under way, or nothing would be left.
    """
    task = loaded.view.current_task
    if loaded.view.state is RunState.READY:
        raise CannotDrop("The project is being worked on: pause it first, then drop the task.")
    if loaded.view.phase is not Phase.IMPLEMENT or task is None:
        raise CannotDrop("No task is under way that could be dropped.")
    if loaded.view.kind is RunKind.REFINE:
        raise CannotDrop("It is the only task of this refinement: cancel it instead; the delivered project stays.")
    given_up = _with_dependents(task.key, loaded.tasks)
    keys = {task.key for task in given_up}
    if not any(task.status != TaskStatus.DROPPED for task in loaded.tasks if task.key not in keys):
        raise CannotDrop("Nothing would be left to build: say what to do differently, or cancel the project.")
    await session.execute(update(Task).where(Task.id.in_([t.id for t in given_up])).values(status=TaskStatus.DROPPED))
    await refining.write_todo(
        session, project=loaded.project, tasks=loaded.tasks, finished=dict.fromkeys(keys, TaskStatus.DROPPED)
    )
    is_left = any(task.status == TaskStatus.TODO for task in loaded.tasks if task.key not in keys)
    told = TasksDropped(tasks=tuple(f"{task.key} {task.title}" for task in given_up))
    return (Phase.IMPLEMENT if is_left else Phase.README), told


def _with_dependents(key: str, tasks: Sequence[Task]) -> list[Task]:
    """Return the task and all that build on it, in order; tasks depend on earlier ones only."""
    keys = {key}
    for task in tasks:
        if task.status == TaskStatus.TODO and keys & set(task.depends_on):
            keys.add(task.key)
    return [task for task in tasks if task.key in keys]
