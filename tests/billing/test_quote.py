from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.billing.pricing import Price, Rates
from bottega.billing.quote import SizedTask, quote
from bottega.billing.types import Terms

TERMS = Terms(markup=Decimal("1.5"), credit_value_usd=Decimal("0.01"))
CHEAP = Price(id=1, base=Rates(input=Decimal("0.2"), output=Decimal(1)))
DEAR = Price(id=2, base=Rates(input=Decimal("1.25"), output=Decimal(10)))


def test_a_quote_is_the_sum_of_its_tasks_and_the_readme() -> None:
    tasks = (SizedTask(key="T1", size="small"), SizedTask(key="T2", size="large"))
    quoted = quote(tasks=tasks, architect=DEAR, implementers=(CHEAP, DEAR), terms=TERMS)
    low, high = zip(*((task.low_credits, task.high_credits) for task in quoted.per_task), strict=True)
    # the README reads 8 000 tokens at 1.25 and writes 900 at 10, at 150 credits per dollar; 12 000 and 4 000 at most
    assert quoted.low_credits == sum(low) + Decimal("2.85")
    assert quoted.high_credits == sum(high) + 2 * Decimal("8.25")
    # small: (4 000 x 0.2 + 1 500 x 1) + (6 000 x 1.25 + 300 x 10), per million, at 150 credits per dollar
    assert quoted.per_task[0].low_credits == Decimal("1.92")
    # two attempts of the first rung (5 000 x 0.2 + 4 000 x 1) and one of the dearest (5 000 x 1.25 + 4 000 x 10), each
    # reviewed (8 000 x 1.25 + 1 500 x 10)
    assert quoted.per_task[0].high_credits == 2 * Decimal("0.75") + Decimal("6.9375") + 3 * Decimal("3.75")


def test_an_unknown_size_is_quoted_as_large() -> None:
    odd, large = (
        quote(tasks=[SizedTask(key="T1", size=size)], architect=DEAR, implementers=(CHEAP,), terms=TERMS)
        for size in ("enormous", "large")
    )
    assert odd == large


@pytest.mark.parametrize("ladder", [(CHEAP,), (CHEAP, DEAR), (DEAR, CHEAP)])
@given(sizes=st.lists(st.sampled_from(["small", "medium", "large"]), max_size=6))
def test_the_high_end_is_never_below_the_low_end(ladder: tuple[Price, ...], sizes: list[str]) -> None:
    tasks = [SizedTask(key=f"T{n}", size=size) for n, size in enumerate(sizes)]
    quoted = quote(tasks=tasks, architect=DEAR, implementers=ladder, terms=TERMS)
    assert quoted.low_credits < quoted.high_credits
