"""What a call costs, exactly: functions of a price and of what was used, in Decimal.

A tier reprices the whole call once its input is longer than the tier's threshold. Input that was read from a cache or
written to one, and output that was reasoned, are priced apart where the price row says so. No usage within a request's
bounds costs more than its worst case. Nothing is rounded here except a charge, once, upwards.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Context, Decimal, localcontext

from bottega.billing.types import Cost, CostSource, Terms
from bottega.core.money import round_up_credits, round_up_usd, usd_to_credits
from bottega.llm.types import Completion, CompletionRequest, PriceCap, Usage

_MILLION = Decimal(1_000_000)
_BYTES_PER_TOKEN = 4  # the median of source and prose; an estimate
_LEAST_BYTES_PER_TOKEN = 2  # fewer were measured only in files of digits and symbols; a bound
_TOKENS_PER_MESSAGE = 16
_DEAREST_CALL_USD = Decimal(10_000)
_IMPLAUSIBLE = 10  # times what the price row says, or a part of it: one of the two is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """US dollars per million tokens. What is None has no price of its own: that of input, of output for `reasoning`."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    reasoning: Decimal | None = None

    @property
    def for_cached(self) -> Decimal:
        return self.input if self.cached is None else self.cached

    @property
    def for_cache_write(self) -> Decimal:
        return self.input if self.cache_write is None else self.cache_write

    @property
    def for_reasoning(self) -> Decimal:
        return self.output if self.reasoning is None else self.reasoning

    @property
    def amounts(self) -> tuple[Decimal, ...]:
        """Return the prices that are stated."""
        stated = (self.input, self.output, self.cached, self.cache_write, self.reasoning)
        return tuple(amount for amount in stated if amount is not None)

    @property
    def dearest_input(self) -> Decimal:
        return max(self.input, self.for_cached, self.for_cache_write)

    @property
    def dearest_output(self) -> Decimal:
        return max(self.output, self.for_reasoning)

    def rounded(self) -> "Rates":
        """Return the rates as columns hold them: dearer by less than their last digit, never cheaper."""
        return Rates(
            input=round_up_usd(self.input),
            output=round_up_usd(self.output),
            cached=None if self.cached is None else round_up_usd(self.cached),
            cache_write=None if self.cache_write is None else round_up_usd(self.cache_write),
            reasoning=None if self.reasoning is None else round_up_usd(self.reasoning),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    above_tokens: int
    rates: Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What somebody asks for a model. `tiers` ascend."""

    base: Rates
    tiers: tuple[Tier, ...] = ()
    per_request: Decimal = Decimal(0)
    per_input_image: Decimal = Decimal(0)
    is_free: bool = False

    @property
    def amounts(self) -> tuple[Decimal, ...]:
        """Return every price that is stated."""
        of_tiers = (amount for tier in self.tiers for amount in tier.rates.amounts)
        return (self.per_request, self.per_input_image, *self.base.amounts, *of_tiers)

    def rounded(self) -> "Offer":
        """Return the offer as a row holds it."""
        return Offer(
            base=self.base.rounded(),
            tiers=tuple(replace(tier, rates=tier.rates.rounded()) for tier in self.tiers),
            per_request=round_up_usd(self.per_request),
            per_input_image=round_up_usd(self.per_input_image),
            is_free=self.is_free,
        )

    def rates_for(self, *, input_tokens: int) -> Rates:
        return self.rates_up_to(input_tokens=input_tokens)[-1]

    def rates_up_to(self, *, input_tokens: int) -> Sequence[Rates]:
        return (self.base, *(tier.rates for tier in self.tiers if input_tokens > tier.above_tokens))


@dataclass(frozen=True, slots=True, kw_only=True)
class Price(Offer):
    """One row of model_pricing."""

    id: int

    @property
    def offer(self) -> Offer:
        return Offer(
            base=self.base,
            tiers=self.tiers,
            per_request=self.per_request,
            per_input_image=self.per_input_image,
            is_free=self.is_free,
        )


def cost_usd(price: Price, usage: Usage) -> Decimal:
    """Return the exact cost of what was used. Nothing is free by being miscounted: parts never exceed their whole."""
    rates = price.rates_for(input_tokens=usage.input_tokens)
    cached = min(usage.cached_tokens, usage.input_tokens)
    written = min(usage.cache_write_tokens, usage.input_tokens - cached)
    reasoning = min(usage.reasoning_tokens, usage.output_tokens)
    tokens = (
        (usage.input_tokens - cached - written) * rates.input
        + cached * rates.for_cached
        + written * rates.for_cache_write
        + (usage.output_tokens - reasoning) * rates.output
        + reasoning * rates.for_reasoning
    )
    return tokens / _MILLION + price.per_request + usage.images * price.per_input_image


def worst_case_usd(price: Price, request: CompletionRequest) -> Decimal:
    """Return the most the request can cost: every token at the dearest rate its length allows.

    A request is text and asks for text, so that no image enters it.
    """
    output = request.max_output_tokens * _dearest_output(price, request)
    return _dearest_input_usd(price, request) + output / _MILLION + price.per_request


def price_cap(price: Price, request: CompletionRequest) -> PriceCap:
    """Return the dearest seller with whom the worst case still holds, for a gateway that picks one.

    A gateway compares a seller's plain rates. What caching and reasoning cost at that seller follows from them.
    """
    reached = price.rates_up_to(input_tokens=input_tokens_bound(request))
    return PriceCap(
        input_usd_per_million=max(rates.input for rates in reached),
        output_usd_per_million=max(rates.output for rates in reached),
    )


def output_tokens_within(price: Price, request: CompletionRequest, *, budget_usd: Decimal) -> int:
    """Return the most output tokens with which the request's worst case stays within the budget."""
    left = budget_usd - _dearest_input_usd(price, request) - price.per_request
    rate = _dearest_output(price, request)
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
    """Return what a reply cost: as reported, else tokens at the price row, else an estimate within the worst case.

    A reported zero on a model that is not free is not believed: gateways report it when they failed to add up.
    """
    usage, estimated = completion.usage, completion.usage_estimated
    if completion.text and not usage.output_tokens:
        usage, estimated = estimated_usage(request, text=completion.text), True
    if estimated:
        usage = _within_bounds(usage, request)
    if (reported := believable(completion.cost_usd)) is not None:
        return Cost(usage=usage, exact_usd=reported, source=CostSource.REPORTED)
    source = CostSource.ESTIMATED if estimated else CostSource.COMPUTED
    return Cost(usage=usage, exact_usd=cost_usd(price, usage), source=source)


def believable(reported_usd: Decimal | None) -> Decimal | None:
    """Return a provider's own figure at the precision it is stored with, or None when it says nothing."""
    if reported_usd is None or not reported_usd.is_finite() or not 0 < reported_usd <= _DEAREST_CALL_USD:
        return None
    return round_up_usd(reported_usd)


def is_implausible(cost: Cost, *, price: Price) -> bool:
    """Tell a reported cost that the price row cannot explain. It is billed all the same, and somebody should look."""
    if cost.source is not CostSource.REPORTED:
        return False
    computed = cost_usd(price, cost.usage)
    return not computed / _IMPLAUSIBLE <= cost.exact_usd <= computed * _IMPLAUSIBLE


def charge_credits(cost: Decimal, *, terms: Terms) -> Decimal:
    """Return the credits to charge for a cost in US dollars: rounded up once, at the 8th decimal."""
    with localcontext(Context(prec=60, rounding=ROUND_CEILING)):  # the division, too, may only err upwards
        return round_up_credits(usd_to_credits(cost, credit_value_usd=terms.credit_value_usd, markup=terms.markup))


def _dearest_input_usd(price: Price, request: CompletionRequest) -> Decimal:
    tokens = input_tokens_bound(request)
    return tokens * max(rates.dearest_input for rates in price.rates_up_to(input_tokens=tokens)) / _MILLION


def _dearest_output(price: Price, request: CompletionRequest) -> Decimal:
    return max(rates.dearest_output for rates in price.rates_up_to(input_tokens=input_tokens_bound(request)))


def _within_bounds(usage: Usage, request: CompletionRequest) -> Usage:
    return replace(
        usage,
        input_tokens=min(usage.input_tokens, input_tokens_bound(request)),
        output_tokens=min(usage.output_tokens, request.max_output_tokens),
        images=0,
    )


def _request_bytes(request: CompletionRequest) -> int:
    parts = [request.system, *(message.content for message in request.messages)]
    if request.schema is not None:
        parts.append(json.dumps(request.schema))
    return sum(len(part.encode("utf-8", "surrogatepass")) for part in parts)
