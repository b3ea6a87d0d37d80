"""Facts in, ledger rows out: everything that payments do to the database.

An event, its facts and what follows from them are one transaction. Locks are taken in one order: event, payments,
facts, order, person. Under the order's lock what a payment is owed is computed anew from all its facts, and only the
difference to what it has been given is posted; so nothing depends on which of two twins came first.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing import ledger
from bottega.billing.ledger import AccountInactive
from bottega.billing.payments import books_sql as sql
from bottega.billing.payments.owed import Payment, Standing, standing
from bottega.billing.payments.tables import PaymentFact, PaymentOrder
from bottega.billing.payments.types import (
    Buyer,
    Component,
    Fact,
    FactKind,
    GatewayEvent,
    ListedOrder,
    Order,
    OrderState,
)
from bottega.billing.types import Cause, TransactionType

LIST_LIMIT = 1_000

_UP = {
    Component.PURCHASE: TransactionType.PURCHASE,
    Component.REFUND: TransactionType.ADJUSTMENT,  # a refund that failed: reverses its clawback
    Component.DISPUTE: TransactionType.DISPUTE_REINSTATED,
}
_DOWN = {
    Component.PURCHASE: TransactionType.ADJUSTMENT,
    Component.REFUND: TransactionType.REFUND_CLAWBACK,
    Component.DISPUTE: TransactionType.DISPUTE_CLAWBACK,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """`added` when a balance grew by it, `changed` when the order stands differently than before."""

    order: Order
    standing: Standing
    added: bool
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Posted:
    credits: Decimal
    rows: int
    last_id: int


async def is_new(session: AsyncSession, *, gateway: str, event: GatewayEvent) -> bool:
    """Note an event; False when it was noted before. A twin that is under way is waited for."""
    given = {"gateway": gateway, "event_id": event.id, "type": event.type, "digest": event.digest}
    return (await session.execute(sql.NOTE_EVENT, given)).one_or_none() is not None


async def said_otherwise(session: AsyncSession, *, gateway: str, event: GatewayEvent) -> bool:
    """Tell whether an event that was noted before said something else then."""
    given = {"gateway": gateway, "event_id": event.id}
    return bool((await session.execute(sql.EVENT_DIGEST, given)).scalar_one() != event.digest)


async def conclude(session: AsyncSession, *, gateway: str, event: GatewayEvent, status: str) -> None:
    await session.execute(sql.CONCLUDE_EVENT, {"gateway": gateway, "event_id": event.id, "status": status})


async def record(session: AsyncSession, *, gateway: str, facts: Sequence[Fact]) -> tuple[Settled, ...]:
    """Keep what is new in `facts` and settle the orders they are about; none when they name no order of ours."""
    payments = sorted({fact.payment_id for fact in facts if fact.payment_id})
    for payment_id in payments:  # else a refund and the payment that ties it to its order could miss each other
        await session.execute(sql.LOCK_PAYMENT, {"name": f"payment:{gateway}:{payment_id}"})
    for fact in sorted(facts, key=lambda fact: (fact.kind, fact.object_id)):
        await session.execute(sql.KEEP_FACT, _row(gateway, fact))
    given = {
        "gateway": gateway,
        "order_ids": [fact.order_id for fact in facts if fact.order_id],
        "payment_ids": payments,
    }
    concerned = (await session.scalars(sql.ORDERS_CONCERNED, given)).all()
    return tuple([await settle(session, order_id=order_id) for order_id in concerned])


async def settle(session: AsyncSession, *, order_id: uuid.UUID) -> Settled:
    """Post the difference between what an order's payments are owed by their facts and what they were given."""
    row = (
        await session.scalars(select(PaymentOrder).where(PaymentOrder.id == order_id).with_for_update(key_share=True))
    ).one()
    order = _order(row)
    now = standing(order, facts=await facts_of(session, order_id=order_id))
    posted = await _posted(session, order_id=order_id)
    added = [await _post(session, order=order, payment=payment, posted=posted) for payment in now.payments]
    withdrawn = {name for name, _ in posted} - {payment.name for payment in now.payments}
    for name in sorted(withdrawn):  # it matched once and does not any more: it is owed nothing
        nothing = Payment(name=name, id="", payer="", refunded_minor=0, disputed=False, credits={})
        await _post(session, order=order, payment=nothing, posted=posted)
    given = {
        "order_id": order_id,
        "state": now.state.value,
        "problem": now.problem,
        "refunded_minor": now.refunded_minor,
    }
    rendered = (await session.execute(sql.RENDER_ORDER, given)).one_or_none()
    return Settled(order=order, standing=now, added=any(added), changed=rendered is not None)


async def facts_of(session: AsyncSession, *, order_id: uuid.UUID) -> tuple[Fact, ...]:
    rows = (await session.execute(sql.FACTS_OF_ORDER, {"order_id": order_id})).all()
    return tuple(_fact(row) for row in rows)


async def find_order(session: AsyncSession, *, order_id: uuid.UUID) -> Order | None:
    row = await session.get(PaymentOrder, order_id)
    return None if row is None else _order(row)


async def lock_buyer(session: AsyncSession, *, user_id: int) -> Buyer:
    """Return a person who may buy, locked. Raise AccountInactive."""
    person = (await session.execute(sql.LOCK_BUYER, {"user_id": user_id})).one_or_none()
    if person is None or person.status != "active":
        raise AccountInactive(f"Account {user_id} cannot buy: it does not exist or is not active.")
    return Buyer(user_id=user_id, telegram_user_id=person.telegram_user_id)


async def add_order(session: AsyncSession, *, order: Order) -> None:
    await session.execute(sql.ADD_ORDER, _columns(order))


async def list_orders(session: AsyncSession, *, user_id: int | None) -> tuple[ListedOrder, ...]:
    """Return one person's orders, or everybody's, newest first."""
    statement = select(PaymentOrder).order_by(PaymentOrder.created_at.desc(), PaymentOrder.id).limit(LIST_LIMIT)
    if user_id is not None:
        statement = statement.where(PaymentOrder.user_id == user_id)
    return tuple(
        ListedOrder(
            order=_order(row),
            state=OrderState(row.state),
            refunded_minor=row.refunded_minor,
            problem=row.problem,
            created_at=row.created_at,
        )
        for row in await session.scalars(statement)
    )


async def unmatched(session: AsyncSession) -> tuple[tuple[str, str], ...]:
    """Return gateway and name of every payment that says it is for an order we do not have."""
    statement = select(PaymentFact.gateway, PaymentFact.object_id).where(
        PaymentFact.kind == FactKind.PAID.value, PaymentFact.order_id.is_(None)
    )
    rows = await session.execute(statement.order_by(PaymentFact.created_at).limit(LIST_LIMIT))
    return tuple((row.gateway, row.object_id) for row in rows)


async def _posted(session: AsyncSession, *, order_id: uuid.UUID) -> dict[tuple[str, Component], _Posted]:
    rows = (await session.execute(sql.POSTED, {"order_id": order_id})).all()
    return {
        (row.payment, Component(row.component)): _Posted(credits=row.credits, rows=row.rows, last_id=row.last_id)
        for row in rows
    }


async def _post(
    session: AsyncSession, *, order: Order, payment: Payment, posted: dict[tuple[str, Component], _Posted]
) -> bool:
    added = False
    for component in Component:
        before = posted.get((payment.name, component))
        owed = payment.credits.get(component, Decimal(0))
        difference = owed - (before.credits if before else Decimal(0))
        if difference == 0:
            continue
        cause = _cause(order, name=payment.name, component=component, up=difference > 0, before=before)
        move = ledger.grant if difference > 0 else ledger.claw_back
        entry = await move(session, user_id=order.user_id, credits=abs(difference), cause=cause)
        given = {
            "transaction_id": entry.id,
            "order_id": order.id,
            "payment": payment.name,
            "component": component.value,
        }
        await session.execute(sql.TIE_POSTING, given)
        added = added or difference > 0
    return added


def _cause(order: Order, *, name: str, component: Component, up: bool, before: _Posted | None) -> Cause:
    """Name a posting. The first purchase has the payment's own key; the order's lock keeps the numbers unique."""
    key = f"payment:{order.gateway}:{name}"
    if component is not Component.PURCHASE or before is not None:
        key = f"{key}:{component}:{before.rows + 1 if before else 1}"
    undone = before is not None and up is not (component is Component.PURCHASE)
    return Cause(
        type=_UP[component] if up else _DOWN[component],
        idempotency_key=key,
        description=f"{component.value.capitalize()}: {order.package}",
        reverses_id=before.last_id if before and undone else None,
        external_transaction_id=name,
    )


def _columns(order: Order) -> dict[str, Any]:
    return {
        "id": order.id,
        "user_id": order.user_id,
        "gateway": order.gateway,
        "package": order.package,
        "credits": order.credits,
        "amount_minor": order.amount_minor,
        "currency": order.currency,
        "livemode": order.livemode,
        "payer": order.payer,
    }


def _order(row: PaymentOrder) -> Order:
    return Order(
        id=row.id,
        user_id=row.user_id,
        gateway=row.gateway,
        package=row.package,
        credits=row.credits,
        amount_minor=row.amount_minor,
        currency=row.currency,
        livemode=row.livemode,
        payer=row.payer,
    )


def _row(gateway: str, fact: Fact) -> dict[str, Any]:
    return {
        "gateway": gateway,
        "kind": fact.kind.value,
        "object_id": fact.object_id,
        "payment_id": fact.payment_id,
        "order_id": fact.order_id,
        "rank": fact.rank,
        "amount_minor": fact.amount_minor,
        "currency": fact.currency,
        "livemode": fact.livemode,
        "payer": fact.payer,
        "package": fact.package,
    }


def _fact(row: Row[Any]) -> Fact:
    return Fact(
        kind=FactKind(row.kind),
        object_id=row.object_id,
        payment_id=row.payment_id,
        order_id=row.order_id,
        rank=row.rank,
        amount_minor=row.amount_minor,
        currency=row.currency,
        livemode=row.livemode,
        payer=row.payer,
        package=row.package,
    )
