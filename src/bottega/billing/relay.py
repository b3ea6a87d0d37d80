"""Rights to call models from outside: who holds a token may spend one person's credits on one project, for a while.

A token is shown once, when it is issued; only its SHA-256 is kept, which is enough for 32 random bytes. Unknown,
expired and revoked tokens are one and the same refusal, so that nobody learns from it. The database's clock decides.
"""

import hashlib
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult, delete, func, select, text, update

from bottega.billing.ledger import NotTheirProject
from bottega.billing.tables import RelayToken
from bottega.core.errors import AppError
from bottega.core.ids import new_id
from bottega.db.transaction import Database
from bottega.llm.types import Purpose

PREFIX = "brt_"
RANDOM_BYTES = 32
SHORTEST_TTL_SECONDS, LONGEST_TTL_SECONDS = 60, 86_400
LONGEST_TOKEN = 200  # characters; nothing of ours is near it, and nobody's megabyte is hashed
KEPT_AFTER_EXPIRY_SECONDS = 86_400

_ISSUE = text("""
INSERT INTO relay_tokens (id, token_sha256, user_id, project_id, task_key, purpose, expires_at)
SELECT :id, :token_sha256, person.id, project.id, :task_key, :purpose, now() + make_interval(secs => :ttl_seconds)
FROM projects AS project JOIN users AS person ON person.id = project.user_id
WHERE project.id = :project_id AND person.id = :user_id AND person.status = 'active'
RETURNING expires_at
""")


class InvalidRelayToken(AppError):
    code = "invalid_api_key"
    http_status = 401

    def __init__(self) -> None:
        super().__init__("The token is unknown, expired or revoked. `bottega relay token PROJECT` gives a new one.")


class InvalidLifetime(AppError):
    code = "invalid_lifetime"
    http_status = 422

    def __init__(self) -> None:
        super().__init__("A token lives from one minute to 24 hours.")


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token allows: calls for `purpose`, on this person's account, for this project and perhaps one task."""

    token_id: uuid.UUID
    user_id: int
    project_id: uuid.UUID
    task_key: str | None
    purpose: Purpose


class RelayTokens:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def issue(
        self,
        *,
        user_id: int,
        project_id: uuid.UUID,
        ttl_seconds: int,
        purpose: Purpose = Purpose.RELAY,
        task_key: str | None = None,
    ) -> IssuedToken:
        """Return a new token.

        Raises:
            InvalidLifetime, NotTheirProject (also of an account that is not active)
        """
        if not SHORTEST_TTL_SECONDS <= ttl_seconds <= LONGEST_TTL_SECONDS:
            raise InvalidLifetime
        token = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
        given = {
            "id": new_id(),
            "token_sha256": fingerprint(token),
            "user_id": user_id,
            "project_id": project_id,
            "task_key": task_key,
            "purpose": purpose.value,
            "ttl_seconds": ttl_seconds,
        }
        async with self._database.transaction() as session:
            expires_at = (await session.execute(_ISSUE, given)).scalar_one_or_none()
        if expires_at is None:
            raise NotTheirProject(f"You have no project {project_id}. `bottega projects` lists yours.")
        return IssuedToken(token=token, expires_at=expires_at)

    async def redeem(self, token: str) -> Grant:
        """Return what a token allows, or raise InvalidRelayToken."""
        if len(token) > LONGEST_TOKEN:
            raise InvalidRelayToken
        statement = select(RelayToken).where(
            RelayToken.token_sha256 == fingerprint(token),
            RelayToken.revoked_at.is_(None),
            RelayToken.expires_at > func.now(),
        )
        async with self._database.transaction() as session:
            row = (await session.scalars(statement)).one_or_none()
        if row is None:
            raise InvalidRelayToken
        return Grant(
            token_id=row.id,
            user_id=row.user_id,
            project_id=row.project_id,
            task_key=row.task_key,
            purpose=Purpose(row.purpose),
        )

    async def revoke(self, token: str) -> bool:
        """End a token now; False when it had ended before. Calls under way go on, and are paid for."""
        return await self._revoke(RelayToken.token_sha256 == fingerprint(token)) > 0

    async def revoke_all(self, *, user_id: int, project_id: uuid.UUID) -> int:
        """End every token of a person's project and return how many there were."""
        return await self._revoke(RelayToken.user_id == user_id, RelayToken.project_id == project_id)

    async def forget_expired(self) -> int:
        """Delete what has been useless for a day and return how many there were."""
        age = func.make_interval(0, 0, 0, 0, 0, 0, KEPT_AFTER_EXPIRY_SECONDS)
        return await self._count(delete(RelayToken).where(RelayToken.expires_at < func.now() - age))

    async def _revoke(self, *which: Any) -> int:
        alive = (RelayToken.revoked_at.is_(None), RelayToken.expires_at > func.now())
        return await self._count(update(RelayToken).where(*which, *alive).values(revoked_at=func.now()))

    async def _count(self, statement: Any) -> int:
        async with self._database.transaction() as session:
            result: CursorResult[Any] = await session.execute(statement)  # type: ignore[assignment]
        return result.rowcount


def fingerprint(token: str) -> str:
    """Return what is kept of a token, or of whatever somebody sends for one."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
