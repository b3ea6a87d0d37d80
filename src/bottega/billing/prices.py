"""The rows of model_pricing: seeded, set by the operator, read. A changed price is a new row; only `is_active` falls.

No active row, no call: an unpriced model is refused before any network I/O. A price of zero is somebody's decision
(`is_free`), never a gap in a table.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing.pricing import Price, Rates, Tier
from bottega.billing.tables import ModelPricing
from bottega.core.errors import AppError
from bottega.llm.types import ModelName

DEMO_RATES = Rates(input=Decimal("1.25"), cached=Decimal("0.125"), output=Decimal(10))
"""Of the scripted provider: those of a middling commercial model, so that the demo's receipt is real arithmetic."""


class UnpricedModel(AppError):
    code = "unpriced_model"
    http_status = 409

    def __init__(self, model: ModelName) -> None:
        super().__init__(
            f"{model} has no price, so it cannot be used: nobody could say what it costs. Set one with "
            f"`bottega pricing set {model} --input USD --output USD` (per million tokens), or --free."
        )
        self.model = model


class InvalidPrice(AppError):
    code = "invalid_price"
    http_status = 422


class PriceBook:
    """Active prices, remembered.

    A remembered price may have been replaced meanwhile. That is safe, because a hold succeeds only while its price row
    is active: whoever is told PriceWithdrawn calls `forget` and reads again.
    """

    def __init__(self) -> None:
        self._known: dict[ModelName, Price] = {}

    async def price(self, session: AsyncSession, *, model: ModelName) -> Price:
        """Return the active price, or raise UnpricedModel."""
        if model not in self._known:
            self._known[model] = await active_price(session, model=model)
        return self._known[model]

    def forget(self, model: ModelName) -> None:
        self._known.pop(model, None)


async def active_price(session: AsyncSession, *, model: ModelName) -> Price:
    """Return the active price, or raise UnpricedModel."""
    row = (await session.scalars(select(ModelPricing).where(*_active(model)))).one_or_none()
    if row is None:
        raise UnpricedModel(model)
    return price_of(row)


async def set_price(
    session: AsyncSession,
    *,
    model: ModelName,
    rates: Rates,
    tiers: Sequence[Tier] = (),
    per_request: Decimal | None = None,
    per_input_image: Decimal | None = None,
    is_free: bool = False,
    source: str = "operator",
    notes: str | None = None,
) -> Price:
    """Replace a model's price by a new row and return it. Calls already held keep the price they were held at."""
    _check(rates=rates, tiers=tiers, per_request=per_request, per_input_image=per_input_image, is_free=is_free)
    await session.execute(update(ModelPricing).where(*_active(model)).values(is_active=False))
    values = _values(model=model, rates=rates, tiers=tiers, source=source) | {
        "cost_per_request": per_request,
        "image_input_cost_per_image": per_input_image,
        "is_free": is_free,
        "notes": notes,
    }
    row = (await session.scalars(insert(ModelPricing).values(values).returning(ModelPricing))).one()
    return price_of(row)


async def seed_prices(session: AsyncSession, *, models: Sequence[ModelName], at: datetime) -> tuple[ModelName, ...]:
    """Give every model without an active price the one that is published for it; return those that have none still."""
    unpriced = []
    for model in dict.fromkeys(models):
        if (await session.scalars(select(ModelPricing.id).where(*_active(model)))).one_or_none() is not None:
            continue
        values = _published(model, at=at)
        if values is None:
            unpriced.append(model)
        else:  # two processes may start at once: the first one's row stands
            await session.execute(insert(ModelPricing).values(values).on_conflict_do_nothing())
    return tuple(unpriced)


def price_of(row: ModelPricing) -> Price:
    base = Rates(
        input=row.input_cost_per_million_tokens,
        output=row.output_cost_per_million_tokens,
        cached=row.cached_input_cost_per_million_tokens,
        reasoning=row.reasoning_cost_per_million_tokens,
    )
    tiers = (
        Tier(
            above_tokens=int(tier["above_tokens"]), rates=Rates(**{k: Decimal(tier[c]) for k, c in _TIER if c in tier})
        )
        for tier in row.tiers
    )
    return Price(
        id=row.id,
        base=base,
        tiers=tuple(sorted(tiers, key=lambda tier: tier.above_tokens)),
        per_request=row.cost_per_request or Decimal(0),
        per_input_image=row.image_input_cost_per_image or Decimal(0),
        is_free=row.is_free,
    )


_TIER = (("input", "input"), ("output", "output"), ("cached", "cached_input"), ("reasoning", "reasoning"))
"""A rate's name in Rates, and in a row's tiers."""


def _active(model: ModelName) -> tuple[Any, ...]:
    return (
        ModelPricing.model_provider == model.provider,
        ModelPricing.model_name == model.name,
        ModelPricing.is_active,
    )


def _published(model: ModelName, *, at: datetime) -> dict[str, Any] | None:
    if model.provider == "scripted":
        return _values(model=model, rates=DEMO_RATES, tiers=(), source="demo")
    from bottega.billing.published import published_rates  # noqa: PLC0415  (its price table takes 0.1 s to import)

    found = published_rates(model, at=at)
    # A published zero may be a gap; free use is for the operator to declare.
    if found is None or (found[0].input == 0 and found[0].output == 0):
        return None
    return _values(model=model, rates=found[0], tiers=found[1], source="genai-prices")


def _values(*, model: ModelName, rates: Rates, tiers: Sequence[Tier], source: str) -> dict[str, Any]:
    return {
        "model_provider": model.provider,
        "model_name": model.name,
        "input_cost_per_million_tokens": rates.input,
        "output_cost_per_million_tokens": rates.output,
        "cached_input_cost_per_million_tokens": rates.cached,
        "reasoning_cost_per_million_tokens": rates.reasoning,
        "tiers": [
            {"above_tokens": str(tier.above_tokens)}
            | {column: f"{rate:f}" for name, column in _TIER if (rate := getattr(tier.rates, name)) is not None}
            for tier in tiers
        ],
        "source": source,
    }


def _check(
    *,
    rates: Rates,
    tiers: Sequence[Tier],
    per_request: Decimal | None,
    per_input_image: Decimal | None,
    is_free: bool,
) -> None:
    every = (rates, *(tier.rates for tier in tiers))
    stated = [per_request, per_input_image, *(a for r in every for a in (r.input, r.output, r.cached, r.reasoning))]
    amounts = [amount for amount in stated if amount is not None]
    if any(not amount.is_finite() or amount < 0 for amount in amounts):
        raise InvalidPrice("A price is a number of US dollars, zero or more.")
    if is_free and any(amounts):
        raise InvalidPrice("A free model has no prices: leave out --free or the prices.")
    if not is_free and not any(amounts):
        raise InvalidPrice("A price of zero must be said outright: use --free.")
