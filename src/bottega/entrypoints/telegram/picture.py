"""What the words are made from: rows read within the caller's transaction, as the values that `words` takes."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing import ledger
from bottega.entrypoints.telegram.words.values import (
    Delivery,
    ListedProject,
    ListedTask,
    Named,
    Offers,
    OpenQuestion,
    Progress,
    ShownPlan,
    Stopped,
)
from bottega.orchestration.commands.effects import open_questions
from bottega.orchestration.events import Delivered, Event
from bottega.orchestration.situation import load_tasks
from bottega.orchestration.state import Phase, RunKind, RunState, StopCode, TaskStatus
from bottega.orchestration.tables import Task
from bottega.orchestration.views.standing import Status, commands_to_run, read_step, status_of
from bottega.projects import service as projects
from bottega.projects.tables import Project

_SUMMARY_SENTENCES = 2
_MINUTE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A project as it stands: its row, its run, its tasks."""

    project: Project
    status: Status
    tasks: tuple[Task, ...]

    @property
    def named(self) -> Named:
        return Named(project_id=self.project.id, title=self.project.title)

    @property
    def is_refinement(self) -> bool:
        return self.status.kind is RunKind.REFINE

    @property
    def is_under_way(self) -> bool:
        return self.status.state is RunState.READY

    @property
    def has_files(self) -> bool:
        return any(TaskStatus(task.status).is_accepted for task in self.tasks)

    @property
    def listed(self) -> tuple[ListedTask, ...]:
        return tuple(ListedTask(key=task.key, title=task.title, status=TaskStatus(task.status)) for task in self.tasks)

    @property
    def checks_passed(self) -> int:
        return sum(len(task.commands) for task in self.tasks if task.status == TaskStatus.DONE)

    def seconds_until(self, now: datetime) -> int:
        """Return how long the run has lasted, in whole minutes once it is a minute: nobody edits for a second."""
        began = self.status.began_at
        seconds = 0 if began is None else max(0, round((now - began).total_seconds()))
        return seconds - seconds % (_MINUTE if seconds >= _MINUTE else _MINUTE // 6)


async def look(session: AsyncSession, *, user_id: int, project_id: uuid.UUID) -> Sight:
    """Return how the person's project stands. Raise UnknownProject."""
    project = await projects.get_project(session, project_id=project_id, user_id=user_id)
    status = await status_of(session, project)
    return Sight(project=project, status=status, tasks=tuple(await load_tasks(session, project_id=project_id)))


async def progress(session: AsyncSession, sight: Sight, *, now: datetime, latest: Event | None) -> Progress | None:
    """Return what the status message shows; None for a project that nobody works on."""
    status = sight.status
    if status.kind is None or status.phase is None or status.state is None:
        return None
    return Progress(
        project_id=sight.project.id,
        title=sight.project.title,
        kind=status.kind,
        phase=status.phase,
        state=status.state,
        stop_code=status.stop_code,
        tasks=sight.listed,
        step=await read_step(session, project_id=sight.project.id),
        latest=latest,
        checks_passed=sight.checks_passed,
        credits_charged=status.credits_charged,
        quote_high=status.quote_high_credits,
        elapsed_seconds=sight.seconds_until(now),
    )


async def next_question(session: AsyncSession, *, user_id: int, project_id: uuid.UUID) -> OpenQuestion | None:
    """Return the first question that wants an answer."""
    waiting = await open_questions(session, user_id=user_id, project_id=project_id)
    if not waiting:
        return None
    first, asked = waiting[0], await projects.list_questions(session, project_id=project_id)
    return OpenQuestion(
        project_id=project_id,
        question_id=first.id,
        text=first.text,
        options=tuple(first.options),
        recommended=first.recommended,
        number=first.ordinal,
        total=len(asked),
    )


async def plan(session: AsyncSession, sight: Sight) -> ShownPlan:
    return ShownPlan(
        project_id=sight.project.id,
        title=sight.project.title,
        documentation=sight.project.documentation or "",
        tech_stack=sight.project.tech_stack or {},
        tasks=sight.listed,
        low=sight.status.quote_low_credits,
        high=sight.status.quote_high_credits,
        available=await ledger.available(session, user_id=sight.project.user_id),
    )


async def stopped(
    session: AsyncSession, sight: Sight, *, offers: Offers | None, models: Sequence[str]
) -> Stopped | None:
    """Return why the project waits for its person now; None where it does not, or for an answer or a go."""
    status = sight.status
    if status.stop_code is None or status.state in {RunState.READY, RunState.WAITING}:
        return None
    return Stopped(
        project_id=sight.project.id,
        title=sight.project.title,
        stop_code=status.stop_code,
        reason=status.reason or "",
        available=await ledger.available(session, user_id=sight.project.user_id),
        needed=status.credits_needed,
        stronger_model=_stronger(sight, models=models),
        is_one_task=sight.is_refinement,
        offers=offers,
    )


def _stronger(sight: Sight, *, models: Sequence[str]) -> str | None:
    """Return the strongest model, where the task that is stuck has not come to it."""
    at_a_task = {StopCode.TASK_STUCK, StopCode.GOING_IN_CIRCLES, StopCode.TOO_MANY_ATTEMPTS}
    stuck = next((task for task in sight.tasks if task.status == TaskStatus.TODO), None)
    if sight.status.stop_code not in at_a_task or stuck is None or stuck.rung >= len(models) - 1:
        return None
    return models[-1]


async def delivery(session: AsyncSession, sight: Sight, *, event: Delivered, now: datetime) -> Delivery:
    scripts = await commands_to_run(session, project_id=sight.project.id)
    return Delivery(
        project_id=sight.project.id,
        title=sight.project.title,
        summary=_summary(sight.project.documentation or ""),
        files=event.files,
        size_bytes=event.size_bytes,
        tasks=sight.listed,
        checks_passed=sight.checks_passed,
        how_to_run=tuple(line for script in scripts for line in script.splitlines() if _is_a_command(line)),
        credits_charged=sight.status.credits_charged,
        quote_high=sight.status.quote_high_credits,
        elapsed_seconds=sight.seconds_until(now),
        is_refinement=sight.is_refinement,
    )


def _is_a_command(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("set -")  # how the script that tried them begins


def _summary(documentation: str) -> str:
    """Return the first sentences of the documentation's first paragraph of words."""
    paragraphs = (part.strip() for part in documentation.split("\n\n"))
    words = next((part for part in paragraphs if part and not part.startswith(("#", "-", "*", "```", "|"))), "")
    sentences = " ".join(words.split()).split(". ")
    first = ". ".join(sentences[:_SUMMARY_SENTENCES])
    return first if not first or first.endswith((".", "!", "?")) else f"{first}."


def listed(rows: Sequence[Project], *, current: uuid.UUID | None) -> tuple[ListedProject, ...]:
    return tuple(
        ListedProject(
            project_id=row.id,
            title=row.title,
            status=row.status,
            credits_charged=row.actual_credit_cost,
            is_current=row.id == current,
        )
        for row in rows
    )


def waits_for_a_go(sight: Sight) -> bool:
    return sight.status.phase is Phase.APPROVE and sight.status.state is RunState.WAITING


def credits_of(amount: str) -> Decimal | None:
    """Read an amount of credits as a person writes it; None where it is none."""
    try:
        read = Decimal(amount.strip().replace(",", "."))
    except ArithmeticError:
        return None
    return read if read.is_finite() else None
