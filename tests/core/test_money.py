"""Money rounds up once for a charge, and otherwise only for display."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.core.money import CREDIT_STEP, round_up_credits, show_credits, usd_to_credits

EXACT = st.decimals(min_value=0, max_value=10**6, places=15)


@given(charges=st.lists(EXACT, max_size=30))
def test_charges_exceed_what_is_exact_by_less_than_a_step_each(charges: list[Decimal]) -> None:
    excess = sum((round_up_credits(charge) - charge for charge in charges), Decimal(0))
    assert 0 <= excess < max(len(charges), 1) * CREDIT_STEP


def test_a_dollar_becomes_credits_by_markup_and_value() -> None:
    assert usd_to_credits(Decimal(1), credit_value_usd=Decimal("0.01"), markup=Decimal("1.5")) == 150


@pytest.mark.parametrize(
    ("credits", "shown"),
    [("0", "0.00"), ("0.0015", "0.0015"), ("9.995", "10.00"), ("-0.004", "-0.0040"), ("1234.5", "1234.50")],
)
def test_people_see_two_decimals_and_four_of_what_is_small(credits: str, shown: str) -> None:
    assert show_credits(Decimal(credits)) == shown
