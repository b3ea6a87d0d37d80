"""Whether tools outside may spend on a project now: not while it is paused, and never once it is cancelled."""

import uuid

from sqlalchemy import select

from bottega.core.errors import AppError
from bottega.db.transaction import Database
from bottega.orchestration.state import RunState
from bottega.orchestration.tables import Run


class ProjectPaused(AppError):
    code = "project_paused"
    http_status = 409

    def __init__(self, project_id: uuid.UUID) -> None:
        super().__init__(f"The project is paused, and so is its relay: `bottega resume {project_id}` lets both go on.")


class ProjectCancelled(AppError):
    code = "project_cancelled"
    http_status = 409

    def __init__(self) -> None:
        super().__init__("The project was cancelled: nothing more is spent on it.")


class ProjectGate:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def may_call(self, *, project_id: uuid.UUID) -> None:
        """Raise ProjectPaused or ProjectCancelled when that is what the project is, or is about to be."""
        newest = select(Run.state, Run.desired).where(Run.project_id == project_id).order_by(Run.created_at.desc())
        async with self._database.transaction() as session:
            run = (await session.execute(newest.limit(1))).one_or_none()
        if run is None:
            return
        if run.state == RunState.CANCELLED or (run.desired == "cancel" and not RunState(run.state).is_final):
            raise ProjectCancelled
        if run.state == RunState.PAUSED or (run.desired == "pause" and not RunState(run.state).is_final):
            raise ProjectPaused(project_id)
