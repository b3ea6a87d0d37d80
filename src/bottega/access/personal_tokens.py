"""Tokens for programs, such as a build server: made by somebody who may, shown once, and narrower than their maker.

A token never has more scopes than what made it, nor outlives a token that made it. All of them end; none of an account
that is not active counts. Unknown, expired and revoked tokens are one and the same refusal.
"""

import json
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.access import opaque
from bottega.access.sign_in import AccountNotActive
from bottega.access.tables import PersonalToken
from bottega.access.types import Identity, Scope, allowed
from bottega.core.errors import AppError
from bottega.core.ids import new_id
from bottega.users.tables import User

MOST_PER_PERSON = 20
LONGEST_NAME = 100
LONGEST_DAYS = 366


class BadTokenRequest(AppError):
    code = "bad_token_request"
    http_status = 422


class TooManyTokens(AppError):
    code = "too_many_tokens"
    http_status = 409

    def __init__(self) -> None:
        super().__init__(f"There are {MOST_PER_PERSON} tokens already, which is the most: revoke one first.")


class ScopeNotYours(AppError):
    code = "scope_not_yours"
    http_status = 403

    def __init__(self, scopes: Collection[Scope]) -> None:
        super().__init__(f"A token cannot be given what its maker does not have: {', '.join(sorted(scopes))}.")
        self.scopes = frozenset(scopes)


class NoSuchToken(AppError):
    code = "token_not_found"
    http_status = 404

    def __init__(self) -> None:
        super().__init__("You have no such token, or it is revoked already.")


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedToken:
    name: str
    scopes: frozenset[Scope]
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptToken:
    """A token as it stands in its row; `last_used_at` is right to the hour."""

    id: uuid.UUID
    name: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime
    is_expired: bool
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    token: str = field(repr=False)
    kept: KeptToken


async def create(session: AsyncSession, *, maker: Identity, wanted: WantedToken) -> NewToken:
    """Make a token of the maker's, and return it this once.

    Raises:
        BadTokenRequest, ScopeNotYours, TooManyTokens
    """
    name = check(wanted)
    beyond = wanted.scopes - allowed(maker.scopes, role=maker.role)
    if beyond:
        raise ScopeNotYours(beyond)
    # Those of one person who make tokens at once take turns, so that there are never too many.
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"tokens:{maker.user_id}", 0))))
    mine = (PersonalToken.user_id == maker.user_id, PersonalToken.revoked_at.is_(None))
    alive = select(func.count()).where(*mine, PersonalToken.expires_at > func.now())
    if (await session.execute(alive)).scalar_one() >= MOST_PER_PERSON:
        raise TooManyTokens
    token, token_id = opaque.make(opaque.PERSONAL), new_id()
    given = {
        "id": token_id,
        "user_id": maker.user_id,
        "token_sha256": opaque.sha256(token),
        "name": name,
        "scopes": json.dumps(sorted(wanted.scopes)),
        "days": wanted.days,
        "maker_id": maker.token_id,
    }
    await session.execute(_CREATE, given)
    (kept,) = await _read(session, PersonalToken.id == token_id)
    return NewToken(token=token, kept=kept)


async def kept_for(session: AsyncSession, *, user_id: int) -> tuple[KeptToken, ...]:
    """Return a person's tokens that were not revoked, the newest first; expired ones too, for a while."""
    return await _read(session, PersonalToken.user_id == user_id)


async def revoke(session: AsyncSession, *, user_id: int, token_id: uuid.UUID) -> None:
    """End a token of this person now. Raise NoSuchToken, also for somebody else's."""
    which = (PersonalToken.id == token_id, PersonalToken.user_id == user_id, PersonalToken.revoked_at.is_(None))
    ended = update(PersonalToken).where(*which).values(revoked_at=func.now())
    if (await session.scalars(ended.returning(PersonalToken.id))).one_or_none() is None:
        raise NoSuchToken


async def maker_for(session: AsyncSession, *, user_id: int, scopes: Collection[Scope]) -> Identity:
    """Return a person as the operator lets them make tokens: with what their role allows. Raise AccountNotActive."""
    role = await session.scalar(select(User.role).where(User.id == user_id, User.status == "active"))
    if role is None:
        raise AccountNotActive
    return Identity(user_id=user_id, role=role, scopes=allowed(scopes, role=role))


def check(wanted: WantedToken) -> str:
    """Return the name as it would be kept; raise BadTokenRequest."""
    name = wanted.name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise BadTokenRequest(f"A token's name is one line of 1 to {LONGEST_NAME} characters.")
    if opaque.PERSONAL in name:
        raise BadTokenRequest("The name repeats a token; a name is shown, a token never is again.")
    if not wanted.scopes:
        raise BadTokenRequest(f"A token needs a scope at least: {', '.join(sorted(Scope))}.")
    if not 1 <= wanted.days <= LONGEST_DAYS:
        raise BadTokenRequest(f"A token lives from 1 to {LONGEST_DAYS} days.")
    return name


async def _read(session: AsyncSession, *which: ColumnElement[bool]) -> tuple[KeptToken, ...]:
    is_expired = (PersonalToken.expires_at <= func.now()).label("is_expired")
    statement = select(PersonalToken.__table__, is_expired).where(*which, PersonalToken.revoked_at.is_(None))
    rows = await session.execute(statement.order_by(PersonalToken.created_at.desc(), PersonalToken.id))
    return tuple(
        KeptToken(
            id=row.id,
            name=row.name,
            scopes=frozenset(Scope(scope) for scope in row.scopes),
            created_at=row.created_at,
            expires_at=row.expires_at,
            is_expired=row.is_expired,
            last_used_at=row.last_used_at,
        )
        for row in rows.all()
    )


_CREATE = text("""
INSERT INTO personal_tokens (id, user_id, token_sha256, name, scopes, expires_at)
SELECT :id, :user_id, :token_sha256, :name, CAST(:scopes AS jsonb), LEAST(
    now() + make_interval(days => :days),
    (SELECT expires_at FROM personal_tokens WHERE id = CAST(:maker_id AS uuid))
)
""")
