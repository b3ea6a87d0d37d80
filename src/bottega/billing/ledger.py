"""The only writer of a balance.

A balance is the sum of its transactions, and rows never change: a correction is a new row. What a person can spend is
balance - held, where held is the sum of the open holds. A hold leaves `open` exactly once: settled, voided or expired.
Every function works inside the caller's transaction; none commits. Those that take `at` are one statement, atomic by
itself: they may as well be a transaction of their own.
"""

import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing import ledger_sql as sql
from bottega.billing.types import Call, CallStatus, Cause, Entry, Hold, Outcome, Settlement
from bottega.core.errors import AppError
from bottega.core.ids import new_id
from bottega.core.money import round_up_credits, round_up_usd, show_credits
from bottega.db.transaction import Autocommit, Execution
from bottega.llm.types import Usage
from bottega.users.tables import User

_NOTHING = Usage()
_TOO_MANY = Decimal(10) ** 12  # for the columns


class InsufficientCredits(AppError):
    code = "insufficient_credits"
    http_status = 402

    def __init__(self, *, needed: Decimal, available: Decimal) -> None:
        super().__init__(
            f"The next step may cost up to {show_credits(needed)} credits and {show_credits(available)} are available. "
            "Add credits and resume; nothing done so far is lost."
        )
        self.needed = needed
        self.available = available


class ProjectLimitReached(InsufficientCredits):
    code = "project_limit_reached"

    def __init__(self, *, needed: Decimal, available: Decimal) -> None:
        super().__init__(needed=needed, available=available)
        self.message = (
            f"The next step may cost up to {show_credits(needed)} credits and the project's limit leaves "
            f"{show_credits(available)}. Raise the limit and resume; nothing done so far is lost."
        )
        self.args = (self.message,)


class AccountInactive(AppError):
    code = "account_inactive"
    http_status = 403


class NotTheirProject(AppError):
    code = "project_not_found"
    http_status = 404


class PriceWithdrawn(AppError):
    """The price row a call was planned with is no longer active: read the price again."""

    code = "price_withdrawn"
    http_status = 409


class CallAlreadyHeld(AppError):
    """A call key names one attempt for ever; making the attempt twice under it is a defect of the caller."""

    code = "call_already_held"
    http_status = 409


class KeyReused(AppError):
    """An idempotency key came back with another person's money."""

    code = "idempotency_key_reused"
    http_status = 409


class InvalidAmount(AppError):
    code = "invalid_amount"
    http_status = 422


async def grant(session: AsyncSession, *, user_id: int, credits: Decimal, cause: Cause) -> Entry:
    """Add credits to a balance, as one transaction; a repeated key returns the first result."""
    return await _post(session, user_id=user_id, credits=_positive(credits), cause=cause)


async def claw_back(session: AsyncSession, *, user_id: int, credits: Decimal, cause: Cause) -> Entry:
    """Take credits back whose payment was; this alone may leave a debt, under which nothing can be held."""
    return await _post(session, user_id=user_id, credits=-_positive(credits), cause=cause)


async def adjust(session: AsyncSession, *, user_id: int, credits: Decimal, cause: Cause) -> Entry:
    """Correct a balance by a signed amount; what is taken must be available.

    Raises:
        InvalidAmount, InsufficientCredits
    """
    if _counted(credits) > 0:
        return await grant(session, user_id=user_id, credits=credits, cause=cause)
    entry = await claw_back(session, user_id=user_id, credits=-credits, cause=cause)
    left = await available(session, user_id=user_id)
    if left < 0 and not entry.repeated:
        raise InsufficientCredits(needed=-credits, available=left - credits)
    return entry


async def _post(session: AsyncSession, *, user_id: int, credits: Decimal, cause: Cause) -> Entry:
    # The lock comes in a statement of its own: the next one then sees what a concurrent twin has committed.
    if (await session.execute(sql.LOCK_PERSON, {"user_id": user_id})).one_or_none() is None:
        raise AccountInactive(f"There is no account {user_id}.")
    first = (await session.execute(sql.FIND_ENTRY, {"idempotency_key": cause.idempotency_key})).one_or_none()
    if first is not None:
        if first.user_id != user_id:
            raise KeyReused(f"The key {cause.idempotency_key} already belongs to account {first.user_id}.")
        return Entry(id=first.id, credits=first.credits_amount, balance_after=first.balance_after, repeated=True)
    given = {
        "user_id": user_id,
        "credits": credits,
        "transaction_type": cause.type.value,
        "idempotency_key": cause.idempotency_key,
        "project_id": cause.project_id,
        "reverses_id": cause.reverses_id,
        "external_transaction_id": cause.external_transaction_id,
        "description": cause.description,
    }
    row = (await session.execute(sql.GRANT, given)).one()
    return Entry(id=row.id, credits=row.credits_amount, balance_after=row.balance_after, repeated=False)


def _positive(credits: Decimal) -> Decimal:
    if _counted(credits) <= 0:
        raise InvalidAmount(f"{credits} is not a number of credits above zero.")
    return credits


def _not_negative(credits: Decimal) -> Decimal:
    if _counted(credits) < 0:
        raise InvalidAmount(f"{credits} credits are below zero: nothing can be held or charged.")
    return credits


def _counted(credits: Decimal) -> Decimal:
    """Refuse what a column cannot keep to the last digit: balance and entry would round it each in its own way."""
    if not credits.is_finite() or abs(credits) >= _TOO_MANY:
        raise InvalidAmount(f"{credits} is not a number of credits below {_TOO_MANY:,}.")
    if credits != round_up_credits(credits):
        raise InvalidAmount(f"{credits} credits are finer than a credit can be divided: 8 decimals.")
    return credits


async def hold(session: AsyncSession, *, call: Call, credits: Decimal, ttl_seconds: float) -> Hold:
    """Reserve `credits` and record the call as started, or raise and reserve nothing.

    Raises InsufficientCredits, ProjectLimitReached, PriceWithdrawn, AccountInactive, NotTheirProject, CallAlreadyHeld,
    InvalidAmount.
    """
    given = _hold_of(call, credits=credits, ttl_seconds=ttl_seconds)
    row = (await session.execute(sql.HOLD, given)).one_or_none()
    if row is None:
        raise await _refusal(session, call=call, credits=credits)
    held = Hold(id=given["hold_id"], usage_id=row.usage_id, credits=credits, available=row.available)
    if row.credit_limit is not None:
        await _keep_limit(session, call=call, held=held)
    return held


async def hold_at_once(at: Autocommit, *, call: Call, credits: Decimal, ttl_seconds: float) -> Hold | None:
    """Do what `hold` does in one round trip, where nothing is in the way.

    None, and nothing reserved, where something is: a limit of the project, or a reason to refuse that `hold` tells.
    """
    given = _hold_of(call, credits=credits, ttl_seconds=ttl_seconds)
    row = (await at.execute(sql.HOLD_UNLIMITED, given)).one_or_none()
    if row is None:
        return None
    return Hold(id=given["hold_id"], usage_id=row.usage_id, credits=credits, available=row.available)


def _hold_of(call: Call, *, credits: Decimal, ttl_seconds: float) -> dict[str, Any]:
    return {
        "hold_id": new_id(),
        "call_key": call.call_key,
        "operation_key": call.operation_key,
        "user_id": call.user_id,
        "project_id": call.project_id,
        "task_key": call.task_key,
        "task_type": call.task_type,
        "pricing_id": call.pricing_id,
        "markup": call.terms.markup,
        "credit_value_usd": call.terms.credit_value_usd,
        "credits": _not_negative(credits),
        "ttl_seconds": ttl_seconds,
        "own_key": call.own_key,
        "input_tokens_estimated": call.input_tokens_estimated,
    }


async def settle(at: Execution, *, usage_id: int, credits: Decimal, outcome: Outcome) -> Settlement:
    """Charge a call's real price and release its hold; a repeated settle returns the first result.

    More than the hold is charged only as far as the balance goes; the rest is on record as unbilled.
    """
    given = {"usage_id": usage_id, "credits": _not_negative(credits), **_facts(outcome)}
    row = (await at.execute(sql.SETTLE, given)).one_or_none()
    if row is not None:
        return Settlement(charged=row.charged, unbilled=row.unbilled, repeated=False)
    first = (await at.execute(sql.FIRST_RESULT, {"usage_id": usage_id})).one()
    return Settlement(charged=first.credits_charged, unbilled=first.credits_unbilled, repeated=True)


async def identify(at: Execution, *, usage_id: int, request_id: str) -> None:
    """Write down how the provider names a call under way; nothing happens to one that has ended or has a name."""
    await at.execute(sql.IDENTIFY, {"usage_id": usage_id, "request_id": request_id})


async def void(at: Execution, *, usage_id: int, status: CallStatus, outcome: Outcome) -> bool:
    """Release a call's hold without charging; what it cost is the platform's loss. False when it had ended before.

    Where the provider may have billed a call whose cost nobody knows, it is due to be asked for (`reconcile.py`).
    """
    given = {
        "usage_id": usage_id,
        "status": status.value,
        "error_code": outcome.error_code,
        "cost_open": outcome.cost_open,
        **_facts(outcome),
    }
    return (await at.execute(sql.VOID, given)).one_or_none() is not None


async def sweep(session: AsyncSession, *, limit: int = 500) -> int:
    """Expire holds past their deadline, orphan their calls, and return how many there were.

    Expiry gives the reservation back; it does not forgive: a reply that arrives late is still settled, once.
    """
    due = (await session.execute(sql.EXPIRED, {"limit": limit})).all()
    return await _release(session, holds=due, state="expired", error_code="hold_expired")


async def available(session: AsyncSession, *, user_id: int) -> Decimal:
    """Return what a person may still hold: balance less open holds."""
    statement = select(User.credit_balance - User.credit_held).where(User.id == user_id)
    return (await session.execute(statement)).scalar_one()


async def has_started(at: Execution, *, operation_key: str) -> bool:
    """Tell whether calls of this step are under way, as far as is known: those of an earlier claim of it."""
    return bool((await at.execute(sql.HAS_STARTED, {"operation_key": operation_key})).scalar_one())


async def orphan_started(session: AsyncSession, *, operation_key: str) -> int:
    """Give up the calls an earlier claim of this step had started, and return how many there were."""
    due = (await session.execute(sql.STARTED_BEFORE, {"operation_key": operation_key})).all()
    return await _release(session, holds=due, state="voided", error_code="claim_lost")


async def _release(session: AsyncSession, *, holds: Sequence[Row[Any]], state: str, error_code: str) -> int:
    theirs: dict[int, list[uuid.UUID]] = {}
    for hold in holds:
        theirs.setdefault(hold.user_id, []).append(hold.id)
    released = 0
    for _, hold_ids in sorted(theirs.items()):  # people are locked in one order
        given = {"hold_ids": hold_ids, "state": state, "error_code": error_code}
        released += len((await session.execute(sql.RELEASE, given)).all())
    return released


async def _keep_limit(session: AsyncSession, *, call: Call, held: Hold) -> None:
    """Look again at the project's limit, now that the person's row is locked.

    Two holds that run side by side each miss the other's row when they add up the project's open holds. The second
    waits for the first on the person's row, and this statement, which starts after the wait, sees both.
    """
    given = {"user_id": call.user_id, "project_id": call.project_id}
    left: Decimal = (await session.execute(sql.PROJECT_LEFT, given)).scalar_one()
    if left < 0:
        await void(session, usage_id=held.usage_id, status=CallStatus.FAILED, outcome=Outcome(error_code="limit"))
        raise ProjectLimitReached(needed=held.credits, available=max(left + held.credits, Decimal(0)))


async def _refusal(session: AsyncSession, *, call: Call, credits: Decimal) -> AppError:
    given = {
        "user_id": call.user_id,
        "project_id": call.project_id,
        "pricing_id": call.pricing_id,
        "call_key": call.call_key,
    }
    why = (await session.execute(sql.WHY_REFUSED, given)).one_or_none()
    if why is None or why.status != "active":
        return AccountInactive(f"Account {call.user_id} cannot spend: it does not exist or is not active.")
    if not why.theirs:
        return NotTheirProject(f"Account {call.user_id} has no project {call.project_id}.")
    if why.held_before:
        return CallAlreadyHeld(f"The call {call.call_key} has been started before.")
    if not why.priced:
        return PriceWithdrawn(f"Price {call.pricing_id} is no longer active.")
    if why.project_left is not None and why.project_left < min(credits, why.available):
        return ProjectLimitReached(needed=credits, available=max(why.project_left, Decimal(0)))
    return InsufficientCredits(needed=credits, available=why.available)


def _facts(outcome: Outcome) -> dict[str, Any]:
    cost = outcome.cost
    usage = cost.usage if cost else _NOTHING
    return {
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "images": usage.images,
        "cost_usd": round_up_usd(cost.exact_usd) if cost else Decimal(0),
        "cost_source": cost.source.value if cost else None,
        "request_id": outcome.request_id,
        "key_fingerprint": outcome.key_fingerprint or None,
        "key_id": outcome.key_id,
        "response_time_ms": outcome.response_time_ms,
    }
