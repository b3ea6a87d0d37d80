"""Codes to sign in with: somebody whom the bot knows is given one there, and types it here.

A person has one code at a time; it lives five minutes, is used once, and dies of the fifth wrong try. An address that
was wrong five times waits five minutes, whosever codes it tried. What is kept is a keyed hash, for eight characters can
be guessed. The number before the dash says whose code it is, so that a wrong try counts against one person's alone.

A code is made in the moment in which it is sent: no message that waits to be sent, or that was, holds one.
"""

import hmac
import re
import secrets
from datetime import datetime

import structlog
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.access.sign_in import AccountNotActive, Method, SignIns, Tokens
from bottega.access.signing import TokenKeys
from bottega.access.tables import SignInCode, WrongCode
from bottega.core.errors import AppError
from bottega.db.transaction import Database
from bottega.users.tables import User

LIFE_SECONDS = 5 * 60
MOST_TRIES = 5
DIGITS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # neither 0 and O, nor 1, I and L, nor U and V together
LENGTH = 8
LONGEST_TYPED = 40
_CODE = re.compile(rf"([1-9][0-9]{{0,8}})-([{DIGITS}]{{{LENGTH}}})")
_LOOKS_LIKE = str.maketrans("U", "V")

log = structlog.get_logger()


class InvalidCode(AppError):
    code = "invalid_code"
    http_status = 401

    def __init__(self) -> None:
        super().__init__("The code is wrong, used or older than five minutes. Ask for a new one.")


class TooManyTries(AppError):
    code = "too_many_tries"
    http_status = 429

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__(f"There were too many wrong codes from here. Try again in {retry_after_seconds} seconds.")
        self.retry_after_seconds = retry_after_seconds


class Codes:
    def __init__(self, *, database: Database, keys: TokenKeys, sign_ins: SignIns) -> None:
        self._database = database
        self._keys = keys
        self._sign_ins = sign_ins

    async def check_may_ask(self, session: AsyncSession, *, user_id: int) -> None:
        """Raise AccountNotActive for who may not sign in."""
        if await session.scalar(select(User.id).where(User.id == user_id, User.status == "active")) is None:
            raise AccountNotActive

    async def issue_on_telegram(self, *, telegram_user_id: int, asked_at: datetime) -> str | None:
        """Return a new code for whose private chat has this number, to be said there at once.

        None for who may not sign in, for a chat that is nobody's own, and for a wish that is older than a code gets.
        """
        is_fresh = func.clock_timestamp() - asked_at < func.make_interval(0, 0, 0, 0, 0, 0, LIFE_SECONDS)
        theirs = select(User.id).where(User.telegram_user_id == telegram_user_id, User.status == "active", is_fresh)
        async with self._database.transaction() as session:
            user_id = await session.scalar(theirs)
            return None if user_id is None else await self.issue_code(session, user_id=user_id)

    async def issue_code(self, session: AsyncSession, *, user_id: int) -> str:
        """Return a person's new code, to be shown to them alone; an earlier one is worth nothing from now on."""
        code = "".join(secrets.choice(DIGITS) for _ in range(LENGTH))
        facts = {
            "code_mac": self._keys.hidden(f"code:{user_id}:{code}")[0],
            "wrong_tries": 0,
            "expires_at": func.now() + func.make_interval(0, 0, 0, 0, 0, 0, LIFE_SECONDS),
        }
        new = upsert(SignInCode).values(user_id=user_id, **facts)
        await session.execute(new.on_conflict_do_update(index_elements=[SignInCode.user_id], set_=facts))
        return f"{user_id}-{code}"

    async def redeem(self, typed: str, *, address: str) -> Tokens:
        """Sign in with a code.

        Raises:
            InvalidCode, TooManyTries, AccountNotActive
        """
        macs = self._keys.hidden(f"address:{address}")
        async with self._database.transaction() as session:  # a wrong try is kept
            await _take_turns(session, macs[0])
            wait_seconds = await _wait_seconds(session, macs)
            user_id = await self._taken(session, typed) if wait_seconds is None else None
            if wait_seconds is None and user_id is None:
                await session.execute(insert(WrongCode).values(address_mac=macs[0]))
            tokens = None
            if user_id is not None:
                tokens = await self._sign_ins.start(session, user_id=user_id, method=Method.CODE)
        if wait_seconds is not None:
            log.warning("access.code.locked_out", address=address)
            raise TooManyTries(retry_after_seconds=wait_seconds)
        if tokens is None:
            raise InvalidCode
        return tokens

    async def _taken(self, session: AsyncSession, typed: str) -> int | None:
        """Take a code that is right out of use and return whose it was; count one that is wrong."""
        whose, code = _parsed(typed)
        if whose is None:
            return None
        alive = (SignInCode.expires_at > func.clock_timestamp(), SignInCode.wrong_tries < MOST_TRIES)
        kept = select(SignInCode.code_mac).where(SignInCode.user_id == whose, *alive).with_for_update()
        mac = await session.scalar(kept)
        if mac is None:
            return None
        right = [hmac.compare_digest(mac, given) for given in self._keys.hidden(f"code:{whose}:{code}")]
        if any(right):
            await session.execute(delete(SignInCode).where(SignInCode.user_id == whose))
            return whose
        counted = update(SignInCode).where(SignInCode.user_id == whose).values(wrong_tries=SignInCode.wrong_tries + 1)
        await session.execute(counted)
        return None


def _parsed(typed: str) -> tuple[int | None, str]:
    """Return whose code this is and the code; None for what is none. Case, spaces and U for V are forgiven."""
    if len(typed) > LONGEST_TYPED or not typed.isascii():
        return None, ""
    found = _CODE.fullmatch("".join(typed.split()).upper().translate(_LOOKS_LIKE))
    return (int(found[1]), found[2]) if found else (None, "")


async def _take_turns(session: AsyncSession, address_mac: str) -> None:
    """Let those who try at once from one address be counted one after the other."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"codes:{address_mac}", 0))))


async def _wait_seconds(session: AsyncSession, macs: tuple[str, ...]) -> int | None:
    """Return how long an address must wait, or None where it need not."""
    given = {"macs": list(macs), "most": MOST_TRIES, "life": LIFE_SECONDS}
    seconds: int | None = (await session.execute(_WAIT, given)).scalar_one()
    return seconds


_WAIT = text("""
SELECT CASE WHEN count(*) >= :most
    THEN CAST(ceil(GREATEST(:life - extract(epoch FROM clock_timestamp() - min(tried_at)), 1)) AS integer) END
FROM (
    SELECT tried_at FROM wrong_codes
    WHERE address_mac = ANY(CAST(:macs AS text[])) AND tried_at > clock_timestamp() - make_interval(secs => :life)
    ORDER BY tried_at DESC LIMIT :most
) AS lately
""")
