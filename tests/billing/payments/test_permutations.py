"""M9: any order and any multiplicity of the same events ends in one balance, the one that the facts give.

One order per permutation in one database. Events go in through the books with a transaction each, as a webhook's do;
signatures and parsing have tests of their own. `make test-permutations` tries every permutation, the suite a sample
that is drawn evenly from all of them.
"""

import asyncio
import itertools
import random
import uuid
from collections.abc import Sequence
from decimal import Decimal

import pytest
from sqlalchemy import func, select
from tests.billing.payments.till import Till
from tests.fakes.stripe import FakeStripe

from bottega.billing.payments import books
from bottega.billing.payments.owed import standing
from bottega.billing.payments.stripe_events import read_event
from bottega.billing.payments.tables import PaymentOrder
from bottega.billing.payments.types import Fact, FactKind, Order
from bottega.billing.tables import CreditTransaction
from bottega.core.ids import new_id
from bottega.db.transaction import Database

AT_ONCE = 8
SAMPLE = 12
THIRD = Decimal("33.33333333")

# The history of one order of 300 for 100 credits, and what is left of it.
PARTS_AND_DISPUTE = ("unpaid", "arrived", "refund 100", "refund 100 more", "withdrawn", "reinstated")
FAILED_REFUND = ("paid", "refund pending", "refund failed", "refund 100", "total 100", "withdrawn")
LOST = ("paid", "refund 100", "total 100", "withdrawn", "closed lost", "expired")
HISTORIES: dict[tuple[str, ...], Decimal] = {
    PARTS_AND_DISPUTE: Decimal(100) - Decimal("66.66666666"),
    FAILED_REFUND: Decimal(0),  # the rest is disputed
    LOST: Decimal(0),
}


def deliveries(order: Order) -> dict[str, bytes]:
    """Return every event there may be about an order, as Stripe words it."""
    stripe, name = FakeStripe(), order.id.hex
    session = {
        "id": f"cs_{name}",
        "payment_status": "paid",
        "status": "complete",
        "amount_total": order.amount_minor,
        "currency": order.currency,
        "livemode": False,
        "client_reference_id": order.payer,
        "payment_intent": f"pi_{name}",
        "metadata": {"order_id": str(order.id), "package": order.package},
    }

    def refund(number: int, status: str) -> dict[str, object]:
        about = {"payment_intent": f"pi_{name}", "amount": 100, "currency": "usd"}
        return {"id": f"re_{name}_{number}", "status": status, **about}

    def charge(refunded: int) -> dict[str, object]:
        return {"id": f"ch_{name}", "payment_intent": f"pi_{name}", "amount_refunded": refunded, "currency": "usd"}

    def dispute(status: str) -> dict[str, object]:
        about = {"payment_intent": f"pi_{name}", "amount": 300, "currency": "usd"}
        return {"id": f"dp_{name}", "status": status, **about}

    event = stripe.event
    return {
        "unpaid": event("checkout.session.completed", session | {"payment_status": "unpaid", "payment_intent": None}),
        "arrived": event("checkout.session.async_payment_succeeded", session),
        "paid": event("checkout.session.completed", session),
        "expired": event("checkout.session.expired", session | {"payment_status": "unpaid", "status": "expired"}),
        "refund 100": event("refund.created", refund(1, "succeeded")),
        "refund 100 more": event("charge.refunded", charge(200)),
        "total 100": event("charge.refunded", charge(100)),
        "refund pending": event("refund.created", refund(2, "pending")),
        "refund failed": event("refund.failed", refund(2, "failed")),
        "withdrawn": event("charge.dispute.funds_withdrawn", dispute("under_review")),
        "reinstated": event("charge.dispute.funds_reinstated", dispute("won")),
        "closed lost": event("charge.dispute.closed", dispute("lost")),
    }


def facts_of(order: Order) -> dict[str, tuple[Fact, ...]]:
    return {name: read_event(body).facts for name, body in deliveries(order).items()}


def an_order(user_id: int) -> Order:
    return Order(
        id=new_id(),
        user_id=user_id,
        gateway="stripe",
        package="thirds",
        credits=Decimal(100),
        amount_minor=300,
        currency="usd",
        livemode=False,
        payer=str(user_id),
    )


async def live_through(database: Database, *, user_id: int, events: Sequence[str]) -> uuid.UUID:
    order = an_order(user_id)
    facts = facts_of(order)
    async with database.transaction() as session:
        await books.add_order(session, order=order)
    for name in events:
        async with database.transaction() as session:
            await books.record(session, gateway="stripe", facts=facts[name])
    return order.id


async def left_by_each(database: Database, *, user_id: int, lives: Sequence[Sequence[str]]) -> dict[uuid.UUID, Decimal]:
    """Live every life, a few at a time, and return what the ledger has for each order."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def live(events: Sequence[str]) -> uuid.UUID:
        async with turns:
            return await live_through(database, user_id=user_id, events=events)

    orders = await asyncio.gather(*map(live, lives))
    name = func.replace(func.split_part(CreditTransaction.external_transaction_id, "_", 2), "-", "")
    statement = select(name, func.sum(CreditTransaction.credits_amount)).group_by(name)
    async with database.transaction() as session:
        found = {uuid.UUID(row[0]): row[1] for row in await session.execute(statement)}
    return {order_id: found.get(order_id, Decimal(0)) for order_id in orders}


def sampled(history: Sequence[str], *, count: int) -> list[tuple[str, ...]]:
    every = list(itertools.permutations(history))
    return every[:: len(every) // count]


def repeated(history: Sequence[str], *, count: int) -> list[list[str]]:
    """Return histories in which each event comes once or twice, in any order."""
    dice = random.Random(9)  # noqa: S311 -- the same histories every time
    lives = []
    for _ in range(count):
        life = [*history, *(event for event in history if dice.random() < 0.5)]
        dice.shuffle(life)
        lives.append(life)
    return lives


@pytest.mark.parametrize("history", HISTORIES, ids=["parts and dispute", "failed refund", "lost"])
async def test_events_in_any_order_and_number_end_in_one_balance(till: Till, history: tuple[str, ...]) -> None:
    lives = [*sampled(history, count=SAMPLE), *repeated(history, count=SAMPLE // 2)]
    left = await left_by_each(till.database, user_id=till.user_id, lives=lives)
    assert set(left.values()) == {HISTORIES[history]}
    assert await till.balance() == len(lives) * HISTORIES[history]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("history", HISTORIES, ids=["parts and dispute", "failed refund", "lost"])
async def test_every_permutation_ends_in_one_balance(till: Till, history: tuple[str, ...]) -> None:
    lives = [*itertools.permutations(history), *repeated(history, count=100)]
    left = await left_by_each(till.database, user_id=till.user_id, lives=lives)
    assert set(left.values()) == {HISTORIES[history]}


@pytest.mark.parametrize("history", HISTORIES, ids=["parts and dispute", "failed refund", "lost"])
async def test_all_at_one_instant_is_as_good_as_any_order(till: Till, history: tuple[str, ...]) -> None:
    order = an_order(till.user_id)
    facts = facts_of(order)
    async with till.database.transaction() as session:
        await books.add_order(session, order=order)

    async def tell(name: str) -> None:
        async with till.database.transaction() as session:
            await books.record(session, gateway="stripe", facts=facts[name])

    await asyncio.gather(*(tell(name) for name in (*history, *history)))
    assert await till.balance() == HISTORIES[history]


@pytest.mark.parametrize("history", HISTORIES, ids=["parts and dispute", "failed refund", "lost"])
def test_every_set_of_facts_keeps_a_payment_between_nothing_and_its_credits(history: tuple[str, ...]) -> None:
    order = an_order(1)
    facts = facts_of(order)
    for count in range(len(history) + 1):
        for names in itertools.combinations(history, count):
            now = standing(order, facts=joined([fact for name in names for fact in facts[name]]))
            for payment in now.payments:
                assert 0 <= sum(payment.credits.values()) <= order.credits


def joined(facts: Sequence[Fact]) -> list[Fact]:
    """Join facts about one object as the table does; here only ranks and amounts ever differ."""
    known: dict[tuple[FactKind, str], Fact] = {}
    for fact in facts:
        before = known.get((fact.kind, fact.object_id))
        if before is None or (fact.rank, fact.amount_minor or 0) > (before.rank, before.amount_minor or 0):
            known[fact.kind, fact.object_id] = fact
    return list(known.values())


async def test_the_state_is_a_rendering_of_the_facts_too(till: Till) -> None:
    lives = sampled(PARTS_AND_DISPUTE, count=6)
    left = await left_by_each(till.database, user_id=till.user_id, lives=lives)
    async with till.database.transaction() as session:
        found = await session.execute(
            select(PaymentOrder.state, PaymentOrder.refunded_minor).where(PaymentOrder.id.in_(left))
        )
        assert {tuple(row) for row in found} == {("partially_refunded", 200)}
