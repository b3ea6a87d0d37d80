"""What a call costs, exactly: functions of a price and of what was used, in Decimal.

A tier reprices the whole call once its input is longer than the tier's threshold. Input that was cached and output that
was reasoned are priced apart where the price row says so. Nothing is rounded here except a charge, once, upwards.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal, localcontext

from bottega.billing.types import Cost, CostSource, Terms
from bottega.core.money import round_up_credits, round_up_usd, usd_to_credits
from bottega.llm.types import Completion, CompletionRequest, Usage

_MILLION = Decimal(1_000_000)
_BYTES_PER_TOKEN = 4  # the median of source and prose; an estimate
_LEAST_BYTES_PER_TOKEN = 2  # fewer were measured only in files of digits and symbols; a bound
_TOKENS_PER_MESSAGE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """US dollars per million tokens; `reasoning` None means the price of output, `cached` None that of input."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    reasoning: Decimal | None = None

    @property
    def dearest_input(self) -> Decimal:
        return self.input if self.cached is None else max(self.input, self.cached)

    @property
    def dearest_output(self) -> Decimal:
        return self.output if self.reasoning is None else max(self.output, self.reasoning)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    above_tokens: int
    rates: Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One row of model_pricing. `tiers` ascend."""

    id: int
    base: Rates
    tiers: tuple[Tier, ...] = ()
    per_request: Decimal = Decimal(0)
    per_input_image: Decimal = Decimal(0)
    is_free: bool = False

    def rates_for(self, *, input_tokens: int) -> Rates:
        reached = [tier.rates for tier in self.tiers if input_tokens > tier.above_tokens]
        return reached[-1] if reached else self.base

    def rates_up_to(self, *, input_tokens: int) -> Iterable[Rates]:
        return (self.base, *(tier.rates for tier in self.tiers if input_tokens > tier.above_tokens))


def cost_usd(price: Price, usage: Usage) -> Decimal:
    """Return the exact cost of what was used. Nothing is free by being miscounted: parts never exceed their whole."""
    rates = price.rates_for(input_tokens=usage.input_tokens)
    cached = min(usage.cached_tokens, usage.input_tokens)
    reasoning = min(usage.reasoning_tokens, usage.output_tokens)
    tokens = (
        (usage.input_tokens - cached) * rates.input
        + cached * (rates.input if rates.cached is None else rates.cached)
        + (usage.output_tokens - reasoning) * rates.output
        + reasoning * (rates.output if rates.reasoning is None else rates.reasoning)
    )
    return tokens / _MILLION + price.per_request + usage.images * price.per_input_image


def worst_case_usd(price: Price, request: CompletionRequest) -> Decimal:
    """Return more than the request can cost: every token at the dearest rate its length allows."""
    tokens = input_tokens_bound(request)
    dearest = max(rates.dearest_input for rates in price.rates_up_to(input_tokens=tokens))
    output = request.max_output_tokens * _dearest_output(price, input_tokens=tokens)
    return (tokens * dearest + output) / _MILLION + price.per_request


def output_tokens_within(price: Price, request: CompletionRequest, *, budget_usd: Decimal) -> int:
    """Return the most output tokens with which the request's worst case stays within the budget."""
    tokens = input_tokens_bound(request)
    dearest = max(rates.dearest_input for rates in price.rates_up_to(input_tokens=tokens))
    left = budget_usd - tokens * dearest / _MILLION - price.per_request
    rate = _dearest_output(price, input_tokens=tokens)
    if left < 0:
        return 0
    return request.max_output_tokens if rate == 0 else min(request.max_output_tokens, int(left * _MILLION / rate))


def input_tokens_bound(request: CompletionRequest) -> int:
    """Return an upper bound on the request's input tokens, from its bytes."""
    return -(-_request_bytes(request) // _LEAST_BYTES_PER_TOKEN) + _TOKENS_PER_MESSAGE * (len(request.messages) + 1)


def estimated_usage(request: CompletionRequest, *, text: str) -> Usage:
    """Guess what a call used when nobody counted, from the bytes that went out and came back."""
    return Usage(
        input_tokens=_request_bytes(request) // _BYTES_PER_TOKEN + _TOKENS_PER_MESSAGE * (len(request.messages) + 1),
        output_tokens=min(len(text.encode()) // _BYTES_PER_TOKEN + 1, request.max_output_tokens),
    )


def cost_of(completion: Completion, *, price: Price, request: CompletionRequest) -> Cost:
    """Return what a reply cost: as reported, else tokens at the price row, else an estimate.

    A reported zero on a model that is not free is not believed: gateways report it when they failed to add up.
    """
    usage, estimated = completion.usage, completion.usage_estimated
    if completion.text and not usage.output_tokens:
        usage, estimated = estimated_usage(request, text=completion.text), True
    if (reported := believable(completion.cost_usd)) is not None:
        return Cost(usage=usage, exact_usd=reported, source=CostSource.REPORTED)
    source = CostSource.ESTIMATED if estimated else CostSource.COMPUTED
    return Cost(usage=usage, exact_usd=cost_usd(price, usage), source=source)


def believable(reported_usd: Decimal | None) -> Decimal | None:
    """Return a provider's own figure at the precision it is stored with, or None when it says nothing."""
    if reported_usd is None or not reported_usd.is_finite() or reported_usd <= 0:
        return None
    return round_up_usd(reported_usd)


def charge_credits(cost: Decimal, *, terms: Terms) -> Decimal:
    """Return the credits to charge for a cost in US dollars: rounded up once, at the 8th decimal."""
    with localcontext(Context(prec=60, rounding=ROUND_CEILING)):  # the division, too, may only err upwards
        return round_up_credits(usd_to_credits(cost, credit_value_usd=terms.credit_value_usd, markup=terms.markup))


def _dearest_output(price: Price, *, input_tokens: int) -> Decimal:
    return max(rates.dearest_output for rates in price.rates_up_to(input_tokens=input_tokens))


def _request_bytes(request: CompletionRequest) -> int:
    parts = [request.system, *(message.content for message in request.messages)]
    if request.schema is not None:
        parts.append(json.dumps(request.schema))
    return sum(len(part.encode("utf-8", "surrogatepass")) for part in parts)
