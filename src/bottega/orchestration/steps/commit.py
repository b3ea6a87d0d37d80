"""Accepting a task: one git commit, the files and the index that follow it, and the tick in the TODO, all or nothing.

This is the only place that finishes a task. It asks for the evidence again, on the tree it is about to commit.
"""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.core.errors import AppError
from bottega.core.money import show_credits
from bottega.orchestration import evidence, history
from bottega.orchestration.events import TaskDone
from bottega.orchestration.state import Phase, RunKind, TaskStatus
from bottega.orchestration.steps import workspace
from bottega.orchestration.steps.types import Situation, StepResult, Workbench, Write
from bottega.orchestration.tables import Step, Task
from bottega.projects import service as projects
from bottega.projects.tables import Project
from bottega.projects.todo import TodoItem, TodoState, render_todo
from bottega.projects.tree import tree_hash


class EvidenceMissing(AppError):
    code = "evidence_missing"

    def __init__(self, task_key: str) -> None:
        super().__init__(
            f"{task_key} cannot be accepted: its checks have not passed on the tree that would be committed."
        )


async def commit(situation: Situation, bench: Workbench) -> StepResult:
    task = situation.task
    async with bench.database.reading() as session:
        review = await workspace.under_review(session, run_id=situation.run.id, task=task)
        files, changes = review.draft, review.changes
        tree = tree_hash(workspace.encoded(files))
        status = await _earned_status(session, situation=situation, tree=tree)
        at = await approved_at(session, run_id=situation.run.id, before=situation.run.step_no)
    message = f"{task.key}: {task.title}\n\nTask: {task.key}\nTree: {tree}\n"
    sha = await write_commit(situation, bench, files=files, message=message, at=at)
    items = todo_items(situation.tasks, finished={task.key: status})
    todo = render_todo(title=situation.project.title, items=items)
    land = await landing(situation, bench, sha=sha, changes=changes, todo=todo)
    done = TaskDone(
        task_key=task.key,
        title=task.title,
        commit_sha=sha,
        executed=status is TaskStatus.DONE,
        credits_charged=show_credits(task.credits_charged),
    )
    is_last = all(other.key == task.key or other.status != TaskStatus.TODO for other in situation.tasks)
    return StepResult(
        outcome="committed",
        output={"commit": sha, "message": message, "at": at.isoformat(), "files": changes},
        phase=_following(situation) if is_last else None,
        task=replace(situation.task_view, status=status),
        write=_accept(situation, land=land, sha=sha, tree=tree, status=status),
        events=(done,),
    )


def _following(situation: Situation) -> Phase:
    """A refinement keeps the README: its commands were among the checks."""
    return Phase.PACKAGE if situation.view.kind is RunKind.REFINE else Phase.README


async def _earned_status(session: AsyncSession, *, situation: Situation, tree: str) -> TaskStatus:
    rows = await evidence.newest(session, run_id=situation.run.id, task_key=situation.task.key)
    status = evidence.earned_status(rows, tree=tree)
    if status is None:
        raise EvidenceMissing(situation.task.key)
    return status


async def approved_at(session: AsyncSession, *, run_id: uuid.UUID, before: int) -> datetime:
    """Return when the step before this one was journaled: a repeated commit must carry the same time."""
    return (await session.execute(_JOURNALED_AT, {"of_run": run_id, "of_step": before - 1})).scalar_one()


_JOURNALED_AT = select(Step.created_at).where(Step.run_id == bindparam("of_run"), Step.step_no == bindparam("of_step"))


async def write_commit(
    situation: Situation, bench: Workbench, *, files: workspace.Files, message: str, at: datetime
) -> str:
    """Commit `files` on top of the project's head.

    The repository is a cache: it is rebuilt from the journal when it lacks the head, and a commit that was made but
    never journaled is forgotten.
    """
    repository = bench.repository(situation.project.id)
    parent = situation.project.head_sha
    if parent != repository.head():
        async with bench.database.reading() as session:
            commits = await history.commits(session, project_id=situation.project.id)
        await asyncio.to_thread(history.rebuild, repository, commits)
    content = workspace.encoded(files)
    return await asyncio.to_thread(lambda: repository.commit(files=content, message=message, at=at, parent=parent))


async def landing(
    situation: Situation, bench: Workbench, *, sha: str, changes: workspace.Changes, todo: str | None = None
) -> Write:
    """Return what makes a commit the project's head: files, index, and the TODO if it changed. Parsing is done here."""
    project_id = situation.project.id
    prepared = await asyncio.to_thread(bench.index.prepare, {p: t for p, t in changes.items() if t is not None})

    async def write(session: AsyncSession) -> None:
        await projects.write_files(session, project_id=project_id, changed=changes)
        await bench.index.index(session, project_id=project_id, changed=changes, prepared=prepared)
        values = {"head_sha": sha} | ({} if todo is None else {"current_todo_markdown": todo})
        await session.execute(update(Project).where(Project.id == project_id).values(values))

    return write


def _accept(situation: Situation, *, land: Write, sha: str, tree: str, status: TaskStatus) -> Write:
    async def write(session: AsyncSession) -> None:
        await land(session)
        proof = tree if status is TaskStatus.DONE else None
        task = update(Task).where(Task.id == situation.task.id)
        await session.execute(task.values(status=status, commit_sha=sha, evidence_tree_hash=proof))

    return write


_TODO_STATE = {
    TaskStatus.TODO: TodoState.TODO,
    TaskStatus.DONE: TodoState.DONE,
    TaskStatus.UNCHECKED: TodoState.UNCHECKED,
    TaskStatus.DROPPED: TodoState.DROPPED,
}


def todo_items(tasks: Sequence[Task], *, finished: Mapping[str, TaskStatus]) -> tuple[TodoItem, ...]:
    """Return the tasks as TODO items, with the statuses `finished` is about to give."""
    return tuple(
        TodoItem(key=task.key, title=task.title, state=_TODO_STATE[finished.get(task.key, TaskStatus(task.status))])
        for task in tasks
    )
