"""Opening an account: a person, and the credits that every new account starts with, as a ledger row.

Free credits are given once. `grant_key` names who gets them beyond the account, so that nobody gets them again by
having it deleted; without one the account itself does. What an installation gives away in a day can be capped: an
account is opened all the same then, without them.
"""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing import ledger
from bottega.billing.types import Cause, TransactionType
from bottega.users.service import Person, find_or_create


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(Person):
    """`granted` by this very call. `is_capped`: they would have been, but the day's free credits are all given."""

    granted: Decimal = Decimal(0)
    is_capped: bool = False


async def open_account(
    session: AsyncSession,
    *,
    initial_credits: Decimal,
    telegram_user_id: int | None = None,
    username: str | None = None,
    grant_key: str | None = None,
    free_credits_a_day: Decimal | None = None,
) -> Account:
    """Return the person with this Telegram id, or without one and with this name; a new one is granted credits once."""
    person = await find_or_create(session, telegram_user_id=telegram_user_id, username=username)
    known = Account(id=person.id, created=person.created)
    if not person.created or initial_credits <= 0:
        return known
    if free_credits_a_day is not None and await free_credits_today(session) + initial_credits > free_credits_a_day:
        return Account(id=person.id, created=True, is_capped=True)
    cause = Cause(
        type=TransactionType.INITIAL_GRANT,
        idempotency_key=grant_key or f"grant:signup:{person.id}",
        description="Credits every account starts with",
    )
    try:
        await ledger.grant(session, user_id=person.id, credits=initial_credits, cause=cause)
    except ledger.KeyReused:  # they had them in an account that is deleted
        return known
    return Account(id=person.id, created=True, granted=initial_credits)


async def free_credits_today(session: AsyncSession) -> Decimal:
    """Return what new accounts were given in the last 24 hours. Those who open accounts take turns from here on."""
    await session.execute(_TAKE_TURNS)
    return Decimal((await session.execute(_GIVEN)).scalar_one())


_TAKE_TURNS = text("SELECT pg_advisory_xact_lock(hashtextextended('free credits', 0))")
_GIVEN = text(
    """
    SELECT COALESCE(sum(credits_amount), 0) FROM credit_transactions
    WHERE transaction_type = 'initial_grant' AND created_at > now() - interval '1 day'
    """
)
