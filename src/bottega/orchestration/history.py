"""The git history as the journal knows it. The repository on disk is a cache: this rebuilds it, to the same SHAs."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.core.errors import AppError
from bottega.orchestration.state import StepKind
from bottega.orchestration.tables import Run, Step
from bottega.projects.repository import ProjectRepository


class HistoryDiverged(AppError):
    code = "history_diverged"

    def __init__(self, *, expected: str, actual: str) -> None:
        super().__init__(f"Rebuilding the history gave commit {actual}, the journal has {expected}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    sha: str
    message: str
    at: datetime
    changes: dict[str, str | None]


async def commits(session: AsyncSession, *, project_id: uuid.UUID) -> tuple[Commit, ...]:
    """Return every commit of the project, oldest first."""
    statement = (
        select(Step.output)
        .join(Run, Run.id == Step.run_id)
        .where(Run.project_id == project_id, Step.kind.in_([StepKind.COMMIT, StepKind.COMMIT_README]))
        .where(Step.outcome == "committed")
        .order_by(Run.created_at, Step.step_no)
    )
    return tuple(
        Commit(
            sha=output["commit"],
            message=output["message"],
            at=datetime.fromisoformat(output["at"]),
            changes=output["files"],
        )
        for output in (await session.scalars(statement)).all()
    )


def rebuild(repository: ProjectRepository, wanted: Sequence[Commit]) -> None:
    """Put `main` at the last of these commits, writing those the repository lacks."""
    head = wanted[-1].sha if wanted else None
    if repository.head() == head:
        return
    known = {entry.sha for entry in repository.log()}
    if head is None or head in known:
        repository.rewind(to=head)
        return
    repository.rewind(to=None)
    files: dict[str, bytes] = {}
    parent: str | None = None
    for commit in wanted:
        for path, text in commit.changes.items():
            if text is None:
                files.pop(path, None)
            else:
                files[path] = text.encode()
        sha = repository.commit(files=files, message=commit.message, at=commit.at, parent=parent)
        if sha != commit.sha:
            raise HistoryDiverged(expected=commit.sha, actual=sha)
        parent = sha
