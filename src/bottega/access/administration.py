"""What admins and the operator do to accounts: each deed is on record in its own transaction.

Nobody lowers themselves: the last admin could not take that back.
"""

from decimal import Decimal

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.access import audit
from bottega.access.sign_in import Ended, end_all
from bottega.access.types import Actor, Role
from bottega.billing import ledger
from bottega.billing.types import Cause, Entry, TransactionType
from bottega.core.errors import AppError
from bottega.core.money import show_credits
from bottega.users.tables import User

LONGEST_REASON = 200
LONGEST_KEY = 200
ACTIVE, SUSPENDED = "active", "suspended"


class NoSuchAccount(AppError):
    code = "account_not_found"
    http_status = 404

    def __init__(self) -> None:
        super().__init__("There is no such account, or it was deleted.")


class NotOnYourself(AppError):
    code = "not_on_yourself"
    http_status = 409

    def __init__(self) -> None:
        super().__init__("You cannot lower or suspend your own account: let another admin do it.")


class BadReason(AppError):
    code = "bad_reason"
    http_status = 422


async def grant_credits(
    session: AsyncSession, *, actor: Actor, user_id: int, credits: Decimal, reason: str, key: str
) -> Entry:
    """Give credits to a person, once for a key: what is sent again gives nothing more.

    Raises:
        NoSuchAccount, BadReason, ledger.InvalidAmount; ledger.KeyReused for another person's or amount's key
    """
    _check_line(reason, longest=LONGEST_REASON, what="reason")
    _check_line(key, longest=LONGEST_KEY, what="key")
    await _status_of(session, user_id)
    cause = Cause(type=TransactionType.ADJUSTMENT, idempotency_key=f"grant:admin:{key}", description=reason)
    entry = await ledger.grant(session, user_id=user_id, credits=credits, cause=cause)
    if entry.repeated and entry.credits != credits:
        raise ledger.KeyReused(f"The key {key} was used for {show_credits(entry.credits)} credits.")
    if not entry.repeated:
        await audit.record(
            session,
            actor=actor,
            action="credits.granted",
            subject_user_id=user_id,
            before={"balance": str(entry.balance_after - entry.credits)},
            after={"balance": str(entry.balance_after), "credits": str(entry.credits), "reason": reason},
        )
    return entry


async def set_role(session: AsyncSession, *, actor: Actor, user_id: int, role: Role) -> bool:
    """Give a person a role and tell whether it was another before. Raise NoSuchAccount, NotOnYourself."""
    if actor.user_id == user_id and role is not Role.ADMIN:
        raise NotOnYourself
    await _status_of(session, user_id)
    before = (await session.execute(select(User.role).where(User.id == user_id))).scalar_one()
    if before == role:
        return False
    await session.execute(update(User).where(User.id == user_id).values(role=role.value))
    await audit.record(
        session,
        actor=actor,
        action="account.role_set",
        subject_user_id=user_id,
        before={"role": before},
        after={"role": role.value},
    )
    return True


async def suspend(session: AsyncSession, *, actor: Actor, user_id: int, reason: str) -> bool:
    """Let nothing of this account's count or be spent; its sign-ins end. Raise NoSuchAccount, NotOnYourself."""
    if actor.user_id == user_id:
        raise NotOnYourself
    _check_line(reason, longest=LONGEST_REASON, what="reason")
    changed = await _set_status(session, actor=actor, user_id=user_id, status=SUSPENDED, reason=reason)
    if changed:
        await end_all(session, user_id=user_id, why=Ended.SUSPENDED)
    return changed


async def restore(session: AsyncSession, *, actor: Actor, user_id: int, reason: str) -> bool:
    """Let a suspended account go on; its personal tokens count again, its sign-ins do not. Raise NoSuchAccount."""
    _check_line(reason, longest=LONGEST_REASON, what="reason")
    return await _set_status(session, actor=actor, user_id=user_id, status=ACTIVE, reason=reason)


async def _set_status(session: AsyncSession, *, actor: Actor, user_id: int, status: str, reason: str) -> bool:
    before = await _status_of(session, user_id)
    if before == status:
        return False
    await session.execute(update(User).where(User.id == user_id).values(status=status))
    await audit.record(
        session,
        actor=actor,
        action=f"account.{status}",
        subject_user_id=user_id,
        before={"status": before},
        after={"status": status, "reason": reason},
    )
    return True


async def _status_of(session: AsyncSession, user_id: int) -> str:
    """Return an account's status, which nobody else changes meanwhile. What was deleted stays deleted."""
    status = await session.scalar(select(User.status).where(User.id == user_id).with_for_update())
    if status not in {ACTIVE, SUSPENDED}:
        raise NoSuchAccount
    return status


def _check_line(text: str, *, longest: int, what: str) -> None:
    if not text.strip() or len(text) > longest or not text.isprintable():
        raise BadReason(f"A {what} is one line of 1 to {longest} characters.")
