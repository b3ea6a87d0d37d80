from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.billing.pricing import (
    Price,
    Rates,
    Tier,
    charge_credits,
    cost_of,
    cost_usd,
    input_tokens_bound,
    output_tokens_within,
    worst_case_usd,
)
from bottega.billing.types import CostSource, Terms
from bottega.llm.types import Completion, CompletionRequest, FinishReason, Message, ModelName, Purpose, Usage

MODEL = ModelName(provider="google", name="gemini-2.5-pro")
GEMINI = Price(
    id=1,
    base=Rates(input=Decimal("1.25"), cached=Decimal("0.125"), output=Decimal(10)),
    tiers=(Tier(above_tokens=200_000, rates=Rates(input=Decimal("2.5"), cached=Decimal("0.25"), output=Decimal(15))),),
)
PLAIN = Price(id=2, base=Rates(input=Decimal(1), output=Decimal(4)))
THINKING = Price(id=3, base=Rates(input=Decimal(1), output=Decimal(4), reasoning=Decimal(8)))
PER_CALL = replace(PLAIN, per_request=Decimal("0.01"), per_input_image=Decimal("0.002"))
FREE = Price(id=4, base=Rates(input=Decimal(0), output=Decimal(0)), is_free=True)
REQUEST = CompletionRequest(
    model=MODEL,
    system="s" * 100,
    messages=(Message(role="user", content="ä" * 50),),
    max_output_tokens=1000,
    purpose=Purpose.IMPLEMENT,
)

amounts = st.decimals(min_value=0, max_value=1000, places=10)
tokens = st.integers(min_value=0, max_value=2_000_000)
terms = st.builds(
    Terms,
    markup=st.decimals(min_value="0.1", max_value=10, places=8),
    credit_value_usd=st.decimals(min_value="0.0001", max_value=10, places=10),
)


@pytest.mark.parametrize(
    ("price", "usage", "cost"),
    [
        (GEMINI, Usage(input_tokens=250_000, cached_tokens=100_000, output_tokens=1_000), "0.415"),
        (GEMINI, Usage(input_tokens=200_000, output_tokens=1_000), "0.26"),
        (GEMINI, Usage(input_tokens=200_001, output_tokens=1_000), "0.5150025"),
        (GEMINI, Usage(input_tokens=100_000, cached_tokens=100_000), "0.0125"),
        (PLAIN, Usage(input_tokens=10, cached_tokens=10), "0.00001"),
        (PLAIN, Usage(output_tokens=10, reasoning_tokens=5), "0.00004"),
        (THINKING, Usage(output_tokens=10, reasoning_tokens=5), "0.00006"),
        (PER_CALL, Usage(), "0.01"),
        (PER_CALL, Usage(input_tokens=1_000_000, images=3), "1.016"),
        (PLAIN, Usage(input_tokens=10, cached_tokens=99, output_tokens=1, reasoning_tokens=99), "0.000014"),
        (FREE, Usage(input_tokens=10, output_tokens=10), "0"),
    ],
)
def test_a_cost_is_exact(price: Price, usage: Usage, cost: str) -> None:
    assert cost_usd(price, usage) == Decimal(cost)


@given(cost=amounts, terms=terms)
def test_a_charge_is_rounded_up_once_at_the_8th_decimal(cost: Decimal, terms: Terms) -> None:
    exact = Fraction(cost) * Fraction(terms.markup) / Fraction(terms.credit_value_usd)
    assert 0 <= Fraction(charge_credits(cost, terms=terms)) - exact < Fraction(1, 10**8)


def test_a_charge_is_rounded_up_however_little_is_over() -> None:
    tiny = Terms(markup=Decimal(1), credit_value_usd=Decimal(1))
    assert charge_credits(Decimal("1.00000000" + 30 * "0" + "1"), terms=tiny) == Decimal("1.00000001")


@given(uses=st.lists(st.builds(Usage, input_tokens=tokens, output_tokens=tokens), max_size=20), terms=terms)
def test_charges_exceed_what_was_used_by_less_than_a_step_each(uses: list[Usage], terms: Terms) -> None:
    costs = [cost_usd(GEMINI, usage) for usage in uses]
    exact = sum((Fraction(cost) for cost in costs), Fraction(0)) * Fraction(terms.markup)
    over = sum(Fraction(charge_credits(c, terms=terms)) for c in costs) - exact / Fraction(terms.credit_value_usd)
    assert 0 <= over <= len(uses) * Fraction(1, 10**8)


def test_an_input_bound_is_half_the_bytes_and_something_per_message() -> None:
    assert input_tokens_bound(REQUEST) == (100 + 2 * 50) // 2 + 2 * 16
    assert input_tokens_bound(replace(REQUEST, schema={"type": "object"})) == 132 + 9


@given(
    price=st.sampled_from([GEMINI, PLAIN, THINKING, PER_CALL]),
    share=st.fractions(0, 1),
    output=st.integers(0, 1000),
    length=st.sampled_from([0, 10, 400_000, 900_000]),
)
def test_no_reply_within_the_bounds_costs_more_than_the_worst_case(
    price: Price, share: Fraction, output: int, length: int
) -> None:
    request = replace(REQUEST, system="s" * length)
    used = int(input_tokens_bound(request) * share)
    usage = Usage(input_tokens=used, output_tokens=output, reasoning_tokens=output // 2, cached_tokens=used // 3)
    assert cost_usd(price, usage) <= worst_case_usd(price, request)


@given(price=st.sampled_from([GEMINI, PLAIN, THINKING, PER_CALL]), budget=st.decimals(0, "0.03", places=10))
def test_the_output_within_a_budget_is_the_most_whose_worst_case_fits(price: Price, budget: Decimal) -> None:
    most = output_tokens_within(price, REQUEST, budget_usd=budget)
    if most:
        assert worst_case_usd(price, replace(REQUEST, max_output_tokens=most)) <= budget
    if most < REQUEST.max_output_tokens:
        assert worst_case_usd(price, replace(REQUEST, max_output_tokens=most + 1)) > budget


def test_a_free_model_may_always_answer_in_full() -> None:
    assert output_tokens_within(FREE, REQUEST, budget_usd=Decimal(0)) == REQUEST.max_output_tokens


@pytest.mark.parametrize(
    ("price", "reported", "output_tokens", "estimated", "cost", "source"),
    [
        (PLAIN, Decimal("0.5"), 10, False, "0.5", CostSource.REPORTED),
        (PLAIN, Decimal("0.00000000001"), 10, False, "0.0000000001", CostSource.REPORTED),
        (PLAIN, None, 10, False, "0.00004", CostSource.COMPUTED),
        (PLAIN, Decimal(0), 10, False, "0.00004", CostSource.COMPUTED),
        (PLAIN, Decimal(-1), 10, False, "0.00004", CostSource.COMPUTED),
        (PLAIN, Decimal("NaN"), 10, False, "0.00004", CostSource.COMPUTED),
        (PLAIN, None, 10, True, "0.00004", CostSource.ESTIMATED),
        (PLAIN, None, 0, False, "0.000094", CostSource.ESTIMATED),  # 82 tokens in, 3 out, guessed from the bytes
        (FREE, Decimal(0), 10, False, "0", CostSource.COMPUTED),
    ],
)
def test_a_reported_cost_is_believed_unless_it_cannot_be_true(
    *, price: Price, reported: Decimal | None, output_tokens: int, estimated: bool, cost: str, source: CostSource
) -> None:
    reply = Completion(
        text="0123456789",
        finish=FinishReason.STOP,
        usage=Usage(output_tokens=output_tokens),
        model=MODEL,
        cost_usd=reported,
        usage_estimated=estimated,
    )
    assert (found := cost_of(reply, price=price, request=REQUEST)).source is source
    assert found.exact_usd == Decimal(cost)
