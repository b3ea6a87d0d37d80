"""Which runs stopped and do not go on by themselves, for an operator who looks. Reads only."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInNeed:
    """`since` is when its project last changed."""

    run_id: uuid.UUID
    project_id: uuid.UUID
    user_id: int
    title: str
    phase: str
    state: str
    stop_code: str | None
    reason: str | None
    since: datetime


async def needing_attention(session: AsyncSession) -> Sequence[RunInNeed]:
    """Return the runs that are set aside, those that wait longest first."""
    rows = (await session.execute(_SET_ASIDE, {"most": MOST})).mappings()
    return [RunInNeed(**row) for row in rows]


_SET_ASIDE = text(
    """
    SELECT runs.id AS run_id, project_id, runs.user_id, title, phase, state, stop_code, reason,
           projects.updated_at AS since
    FROM runs JOIN projects ON projects.id = project_id
    WHERE state = 'attention' AND finished_at IS NULL ORDER BY projects.updated_at LIMIT :most
    """
)
