"""OpenRouter's list of models, and the bare lists of other servers of the dialect.

Prices are strings, in US dollars per token. Where a price depends on what we cannot know before a call (the time of
day), the dearest of them is taken; a discount is not. A zero beside the two main prices means that nothing is asked
apart: reasoning at "0" is billed as output.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from bottega.llm.catalogue import DEAREST_USD, Catalogue, ListedRates, ListedTier, Listing
from bottega.llm.foreign_json import Json, NotJson, as_list, as_map, as_text, parse

LONGEST_NAME = 255
LONGEST_NUMBER = 40
LONGEST_INPUT = 10**9
MILLION = Decimal(1_000_000)
_PLAIN = {
    "prompt": "prompt",
    "completion": "completion",
    "input_cache_read": "prompt",
    "input_cache_write": "prompt",
    "internal_reasoning": "completion",
}
"""The prices of tokens, and the one that holds where one of them is not listed."""
OTHER_PRICES = {
    "audio",
    "audio_output",
    "image",
    "image_output",
    "image_token",
    "input_audio_cache",
    "input_cache_write_1h",
    "request",
    "web_search",
}


class _Unusable(Exception):
    """Why one model's price cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Override:
    """Prices that replace others for input longer than `above_tokens`; not `always`: only at certain times."""

    above_tokens: int
    always: bool
    prices: Mapping[str, Decimal]


def read_catalogue(body: bytes, *, provider: str) -> Catalogue:
    """Read a list of models. Raise NotJson where it is none."""
    entries = as_map(parse(body)).get("data")
    if not isinstance(entries, list):
        raise NotJson("there is no list of models in it")
    listings: dict[str, Listing] = {}
    unusable: dict[str, str] = {}
    for number, entry in enumerate(map(as_map, entries), start=1):
        name = as_text(entry.get("id"))
        if not _is_name(name):
            unusable[f"(entry {number})"] = "it has no usable name"
            continue
        try:
            listing = _listing(entry)
        except _Unusable as why:
            unusable[name] = str(why)
            continue
        if listings.setdefault(name, listing) != listing:
            unusable[name] = "it is listed twice, at different prices"
    return Catalogue(
        provider=provider,
        listings={name: listing for name, listing in listings.items() if name not in unusable},
        unusable=unusable,
    )


def _is_name(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and name.isascii() and name.isprintable() and " " not in name


def _listing(entry: Mapping[str, Json]) -> Listing:
    pricing = entry.get("pricing")
    if not isinstance(pricing, dict) or not pricing:
        raise _Unusable("no price is listed")
    if _answers_with_media(entry, pricing):
        raise _Unusable("it can answer with images or sound, which are not metered")
    if (discount := pricing.get("discount")) is not None and not 0 <= _number(discount, "discount") <= 1:
        raise _Unusable("its discount is no discount")
    base = _token_prices(pricing)
    for key in ("prompt", "completion"):
        if key not in base:
            raise _Unusable(f"no {key} price is listed")
    overrides = [_override(override) for override in map(as_map, as_list(pricing.get("overrides")))]
    starts = sorted({override.above_tokens for override in overrides} - {0})
    return Listing(
        rates=_rates(base, above=0, overrides=overrides),
        tiers=tuple(ListedTier(above_tokens=n, rates=_rates(base, above=n, overrides=overrides)) for n in starts),
        per_request=_dearest(pricing, "request"),
        per_input_image=_dearest(pricing, "image"),
    )


def _rates(base: Mapping[str, Decimal], *, above: int, overrides: Sequence[_Override]) -> ListedRates:
    """Return the rates just above a threshold: the last override wins, except where it holds only at times."""
    reached = [override for override in overrides if override.above_tokens <= above]
    rates = dict(base)
    for override in reached:
        if override.always:
            rates |= override.prices
    for override in reached:
        if not override.always:
            rates |= {key: max(price, rates.get(key, rates[_PLAIN[key]])) for key, price in override.prices.items()}
    return ListedRates(
        input=rates["prompt"],
        output=rates["completion"],
        cached=rates.get("input_cache_read") or None,
        cache_write=rates.get("input_cache_write") or None,
        reasoning=rates.get("internal_reasoning") or None,
    )


def _override(said: Mapping[str, Json]) -> _Override:
    # A condition we do not know is a condition all the same.
    known = {"min_prompt_tokens", *_PLAIN, *OTHER_PRICES}
    return _Override(above_tokens=_start(said), always=set(said) <= known, prices=_token_prices(said))


def _start(override: Mapping[str, Json]) -> int:
    """Return above how many tokens an override holds; the listed number is the first it holds for."""
    least = override.get("min_prompt_tokens")
    if least is None:
        return 0
    if isinstance(least, bool) or not isinstance(least, int) or not 0 <= least <= LONGEST_INPUT:
        raise _Unusable("one of its tiers begins nowhere")
    return max(least - 1, 0)


def _token_prices(said: Mapping[str, Json]) -> dict[str, Decimal]:
    return {key: _per_million(said[key], key) for key in _PLAIN if said.get(key) is not None}


def _dearest(pricing: Mapping[str, Json], key: str) -> Decimal:
    """Return the dearest of a price that is not one of tokens, whatever it depends on."""
    stated = [prices.get(key) for prices in (pricing, *map(as_map, as_list(pricing.get("overrides"))))]
    amounts = [_bounded(_number(value, key), key) for value in stated if value is not None]
    return max(amounts, default=Decimal(0))


def _answers_with_media(entry: Mapping[str, Json], pricing: Mapping[str, Json]) -> bool:
    answers = as_list(as_map(entry.get("architecture")).get("output_modalities"))
    priced = (pricing.get(key) for key in ("image_output", "audio_output"))
    return any(kind != "text" for kind in answers) or any(price not in {None, "0"} for price in map(_text, priced))


def _text(value: Json) -> str | None:
    return None if value is None else str(value)


def _per_million(value: Json, key: str) -> Decimal:
    amount = _number(value, key)
    if amount > DEAREST_USD:
        raise _Unusable(f"its {key} price is absurd")  # and may be too large to multiply
    return _bounded(amount * MILLION, key)


def _bounded(amount: Decimal, key: str) -> Decimal:
    if amount > DEAREST_USD:
        raise _Unusable(f"its {key} price is absurd")
    return amount


def _number(value: Json, key: str) -> Decimal:
    """Read a number that is a price, written as a string or as a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal) or len(str(value)) > LONGEST_NUMBER:
        raise _Unusable(f"its {key} price is not a number")
    try:
        amount = Decimal(value)
    except ArithmeticError:
        raise _Unusable(f"its {key} price is not a number") from None
    if not amount.is_finite():
        raise _Unusable(f"its {key} price is not a number")
    if amount < 0:
        raise _Unusable(f"its {key} price is below zero, so it varies")
    return amount
