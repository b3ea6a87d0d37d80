"""Prices brought up to what providers ask: what is taken, what is held back, and what is never touched."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select
from tests.billing.scene import set_scene
from tests.fakes.catalogue import BROKEN, FREE, OWL, SAGE, listed
from tests.fakes.http_server import HttpResponse
from tests.fakes.providers import FakeProviders
from tests.llm.requests import gateway

from bottega.billing.price_sync import (
    MOST_CHANGE,
    PriceList,
    PriceSync,
    Selection,
    SyncReport,
    Verdict,
    judge,
    price_list,
    sync_prices,
)
from bottega.billing.prices import PriceRow, active_row, price_history, seed_prices, set_price
from bottega.billing.pricing import Offer, Price, Rates, Tier
from bottega.billing.tables import ModelPricing
from bottega.core.clock import SystemClock
from bottega.db.transaction import Database, transaction_open
from bottega.llm.catalogue import Catalogue
from bottega.llm.errors import ProviderError
from bottega.llm.openrouter_catalogue import read_catalogue
from bottega.llm.types import ModelName

SAGE_NAME = ModelName.parse("openrouter/acme/sage")
OWL_NAME = ModelName.parse("openrouter/acme/owl")
FREE_NAME = ModelName.parse("openrouter/acme/owl:free")
BOTH = Selection(models=(SAGE_NAME, OWL_NAME))
EVERY = Selection(every=True)
ACCEPT_ALL = replace(EVERY, accept_all=True)
AT = datetime(2026, 11, 20, tzinfo=UTC)


def prices(*entries: Any) -> PriceList:
    return price_list(read_catalogue(json.dumps({"data": entries}).encode(), provider="openrouter"))


def owl(prompt: str = "0.0000001", completion: str = "0.0000004", **pricing: Any) -> Any:
    return listed("acme/owl", prompt=prompt, completion=completion, **pricing)


async def sync(
    database: Database, *entries: Any, selection: Selection = EVERY, dry_run: bool = False
) -> dict[str, list[str]]:
    """Return the verdicts that were given, with the models' short names."""
    async with database.transaction() as session:
        report = await sync_prices(session, prices=prices(*entries), selection=selection, dry_run=dry_run)
    return verdicts(report)


def verdicts(report: SyncReport) -> dict[str, list[str]]:
    found = {v.value: [model.name.removeprefix("acme/") for model in report.models(v)] for v in Verdict}
    return {verdict: names for verdict, names in found.items() if names}


async def active(database: Database, model: ModelName = OWL_NAME) -> PriceRow:
    async with database.transaction() as session:
        row = await active_row(session, model=model)
    assert row is not None
    return row


async def row_count(database: Database) -> int:
    async with database.transaction() as session:
        return (await session.scalars(select(func.count()).select_from(ModelPricing))).one()


async def test_what_is_listed_is_added_with_its_tiers_and_every_part(database: Database) -> None:
    assert await sync(database, SAGE, OWL, selection=BOTH) == {"added": ["sage", "owl"]}
    row = await active(database, SAGE_NAME)
    assert row.source == "openrouter"
    assert row.price.offer == Offer(
        base=Rates(input=Decimal("1.25"), output=Decimal(10), cached=Decimal("0.125"), cache_write=Decimal("1.5625")),
        tiers=(
            Tier(
                above_tokens=200_000,
                rates=Rates(
                    input=Decimal("2.5"), output=Decimal(15), cached=Decimal("0.25"), cache_write=Decimal("3.125")
                ),
            ),
        ),
        per_input_image=Decimal("0.00516"),
    )


@pytest.mark.parametrize("prompt", ["0.0000001", "0.00000012345678912345", "0.000000000000000000001"])
async def test_a_sync_that_finds_nothing_new_writes_nothing(database: Database, prompt: str) -> None:
    entry = owl(prompt, overrides=[{"min_prompt_tokens": 7, "completion": "0.00000070000000000000003"}])
    assert await sync(database, SAGE, entry) == {"added": ["owl", "sage"]}
    assert await sync(database, SAGE, entry) == {"unchanged": ["owl", "sage"]}
    assert await row_count(database) == 2


async def test_a_changed_price_is_a_new_row_and_the_old_one_stays(database: Database) -> None:
    await sync(database, owl())
    assert await sync(database, owl("0.0000002", "0.0000002")) == {"changed": ["owl"]}
    async with database.transaction() as session:
        history = await price_history(session, model=OWL_NAME)
    assert [(row.price.base.input, row.is_active) for row in history] == [
        (Decimal("0.2"), True),
        (Decimal("0.1"), False),
    ]


async def test_the_operators_price_is_never_replaced(database: Database) -> None:
    async with database.transaction() as session:
        mine = await set_price(session, model=OWL_NAME, rates=Rates(input=Decimal(7), output=Decimal(7)))
    accepting = replace(ACCEPT_ALL, accepted=frozenset([OWL_NAME]))
    assert await sync(database, OWL, selection=accepting) == {"operator's": ["owl"]}
    assert (await active(database)).price == mine


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (owl("0.00000020001"), "input 0.1 -> 0.20001"),
        (owl("0.00000004999"), "input 0.1 -> 0.04999"),
        (owl(completion="0.0000009"), "output 0.4 -> 0.9"),
        (owl(input_cache_read="0.00000004"), "cached input 0.1 -> 0.04"),
        (owl(input_cache_write="0.0000003"), "cache write 0.1 -> 0.3"),
        (owl(internal_reasoning="0.000001"), "reasoning 0.4 -> 1"),
        (owl(request="0.001"), "request 0 -> 0.001"),
        (owl(overrides=[{"min_prompt_tokens": 1001, "prompt": "0.001"}]), "input above 1,000 tokens 0.1 -> 1000"),
        (owl("0"), "its input costs nothing; input 0.1 -> 0"),
    ],
)
async def test_a_price_that_moved_too_far_is_held_back_until_it_is_accepted(
    database: Database, entry: Any, why: str
) -> None:
    await sync(database, OWL)
    async with database.transaction() as session:
        report = await sync_prices(session, prices=prices(entry), selection=EVERY)
    [line] = report.lines
    assert (line.verdict, report.needs_operator) == (Verdict.FLAGGED, True)
    assert line.why.startswith(why)
    assert (await active(database)).price.offer == prices(OWL).offers[OWL_NAME]
    accepted = Selection(models=(OWL_NAME,), accepted=frozenset([OWL_NAME]))
    assert await sync(database, entry, selection=accepted) == {"changed": ["owl"]}
    assert (await active(database)).price.offer == prices(entry).offers[OWL_NAME]


async def test_a_price_that_moved_by_just_the_factor_is_taken(database: Database) -> None:
    await sync(database, OWL)
    assert await sync(database, owl("0.0000002", "0.0000002", image="0.005")) == {"changed": ["owl"]}
    assert await sync(database, owl("0.0000002", "0.0000002", image="0.011")) == {"held back": ["owl"]}


async def test_accepting_one_model_takes_no_other(database: Database) -> None:
    await sync(database, SAGE, OWL)
    dear = listed("acme/sage", prompt="0.0001", completion="0.0001")
    accepting = replace(EVERY, accepted=frozenset([OWL_NAME]))
    assert await sync(database, dear, owl("0.00001"), selection=accepting) == {
        "changed": ["owl"],
        "held back": ["sage"],
    }


async def test_a_free_model_is_free_only_once_that_is_accepted(database: Database) -> None:
    asked = Selection(models=(FREE_NAME,))
    async with database.transaction() as session:
        report = await sync_prices(session, prices=prices(FREE), selection=asked)
        assert (report.lines[0].why, report.needs_operator) == (
            "its input costs nothing; its output costs nothing",
            True,
        )
        assert not (await sync_prices(session, prices=prices(FREE), selection=EVERY)).needs_operator
    assert await row_count(database) == 0
    assert await sync(database, FREE, selection=ACCEPT_ALL) == {"added": ["owl:free"]}
    assert (await active(database, FREE_NAME)).price.is_free
    assert await sync(database, FREE, selection=asked) == {"unchanged": ["owl:free"]}


async def test_a_free_tier_is_a_price_of_zero_too(database: Database) -> None:
    assert await sync(database, owl(overrides=[{"min_prompt_tokens": 9, "prompt": "0"}])) == {"held back": ["owl"]}


async def test_broken_entries_are_skipped_with_their_reason_and_the_others_go_on(database: Database) -> None:
    entries = [entry for entry, _ in BROKEN.values()]
    async with database.transaction() as session:
        report = await sync_prices(session, prices=prices(SAGE, *entries, OWL), selection=EVERY)
    assert report.models(Verdict.ADDED) == (OWL_NAME, SAGE_NAME)
    assert len(report.models(Verdict.SKIPPED)) == len(BROKEN)
    assert all(line.why for line in report.lines if line.verdict is Verdict.SKIPPED)
    assert not report.needs_operator


async def test_a_model_that_is_wanted_and_not_listed_is_told(database: Database) -> None:
    await sync(database, OWL)
    async with database.transaction() as session:
        report = await sync_prices(session, prices=prices(), selection=BOTH)
    told = {line.model: (line.verdict, line.why, line.needs_operator) for line in report.lines}
    assert told == {
        SAGE_NAME: (Verdict.SKIPPED, "openrouter does not list it", True),
        OWL_NAME: (Verdict.SKIPPED, "openrouter does not list it", False),  # its price stands
    }


async def test_a_dry_run_says_the_same_and_writes_nothing(database: Database) -> None:
    assert await sync(database, SAGE, OWL, dry_run=True) == {"added": ["owl", "sage"]}
    assert await row_count(database) == 0


async def test_two_syncs_at_once_do_the_work_of_one(database: Database) -> None:
    both = await asyncio.gather(*(sync(database, SAGE, OWL) for _ in range(6)))
    assert sorted(map(str, both)) == [str({"added": ["owl", "sage"]})] + 5 * [str({"unchanged": ["owl", "sage"]})]
    assert await row_count(database) == 2


async def test_a_sync_an_operator_and_a_start_at_once_do_not_collide(database: Database) -> None:
    async def operator() -> None:
        async with database.transaction() as session:
            await set_price(session, model=OWL_NAME, rates=Rates(input=Decimal(1), output=Decimal(1)))

    async def start() -> None:
        async with database.transaction() as session:
            await seed_prices(session, models=[OWL_NAME, ModelName.parse("google/gemini-2.5-pro")], at=AT)

    await asyncio.gather(*(work() for _ in range(4) for work in (operator, start)), sync(database, OWL))
    assert (await active(database)).source == "operator"


async def test_calls_made_before_a_sync_can_still_be_recomputed(database: Database) -> None:
    scene = await set_scene(database)
    await sync(database, SAGE, OWL)
    await sync(database, SAGE, owl("0.00000015"))
    assert await scene.faults() == []


rates = st.decimals("0.0000000001", 100, places=10)
offers = st.builds(
    Offer,
    base=st.builds(Rates, input=rates, output=rates, cached=st.none() | rates, cache_write=st.none() | rates),
    tiers=st.lists(st.builds(Rates, input=rates, output=rates), max_size=2).map(
        lambda steps: tuple(Tier(above_tokens=100 * n, rates=r) for n, r in enumerate(steps, start=1))
    ),
    per_request=st.just(Decimal(0)) | rates,
)


@given(before=offers, after=offers, tokens=st.integers(0, 300))
def test_no_price_in_use_moves_further_than_the_factor_unless_it_is_accepted(
    before: Offer, after: Offer, tokens: int
) -> None:
    price = Price(
        id=1, base=before.base, tiers=before.tiers, per_request=before.per_request, per_input_image=Decimal(0)
    )
    row = PriceRow(model=OWL_NAME, price=price, source="openrouter", since=AT, is_active=True, notes=None)
    listing = PriceList(provider="openrouter", source="openrouter", offers={OWL_NAME: after})
    line = judge(OWL_NAME, row=row, prices=listing, selection=EVERY)
    was, is_ = before.rates_for(input_tokens=tokens), after.rates_for(input_tokens=tokens)
    pairs = [
        (was.input, is_.input),
        (was.output, is_.output),
        (was.dearest_input, is_.dearest_input),
        (was.for_cached, is_.for_cached),
        (before.per_request, after.per_request),
    ]
    if any(max(pair) > MOST_CHANGE * min(pair) for pair in pairs):
        assert line.verdict is Verdict.FLAGGED
    if line.verdict is Verdict.UNCHANGED:
        assert before == after


# -- with providers over HTTP -----------------------------------------------------------------------------------------


@pytest.fixture
async def fake() -> AsyncIterator[FakeProviders]:
    async with FakeProviders() as fake:
        yield fake


@dataclass(kw_only=True)
class Watched:
    """Asks the real client, and notes whether a transaction was open meanwhile."""

    client: Any
    open_transactions: list[bool] = field(default_factory=list)

    async def catalogue(self, *, provider: str) -> Catalogue | None:
        self.open_transactions.append(transaction_open())
        found: Catalogue | None = await self.client.catalogue(provider=provider)
        return found


async def run(database: Database, fake: FakeProviders, *names: str, every: bool = False) -> SyncReport:
    async with gateway(fake) as client:
        watched = Watched(client=client)
        price_sync = PriceSync(database=database, catalogues=watched, clock=SystemClock(), providers=("openrouter",))
        models = tuple(ModelName.parse(name) for name in names)
        report = await price_sync(selection=Selection(models=models, every=every))
    assert not any(watched.open_transactions)
    return report


async def test_each_provider_is_asked_in_its_own_way(database: Database, fake: FakeProviders) -> None:
    fake.models = [SAGE, OWL]
    report = await run(database, fake, "openrouter/acme/sage", "google/gemini-2.5-pro", "google/no-such", "local/house")
    told = {str(line.model): (line.verdict.value, line.why) for line in report.lines}
    assert told == {
        "google/gemini-2.5-pro": ("added", ""),
        "google/no-such": ("skipped", "genai-prices does not list it"),
        "local/house": ("skipped", "nobody lists prices of local"),
        "openrouter/acme/sage": ("added", ""),
    }
    assert (await active(database, ModelName.parse("google/gemini-2.5-pro"))).source == "genai-prices"
    assert fake.catalogues_asked == 1


async def test_what_was_seeded_is_what_a_sync_finds(database: Database, fake: FakeProviders) -> None:
    gemini = ModelName.parse("google/gemini-2.5-pro")
    async with database.transaction() as session:
        await seed_prices(session, models=[gemini], at=AT)
    assert verdicts(await run(database, fake, str(gemini))) == {"unchanged": ["gemini-2.5-pro"]}


async def test_every_model_a_provider_lists_can_be_taken(database: Database, fake: FakeProviders) -> None:
    fake.models = [listed(f"acme/m{n:04}", prompt="0.000001", completion="0.000002") for n in range(50)]
    report = await run(database, fake, every=True)
    assert len(report.models(Verdict.ADDED)) == await row_count(database) == 50


@pytest.mark.parametrize(
    "answer",
    [
        HttpResponse(status=500),
        HttpResponse(body=b"<html>"),
        HttpResponse(body=b'{"data": [' + b" " * 10 * 1024**2 + b"]}"),
    ],
    ids=["500", "not JSON", "ten megabytes"],
)
async def test_a_provider_that_fails_changes_nothing_anywhere(
    database: Database, fake: FakeProviders, answer: HttpResponse
) -> None:
    fake.models = answer
    with pytest.raises(ProviderError):
        await run(database, fake, "google/gemini-2.5-pro", "openrouter/acme/sage")
    assert await row_count(database) == 0
