"""Deleting a project: what was said of it and made for it goes, for good; what it cost stays in the ledger.

From the first transaction on it does not exist for anybody, and its run is over. Files go next, rows last. Whoever is
killed in between leaves a project that nobody sees, and `finish` deletes the rest. A project that money was spent on
keeps an empty row, because calls, holds and the ledger refer to it.
"""

import asyncio
import contextlib
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing.ledger import orphan_started
from bottega.db.transaction import Database, note
from bottega.delivery.storage import StorageService
from bottega.orchestration import journal
from bottega.orchestration.packing import unfinished_key
from bottega.orchestration.progress import News
from bottega.orchestration.state import RunState
from bottega.orchestration.tables import Run
from bottega.projects import service as projects
from bottega.projects.tables import Project
from bottega.telemetry import metrics

_HAS_SOMETHING = Project.description != ""  # that of a row which is kept; nobody's brief is empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """`repository_at` says where a project's git repository is kept."""

    database: Database
    storage: StorageService
    repository_at: Callable[[uuid.UUID], Path]

    async def delete(self, *, user_id: int, project_id: uuid.UUID) -> None:
        """Delete a person's project. Raise UnknownProject, also when it is deleted already."""
        async with self.database.transaction() as session:
            await projects.get_project(session, project_id=project_id, user_id=user_id)
            stopped_at = await _cancel(session, project_id=project_id)  # runs are locked before projects, as everywhere
            mine = update(Project).where(Project.id == project_id, Project.deleted_at.is_(None))
            if await session.scalar(mine.values(deleted_at=func.now()).returning(Project.id)) is None:
                raise projects.UnknownProject(project_id)  # a twin was first
            note(session, News(project_id=project_id))
        if stopped_at is not None:  # after it: a runner's journal locks calls before runs
            async with self.database.transaction() as session:
                lost = await orphan_started(session, operation_key=stopped_at)
            metrics.orphaned(calls=lost)
        await self._remove(project_id)

    async def delete_all(self, *, user_id: int) -> int:
        """Delete every project of a person's and return how many there were, with those whose deletion was cut off."""
        theirs = select(Project.id, Project.deleted_at).where(Project.user_id == user_id, _HAS_SOMETHING)
        async with self.database.transaction() as session:
            found = (await session.execute(theirs.order_by(Project.id))).all()
        for project_id, deleted_at in found:
            if deleted_at is None:
                with contextlib.suppress(projects.UnknownProject):  # a twin was first
                    await self.delete(user_id=user_id, project_id=project_id)
            else:
                await self._remove(project_id)
        return len(found)

    async def finish(self) -> None:
        """Delete what is left of projects whose deletion was cut off."""
        left = select(Project.id).where(Project.deleted_at.is_not(None), _HAS_SOMETHING)
        async with self.database.transaction() as session:
            begun = (await session.scalars(left.order_by(Project.deleted_at).limit(100))).all()
        for project_id in begun:
            await self._remove(project_id)

    async def _remove(self, project_id: uuid.UUID) -> None:
        given = {"project_id": project_id}
        async with self.database.transaction() as session:
            archives = (await session.scalars(_ARCHIVES, given)).all()
        for key in (*archives, unfinished_key(project_id)):
            await self.storage.delete(key=key)
        await asyncio.to_thread(shutil.rmtree, self.repository_at(project_id), ignore_errors=True)
        async with self.database.transaction() as session:
            for statement in _ROWS:
                await session.execute(statement, given)


async def _cancel(session: AsyncSession, *, project_id: uuid.UUID) -> str | None:
    """End the project's run over its runner's head; return the step it was at."""
    run = await journal.live_run(session, project_id=project_id)
    if run is None:
        return None
    await journal.seize(session, run=run)
    values = {"state": RunState.CANCELLED, "desired": "cancel", "stop_code": None, "reason": None}
    ended = update(Run).where(Run.id == run.id).values(**values, finished_at=func.clock_timestamp())
    await session.execute(ended)
    return journal.operation_key(run.id, run.step_no)


_ARCHIVES = text(
    """
    SELECT archive_key FROM projects WHERE id = :project_id AND archive_key IS NOT NULL
    UNION SELECT output->>'archive_key' FROM steps JOIN runs ON runs.id = run_id
    WHERE project_id = :project_id AND steps.kind = 'package' AND output->>'archive_key' IS NOT NULL
    """
)

_OF_A_PROJECT = (
    "chat_projects",
    "conversations",
    "run_events",
    "work_under_way",
    "evidence",
    "tasks",
    "questions",
    "project_files",
    "code_chunks",
    "relay_tokens",
    "runs",
)
_FREE = text(
    """
    DELETE FROM projects WHERE id = :project_id
        AND NOT EXISTS (SELECT FROM api_key_usage WHERE project_id = projects.id)
        AND NOT EXISTS (SELECT FROM credit_holds WHERE project_id = projects.id)
        AND NOT EXISTS (SELECT FROM credit_transactions WHERE project_id = projects.id)
    """
)
_PAID = text(
    """
    UPDATE projects SET title = 'Deleted', description = '', tech_stack = NULL, documentation = NULL,
        current_todo_markdown = NULL, archive_key = NULL, head_sha = NULL, status = 'cancelled'
    WHERE id = :project_id
    """
)
_ROWS = (
    *(text(f"DELETE FROM {table} WHERE project_id = :project_id") for table in _OF_A_PROJECT),  # noqa: S608  # our words
    _FREE,
    _PAID,
)
