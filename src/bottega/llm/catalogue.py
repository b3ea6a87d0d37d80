"""What a provider lists and asks for it, in our words: US dollars per million tokens, exact.

Every amount in a `Listing` is finite, not negative and no dearer than any model can be. A model whose price cannot be
read is `unusable`, with the reason; it never spoils its neighbours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

DEAREST_USD = Decimal(10_000)
"""No price is above it, per million tokens, request or image: whoever says more has lost a decimal point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRates:
    """None where nothing is asked apart from the plain price of input or output."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    reasoning: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTier:
    """Rates for a whole call whose input is longer than `above_tokens`."""

    above_tokens: int
    rates: ListedRates


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One model's price; `tiers` ascend."""

    rates: ListedRates
    tiers: tuple[ListedTier, ...] = ()
    per_request: Decimal = Decimal(0)
    per_input_image: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Models by the provider's own names, and why the price of others cannot be used."""

    provider: str
    listings: Mapping[str, Listing] = field(default_factory=dict)
    unusable: Mapping[str, str] = field(default_factory=dict)
