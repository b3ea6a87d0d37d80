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
    is_implausible,
    output_tokens_within,
    price_cap,
    worst_case_usd,
)
from bottega.billing.types import Cost, CostSource, Terms
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
CACHING = Price(
    id=5,
    base=Rates(input=Decimal(3), cached=Decimal("0.3"), cache_write=Decimal("3.75"), output=Decimal(15)),
    tiers=(
        Tier(
            above_tokens=200_000,
            rates=Rates(input=Decimal(6), cached=Decimal("0.6"), cache_write=Decimal("7.5"), output=Decimal("22.5")),
        ),
    ),
)
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
        (CACHING, Usage(input_tokens=100, cache_write_tokens=100), "0.000375"),
        (CACHING, Usage(input_tokens=100, cached_tokens=40, cache_write_tokens=50), "0.0002295"),
        (CACHING, Usage(input_tokens=100, cached_tokens=80, cache_write_tokens=99), "0.000099"),  # no more than 20
        (CACHING, Usage(input_tokens=200_001, cache_write_tokens=1), "1.2000075"),
        (PLAIN, Usage(input_tokens=10, cache_write_tokens=10), "0.00001"),
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
    price=st.sampled_from([GEMINI, PLAIN, THINKING, PER_CALL, CACHING]),
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


rates_of_some_price = st.builds(
    Rates,
    input=amounts,
    output=amounts,
    cached=st.none() | amounts,
    cache_write=st.none() | amounts,
    reasoning=st.none() | amounts,
)
TIER_EDGES = (40, 60, 100)  # the request's input is bounded by 132 tokens
some_prices = st.builds(
    lambda base, steps, **rest: Price(
        id=9,
        base=base,
        tiers=tuple(Tier(above_tokens=n, rates=r) for n, r in zip(TIER_EDGES, steps, strict=False)),
        **rest,
    ),
    base=rates_of_some_price,
    steps=st.lists(rates_of_some_price, max_size=3),
    per_request=amounts,
    per_input_image=amounts,
)
parts = st.integers(0, 200)  # reported parts may exceed their whole
BOUND = input_tokens_bound(REQUEST)
at_edges = st.sampled_from(sorted({0, 1, BOUND, *(edge + step for edge in TIER_EDGES for step in (-1, 0, 1))}))
uses_within_bounds = st.builds(
    Usage,
    input_tokens=at_edges | st.integers(0, BOUND),
    cached_tokens=parts,
    cache_write_tokens=parts,
    output_tokens=st.sampled_from([0, 1, 999, 1000]) | st.integers(0, 1000),
    reasoning_tokens=st.integers(0, 2000),
)


@given(price=some_prices, usage=uses_within_bounds)
def test_at_any_price_no_usage_within_the_bounds_costs_more_than_the_worst_case(price: Price, usage: Usage) -> None:
    assert 0 <= price.per_request <= cost_usd(price, usage) <= worst_case_usd(price, REQUEST)


@given(price=some_prices, output=st.integers(0, 1000), more=st.integers(0, 1000), text=st.integers(0, 400))
def test_a_longer_request_has_no_smaller_worst_case(price: Price, output: int, more: int, text: int) -> None:
    shorter = replace(REQUEST, max_output_tokens=output)
    longer = replace(shorter, max_output_tokens=output + more, system=REQUEST.system + "s" * text)
    assert worst_case_usd(price, shorter) <= worst_case_usd(price, longer)


@given(price=some_prices, usage=uses_within_bounds, part=st.sampled_from(["output_tokens", "images"]), more=parts)
def test_a_longer_reply_and_another_image_never_cost_less(price: Price, usage: Usage, part: str, more: int) -> None:
    usage = replace(usage, reasoning_tokens=0)
    longer = replace(usage, **{part: getattr(usage, part) + more})
    assert cost_usd(price, usage) <= cost_usd(price, longer)


@given(usage=uses_within_bounds, more=st.integers(1, 10**6))
def test_where_longer_is_dearer_more_input_never_costs_less(usage: Usage, more: int) -> None:
    usage = replace(usage, input_tokens=usage.input_tokens + 199_900)  # the next tokens reach the tier
    for price in (GEMINI, CACHING, PLAIN, PER_CALL):
        assert cost_usd(price, usage) < cost_usd(price, replace(usage, input_tokens=usage.input_tokens + more))


@given(price=some_prices, usage=uses_within_bounds)
def test_a_seller_within_the_price_cap_stays_within_the_worst_case(price: Price, usage: Usage) -> None:
    cap = price_cap(price, REQUEST)
    seller = Price(
        id=0,
        base=Rates(input=cap.input_usd_per_million, output=cap.output_usd_per_million),
        per_request=price.per_request,
    )
    assert cost_usd(seller, usage) <= worst_case_usd(price, REQUEST)


def test_a_price_cap_is_the_dearest_plain_rate_that_may_apply() -> None:
    long = replace(REQUEST, system="s" * 500_000)
    caps = [price_cap(CACHING, request) for request in (REQUEST, long)]
    assert [(cap.input_usd_per_million, cap.output_usd_per_million) for cap in caps] == [
        (Decimal(3), Decimal(15)),
        (Decimal(6), Decimal("22.5")),
    ]


@given(price=st.sampled_from([GEMINI, PLAIN, THINKING, PER_CALL, CACHING]), budget=st.decimals(0, "0.03", places=10))
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


@pytest.mark.parametrize("price", [GEMINI, THINKING, PER_CALL, CACHING])
def test_an_estimate_stays_within_what_was_held(price: Price) -> None:
    """A server without usage may send more than it was allowed to; the estimate is still one of the request's."""
    endless = Completion(
        text="x" * 1_000_000,
        finish=FinishReason.STOP,
        usage=Usage(input_tokens=9_000_000, output_tokens=250_000, reasoning_tokens=250_000, images=4),
        model=MODEL,
        usage_estimated=True,
    )
    found = cost_of(endless, price=price, request=REQUEST)
    assert found.source is CostSource.ESTIMATED
    assert found.usage.output_tokens == REQUEST.max_output_tokens
    assert found.exact_usd <= worst_case_usd(price, REQUEST)


def test_a_reported_cost_that_no_call_can_have_is_not_believed() -> None:
    reply = Completion(
        text="x", finish=FinishReason.STOP, usage=Usage(output_tokens=10), model=MODEL, cost_usd=Decimal("10000.01")
    )
    assert cost_of(reply, price=PLAIN, request=REQUEST).source is CostSource.COMPUTED


@pytest.mark.parametrize(
    ("price", "reported", "source", "doubted"),
    [
        (PLAIN, "0.00004", CostSource.REPORTED, False),
        (PLAIN, "0.0004", CostSource.REPORTED, False),
        (PLAIN, "0.000004", CostSource.REPORTED, False),
        (PLAIN, "0.0004000001", CostSource.REPORTED, True),
        (PLAIN, "0.0000039999", CostSource.REPORTED, True),
        (PLAIN, "4", CostSource.COMPUTED, False),
        (FREE, "0.0000000001", CostSource.REPORTED, True),
    ],
)
def test_a_reported_cost_ten_times_off_is_doubted(
    *, price: Price, reported: str, source: CostSource, doubted: bool
) -> None:
    cost = Cost(usage=Usage(output_tokens=10), exact_usd=Decimal(reported), source=source)
    assert is_implausible(cost, price=price) is doubted
