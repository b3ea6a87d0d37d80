"""Published prices, from genai-prices' own copy of them (no network). The only module that imports it.

A model that can answer with images, sound or video has no price here: such replies are not metered.
"""

from datetime import datetime
from decimal import Decimal

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, TieredPrices

from bottega.billing.pricing import Offer, Rates, Tier
from bottega.llm.types import ModelName


def published_offer(model: ModelName, *, at: datetime) -> Offer | None:
    """Return what is asked for a model, with its long-context tiers, or None where no price is published."""
    try:
        _, found = get_snapshot().find_provider_model(model.name, None, model.provider, None)
    except LookupError:
        return None
    prices = found.get_prices(at)
    base = _rates(prices, above=None)
    if base is None or _answers_with_media(prices):
        return None
    tiers = ((start, _rates(prices, above=start)) for start in _thresholds(prices))
    return Offer(
        base=base,
        tiers=tuple(Tier(above_tokens=start, rates=rates) for start, rates in tiers if rates is not None),
        per_request=(_rate(prices.requests_kcount, above=None) or Decimal(0)) / 1000,
    )


def _answers_with_media(prices: ModelPrice) -> bool:
    return any((prices.output_image_mtok, prices.output_audio_mtok, prices.output_video_mtok))


def _thresholds(prices: ModelPrice) -> list[int]:
    columns = (
        prices.input_mtok,
        prices.output_mtok,
        prices.cache_read_mtok,
        prices.cache_write_mtok,
        prices.output_reasoning_mtok,
    )
    return sorted({tier.start for column in columns if isinstance(column, TieredPrices) for tier in column.tiers})


def _rates(prices: ModelPrice, *, above: int | None) -> Rates | None:
    read, written = _rate(prices.input_mtok, above=above), _rate(prices.output_mtok, above=above)
    if read is None or written is None:
        return None
    return Rates(
        input=read,
        output=written,
        cached=_rate(prices.cache_read_mtok, above=above) or None,  # a zero there may be a gap
        cache_write=_rate(prices.cache_write_mtok, above=above) or None,
        reasoning=_rate(prices.output_reasoning_mtok, above=above) or None,
    )


def _rate(column: Decimal | TieredPrices | None, *, above: int | None) -> Decimal | None:
    """Return the rate that holds for input just longer than `above` tokens."""
    if not isinstance(column, TieredPrices):
        return column
    reached = [tier.price for tier in column.tiers if above is not None and tier.start <= above]
    return reached[-1] if reached else column.base
