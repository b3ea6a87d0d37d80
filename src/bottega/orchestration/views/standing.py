"""Where a project stands, for any front end: the project and its newest run in one value, and the step under way."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import false, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.orchestration.events import StepStarted, read_event
from bottega.orchestration.state import Phase, RunKind, RunState, StopCode
from bottega.orchestration.tables import Run
from bottega.projects import service as projects
from bottega.projects.tables import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    project_id: uuid.UUID
    run_id: uuid.UUID | None
    title: str
    status: str
    phase: Phase | None
    state: RunState | None
    stop_code: StopCode | None
    reason: str | None
    todo_markdown: str
    quote_low_credits: Decimal | None
    quote_high_credits: Decimal | None
    credits_charged: Decimal
    credits_needed: Decimal | None  # while it waits for credits: how many
    credit_limit: Decimal | None
    archive_key: str | None
    event_sequence: int  # of the last event told
    is_driven: bool  # a runner's lease has not run out
    kind: RunKind | None
    began_at: datetime | None  # the newest run


async def read_status(session: AsyncSession, *, user_id: int, project_id: uuid.UUID) -> Status:
    """Return where the person's project stands. Raise UnknownProject."""
    return await status_of(session, await projects.get_project(session, project_id=project_id, user_id=user_id))


async def status_of(session: AsyncSession, project: Project) -> Status:
    """Return where a project stands whose row was read in this transaction."""
    project_id = project.id
    is_leased = func.coalesce(Run.lease_until > func.clock_timestamp(), false())
    statement = select(Run, is_leased).where(Run.project_id == project_id).order_by(Run.created_at.desc()).limit(1)
    found = (await session.execute(statement)).one_or_none()
    run, is_driven = (None, False) if found is None else (found[0], found[1])
    return Status(
        project_id=project_id,
        run_id=run.id if run else None,
        title=project.title,
        status=project.status,
        phase=Phase(run.phase) if run else None,
        state=RunState(run.state) if run else None,
        stop_code=StopCode(run.stop_code) if run and run.stop_code else None,
        reason=run.reason if run else None,
        todo_markdown=project.current_todo_markdown or "",
        quote_low_credits=project.quote_low_credits,
        quote_high_credits=project.estimated_credit_cost,
        credits_charged=project.actual_credit_cost,
        credits_needed=run.credits_needed if run else None,
        credit_limit=project.credit_limit,
        archive_key=project.archive_key,
        event_sequence=project.event_sequence,
        is_driven=is_driven,
        kind=RunKind(run.kind) if run else None,
        began_at=run.created_at if run else None,
    )


async def read_step(session: AsyncSession, *, project_id: uuid.UUID) -> StepStarted | None:
    """Return the step under way, while somebody is at it."""
    row = (await session.execute(_UNDER_WAY, {"project_id": project_id})).one_or_none()
    step = None if row is None else read_event(type=StepStarted.type, payload=row.payload)
    return step if isinstance(step, StepStarted) else None


_UNDER_WAY = text(
    """
    SELECT payload FROM work_under_way AS step
    JOIN runs ON runs.id = step.run_id AND runs.lease_token = step.lease_token
    WHERE step.project_id = CAST(:project_id AS uuid) AND lease_until > clock_timestamp()
    """
).columns(payload=JSONB)


async def commands_to_run(session: AsyncSession, *, project_id: uuid.UUID) -> tuple[str, ...]:
    """Return the README's commands as they were tried last, in order."""
    rows = await session.scalars(_README_COMMANDS, {"project_id": project_id})
    return tuple(rows)


_README_COMMANDS = text(
    """
    SELECT command FROM evidence JOIN (
        SELECT steps.run_id, steps.step_no FROM steps JOIN runs ON runs.id = run_id
        WHERE project_id = CAST(:project_id AS uuid) AND steps.kind = 'check_readme'
        ORDER BY steps.created_at DESC LIMIT 1
    ) AS last USING (run_id, step_no)
    ORDER BY ordinal
    """
)
