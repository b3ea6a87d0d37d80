"""Refining one file in the person's own words: what may be asked, and what it makes of the project.

On a delivered project it opens a run of its own with one more task at the end; the delivery before it stays what it is
until that task is committed and packed. A refinement that is given up leaves its task behind, marked as dropped: it may
have cost something. Nothing that was accepted is ever touched.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.agents.readmes import README
from bottega.billing import ledger
from bottega.core.errors import AppError
from bottega.core.ids import new_id
from bottega.core.money import show_credits
from bottega.db.transaction import note
from bottega.orchestration import progress
from bottega.orchestration.briefs import storable
from bottega.orchestration.doorbell import RunDue
from bottega.orchestration.events import RefinementStarted
from bottega.orchestration.situation import Loaded, load, load_tasks
from bottega.orchestration.state import Phase, RunKind, RunState, TaskStatus
from bottega.orchestration.steps import workspace
from bottega.orchestration.steps.commit import todo_items
from bottega.orchestration.tables import Run, Task
from bottega.projects.paths import safe_path
from bottega.projects.status import ProjectStatus
from bottega.projects.tables import Project, ProjectFile
from bottega.projects.todo import render_todo

MAX_INSTRUCTION_CHARACTERS = 4000
MAX_FILE_BYTES = 100_000  # a model must read all of it
_TITLE_LENGTH = 100


class EmptyInstruction(AppError):
    code = "empty_instruction"
    http_status = 422

    def __init__(self) -> None:
        super().__init__("The instruction is empty. Say in a sentence or two what should change in the file.")


class InstructionTooLong(AppError):
    code = "instruction_too_long"
    http_status = 413

    def __init__(self, *, characters: int) -> None:
        super().__init__(
            f"The instruction has {characters:,} characters; at most {MAX_INSTRUCTION_CHARACTERS:,} fit. Ask for one"
            " change at a time."
        )


class UnknownFile(AppError):
    code = "unknown_file"
    http_status = 404

    def __init__(self, path: str, *, close: Sequence[str]) -> None:
        meant = f" Did you mean {' or '.join(close)}?" if close else ""
        super().__init__(f"The project has no file {path}.{meant}")
        self.path = path


class FileTooLarge(AppError):
    code = "file_too_large"
    http_status = 413

    def __init__(self, path: str, *, size_bytes: int) -> None:
        super().__init__(
            f"{path} has {size_bytes:,} bytes; a file of at most {MAX_FILE_BYTES:,} can be refined. Name a smaller one."
        )


class TooFewCredits(AppError):
    code = "insufficient_credits"
    http_status = 402

    def __init__(self, *, needed: Decimal, available: Decimal) -> None:
        super().__init__(
            f"A refinement wants at least {show_credits(needed)} credits and {show_credits(available)} are available."
            " Nothing was started. Add credits (`bottega credits --help`), then ask again."
        )
        self.needed = needed
        self.available = available


class NotDelivered(AppError):
    code = "not_delivered"
    http_status = 409

    def __init__(self, status: str) -> None:
        super().__init__(f"The project is {status.replace('_', ' ')}; only a delivered one can be refined.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file, and what is to become of it."""

    path: str
    instruction: str

    @property
    def said(self) -> str:
        return f"Refine {self.path}: {self.instruction}"

    @property
    def title(self) -> str:
        line = "".join(c for c in " ".join(self.said.split()) if c.isprintable())
        return line if len(line) <= _TITLE_LENGTH else line[: _TITLE_LENGTH - 1] + "…"


def wanted(*, path: str, instruction: str) -> Wanted:
    """Return what a person asks for, or raise UnsafePath, EmptyInstruction or InstructionTooLong."""
    text = storable(instruction)
    if not text:
        raise EmptyInstruction
    if len(text) > MAX_INSTRUCTION_CHARACTERS:
        raise InstructionTooLong(characters=len(text))
    return Wanted(path=safe_path(path.strip().removeprefix("./")), instruction=text)


async def require_credits(session: AsyncSession, *, user_id: int, needed: Decimal) -> None:
    """Raise TooFewCredits where a person could not pay for the beginning of the work."""
    available = await ledger.available(session, user_id=user_id)
    if available < needed:
        raise TooFewCredits(needed=needed, available=available)


async def require_file_under_work(session: AsyncSession, *, loaded: Loaded, path: str) -> None:
    """Raise UnknownFile or FileTooLarge; a file that is planned, or that the last attempt wrote, may be meant too."""
    unfinished = [task for task in loaded.tasks if task.status == TaskStatus.TODO]
    planned = {name for task in unfinished for name in task.files}
    for task in unfinished:
        if task.proposal_step is not None:
            planned |= (await workspace.under_review(session, run_id=loaded.run.id, task=task)).changes.keys()
    _require(path, sizes=await _sizes(session, project_id=loaded.project.id), planned=planned)


async def _sizes(session: AsyncSession, *, project_id: uuid.UUID) -> dict[str, int]:
    statement = select(ProjectFile.file_path, ProjectFile.size_bytes).where(ProjectFile.project_id == project_id)
    return {row.file_path: row.size_bytes for row in await session.execute(statement)}


def _require(path: str, *, sizes: Mapping[str, int], planned: Collection[str]) -> None:
    if path not in sizes and path not in planned:
        raise UnknownFile(path, close=_close_to(path, sorted({*sizes, *planned})))
    if sizes.get(path, 0) > MAX_FILE_BYTES:
        raise FileTooLarge(path, size_bytes=sizes[path])


def _close_to(path: str, known: Sequence[str]) -> list[str]:
    """Return at most three paths that may have been meant: those of the same name, else of a like one."""
    name = path.rpartition("/")[2].casefold()
    same_name = [other for other in known if other.rpartition("/")[2].casefold() == name]
    return same_name[:3] or get_close_matches(path, known, n=3, cutoff=0.5)


async def start(session: AsyncSession, *, project: Project, asked: Wanted, needed: Decimal) -> bool:
    """Open a run for a refinement of a delivered project; False when another run of it was opened meanwhile.

    Raises:
        NotDelivered, UnknownFile, FileTooLarge, TooFewCredits
    """
    await session.refresh(project, ["status"])  # a run may have ended since it was read
    if project.status != ProjectStatus.COMPLETED:
        raise NotDelivered(project.status)
    sizes = await _sizes(session, project_id=project.id)
    _require(asked.path, sizes=sizes, planned=())
    await require_credits(session, user_id=project.user_id, needed=needed)
    run_id = await _open_run(session, project_id=project.id, user_id=project.user_id)
    if run_id is None:
        return False
    note(session, RunDue(run_id))
    tasks = await load_tasks(session, project_id=project.id)
    task = _task(asked, project=project, tasks=tasks, has_readme=README in sizes)
    session.add(task)
    await session.flush()
    await write_todo(session, project=project, tasks=(*tasks, task), finished={})
    view = (await load(session, run_id=run_id, minimum_credits=Decimal(0))).view
    told = RefinementStarted(task_key=task.key, title=task.title, path=asked.path)
    await progress.report(session, project=project, run_id=run_id, view=view, stop_code=None, events=(told,))
    return True


async def _open_run(session: AsyncSession, *, project_id: uuid.UUID, user_id: int) -> uuid.UUID | None:
    """Twins wait here for each other: the database lets a project have one unfinished run."""
    values = {"id": new_id(), "project_id": project_id, "user_id": user_id}
    statement = insert(Run).values(**values, kind=RunKind.REFINE, phase=Phase.IMPLEMENT, state=RunState.READY)
    only_one = statement.on_conflict_do_nothing(index_elements=[Run.project_id], index_where=Run.finished_at.is_(None))
    return (await session.execute(only_one.returning(Run.id))).scalar_one_or_none()


def _task(asked: Wanted, *, project: Project, tasks: Sequence[Task], has_readme: bool) -> Task:
    ordinal = max((task.ordinal for task in tasks), default=0) + 1
    accepted = [task for task in tasks if TaskStatus(task.status).is_accepted]
    keeping = f" The commands in {README} run again; where the change makes them untrue, change it too."
    return Task(
        id=new_id(),
        project_id=project.id,
        ordinal=ordinal,
        key=f"T{ordinal}",
        title=asked.title,
        description=f"The project was delivered. Its owner now asks for a change in {asked.path}:\n\n"
        f"{asked.instruction}\n\nChange other files only as far as this needs it.{keeping if has_readme else ''}",
        files=[asked.path],
        depends_on=[],
        commands=list(dict.fromkeys(command for task in accepted for command in task.commands)),
        criteria=[f"Done as asked: {asked.instruction}", "Everything that worked before still works."],
        size="small",
    )


async def drop(session: AsyncSession, *, loaded: Loaded) -> None:
    """Mark what a refinement that ends without its task had begun; what was accepted stays as it is."""
    unfinished = [task for task in loaded.tasks if task.status == TaskStatus.TODO]
    if loaded.view.kind is not RunKind.REFINE or not unfinished:
        return
    dropped = update(Task).where(Task.id.in_([task.id for task in unfinished]))
    await session.execute(dropped.values(status=TaskStatus.DROPPED))
    finished = {task.key: TaskStatus.DROPPED for task in unfinished}
    await write_todo(session, project=loaded.project, tasks=loaded.tasks, finished=finished)


async def write_todo(
    session: AsyncSession, *, project: Project, tasks: Sequence[Task], finished: Mapping[str, TaskStatus]
) -> None:
    """Render the TODO with the statuses that `finished` is about to give."""
    todo = render_todo(title=project.title, items=todo_items(tasks, finished=finished))
    await session.execute(update(Project).where(Project.id == project.id).values(current_todo_markdown=todo))
