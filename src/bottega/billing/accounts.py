"""Opening an account: a person, and the credits that every new account starts with, as a ledger row."""

from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing import ledger
from bottega.billing.types import Cause, TransactionType
from bottega.users.service import Person, find_or_create


async def open_account(
    session: AsyncSession,
    *,
    initial_credits: Decimal,
    telegram_user_id: int | None = None,
    username: str | None = None,
) -> Person:
    """Return the person with this Telegram id, or without one and with this name; a new one is granted credits once."""
    person = await find_or_create(session, telegram_user_id=telegram_user_id, username=username)
    if person.created and initial_credits > 0:
        await ledger.grant(
            session,
            user_id=person.id,
            credits=initial_credits,
            cause=Cause(
                type=TransactionType.INITIAL_GRANT,
                idempotency_key=f"grant:signup:{person.id}",
                description="Credits every account starts with",
            ),
        )
    return person
