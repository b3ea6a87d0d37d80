"""What a person is told of a project: its status, and its numbered stream of events. Both move in one statement.

The status follows the run, and an illegal move raises, which rolls everything back with it. Events are numbered without
gaps or repeats, so that a reader who was away asks for what came after the last one it saw. Each transaction that
tells something leaves a note of it (`News`) for those who wake readers.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.db.transaction import note
from bottega.orchestration.events import Event, RunStopped
from bottega.orchestration.journal import Claim
from bottega.orchestration.post.alerts import post_attention
from bottega.orchestration.state import RunKind, RunState, RunView, StopCode, project_status
from bottega.orchestration.tables import Run, RunEvent
from bottega.projects.status import ProjectStatus, move
from bottega.projects.tables import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Something was told of a project, or its status changed."""

    project_id: uuid.UUID


_TELL = text(
    """
    WITH counter AS (
        UPDATE projects
        SET event_sequence = event_sequence + :count, status = COALESCE(:status, status), updated_at = now()
        WHERE id = :project_id RETURNING event_sequence - :count AS base
    )
    INSERT INTO run_events (project_id, run_id, sequence, type, payload)
    SELECT :project_id, :run_id, counter.base + item.ordinality, item.value->>'type', item.value->'payload'
    FROM counter, jsonb_array_elements(:events) WITH ORDINALITY AS item
    """
).bindparams(bindparam("events", type_=JSONB))


async def report(
    session: AsyncSession,
    *,
    project: Project,
    run_id: uuid.UUID,
    view: RunView,
    stop_code: StopCode | None,
    events: Sequence[Event] = (),
) -> None:
    """Let the project's status follow its run, and append what happened. `project` is as the run's state was loaded."""
    status, current = project_status(view, stop_code=stop_code), ProjectStatus(project.status)
    move(current=current, to=status, delivered=view.kind is RunKind.REFINE)
    if events or status is not current:
        await _tell(session, project_id=project.id, run_id=run_id, events=events, status=status)
    if view.state is RunState.ATTENTION:
        await _alert(session, project=project, run_id=run_id, events=events)


async def _alert(session: AsyncSession, *, project: Project, run_id: uuid.UUID, events: Sequence[Event]) -> None:
    for event in events:
        if isinstance(event, RunStopped):
            before = project.event_sequence
            await post_attention(session, project_id=project.id, run_id=run_id, after_sequence=before, stopped=event)


async def tell(session: AsyncSession, *, project_id: uuid.UUID, events: Sequence[Event]) -> None:
    """Append what happened to a project that no run is about."""
    await _tell(session, project_id=project_id, run_id=None, events=events, status=None)


async def tell_beside(session: AsyncSession, *, project_id: uuid.UUID, held: Claim, event: Event) -> None:
    """Append what happened within a step, unless its runner has lost the run."""
    holds = select(Run.id).where(Run.id == held.run_id, Run.lease_token == held.lease_token)
    if (await session.execute(holds)).scalar_one_or_none() is not None:
        await _tell(session, project_id=project_id, run_id=held.run_id, events=(event,), status=None)


async def _tell(
    session: AsyncSession,
    *,
    project_id: uuid.UUID,
    run_id: uuid.UUID | None,
    events: Sequence[Event],
    status: ProjectStatus | None,
) -> None:
    items = [{"type": event.type, "payload": event.payload()} for event in events]
    values = {"count": len(items), "project_id": project_id, "run_id": run_id, "events": items, "status": status}
    await session.execute(_TELL, values)
    note(session, News(project_id=project_id))


async def history(session: AsyncSession, *, project_id: uuid.UUID, after: int = 0) -> list[RunEvent]:
    """Return the project's events with a sequence above `after`, in order."""
    statement = (
        select(RunEvent).where(RunEvent.project_id == project_id, RunEvent.sequence > after).order_by(RunEvent.sequence)
    )
    return list((await session.scalars(statement)).all())
