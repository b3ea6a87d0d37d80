"""What an account shows its owner: how its balance moved, and what is set aside. Reads only.

Movements are the ledger's own rows, newest first: nothing is rounded, netted or left out.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_MOVEMENTS = text("""
SELECT credit_transactions.id, credit_transactions.created_at AS at, transaction_type AS type,
       credits_amount AS credits, balance_after, credit_transactions.project_id, projects.title AS project,
       task_type AS purpose, task_key,
       credit_transactions.description
FROM credit_transactions
LEFT JOIN api_key_usage ON api_key_usage.id = api_key_usage_id
LEFT JOIN projects ON projects.id = credit_transactions.project_id
WHERE credit_transactions.user_id = :user_id
  AND (CAST(:before AS bigint) IS NULL OR credit_transactions.id < :before)
ORDER BY credit_transactions.id DESC LIMIT :limit
""")

_HELD = text("""
SELECT project_id, projects.title AS project, sum(credits_amount) AS credits
FROM credit_holds LEFT JOIN projects ON projects.id = project_id
WHERE credit_holds.user_id = :user_id AND state = 'open'
GROUP BY project_id, projects.title ORDER BY min(credit_holds.created_at)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """One row of the ledger; `purpose` and `task_key` are those of the model call it paid for, if it did."""

    id: int
    at: datetime
    type: str
    credits: Decimal
    balance_after: Decimal
    project_id: uuid.UUID | None
    project: str | None
    purpose: str | None
    task_key: str | None
    description: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFor:
    """What is set aside for calls under way; `project_id` None is work that belongs to no project."""

    project_id: uuid.UUID | None
    project: str | None
    credits: Decimal


async def movements(
    session: AsyncSession, *, user_id: int, limit: int, before: int | None = None
) -> Sequence[Movement]:
    """Return the latest movements of an account, newest first; those before one of them by its id."""
    given = {"user_id": user_id, "limit": limit, "before": before}
    rows = (await session.execute(_MOVEMENTS, given)).mappings()
    return [Movement(**row) for row in rows]


async def held(session: AsyncSession, *, user_id: int) -> Sequence[HeldFor]:
    """Return what is held, by project, in the order in which it was."""
    rows = (await session.execute(_HELD, {"user_id": user_id})).mappings()
    return [HeldFor(**row) for row in rows]
