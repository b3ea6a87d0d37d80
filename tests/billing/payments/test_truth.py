"""M9 of the audit: each way in which payments and ledger could disagree is made by hand, past both, and found."""

from decimal import Decimal

import pytest
from sqlalchemy import text
from tests.billing.payments.till import Till, development_gateway, open_till
from tests.database import MakeUser

from bottega.billing.audit import audit
from bottega.db.transaction import Database


@pytest.fixture
async def tampered_with(database: Database, make_user: MakeUser) -> Till:
    """Return books with a payment that was refunded in part; nobody audits them afterwards."""
    ada = await make_user(balance=Decimal(0))
    till = open_till(database, user_id=ada.id, gateways=[development_gateway()])
    checkout = await till.payments.create_checkout(user_id=ada.id, package="thirds")
    await till.payments.dev_pay(order_id=checkout.order_id)
    await till.payments.refund(checkout.order_id, 100)
    return till


async def test_honest_payments_have_no_findings(tampered_with: Till) -> None:
    assert await tampered_with.faults() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payment_facts SET amount_minor = amount_minor + 1 WHERE kind = 'paid'",
        "UPDATE payment_facts SET amount_minor = amount_minor + 1 WHERE kind = 'refund'",
        "UPDATE payment_facts SET currency = 'eur' WHERE kind = 'refund'",
        "UPDATE payment_facts SET rank = 2 WHERE kind = 'refund'",
        "UPDATE payment_facts SET livemode = true WHERE kind = 'paid'",
        "UPDATE payment_facts SET package = 'other' WHERE kind = 'paid'",
        "UPDATE payment_facts SET payer = '0' WHERE kind = 'paid'",
        "DELETE FROM payment_facts WHERE kind = 'paid'",
        "DELETE FROM payment_postings WHERE component = 'refund'",
        "UPDATE payment_postings SET component = 'dispute' WHERE component = 'refund'",
        "UPDATE payment_orders SET credits = credits + 0.00000001",
        """INSERT INTO payment_facts (gateway, kind, object_id, payment_id, rank, amount_minor, currency)
        SELECT gateway, 'dispute', 'dp', payment_id, 1, 1, 'usd' FROM payment_facts WHERE kind = 'paid'""",
        """INSERT INTO payment_facts (gateway, kind, object_id, payment_id, amount_minor, currency)
        SELECT gateway, 'refunded', 'ch', payment_id, 101, 'usd' FROM payment_facts WHERE kind = 'paid'""",
    ],
)
async def test_a_payment_that_is_not_what_its_facts_say_is_found(tampered_with: Till, statement: str) -> None:
    async with tampered_with.database.transaction() as session:
        await session.execute(text("SET LOCAL session_replication_role = replica"))
        await session.execute(text(statement))
    async with tampered_with.database.transaction() as session:
        assert {finding.truth for finding in await audit(session)} == {"M9"}
