"""Where a project stands, for any front end: the project and its newest run in one value."""

import uuid
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import false, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.orchestration.state import Phase, RunState, StopCode
from bottega.orchestration.tables import Run
from bottega.projects import service as projects


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


async def read_status(session: AsyncSession, *, user_id: int, project_id: uuid.UUID) -> Status:
    """Return where the person's project stands. Raise UnknownProject."""
    project = await projects.get_project(session, project_id=project_id, user_id=user_id)
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
    )
