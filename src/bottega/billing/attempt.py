"""One attempt at a provider: what it was started with, and what became of it. Pure."""

import asyncio
from dataclasses import dataclass
from decimal import Decimal

import structlog

from bottega.billing.observation import Observation
from bottega.billing.pricing import (
    Price,
    believable,
    charge_credits,
    cost_of,
    cost_usd,
    is_implausible,
)
from bottega.billing.types import CallStatus, Cost, CostSource, Hold, Outcome, Terms
from bottega.core.errors import AppError
from bottega.llm.errors import Interrupted, ProviderError, Stalled
from bottega.llm.types import Completion, CompletionRequest, Usage

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """An attempt whose hold is committed; `request` may allow less output than was `asked` for."""

    hold: Hold
    price: Price
    terms: Terms
    request: CompletionRequest
    asked: CompletionRequest

    @property
    def is_shortened(self) -> bool:
        return self.request.max_output_tokens < self.asked.max_output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    usage_id: int
    credits: Decimal
    outcome: Outcome


def owed_for(started: Started, *, completion: Completion) -> Owed:
    cost = cost_of(completion, price=started.price, request=started.request)
    if is_implausible(cost, price=started.price):
        computed = str(cost_usd(started.price, cost.usage))
        _log.warning(
            "billing.cost.implausible",
            usage_id=started.hold.usage_id,
            reported_usd=str(cost.exact_usd),
            computed_usd=computed,
        )
    outcome = Outcome(
        cost=cost,
        request_id=completion.request_id,
        key_fingerprint=completion.key_fingerprint,
        key_id=completion.key_id,
        response_time_ms=completion.response_time_ms,
    )
    credits = charge_credits(cost.exact_usd, terms=started.terms)
    return Owed(usage_id=started.hold.usage_id, credits=credits, outcome=outcome)


def ending_of(error: BaseException, observation: Observation, *, price: Price) -> tuple[CallStatus, Outcome]:
    """Return how an attempt without a reply ends, with what the provider let us know of its cost."""
    if isinstance(error, ProviderError):
        return CallStatus.FAILED, Outcome(
            cost=_loss(error.usage, said_usd=error.cost_usd, price=price),
            request_id=error.request_id or observation.request_id,
            key_fingerprint=error.key_fingerprint,
            key_id=error.key_id,
            error_code=error.code,
            cost_open=isinstance(error, Stalled | Interrupted),
        )
    if isinstance(error, AppError):  # before anything was sent: no key, no such provider
        return CallStatus.FAILED, Outcome(error_code=error.code)
    return CallStatus.ORPHAN, Outcome(
        cost=_loss(observation.usage, said_usd=observation.cost_usd, price=price),
        request_id=observation.request_id,
        error_code="cancelled" if isinstance(error, asyncio.CancelledError) else "defect",
        cost_open=True,
    )


def _loss(usage: Usage | None, *, said_usd: Decimal | None, price: Price) -> Cost | None:
    if (reported := believable(said_usd)) is not None:
        return Cost(usage=usage or Usage(), exact_usd=reported, source=CostSource.REPORTED)
    if usage is None:
        return None
    return Cost(usage=usage, exact_usd=cost_usd(price, usage), source=CostSource.COMPUTED)
