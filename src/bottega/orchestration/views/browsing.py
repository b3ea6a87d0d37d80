"""Looking into a project: what was tried for its tasks, its history, its files at any commit, and a search of its code.

Reads only, and only of a person's own. The repository on this machine may lag behind the journal, or be none: it is
brought up to date before it is read.
"""

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.core.errors import AppError
from bottega.db.transaction import Database
from bottega.indexing.service import CodebaseIndexingService, SearchHit
from bottega.orchestration import history
from bottega.orchestration.tables import Evidence, Task
from bottega.projects import service as projects
from bottega.projects.diff import diff
from bottega.projects.paths import safe_path
from bottega.projects.repository import Entry, ProjectRepository, UnknownCommit
from bottega.projects.tables import Project, Question

LARGEST_FILE_BYTES = 5 * 1024 * 1024
LARGEST_DIFF_BYTES = 256 * 1024


class NoSuchTask(AppError):
    code = "unknown_task"
    http_status = 404

    def __init__(self, key: str) -> None:
        super().__init__(f"The project has no task {key[:20]!r}.")


class NoSuchFile(AppError):
    code = "unknown_file"
    http_status = 404

    def __init__(self, path: str) -> None:
        super().__init__(f"The project has no file {path!r} at that commit.")


class NothingCommitted(AppError):
    code = "nothing_committed"
    http_status = 409

    def __init__(self, what: str) -> None:
        super().__init__(f"Nothing of {what} was committed yet.")


class FileTooLarge(AppError):
    code = "file_too_large"
    http_status = 413

    def __init__(self, path: str, *, size_bytes: int) -> None:
        super().__init__(
            f"{path} has {size_bytes:,} bytes; files of up to {LARGEST_FILE_BYTES:,} are shown. Download the archive."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A step of the journal that was about a task. `model` is None where none was asked, or it is not on record."""

    step_no: int
    kind: str
    outcome: str
    model: str | None
    credits_charged: Decimal
    duration_ms: int
    at: datetime
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    commit: str
    path: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files of a commit; without one (`commit` None) there are none yet."""

    commit: str | None
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A project and its newest run in one value, read by one statement."""

    id: uuid.UUID
    title: str
    description: str
    status: str
    phase: str | None
    state: str | None
    stop_code: str | None
    reason: str | None
    tech_stack: Mapping[str, str] | None
    documentation: str | None
    todo_markdown: str
    quote_low_credits: Decimal | None
    quote_high_credits: Decimal | None
    credits_charged: Decimal
    credits_needed: Decimal | None
    credit_limit: Decimal | None
    is_delivered: bool
    is_driven: bool
    event_sequence: int
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """`repository` opens a project's git repository."""

    database: Database
    repository: Callable[[uuid.UUID], ProjectRepository]
    index: CodebaseIndexingService

    async def overview(self, *, user_id: int, project_id: uuid.UUID) -> Overview:
        """Return where a project stands. Raise UnknownProject."""
        given = {"project_id": project_id, "user_id": user_id}
        row = (await self.database.autocommit.execute(_OVERVIEW, given)).one_or_none()
        if row is None:
            raise projects.UnknownProject(project_id)
        stack = None if row.tech_stack is None else json.loads(row.tech_stack)
        return Overview(tech_stack=stack, **{name: getattr(row, name) for name in _READ_AS_THEY_ARE})

    async def questions(self, *, user_id: int, project_id: uuid.UUID) -> tuple[Question, ...]:
        """Return every question that was asked, with its answer where it has one."""
        async with self.database.reading() as session:
            await projects.get_project(session, project_id=project_id, user_id=user_id)
            return await projects.list_questions(session, project_id=project_id)

    async def project(self, *, user_id: int, project_id: uuid.UUID) -> Project:
        async with self.database.reading() as session:
            return await projects.get_project(session, project_id=project_id, user_id=user_id)

    async def task(self, *, user_id: int, project_id: uuid.UUID, key: str) -> Task:
        async with self.database.reading() as session:
            await projects.get_project(session, project_id=project_id, user_id=user_id)
            return await _task(session, project_id=project_id, key=key)

    async def attempts(self, *, user_id: int, project_id: uuid.UUID, key: str) -> tuple[Attempt, ...]:
        """Return what was done for a task, in order, with what ran for it."""
        async with self.database.reading() as session:
            await projects.get_project(session, project_id=project_id, user_id=user_id)
            await _task(session, project_id=project_id, key=key)
            rows = (await session.execute(_ATTEMPTS, {"project_id": project_id, "task_key": key})).all()
            ran = select(Evidence).where(Evidence.project_id == project_id, Evidence.task_key == key)
            evidence = (await session.scalars(ran.order_by(Evidence.step_no, Evidence.ordinal))).all()
        return tuple(
            Attempt(
                step_no=row.step_no,
                kind=row.kind,
                outcome=row.outcome,
                model=row.model,
                credits_charged=row.credits_charged,
                duration_ms=row.duration_ms,
                at=row.created_at,
                evidence=tuple(one for one in evidence if (one.run_id, one.step_no) == (row.run_id, row.step_no)),
            )
            for row in rows
        )

    async def commits(self, *, user_id: int, project_id: uuid.UUID) -> Sequence[history.Commit]:
        """Return the project's commits, newest first."""
        async with self.database.reading() as session:
            await projects.get_project(session, project_id=project_id, user_id=user_id)
            return tuple(reversed(await history.commits(session, project_id=project_id)))

    async def files(self, *, user_id: int, project_id: uuid.UUID, commit: str | None = None) -> Listing:
        """Return the files of a commit, or of the newest one. Raise UnknownCommit."""
        repository, head = await self._opened(user_id=user_id, project_id=project_id)
        sha = commit or head
        if sha is None:
            return Listing(commit=None, entries=())
        return Listing(commit=sha, entries=await asyncio.to_thread(repository.entries, sha))

    async def file(self, *, user_id: int, project_id: uuid.UUID, path: str, commit: str | None = None) -> Content:
        """Return one file of a commit, or of the newest one.

        Raises:
            UnsafePath, NoSuchFile, FileTooLarge, UnknownCommit
        """
        wanted = safe_path(path)
        repository, head = await self._opened(user_id=user_id, project_id=project_id)
        sha = commit or head
        found = None if sha is None else await asyncio.to_thread(repository.file, sha, wanted)
        if sha is None or found is None:
            raise NoSuchFile(wanted)
        if len(found) > LARGEST_FILE_BYTES:
            raise FileTooLarge(wanted, size_bytes=len(found))
        return Content(commit=sha, path=wanted, content=found)

    async def diff(self, *, user_id: int, project_id: uuid.UUID, key: str) -> tuple[str, str]:
        """Return the commit of a task, and what it changed as a unified diff of bounded size.

        Raises:
            NoSuchTask, NothingCommitted
        """
        task = await self.task(user_id=user_id, project_id=project_id, key=key)
        if task.commit_sha is None:
            raise NothingCommitted(f"task {task.key}")
        repository, _ = await self._opened(user_id=user_id, project_id=project_id)
        return task.commit_sha, await asyncio.to_thread(_diff, repository, task.commit_sha)

    async def search(self, *, user_id: int, project_id: uuid.UUID, query: str, limit: int) -> tuple[SearchHit, ...]:
        await self.project(user_id=user_id, project_id=project_id)
        return await self.index.search(project_id=project_id, query=query, limit=limit)

    async def _opened(self, *, user_id: int, project_id: uuid.UUID) -> tuple[ProjectRepository, str | None]:
        """Return the repository, as far as the journal goes, and its newest commit."""
        project = await self.project(user_id=user_id, project_id=project_id)
        repository = self.repository(project_id)
        if project.head_sha is not None and await asyncio.to_thread(_lags, repository, project.head_sha):
            async with self.database.reading() as session:
                commits = await history.commits(session, project_id=project_id)
            await asyncio.to_thread(history.rebuild, repository, commits)
        return repository, project.head_sha


async def _task(session: AsyncSession, *, project_id: uuid.UUID, key: str) -> Task:
    statement = select(Task).where(Task.project_id == project_id, Task.key == key)
    found = (await session.scalars(statement)).one_or_none()
    if found is None:
        raise NoSuchTask(key)
    return found


def _lags(repository: ProjectRepository, sha: str) -> bool:
    try:
        repository.entries(sha)
    except UnknownCommit:
        return True
    return False


def _diff(repository: ProjectRepository, sha: str) -> str:
    before, after = repository.changes(sha)
    return diff(before=_texts(before), after=_texts(after), max_bytes=LARGEST_DIFF_BYTES)


def _texts(files: Mapping[str, bytes]) -> dict[str, str]:
    return {path: content.decode(errors="replace") for path, content in files.items()}


_READ_AS_THEY_ARE = tuple(field.name for field in fields(Overview) if field.name != "tech_stack")
_OVERVIEW = text(
    """
    SELECT p.id, title, description, status, phase, state, stop_code, reason,
           CAST(tech_stack AS text) AS tech_stack, documentation,
           COALESCE(current_todo_markdown, '') AS todo_markdown, quote_low_credits,
           estimated_credit_cost AS quote_high_credits, actual_credit_cost AS credits_charged, credits_needed,
           credit_limit, archive_key IS NOT NULL AS is_delivered,
           COALESCE(lease_until > clock_timestamp(), false) AS is_driven, event_sequence, p.created_at, p.updated_at,
           p.completed_at
    FROM projects AS p LEFT JOIN LATERAL (
        SELECT phase, state, stop_code, reason, credits_needed, lease_until FROM runs
        WHERE project_id = p.id ORDER BY created_at DESC LIMIT 1
    ) AS run ON true
    WHERE p.id = CAST(:project_id AS uuid) AND user_id = CAST(:user_id AS int) AND deleted_at IS NULL
    """
)

# What a step's output says of its model is all that is read of it: the rest may be a project's whole text.
_ATTEMPTS = text(
    """
    SELECT steps.run_id, steps.step_no, steps.kind, outcome, output->>'model' AS model, credits_charged, duration_ms,
           steps.created_at
    FROM steps JOIN runs ON runs.id = steps.run_id
    WHERE runs.project_id = :project_id AND task_key = :task_key
    ORDER BY runs.created_at, steps.step_no
    """
)
