"""Sign-ins: an access token for a quarter of an hour, and a refresh token that gets the next one, once.

Refresh tokens of a sign-in are a chain: each is spent for its successor. Whoever shows a spent one has it from somebody
else, or somebody else has theirs; the whole sign-in ends then. One case is no theft: an answer that was lost on its
way. For half a minute a spent token gives the same successor again, as long as nobody has used that: a thief and the
person who was robbed then hold one chain, not two, and the first to fall behind is noticed. A sign-in that ended, and
one of an account that is not active, gives nothing; its access tokens end with it.
"""

import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import structlog
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.access import opaque
from bottega.access.signing import AccessToken, Claims, TokenKeys
from bottega.access.tables import RefreshToken, SignIn
from bottega.access.types import EVERYTHING, Scope, allowed
from bottega.core.errors import AppError
from bottega.core.ids import new_id
from bottega.db.transaction import Database
from bottega.users.tables import User

REFRESH_DAYS = 30  # a token that is not spent in that time is lost
LONGEST_DAYS = 90  # then one signs in again
GRACE_SECONDS = 30

log = structlog.get_logger()


class Method(StrEnum):
    TELEGRAM = "telegram"
    MINI_APP = "mini_app"
    CODE = "code"


class Ended(StrEnum):
    SIGNED_OUT = "signed_out"
    REUSED = "reused"
    SUSPENDED = "suspended"


class InvalidRefreshToken(AppError):
    code = "invalid_refresh_token"
    http_status = 401

    def __init__(self) -> None:
        super().__init__("The refresh token is unknown, expired or spent. Sign in again.")


class AccountNotActive(AppError):
    code = "account_not_active"
    http_status = 403

    def __init__(self) -> None:
        super().__init__("This account is suspended or deleted. Write to whoever runs this installation.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    access: AccessToken
    refresh_token: str = field(repr=False)
    scopes: frozenset[Scope]


class SignIns:
    def __init__(self, *, database: Database, keys: TokenKeys) -> None:
        self._database = database
        self._keys = keys

    async def start(self, session: AsyncSession, *, user_id: int, method: Method) -> Tokens:
        """Begin a sign-in of somebody who has proved who they are. Raise AccountNotActive."""
        role = await session.scalar(select(User.role).where(User.id == user_id, User.status == "active"))
        if role is None:
            raise AccountNotActive
        sign_in_id, token = new_id(), opaque.make(opaque.REFRESH)
        await session.execute(_START, {"id": sign_in_id, "user_id": user_id, "method": method.value})
        await session.execute(_ADD_TOKEN, {"sign_in_id": sign_in_id, "token_sha256": opaque.sha256(token)})
        return self._tokens(token, sign_in_id=sign_in_id, user_id=user_id, role=role)

    async def refresh(self, token: str) -> Tokens:
        """Spend a refresh token for the next. A reused one ends its sign-in. Raise InvalidRefreshToken."""
        if not opaque.is_one(token, prefix=opaque.REFRESH):
            raise InvalidRefreshToken
        async with self._database.transaction() as session:  # what it decides is kept, also where that is a refusal
            tokens = await self._spend(session, token)
        if tokens is None:
            raise InvalidRefreshToken
        return tokens

    async def _spend(self, session: AsyncSession, token: str) -> Tokens | None:
        found = await _locked(session, token_sha256=opaque.sha256(token))
        if found is None or found.ended_at is not None or found.status != "active" or not found.is_in_time:
            return None
        successor = self._successor(token, chosen=found.successor_sha256)
        if found.spent_at is None:
            spent = {"spent_at": func.clock_timestamp(), "successor_sha256": opaque.sha256(successor)}
            this = RefreshToken.token_sha256 == opaque.sha256(token)
            await session.execute(update(RefreshToken).where(this).values(**spent))
            given = {"sign_in_id": found.sign_in_id, "token_sha256": opaque.sha256(successor)}
            await session.execute(_ADD_TOKEN, given)
        elif not _may_be_told_again(found, successor):
            log.warning("access.refresh.reused", sign_in_id=str(found.sign_in_id), user_id=found.user_id)
            await _end(session, SignIn.id == found.sign_in_id, why=Ended.REUSED)
            return None
        return self._tokens(successor, sign_in_id=found.sign_in_id, user_id=found.user_id, role=found.role)

    def _successor(self, token: str, *, chosen: str | None) -> str:
        """Return the token that follows: the one that was `chosen` before, or else the newest key's."""
        candidates = [opaque.token_of(opaque.REFRESH, content) for content in self._keys.successors(token)]
        return next((one for one in candidates if opaque.sha256(one) == chosen), candidates[0])

    async def sign_out(self, token: str, *, everywhere: bool = False) -> int:
        """End the sign-in of a refresh token, or all of its person's, and return how many; 0 for no token of ours.

        A spent token ends its own sign-in only: whoever found an old one shall not end the others.
        """
        if not opaque.is_one(token, prefix=opaque.REFRESH):
            return 0
        async with self._database.transaction() as session:
            found = await _locked(session, token_sha256=opaque.sha256(token))
            if found is None:
                return 0
            is_current = found.spent_at is None and found.is_in_time and found.ended_at is None
            whose = SignIn.user_id == found.user_id if everywhere and is_current else SignIn.id == found.sign_in_id
            return await _end(session, whose, why=Ended.SIGNED_OUT)

    def _tokens(self, token: str, *, sign_in_id: uuid.UUID, user_id: int, role: str) -> Tokens:
        scopes = allowed(EVERYTHING, role=role)
        claims = Claims(user_id=user_id, sign_in_id=sign_in_id, scopes=scopes)
        return Tokens(access=self._keys.sign(claims), refresh_token=token, scopes=scopes)


def _may_be_told_again(found: Any, successor: str) -> bool:
    is_the_same = opaque.sha256(successor) == found.successor_sha256  # or else its key is gone
    return bool(found.is_recent and found.successor_is_unspent and is_the_same)


async def end_all(session: AsyncSession, *, user_id: int, why: Ended) -> int:
    """End every sign-in of a person and return how many there were."""
    return await _end(session, SignIn.user_id == user_id, why=why)


async def _end(session: AsyncSession, whose: Any, *, why: Ended) -> int:
    ended = update(SignIn).where(whose, SignIn.ended_at.is_(None)).values(ended_at=func.now(), ended_why=why.value)
    return len((await session.scalars(ended.returning(SignIn.id))).all())


async def _locked(session: AsyncSession, *, token_sha256: str) -> Any:
    """Return a token with its sign-in and person, or None. Whoever else asks for this sign-in waits from here on."""
    whose = select(RefreshToken.sign_in_id).where(RefreshToken.token_sha256 == token_sha256)
    sign_in_id = await session.scalar(whose)
    if sign_in_id is None:
        return None
    await session.execute(select(SignIn.id).where(SignIn.id == sign_in_id).with_for_update())
    # A statement of its own: it sees what a concurrent twin has committed.
    return (await session.execute(_FIND, {"token_sha256": token_sha256, "grace_seconds": GRACE_SECONDS})).one_or_none()


_START = text(f"""
INSERT INTO sign_ins (id, user_id, method, expires_at)
VALUES (:id, :user_id, :method, now() + interval '{LONGEST_DAYS} days')
""")  # noqa: S608  # our own number
_ADD_TOKEN = text(f"""
INSERT INTO refresh_tokens (token_sha256, sign_in_id, expires_at)
SELECT :token_sha256, id, LEAST(expires_at, now() + interval '{REFRESH_DAYS} days') FROM sign_ins WHERE id = :sign_in_id
""")  # noqa: S608  # our own number
_FIND = text("""
SELECT token.sign_in_id, token.spent_at, token.successor_sha256, sign_in.ended_at, sign_in.user_id,
       person.status, person.role,
       token.expires_at > now() AND sign_in.expires_at > now() AS is_in_time,
       token.spent_at > clock_timestamp() - make_interval(secs => :grace_seconds) AS is_recent,
       successor.token_sha256 IS NOT NULL AND successor.spent_at IS NULL AS successor_is_unspent
FROM refresh_tokens AS token
JOIN sign_ins AS sign_in ON sign_in.id = token.sign_in_id
JOIN users AS person ON person.id = sign_in.user_id
LEFT JOIN refresh_tokens AS successor ON successor.token_sha256 = token.successor_sha256
WHERE token.token_sha256 = :token_sha256
""")
