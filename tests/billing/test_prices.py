import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from bottega.billing.prices import (
    DEMO_RATES,
    InvalidPrice,
    PriceBook,
    UnpricedModel,
    active_price,
    active_prices,
    price_history,
    seed_prices,
    set_price,
)
from bottega.billing.pricing import Price, Rates, Tier, cost_usd
from bottega.billing.tables import ModelPricing
from bottega.db.transaction import Database
from bottega.llm.types import ModelName, Usage

GEMINI = ModelName.parse("google/gemini-2.5-pro")
DEMO = ModelName.parse("scripted/demo")
HOUSE = ModelName.parse("local/house")
RATES = Rates(input=Decimal(1), output=Decimal(2))
AT = datetime(2026, 11, 20, tzinfo=UTC)


async def seed(database: Database, *models: ModelName) -> tuple[ModelName, ...]:
    async with database.transaction() as session:
        return await seed_prices(session, models=models, at=AT)


async def read(database: Database, model: ModelName) -> Price:
    async with database.transaction() as session:
        return await active_price(session, model=model)


async def test_seeded_prices_reprice_a_long_context(database: Database) -> None:
    assert await seed(database, GEMINI, GEMINI) == ()
    price = await read(database, GEMINI)
    long = Usage(input_tokens=250_000, cached_tokens=100_000, output_tokens=1_000)
    assert cost_usd(price, long) == Decimal("0.415")
    assert [tier.above_tokens for tier in price.tiers] == [200_000]


async def test_the_scripted_model_has_a_price_of_its_own(database: Database) -> None:
    assert await seed(database, DEMO) == ()
    assert (await read(database, DEMO)).base == DEMO_RATES


async def test_a_model_nobody_publishes_a_price_for_stays_unpriced(database: Database) -> None:
    missing = ModelName.parse("google/no-such-model")
    assert await seed(database, missing, HOUSE, DEMO) == (missing, HOUSE)
    with pytest.raises(UnpricedModel, match=r"local/house has no price.*bottega pricing set local/house"):
        await read(database, HOUSE)


async def test_seeding_leaves_the_operators_price_alone(database: Database) -> None:
    async with database.transaction() as session:
        mine = await set_price(session, model=GEMINI, rates=RATES)
    assert await seed(database, GEMINI) == ()
    assert await read(database, GEMINI) == mine


async def test_a_changed_price_is_a_new_row(database: Database) -> None:
    tier = Tier(above_tokens=10, rates=Rates(input=Decimal(3), output=Decimal("0.0000000001"), reasoning=Decimal(5)))
    async with database.transaction() as session:
        old = await set_price(session, model=HOUSE, rates=RATES)
        new = await set_price(session, model=HOUSE, rates=RATES, tiers=(tier,), per_request=Decimal("0.5"))
    assert await read(database, HOUSE) == new
    assert (new.tiers, new.per_request, old.tiers) == ((tier,), Decimal("0.5"), ())
    async with database.transaction() as session:
        rows = (await session.execute(select(ModelPricing.id, ModelPricing.is_active).order_by(ModelPricing.id))).all()
    assert [(row.id, row.is_active) for row in rows] == [(old.id, False), (new.id, True)]


async def test_a_price_row_cannot_be_edited(database: Database) -> None:
    await seed(database, DEMO)
    with pytest.raises(DBAPIError):
        async with database.transaction() as session:
            await session.execute(text("UPDATE model_pricing SET output_cost_per_million_tokens = 0"))


async def test_a_price_of_zero_is_said_outright(database: Database) -> None:
    nothing = Rates(input=Decimal(0), output=Decimal(0))
    async with database.transaction() as session:
        for rates, is_free in ((nothing, False), (RATES, True), (Rates(input=Decimal(-1), output=Decimal(1)), False)):
            with pytest.raises(InvalidPrice):
                await set_price(session, model=HOUSE, rates=rates, is_free=is_free)
        assert (await set_price(session, model=HOUSE, rates=nothing, is_free=True)).is_free


@pytest.mark.parametrize(
    "wrong",
    [
        {"rates": Rates(input=Decimal("10000.01"), output=Decimal(1))},
        {"rates": replace(RATES, cache_write=Decimal("-0.1"))},
        {"rates": replace(RATES, reasoning=Decimal("NaN"))},
        {"rates": replace(RATES, cached=Decimal("Infinity"))},
        {"rates": RATES, "per_request": Decimal("1e30")},
        {"rates": RATES, "per_input_image": Decimal(-1)},
        {"rates": RATES, "tiers": [Tier(above_tokens=0, rates=RATES)]},
        {"rates": RATES, "tiers": [Tier(above_tokens=10**9 + 1, rates=RATES)]},
        {"rates": RATES, "tiers": 2 * [Tier(above_tokens=5, rates=RATES)]},
        {"rates": RATES, "model": ModelName(provider="p", name="n" * 256)},
        {"rates": RATES, "model": ModelName(provider="p" * 101, name="n")},
        {"rates": RATES, "model": ModelName(provider="p", name="n\0")},
        {"rates": RATES, "model": ModelName(provider="p", name="n\udcff")},
    ],
)
async def test_what_nobody_can_mean_changes_no_price(database: Database, wrong: dict[str, Any]) -> None:
    async with database.transaction() as session:
        mine = await set_price(session, model=HOUSE, rates=RATES)
    with pytest.raises(InvalidPrice):
        async with database.transaction() as session:
            await set_price(session, **({"model": HOUSE} | wrong))
    assert await read(database, HOUSE) == mine


async def test_every_part_of_a_price_is_kept_and_rounded_to_the_dearer_side(database: Database) -> None:
    fine = Decimal("0.00000000001")
    given = Rates(input=fine, output=fine, cached=fine, cache_write=fine, reasoning=fine)
    kept = Decimal("0.0000000001")
    async with database.transaction() as session:
        tiers = [Tier(above_tokens=9, rates=given), Tier(above_tokens=4, rates=given)]
        price = await set_price(session, model=HOUSE, rates=given, tiers=tiers, per_request=fine, per_input_image=fine)
    rates = Rates(input=kept, output=kept, cached=kept, cache_write=kept, reasoning=kept)
    assert price == Price(
        id=price.id,
        base=rates,
        tiers=(Tier(above_tokens=4, rates=rates), Tier(above_tokens=9, rates=rates)),
        per_request=kept,
        per_input_image=kept,
    )
    assert await read(database, HOUSE) == price


async def test_operators_at_once_leave_one_price_each_after_the_other(database: Database) -> None:
    async def set_mine(number: int) -> None:
        async with database.transaction() as session:
            await set_price(session, model=HOUSE, rates=Rates(input=Decimal(number), output=Decimal(1)))

    await asyncio.gather(*(set_mine(number) for number in range(1, 7)))
    async with database.transaction() as session:
        history = await price_history(session, model=HOUSE)
        listed = await active_prices(session)
    assert sorted(row.price.base.input for row in history) == list(range(1, 7))
    assert [row for row in history if row.is_active] == [history[0]] == list(listed)


async def test_a_published_price_of_writing_to_a_cache_is_taken(database: Database) -> None:
    sonnet = ModelName.parse("openrouter/anthropic/claude-sonnet-4.5")
    assert await seed(database, sonnet) == ()
    price = await read(database, sonnet)
    assert (price.base.cache_write, price.base.cached) == (Decimal("3.75"), Decimal("0.3"))
    assert all(tier.rates.cache_write for tier in price.tiers)


@pytest.mark.parametrize("name", ["google/gemini-2.5-flash-image", "google/gemini-3-pro-image-preview"])
async def test_a_model_that_answers_with_images_has_no_published_price(database: Database, name: str) -> None:
    painter = ModelName.parse(name)
    assert await seed(database, painter) == (painter,)


async def test_a_price_book_reads_again_what_it_was_told_to_forget(database: Database) -> None:
    book = PriceBook()
    async with database.transaction() as session:
        old = await set_price(session, model=HOUSE, rates=RATES)
        assert await book.price(session, model=HOUSE) == old
        new = await set_price(session, model=HOUSE, rates=RATES)
        assert await book.price(session, model=HOUSE) == old
        book.forget(HOUSE)
        assert await book.price(session, model=HOUSE) == new
