"""The rows of model_pricing: seeded, set by the operator, read. A changed price is a new row; only `is_active` falls.

No active row, no call: an unpriced model is refused before any network I/O. A price of zero is somebody's decision
(`is_free`), never a gap in a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing.pricing import Offer, Price, Rates, Tier
from bottega.billing.tables import LONGEST_NAME, LONGEST_PROVIDER, ModelPricing
from bottega.core.errors import AppError
from bottega.llm.catalogue import DEAREST_USD
from bottega.llm.types import ModelName

DEMO_RATES = Rates(input=Decimal("1.25"), cached=Decimal("0.125"), output=Decimal(10))
"""Of the scripted provider: those of a middling commercial model, so that the demo's receipt is real arithmetic."""


PUBLISHED = "genai-prices"
OPERATOR = "operator"


class UnpricedModel(AppError):
    code = "unpriced_model"
    http_status = 409

    def __init__(self, model: ModelName) -> None:
        super().__init__(
            f"{model} has no price, so it cannot be used: nobody could say what it costs. Take the provider's with "
            f"`bottega pricing sync {model}`, or set one with `bottega pricing set {model} --input USD --output USD` "
            "(per million tokens), or --free."
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

    def known(self, model: ModelName) -> Price | None:
        """Return the price that is remembered, if one is: no session is needed for it."""
        return self._known.get(model)

    def forget(self, model: ModelName) -> None:
        self._known.pop(model, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRow:
    """A price and where it came from: genai-prices, openrouter, operator or demo."""

    model: ModelName
    price: Price
    source: str
    since: datetime
    is_active: bool
    notes: str | None


async def active_price(session: AsyncSession, *, model: ModelName) -> Price:
    """Return the active price, or raise UnpricedModel."""
    row = await active_row(session, model=model)
    if row is None:
        raise UnpricedModel(model)
    return row.price


async def active_row(session: AsyncSession, *, model: ModelName) -> PriceRow | None:
    row = (await session.scalars(select(ModelPricing).where(*_active(model)))).one_or_none()
    return None if row is None else _price_row(row)


async def active_prices(session: AsyncSession) -> tuple[PriceRow, ...]:
    """Return every active price, by provider and name."""
    statement = select(ModelPricing).where(ModelPricing.is_active)
    rows = await session.scalars(statement.order_by(ModelPricing.model_provider, ModelPricing.model_name))
    return tuple(map(_price_row, rows))


async def price_history(session: AsyncSession, *, model: ModelName) -> tuple[PriceRow, ...]:
    """Return every price a model has had, the newest first."""
    theirs = (ModelPricing.model_provider == model.provider, ModelPricing.model_name == model.name)
    return tuple(
        map(_price_row, await session.scalars(select(ModelPricing).where(*theirs).order_by(ModelPricing.id.desc())))
    )


async def set_price(
    session: AsyncSession,
    *,
    model: ModelName,
    rates: Rates,
    tiers: Sequence[Tier] = (),
    per_request: Decimal | None = None,
    per_input_image: Decimal | None = None,
    is_free: bool = False,
    source: str = OPERATOR,
    notes: str | None = None,
) -> Price:
    """Replace a model's price by a new row and return it. Calls already held keep the price they were held at."""
    offer = Offer(
        base=rates,
        tiers=tuple(sorted(tiers, key=lambda tier: tier.above_tokens)),
        per_request=per_request or Decimal(0),
        per_input_image=per_input_image or Decimal(0),
        is_free=is_free,
    )
    return await set_offer(session, model=model, offer=offer, source=source, notes=notes)


async def set_offer(
    session: AsyncSession, *, model: ModelName, offer: Offer, source: str, notes: str | None = None
) -> Price:
    """Make what `source` asks for a model its active price; raise InvalidPrice for what nobody can mean."""
    _check_name(model)
    check_offer(offer)
    await lock_prices(session)
    await session.execute(update(ModelPricing).where(*_active(model)).values(is_active=False))
    values = _values(model=model, offer=offer.rounded(), source=source) | {"notes": notes}
    row = (await session.scalars(insert(ModelPricing).values(values).returning(ModelPricing))).one()
    return price_of(row)


async def lock_prices(session: AsyncSession) -> None:
    """Let one transaction at a time replace prices; reading them waits for nobody."""
    await session.execute(text("LOCK TABLE model_pricing IN SHARE ROW EXCLUSIVE MODE"))


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
        cache_write=row.cache_write_cost_per_million_tokens,
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


_TIER = (
    ("input", "input"),
    ("output", "output"),
    ("cached", "cached_input"),
    ("cache_write", "cache_write"),
    ("reasoning", "reasoning"),
)
"""A rate's name in Rates, and in a row's tiers."""


def check_offer(offer: Offer) -> None:
    """Raise InvalidPrice for what nobody can mean."""
    amounts = offer.amounts
    if any(not amount.is_finite() or amount < 0 for amount in amounts):
        raise InvalidPrice("A price is a number of US dollars, zero or more.")
    if any(amount > DEAREST_USD for amount in amounts):
        raise InvalidPrice(f"No price is above {DEAREST_USD:,} US dollars; prices of tokens are per million of them.")
    thresholds = [tier.above_tokens for tier in offer.tiers]
    if len(set(thresholds)) < len(thresholds) or any(not 0 < above <= _LONGEST_INPUT for above in thresholds):
        raise InvalidPrice("Each tier begins above a number of tokens of its own, from 1 to a billion.")
    if offer.is_free and any(amounts):
        raise InvalidPrice("A free model has no prices: leave out --free or the prices.")
    if not offer.is_free and not any(amounts):
        raise InvalidPrice("A price of zero must be said outright: use --free.")


_LONGEST_INPUT = 10**9


def _check_name(model: ModelName) -> None:
    fits = len(model.provider) <= LONGEST_PROVIDER and len(model.name) <= LONGEST_NAME
    if not fits or not str(model).isprintable():
        raise InvalidPrice("That is no model's name: it is too long, or holds characters that cannot be printed.")


def _price_row(row: ModelPricing) -> PriceRow:
    return PriceRow(
        model=ModelName(provider=row.model_provider, name=row.model_name),
        price=price_of(row),
        source=row.source,
        since=row.effective_from,
        is_active=row.is_active,
        notes=row.notes,
    )


def _active(model: ModelName) -> tuple[Any, ...]:
    return (
        ModelPricing.model_provider == model.provider,
        ModelPricing.model_name == model.name,
        ModelPricing.is_active,
    )


def _published(model: ModelName, *, at: datetime) -> dict[str, Any] | None:
    if model.provider == "scripted":
        return _values(model=model, offer=Offer(base=DEMO_RATES), source="demo")
    from bottega.billing.published import published_offer  # noqa: PLC0415  (its price table takes 0.1 s to import)

    offer = published_offer(model, at=at)
    # A published zero may be a gap; free use is for the operator to declare.
    if offer is None or (offer.base.input == 0 and offer.base.output == 0):
        return None
    return _values(model=model, offer=offer.rounded(), source=PUBLISHED)


def _values(*, model: ModelName, offer: Offer, source: str) -> dict[str, Any]:
    return {
        "model_provider": model.provider,
        "model_name": model.name,
        "input_cost_per_million_tokens": offer.base.input,
        "output_cost_per_million_tokens": offer.base.output,
        "cached_input_cost_per_million_tokens": offer.base.cached,
        "cache_write_cost_per_million_tokens": offer.base.cache_write,
        "reasoning_cost_per_million_tokens": offer.base.reasoning,
        "cost_per_request": offer.per_request or None,
        "image_input_cost_per_image": offer.per_input_image or None,
        "tiers": [_tier_values(tier) for tier in offer.tiers],
        "is_free": offer.is_free,
        "source": source,
    }


def _tier_values(tier: Tier) -> dict[str, str]:
    rates = {column: getattr(tier.rates, name) for name, column in _TIER}
    return {"above_tokens": str(tier.above_tokens)} | {c: f"{rate:f}" for c, rate in rates.items() if rate is not None}
