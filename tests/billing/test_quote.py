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
    readme = Decimal("7.5")  # 12 000 tokens in at 1.25, 3 500 out at 10, at 150 credits per dollar
    assert (quoted.low_credits, quoted.high_credits) == (sum(low) + readme, sum(high) + 2 * readme)
    # small: (5 000 x 0.2 + 2 500 x 1) + (5 000 x 1.25 + 1 200 x 10), per million, at 150 credits per dollar
    assert quoted.per_task[0].low_credits == Decimal("3.2625")
    # two more attempts, the last by the dearest rung: 5 000 x 1.25 + 2 500 x 10
    assert quoted.per_task[0].high_credits == Decimal("3.2625") + Decimal("3.2625") + Decimal("7.425")


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
