"""Bringing the price rows up to what providers ask, without ever being led astray by them.

What the operator set is never replaced. A price that moved by more than a factor of two in any dimension, and one that
is zero, is *flagged and held back* until the operator accepts it: nothing is lost meanwhile, because calls carry a
price cap and bill the reported cost. A sync that finds nothing new writes nothing; two at once do the work of one.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing.prices import (
    OPERATOR,
    PUBLISHED,
    InvalidPrice,
    PriceRow,
    active_row,
    check_offer,
    lock_prices,
    set_offer,
)
from bottega.billing.pricing import Offer, Rates, Tier
from bottega.core.clock import Clock
from bottega.db.transaction import Database
from bottega.llm.catalogue import Catalogue, ListedRates, Listing
from bottega.llm.client import UnknownProvider
from bottega.llm.types import ModelName

MOST_CHANGE = 2
"""A price that moved by a larger factor is for the operator to look at."""


class Verdict(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    FLAGGED = "held back"  # not written: the operator has to accept it
    KEPT_OVERRIDE = "operator's"  # the operator's own price stands
    SKIPPED = "skipped"  # no usable price is listed


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncLine:
    """What became of one model, and `why` where it was held back or skipped. `asked`: it was selected by name."""

    model: ModelName
    verdict: Verdict
    asked: bool
    before: Offer | None = None
    after: Offer | None = None
    why: str = ""

    @property
    def needs_operator(self) -> bool:
        """Tell whether a price in use may be wrong, or a model that is wanted has none."""
        unpriced = self.asked and self.before is None
        return (self.verdict is Verdict.FLAGGED and self.before is not None) or (
            self.verdict in {Verdict.FLAGGED, Verdict.SKIPPED} and unpriced
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    lines: tuple[SyncLine, ...]

    @property
    def needs_operator(self) -> bool:
        return any(line.needs_operator for line in self.lines)

    def models(self, verdict: Verdict) -> tuple[ModelName, ...]:
        return tuple(line.model for line in self.lines if line.verdict is verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """What is asked for a provider's models, and why the prices of others cannot be used. Rows will name `source`."""

    provider: str
    source: str
    offers: Mapping[ModelName, Offer] = field(default_factory=dict)
    unusable: Mapping[ModelName, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which models, and whose flagged prices are accepted. `every` adds all that the lists have."""

    models: tuple[ModelName, ...] = ()
    every: bool = False
    accepted: frozenset[ModelName] = frozenset()
    accept_all: bool = False


class Catalogues(Protocol):
    async def catalogue(self, *, provider: str) -> Catalogue | None:
        """Return what a provider lists, None where it lists no prices; raise UnknownProvider or ProviderError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSync:
    """Asks every provider first, so that no transaction waits for one, and one that fails changes nothing.

    `providers` are those whose every model can be listed.
    """

    database: Database
    catalogues: Catalogues
    clock: Clock
    providers: Collection[str]

    async def __call__(self, *, selection: Selection, dry_run: bool = False) -> SyncReport:
        """Sync the selected models. Raises ProviderError before anything is written."""
        asked = {model.provider for model in selection.models} | (set(self.providers) if selection.every else set())
        lists = [await self._list(provider, selection=selection) for provider in sorted(asked)]
        lines: list[SyncLine] = []
        async with self.database.transaction() as session:
            for prices in lists:
                report = await sync_prices(session, prices=prices, selection=selection, dry_run=dry_run)
                lines += report.lines
        return SyncReport(lines=tuple(lines))

    async def _list(self, provider: str, *, selection: Selection) -> PriceList:
        models = [model for model in selection.models if model.provider == provider]
        try:
            catalogue = await self.catalogues.catalogue(provider=provider)
        except UnknownProvider:
            why = f"nobody lists prices of {provider}"
            return PriceList(provider=provider, source=provider, unusable=dict.fromkeys(models, why))
        if catalogue is not None:
            return price_list(catalogue)
        from bottega.billing.published import published_offer  # noqa: PLC0415  (its price table takes 0.1 s to import)

        found = {model: published_offer(model, at=self.clock.now()) for model in models}
        offers = {model: offer.rounded() for model, offer in found.items() if offer is not None}
        return PriceList(provider=provider, source=PUBLISHED, offers=offers)


async def sync_prices(
    session: AsyncSession, *, prices: PriceList, selection: Selection, dry_run: bool = False
) -> SyncReport:
    """Write what is new among the selected models of one provider, and return what became of each."""
    await lock_prices(session)
    asked = [model for model in selection.models if model.provider == prices.provider]
    listed = sorted([*prices.offers, *prices.unusable], key=str) if selection.every else []
    lines = []
    for model in dict.fromkeys([*asked, *listed]):
        line = judge(model, row=await active_row(session, model=model), prices=prices, selection=selection)
        if line.after is not None and line.verdict in {Verdict.ADDED, Verdict.CHANGED} and not dry_run:
            await set_offer(session, model=model, offer=line.after, source=prices.source)
        lines.append(line)
    return SyncReport(lines=tuple(lines))


def price_list(catalogue: Catalogue) -> PriceList:
    """Return a provider's list as prices of ours."""
    provider = catalogue.provider
    return PriceList(
        provider=provider,
        source=provider,
        offers={ModelName(provider=provider, name=name): _offer(found) for name, found in catalogue.listings.items()},
        unusable={ModelName(provider=provider, name=name): why for name, why in catalogue.unusable.items()},
    )


def judge(model: ModelName, *, row: PriceRow | None, prices: PriceList, selection: Selection) -> SyncLine:
    """Decide what becomes of one model."""
    offer = prices.offers.get(model)
    line = SyncLine(
        model=model,
        verdict=Verdict.SKIPPED,
        asked=model in selection.models,
        before=None if row is None else row.price.offer,
        after=offer,
        why=prices.unusable.get(model, f"{prices.source} does not list it"),
    )
    if row is not None and row.source == OPERATOR:
        return replace(line, verdict=Verdict.KEPT_OVERRIDE, why="")
    if offer is None:
        return line
    try:
        check_offer(offer)
    except InvalidPrice as error:
        return replace(line, why=error.message)
    if row is not None and row.price.offer == offer:
        return replace(line, verdict=Verdict.UNCHANGED, why="")
    doubts = "; ".join([*_free_parts(offer), *(_moves(row.price, offer) if row else ())])
    if doubts and not (selection.accept_all or model in selection.accepted):
        return replace(line, verdict=Verdict.FLAGGED, why=doubts)
    return replace(line, verdict=Verdict.CHANGED if row else Verdict.ADDED, why="")


def _free_parts(offer: Offer) -> Iterator[str]:
    every = (offer.base, *(tier.rates for tier in offer.tiers))
    if any(rates.input == 0 for rates in every):
        yield "its input costs nothing"
    if any(rates.output == 0 for rates in every):
        yield "its output costs nothing"


def _moves(before: Offer, after: Offer) -> Iterator[str]:
    """Say what moved by more than a factor of two: at the base price, and just above the threshold of every tier."""
    for above in sorted({0, *(tier.above_tokens for tier in (*before.tiers, *after.tiers))}):
        where = f" above {above:,} tokens" if above else ""
        for part, old, new in _parts(*(offer.rates_for(input_tokens=above + 1) for offer in (before, after))):
            if _moved(old, new):
                yield f"{part}{where} {_plain(old)} -> {_plain(new)}"
    if _moved(before.per_request, after.per_request):
        yield f"request {_plain(before.per_request)} -> {_plain(after.per_request)}"
    # One that is listed for the first time is no rise: no request carries an image.
    if before.per_input_image and _moved(before.per_input_image, after.per_input_image):
        yield f"image {_plain(before.per_input_image)} -> {_plain(after.per_input_image)}"


def _parts(before: Rates, after: Rates) -> Iterator[tuple[str, Decimal, Decimal]]:
    """Yield each price of tokens that stands on its own, then and now."""
    yield "input", before.input, after.input
    yield "output", before.output, after.output
    if before.cached != after.cached:
        yield "cached input", before.for_cached, after.for_cached
    if before.cache_write != after.cache_write:
        yield "cache write", before.for_cache_write, after.for_cache_write
    if before.reasoning != after.reasoning:
        yield "reasoning", before.for_reasoning, after.for_reasoning


def _moved(old: Decimal, new: Decimal) -> bool:
    return max(old, new) > MOST_CHANGE * min(old, new)


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _offer(listing: Listing) -> Offer:
    base = _rates(listing.rates)
    tiers = tuple(Tier(above_tokens=tier.above_tokens, rates=_rates(tier.rates)) for tier in listing.tiers)
    offer = Offer(base=base, tiers=tiers, per_request=listing.per_request, per_input_image=listing.per_input_image)
    return replace(offer, is_free=not any(offer.amounts)).rounded()


def _rates(listed: ListedRates) -> Rates:
    return Rates(**asdict(listed))
