"""What was done with power, on record: who, what, on whom, when, and what it was before and after.

A row is written in the transaction of the deed, so that neither stands without the other, and never changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.access.tables import AuditEntry
from bottega.access.types import Actor

LONGEST_SUBJECT = 300
LONGEST_ACTION = 60
Facts = Mapping[str, str | int | bool | None]
"""A few small facts, as JSON keeps them: amounts as text. Never a key, a token or what somebody wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    id: int
    actor: Actor
    action: str
    subject_user_id: int | None
    subject: str | None
    before: Facts | None
    after: Facts | None
    at: datetime


async def record(
    session: AsyncSession,
    *,
    actor: Actor,
    action: str,
    subject_user_id: int | None = None,
    subject: str | None = None,
    before: Facts | None = None,
    after: Facts | None = None,
) -> None:
    """Put a deed on record, in the transaction it is done in. `action` is like `credits.granted`."""
    row = {
        "actor_user_id": actor.user_id,
        "actor_token_id": actor.token_id,
        "request_id": actor.request_id,
        "action": action[:LONGEST_ACTION],
        "subject_user_id": subject_user_id,
        "subject": None if subject is None else subject[:LONGEST_SUBJECT],
        "before": None if before is None else dict(before),
        "after": None if after is None else dict(after),
    }
    await session.execute(insert(AuditEntry).values(row))


async def recorded(
    session: AsyncSession, *, subject_user_id: int | None = None, before_id: int | None = None, limit: int = 50
) -> tuple[Recorded, ...]:
    """Return deeds, the newest first; those before a row to go on with a list."""
    statement = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if subject_user_id is not None:
        statement = statement.where(AuditEntry.subject_user_id == subject_user_id)
    if before_id is not None:
        statement = statement.where(AuditEntry.id < before_id)
    return tuple(
        Recorded(
            id=row.id,
            actor=Actor(user_id=row.actor_user_id, token_id=row.actor_token_id, request_id=row.request_id),
            action=row.action,
            subject_user_id=row.subject_user_id,
            subject=row.subject,
            before=row.before,
            after=row.after,
            at=row.created_at,
        )
        for row in (await session.scalars(statement)).all()
    )
