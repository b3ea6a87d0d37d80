"""What an operator sees of the whole installation at a glance. Reads only."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.orchestration.state import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """People and projects all in all; `runs_by_state` of those that have not ended; credits of the last 24 hours."""

    people: int
    people_today: int
    projects: int
    projects_delivered: int
    runs_by_state: Mapping[RunState, int]
    credits_charged_today: Decimal
    credits_bought_today: Decimal
    free_credits_today: Decimal


async def read_figures(session: AsyncSession) -> Figures:
    counts = (await session.execute(_COUNTS)).one()
    moved = {row.type: row.credits for row in await session.execute(_MOVED)}
    runs = {RunState(row.state): row.runs for row in await session.execute(_RUNS)}
    return Figures(
        people=counts.people,
        people_today=counts.people_today,
        projects=counts.projects,
        projects_delivered=counts.delivered,
        runs_by_state=runs,
        credits_charged_today=-moved.get("usage_deduction", Decimal(0)),
        credits_bought_today=moved.get("purchase", Decimal(0)),
        free_credits_today=moved.get("initial_grant", Decimal(0)),
    )


_COUNTS = text(
    """
    SELECT (SELECT count(*) FROM users WHERE status <> 'deleted') AS people,
        (SELECT count(*) FROM users WHERE status <> 'deleted' AND created_at > now() - interval '1 day')
            AS people_today,
        (SELECT count(*) FROM projects) AS projects,
        (SELECT count(*) FROM projects WHERE completed_at IS NOT NULL) AS delivered
    """
)
_MOVED = text(
    """
    SELECT transaction_type AS type, sum(credits_amount) AS credits FROM credit_transactions
    WHERE created_at > now() - interval '1 day' GROUP BY transaction_type
    """
)
_RUNS = text("SELECT state, count(*) AS runs FROM runs WHERE finished_at IS NULL GROUP BY state")
