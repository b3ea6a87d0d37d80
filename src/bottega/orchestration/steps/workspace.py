"""The project's files as a step sees them: the accepted tree (HEAD), and a proposal laid over it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.agents.types import ContextFile, PlannedTask
from bottega.indexing.code_map import code_map
from bottega.indexing.service import CodebaseIndexingService, SearchHit
from bottega.orchestration.tables import Step, Task
from bottega.projects import service as projects

Files = Mapping[str, str]
Changes = Mapping[str, str | None]
"""Paths whose content changed; None deletes."""

WHOLE_FILE_BYTES = 12_000
MAP_BYTES = 6_000


def overlay(files: Files, changes: Changes) -> dict[str, str]:
    """Return `files` with `changes` applied."""
    merged = {path: content for path, content in files.items() if changes.get(path, content) is not None}
    merged.update({path: content for path, content in changes.items() if content is not None})
    return merged


def difference(before: Files, after: Files) -> dict[str, str | None]:
    """Return the changes that lead from `before` to `after`."""
    changed: dict[str, str | None] = {path: text for path, text in after.items() if before.get(path) != text}
    changed.update(dict.fromkeys(before.keys() - after.keys()))
    return changed


def encoded(files: Files) -> dict[str, bytes]:
    return {path: content.encode() for path, content in files.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderReview:
    """The accepted tree and the changes a task's last attempt made to it; none before its first attempt."""

    head: Files
    changes: Changes

    @property
    def draft(self) -> dict[str, str]:
        return overlay(self.head, self.changes)


async def under_review(session: AsyncSession, *, run_id: uuid.UUID, task: Task) -> UnderReview:
    head = await projects.read_files(session, project_id=task.project_id)
    if task.proposal_step is None:
        return UnderReview(head=head, changes={})
    output = await step_output(session, run_id=run_id, step_no=task.proposal_step)
    return UnderReview(head=head, changes=output["files"])


async def step_output(session: AsyncSession, *, run_id: uuid.UUID, step_no: int) -> dict[str, Any]:
    """Return what a journaled step left for later ones."""
    output: dict[str, Any] = (await session.execute(_OUTPUT, {"of_run": run_id, "of_step": step_no})).scalar_one()
    return output


_OUTPUT = select(Step.output).where(Step.run_id == bindparam("of_run"), Step.step_no == bindparam("of_step"))


def planned(task: Task) -> PlannedTask:
    """Return the task as agents see it."""
    return PlannedTask(
        key=task.key,
        title=task.title,
        description=task.description,
        files=tuple(task.files),
        depends_on=tuple(task.depends_on),
        commands=tuple(task.commands),
        criteria=tuple(task.criteria),
        size=task.size,
    )


async def context_files(
    *,
    index: CodebaseIndexingService,
    project_id: uuid.UUID,
    task: Task,
    files: Files,
    changed: Sequence[str] = (),
) -> tuple[ContextFile, ...]:
    """Return what of the project matters for a task.

    The task's own files and those already changed for it come whole, then what the index finds for its words, as
    whole files while they are short and as the matching lines otherwise.
    """
    named = dict.fromkeys(path for path in (*changed, *task.files) if path in files)
    query = f"{task.title}\n{task.description}\n{' '.join(task.files)}"
    hits = await index.search(project_id=project_id, query=query, limit=8)
    found = [_of_hit(hit, files) for hit in hits if hit.path not in named and hit.path in files]
    whole = [ContextFile(path=path, text=files[path]) for path in named]
    return (*whole, *_without_repeats(found))


def outline(files: Files, *, shown: Sequence[ContextFile]) -> tuple[str, ...]:
    """Return every path, with the signatures of the files that are not shown, so that their names can be used."""
    whole = {file.path for file in shown if file.whole}
    drawn = code_map(files={path: "" if path in whole else text for path, text in files.items()}, max_bytes=MAP_BYTES)
    return tuple(drawn.splitlines())


def _of_hit(hit: SearchHit, files: Files) -> ContextFile:
    if len(files[hit.path]) <= WHOLE_FILE_BYTES:
        return ContextFile(path=hit.path, text=files[hit.path])
    return ContextFile(path=hit.path, text=hit.text, first_line=hit.start_line, whole=False)


def _without_repeats(found: Sequence[ContextFile]) -> tuple[ContextFile, ...]:
    return tuple({(file.path, file.first_line, file.whole): file for file in found}.values())


def entry_points(files: Files) -> tuple[ContextFile, ...]:
    """Return what a README's writer must read, most telling first; the prompt's budget cuts the end."""

    def telling(path: str) -> tuple[bool, bool, int, str]:
        name = path.rpartition("/")[2]
        is_test = path.startswith("tests/") or name.startswith("test_") or ".test." in name
        is_door = any(word in name for word in ("__main__", "cli", "main", "app", "server", "index", "package.json"))
        return (is_test, not is_door, len(files[path]), path)

    return tuple(ContextFile(path=path, text=files[path]) for path in sorted(files, key=telling))
