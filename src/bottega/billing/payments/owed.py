"""What a payment is owed, as a pure function of its facts: no clock, no database, no gateway.

The three components of a payment are independent of how its facts came in. Their sum stays within [0, credits of the
order]: a payment can take back what it gave, never more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, localcontext

from bottega.billing.payments.types import Component, DisputeRank, Fact, FactKind, Order, OrderState, RefundRank
from bottega.core.money import CREDIT_STEP

_NOTHING = Decimal(0)
_REFUNDS = {FactKind.REFUND, FactKind.REFUNDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One payment that matches its order. `id` is what its refund has to name at the gateway.

    `refunds_failed` is how many of its refunds came to nothing.
    """

    name: str
    id: str
    payer: str
    refunded_minor: int
    disputed: bool
    credits: dict[Component, Decimal]
    refunds_failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    state: OrderState
    problem: str | None
    refunded_minor: int
    payments: tuple[Payment, ...]


def standing(order: Order, *, facts: Sequence[Fact]) -> Standing:
    """Return where an order stands. `facts` are its own and those of its payments, in any order."""
    paid = [fact for fact in facts if fact.kind is FactKind.PAID and fact.order_id == order.id]
    problems = {fact.object_id: mismatch(order, paid=fact) for fact in paid}
    accepted = [fact for fact in paid if problems[fact.object_id] is None]
    payments = tuple(_payment(order, paid=fact, facts=facts) for fact in sorted(accepted, key=lambda f: f.object_id))
    kinds = {fact.kind for fact in facts if fact.order_id == order.id}
    told = sorted(f"{name}: {problem}" for name, problem in problems.items() if problem)
    return Standing(
        state=_state(order, payments=payments, mismatched=bool(told), kinds=kinds),
        problem="; ".join(told) or None,
        refunded_minor=sum(payment.refunded_minor for payment in payments),
        payments=payments,
    )


def mismatch(order: Order, *, paid: Fact) -> str | None:
    """Say in what a payment differs from what was ordered; None when in nothing. Not every gateway names a package."""
    agreed = {
        "amount": (order.amount_minor, paid.amount_minor),
        "currency": (order.currency, paid.currency),
        "livemode": (order.livemode, paid.livemode),
        "payer": (order.payer, paid.payer),
        "package": (order.package, order.package if paid.package is None else paid.package),
    }
    wrong = [f"{what} {got} instead of {want}" for what, (want, got) in agreed.items() if got != want]
    return ", ".join(wrong) or None


def refunded_minor(order: Order, *, facts: Iterable[Fact]) -> int:
    """Return how much of one payment went back, from its refunds and from its charge's running total.

    A refund that failed is out of the total again, whether or not the total was told after that.
    """
    of_currency = [fact for fact in facts if fact.kind in _REFUNDS and fact.currency == order.currency]
    refunds = [fact for fact in of_currency if fact.kind is FactKind.REFUND]
    failed = sum(fact.amount_minor or 0 for fact in refunds if fact.rank == RefundRank.FAILED)
    standing_refunds = sum(fact.amount_minor or 0 for fact in refunds if fact.rank != RefundRank.FAILED)
    totals = sum(fact.amount_minor or 0 for fact in of_currency if fact.kind is FactKind.REFUNDED)
    return min(order.amount_minor, max(standing_refunds, totals - failed))


def refund_credits(order: Order, *, refunded: int) -> Decimal:
    """Return the credits that a refund takes: all for all, otherwise rounded in the person's favour."""
    if refunded >= order.amount_minor:
        return order.credits
    with localcontext(prec=60):
        return (order.credits * refunded / order.amount_minor).quantize(CREDIT_STEP, rounding=ROUND_FLOOR)


def _payment(order: Order, *, paid: Fact, facts: Sequence[Fact]) -> Payment:
    mine = [fact for fact in facts if fact.payment_id is not None and fact.payment_id == paid.payment_id]
    refunded = refunded_minor(order, facts=mine)
    taken = refund_credits(order, refunded=refunded)
    disputed = any(fact.kind is FactKind.DISPUTE and fact.rank == DisputeRank.WITHDRAWN for fact in mine)
    return Payment(
        name=paid.object_id,
        id=paid.payment_id or "",
        payer=paid.payer or "",
        refunded_minor=refunded,
        disputed=disputed,
        credits={
            Component.PURCHASE: order.credits,
            Component.REFUND: -taken,
            Component.DISPUTE: taken - order.credits if disputed else _NOTHING,
        },
        refunds_failed=sum(fact.kind is FactKind.REFUND and fact.rank == RefundRank.FAILED for fact in mine),
    )


def _state(order: Order, *, payments: Sequence[Payment], mismatched: bool, kinds: set[FactKind]) -> OrderState:
    if any(payment.disputed for payment in payments):
        return OrderState.DISPUTED
    if payments and all(payment.refunded_minor == order.amount_minor for payment in payments):
        return OrderState.REFUNDED
    if any(payment.refunded_minor for payment in payments):
        return OrderState.PARTIALLY_REFUNDED
    if payments:
        return OrderState.PAID
    if mismatched:
        return OrderState.MISMATCHED
    for kind, state in (
        (FactKind.FAILED, OrderState.FAILED),
        (FactKind.EXPIRED, OrderState.EXPIRED),
        (FactKind.SUBMITTED, OrderState.PENDING),
    ):
        if kind in kinds:
            return state
    return OrderState.CREATED
