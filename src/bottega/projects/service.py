"""Projects as rows: the project, its files, what was said about it and what was asked.

Functions take the caller's session and never commit. Whoever may not see a project is told the same as of one that does
not exist. `project_files` mirrors the git HEAD: whoever commits writes both, and the code index, in one transaction.
"""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol

from sqlalchemy import ColumnElement, bindparam, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.core.errors import AppError
from bottega.core.ids import new_id
from bottega.projects.languages import language_of
from bottega.projects.paths import UnsafePath, safe_path
from bottega.projects.status import ProjectStatus
from bottega.projects.tables import Conversation, Project, ProjectFile, Question

_LONGEST_TITLE = 500


class UnknownProject(AppError):
    code = "unknown_project"
    http_status = 404

    def __init__(self, project_id: uuid.UUID) -> None:
        super().__init__(f"You have no project {project_id}.")
        self.project_id = project_id


class UnstorableText(AppError):
    code = "unstorable_text"
    http_status = 422

    def __init__(self, path: str) -> None:
        super().__init__(f"{path!r} holds characters that are not text (NUL or broken Unicode) and cannot be kept.")
        self.path = path


class Asked(Protocol):
    """A question as it comes from whoever asks; `recommended` is an index into `options`."""

    @property
    def text(self) -> str: ...
    @property
    def options(self) -> Sequence[str]: ...
    @property
    def recommended(self) -> int: ...


async def create_project(
    session: AsyncSession,
    *,
    user_id: int,
    description: str,
    title: str = "Untitled Project",
    credit_limit: Decimal | None = None,
) -> Project:
    project = Project(
        id=new_id(),
        user_id=user_id,
        title=" ".join(title.split())[:_LONGEST_TITLE] or "Untitled Project",
        description=description,
        status=ProjectStatus.GATHERING_REQUIREMENTS.value,
        credit_limit=credit_limit,
    )
    session.add(project)
    await session.flush()
    return project


async def get_project(session: AsyncSession, *, project_id: uuid.UUID, user_id: int) -> Project:
    """Return this person's project, or raise UnknownProject. One that was deleted is nobody's."""
    found = await session.scalar(select(Project).where(Project.id == project_id, *_belongs_to(user_id)))
    if found is None:
        raise UnknownProject(project_id)
    return found


async def list_projects(
    session: AsyncSession, *, user_id: int, limit: int = 50, after: "Place | None" = None
) -> tuple[Project, ...]:
    """Return this person's projects, newest first; those that come after a place in that order."""
    newest = select(Project).where(*_belongs_to(user_id)).order_by(Project.created_at.desc(), Project.id.desc())
    if after is not None:
        newest = newest.where(tuple_(Project.created_at, Project.id) < (after.created_at, after.project_id))
    return tuple(await session.scalars(newest.limit(limit)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a project stands in the order of creation: unlike a number, it stays when others come and go."""

    created_at: datetime
    project_id: uuid.UUID


def _belongs_to(user_id: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (Project.user_id == user_id, Project.deleted_at.is_(None))


async def limit_credits(session: AsyncSession, *, project_id: uuid.UUID, user_id: int, credits: Decimal | None) -> None:
    """Set what this person's project may cost, all in all, or raise UnknownProject."""
    statement = update(Project).where(Project.id == project_id, *_belongs_to(user_id))
    changed = await session.scalar(statement.values(credit_limit=credits).returning(Project.id))
    if changed is None:
        raise UnknownProject(project_id)


async def write_files(session: AsyncSession, *, project_id: uuid.UUID, changed: Mapping[str, str | None]) -> None:
    """Write the files that changed; None deletes one. What is not named stays as it is."""
    gone = [path for path, content in changed.items() if content is None]
    if gone:
        await session.execute(
            delete(ProjectFile).where(ProjectFile.project_id == project_id, ProjectFile.file_path.in_(gone)),
        )
    rows = [_file_row(project_id, path, content) for path, content in sorted(changed.items()) if content is not None]
    if rows:
        await session.execute(_WRITE_FILE, rows)


# Every step of a build runs these: they are built once.
_FILES = select(ProjectFile.file_path, ProjectFile.content).where(ProjectFile.project_id == bindparam("project_id"))
_FILE = insert(ProjectFile)
_FRESH = {name: _FILE.excluded[name] for name in ("file_type", "content", "content_hash", "size_bytes")}
_WRITE_FILE = _FILE.on_conflict_do_update(
    index_elements=[ProjectFile.project_id, ProjectFile.file_path],
    set_={**_FRESH, "updated_at": func.now()},
    where=ProjectFile.content_hash != _FILE.excluded.content_hash,
)


async def read_files(session: AsyncSession, *, project_id: uuid.UUID) -> dict[str, str]:
    """Return every file of a project, by path, in the order of paths."""
    rows = await session.execute(_FILES, {"project_id": project_id})
    return dict(sorted((path, content) for path, content in rows))


def content_hash(content: str) -> str:
    """Return what `project_files.content_hash` holds: the sha256 of the UTF-8 bytes, in hex."""
    return hashlib.sha256(content.encode()).hexdigest()


async def append_message(
    session: AsyncSession,
    *,
    user_id: int,
    project_id: uuid.UUID | None,
    channel: str,
    role: Literal["person", "bottega"],
    content: str,
) -> Conversation:
    message = Conversation(user_id=user_id, project_id=project_id, channel=channel, role=role, content=content)
    session.add(message)
    await session.flush()
    return message


async def list_messages(
    session: AsyncSession,
    *,
    user_id: int,
    project_id: uuid.UUID | None,
    limit: int = 50,
) -> tuple[Conversation, ...]:
    """Return the latest messages, oldest first. `project_id` None means those said before there was a project."""
    latest = (
        select(Conversation)
        .where(Conversation.user_id == user_id, Conversation.project_id.is_not_distinct_from(project_id))
        .order_by(Conversation.id.desc())
        .limit(limit)
    )
    return tuple(reversed((await session.scalars(latest)).all()))


async def add_questions(
    session: AsyncSession,
    *,
    project_id: uuid.UUID,
    questions: Sequence[Asked],
) -> tuple[Question, ...]:
    """Add questions after those already asked; ordinals count from 1."""
    last = await session.scalar(select(func.max(Question.ordinal)).where(Question.project_id == project_id))
    added = [
        Question(
            id=new_id(),
            project_id=project_id,
            ordinal=ordinal,
            text=question.text,
            options=list(question.options),
            recommended=question.recommended,
        )
        for ordinal, question in enumerate(questions, start=(last or 0) + 1)
    ]
    session.add_all(added)
    await session.flush()
    return tuple(added)


async def get_question(session: AsyncSession, *, question_id: uuid.UUID, user_id: int) -> Question:
    """Return a question about one of this person's projects, or raise UnknownProject."""
    mine = select(Question).join(Project, Project.id == Question.project_id).where(Project.user_id == user_id)
    found = (await session.scalars(mine.where(Question.id == question_id))).one_or_none()
    if found is None:
        raise UnknownProject(question_id)
    return found


async def list_questions(session: AsyncSession, *, project_id: uuid.UUID) -> tuple[Question, ...]:
    return tuple(
        await session.scalars(select(Question).where(Question.project_id == project_id).order_by(Question.ordinal)),
    )


def _file_row(project_id: uuid.UUID, path: str, content: str) -> dict[str, object]:
    if safe_path(path) != path:
        raise UnsafePath(path, "it is not in Unicode normal form C")
    try:
        size = len(content.encode())
    except UnicodeEncodeError as error:
        raise UnstorableText(path) from error
    if "\0" in content:
        raise UnstorableText(path)
    return {
        "id": new_id(),
        "project_id": project_id,
        "file_path": path,
        "file_type": language_of(path),
        "content": content,
        "content_hash": content_hash(content),
        "size_bytes": size,
    }
