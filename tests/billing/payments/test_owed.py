"""What a payment is owed, worked out by hand for the cases that are easy to get wrong."""

import uuid
from decimal import Decimal

import pytest

from bottega.billing.payments.owed import refund_credits, refunded_minor
from bottega.billing.payments.types import Fact, FactKind, Order, RefundRank

ORDER = Order(
    id=uuid.UUID(int=1),
    user_id=1,
    gateway="stripe",
    package="thirds",
    credits=Decimal(100),
    amount_minor=300,
    currency="usd",
    livemode=False,
    payer="1",
)
PENDING, SUCCEEDED, FAILED = RefundRank.PENDING, RefundRank.SUCCEEDED, RefundRank.FAILED


def refund(amount: int, rank: RefundRank, *, currency: str = "usd") -> Fact:
    name = f"re_{amount}"
    return Fact(kind=FactKind.REFUND, object_id=name, rank=rank, amount_minor=amount, currency=currency)


def total(amount: int) -> Fact:
    return Fact(kind=FactKind.REFUNDED, object_id="ch", amount_minor=amount, currency="usd")


@pytest.mark.parametrize(
    ("facts", "refunded"),
    [
        ([], 0),
        ([refund(100, PENDING)], 100),
        ([refund(100, FAILED)], 0),
        ([total(200)], 200),  # of refunds nobody has told us yet
        ([total(100), refund(100, SUCCEEDED)], 100),  # the same money told in two ways
        ([total(200), refund(100, SUCCEEDED)], 200),
        ([total(100), refund(100, FAILED)], 0),  # the total was told before the refund failed
        ([total(50), refund(100, FAILED), refund(50, SUCCEEDED)], 50),  # and here after
        ([total(150), refund(100, FAILED), refund(50, SUCCEEDED)], 50),
        ([refund(200, SUCCEEDED), refund(250, PENDING)], 300),  # never more than was paid
        ([refund(100, SUCCEEDED, currency="eur")], 0),
    ],
)
def test_what_went_back_is_read_from_refunds_and_running_totals(facts: list[Fact], refunded: int) -> None:
    assert refunded_minor(ORDER, facts=facts) == refunded
    assert refunded_minor(ORDER, facts=facts[::-1]) == refunded


@pytest.mark.parametrize(("refunded", "credits"), [(0, "0"), (1, "0.33333333"), (299, "99.66666666"), (300, "100")])
def test_a_refund_takes_its_part_rounded_for_the_person_and_all_for_all(refunded: int, credits: str) -> None:
    assert refund_credits(ORDER, refunded=refunded) == Decimal(credits)
