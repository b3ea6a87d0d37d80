"""What models cost: read and set by admins. A price is replaced, never changed: calls already made keep theirs."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, status
from pydantic import Field, StrictBool, StrictStr

from bottega.access import audit
from bottega.billing import prices
from bottega.billing.prices import PriceRow
from bottega.billing.pricing import Rates, Tier
from bottega.entrypoints.http.api.house import Admin, OnceKey, TheHouse
from bottega.entrypoints.http.api.route import ApiRoute
from bottega.entrypoints.http.api.wire import Asked, Exact, Told
from bottega.entrypoints.http.identity import actor_of
from bottega.llm.types import ModelName
from bottega.orchestration.commands import deeds

router = APIRouter(prefix="/v1/admin/prices", tags=["Administration"], route_class=ApiRoute)

Usd = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=10, allow_inf_nan=False, examples=["1.25"])]
MOST_TIERS = 20


class GivenRates(Asked):
    """US dollars per million tokens."""

    input: Usd = Decimal(0)
    output: Usd = Decimal(0)
    cached: Usd | None = None
    cache_write: Usd | None = None
    reasoning: Usd | None = None


class GivenTier(Asked):
    above_tokens: Annotated[int, Field(strict=True, ge=1, le=10**9)]
    rates: GivenRates


class NewPrice(Asked):
    model: StrictStr = Field(min_length=3, max_length=356, examples=["google/gemini-2.5-pro"])
    rates: GivenRates = Field(default_factory=GivenRates)
    tiers: list[GivenTier] = Field(default_factory=list, max_length=MOST_TIERS)
    per_request: Usd | None = None
    per_input_image: Usd | None = None
    is_free: StrictBool = Field(default=False, description="Zero must be meant: a server of your own.")


class ShownRates(Told):
    input: Exact
    output: Exact
    cached: Exact | None
    cache_write: Exact | None
    reasoning: Exact | None


class ShownTier(Told):
    above_tokens: int
    rates: ShownRates


class Price(Told):
    model: str
    rates: ShownRates
    tiers: list[ShownTier]
    per_request: Exact
    per_input_image: Exact
    is_free: bool
    source: str = Field(examples=["operator"])
    since: datetime


class Prices(Told):
    items: list[Price]


@router.get("")
async def list_prices(_: Admin, house: TheHouse) -> Prices:
    """List the prices that hold, by model."""
    async with house.database.reading() as session:
        found = await prices.active_prices(session)
    return Prices(items=[_price(row) for row in found])


@router.post("", status_code=status.HTTP_201_CREATED)
async def set_price(new: NewPrice, who: Admin, house: TheHouse, key: OnceKey) -> Price:
    """Set a model's price. No sync with its provider replaces it."""
    model = ModelName.parse(new.model)
    tiers = [Tier(above_tokens=tier.above_tokens, rates=_rates(tier.rates)) for tier in new.tiers]
    async with house.database.transaction() as session:

        async def replace(_: object) -> deeds.Projects:
            await prices.set_price(
                session,
                model=model,
                rates=_rates(new.rates),
                tiers=tiers,
                per_request=new.per_request,
                per_input_image=new.per_input_image,
                is_free=new.is_free,
            )
            facts: audit.Facts = {
                "input": f"{new.rates.input:f}",
                "output": f"{new.rates.output:f}",
                "is_free": new.is_free,
            }
            await audit.record(session, actor=actor_of(who), action="price.set", subject=str(model), after=facts)
            return ()

        await deeds.once(session, user_id=who.user_id, key=key, act=replace)
        row = await prices.active_row(session, model=model)
    if row is None:
        raise prices.UnpricedModel(model)
    return _price(row)


def _rates(given: GivenRates) -> Rates:
    return Rates(
        input=given.input,
        output=given.output,
        cached=given.cached,
        cache_write=given.cache_write,
        reasoning=given.reasoning,
    )


def _price(row: PriceRow) -> Price:
    offer = row.price.offer
    return Price(
        model=str(row.model),
        rates=ShownRates.model_validate(offer.base),
        tiers=[ShownTier.model_validate(tier) for tier in offer.tiers],
        per_request=offer.per_request,
        per_input_image=offer.per_input_image,
        is_free=offer.is_free,
        source=row.source,
        since=row.since,
    )
