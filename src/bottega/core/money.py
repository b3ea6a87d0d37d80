"""Money is Decimal: credits to 8 places, US dollars to 10; never float.

A charge is rounded up once, at the 8th decimal of a credit, so that for n charges
0 <= sum(charged) - sum(exact) < n * 1e-8. Everything else rounds for display only.
"""

from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal

CREDIT_STEP = Decimal("0.00000001")
USD_STEP = Decimal("0.0000000001")
_WITHOUT_CENTS = frozenset(
    {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"}
)


def round_up_credits(credits: Decimal) -> Decimal:
    """Round a charge up to the 8th decimal of a credit."""
    return credits.quantize(CREDIT_STEP, rounding=ROUND_CEILING)


def round_up_usd(cost_usd: Decimal) -> Decimal:
    return cost_usd.quantize(USD_STEP, rounding=ROUND_CEILING)


def usd_to_credits(cost_usd: Decimal, *, credit_value_usd: Decimal, markup: Decimal) -> Decimal:
    """Return the exact credits for a provider's cost: cost * markup / value of one credit. Not rounded."""
    return cost_usd * markup / credit_value_usd


def show_credits(credits: Decimal) -> str:
    """Return credits as people read them: two decimals, four below one hundredth."""
    small = credits != 0 and abs(credits) < Decimal("0.01")
    step = Decimal("0.0001") if small else Decimal("0.01")
    return f"{credits.quantize(step, rounding=ROUND_HALF_UP):f}"


def show_price(amount_minor: int, *, currency: str) -> str:
    """Return an amount of money, given in its smallest unit, as people write it: 5.00 USD, 80 Stars."""
    if currency == "XTR":
        return f"{amount_minor:,} Stars"
    amount = Decimal(amount_minor) if currency in _WITHOUT_CENTS else Decimal(amount_minor).scaleb(-2)
    return f"{amount:,f} {currency.upper()}"
