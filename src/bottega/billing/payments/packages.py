"""What can be bought. CREDIT_PACKAGES lists `name:credits:cents:stars`, comma separated; all of them whole numbers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from bottega.core.errors import AppError

MOST_CREDITS = 1_000_000
MOST_CENTS = 99_999_999  # the largest amount that Stripe takes
MOST_STARS = 1_000_000

_NAME = re.compile(r"[a-z0-9_]{1,50}")
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


class UnknownPackage(AppError):
    code = "unknown_package"
    http_status = 404

    def __init__(self, name: str, *, known: Sequence[str]) -> None:
        super().__init__(f"There is no package '{name[:50]}'; choose one of: {', '.join(known) or '(none)'}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditPackage:
    """`price_minor` is in the smallest unit of PAYMENT_CURRENCY, `stars` in whole Telegram Stars."""

    name: str
    credits: Decimal
    price_minor: int
    stars: int


def parse_package(text: str) -> CreditPackage:
    """Read `name:credits:cents:stars`. Raise ValueError with what to write instead."""
    parts = [part.strip() for part in text.split(":")]
    if len(parts) != len(("name", "credits", "cents", "stars")):
        raise ValueError(f"'{text[:80]}' is not name:credits:cents:stars, such as buy_100:100:100:80")
    name, credits, cents, stars = parts
    if not _NAME.fullmatch(name):
        raise ValueError(f"'{name[:80]}' cannot name a package: use up to 50 of a-z, 0-9 and _")
    return CreditPackage(
        name=name,
        credits=Decimal(_whole(credits, of=name, what="credits", most=MOST_CREDITS)),
        price_minor=_whole(cents, of=name, what="cents", most=MOST_CENTS),
        stars=_whole(stars, of=name, what="Telegram Stars", most=MOST_STARS),
    )


def find_package(packages: Sequence[CreditPackage], *, name: str) -> CreditPackage:
    """Return the package of this name, or raise UnknownPackage with the names there are."""
    for package in packages:
        if package.name == name:
            return package
    raise UnknownPackage(name, known=[package.name for package in packages])


def _whole(text: str, *, of: str, what: str, most: int) -> int:
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= most:
        raise ValueError(f"package '{of}': '{text[:20]}' is not a whole number of {what} from 1 to {most:,}")
    return int(text)
