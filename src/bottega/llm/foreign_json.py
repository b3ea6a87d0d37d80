"""JSON from a stranger: nothing is assumed to exist or to be of the right type, and numbers stay exact.

A missing or odd field reads as empty; only text that is not JSON at all raises (`NotJson`).
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

Json = Any
LARGEST_AMOUNT = 10**12
LARGEST_COUNT = 10**9  # of tokens; an integer column holds two of them
LONGEST_ID = 200


class NotJson(ValueError):
    pass


def parse(text: str | bytes) -> Json:
    """Read JSON with exact Decimals. Raise NotJson for anything that is not JSON, however deep or odd."""
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise NotJson(str(error)) from error


def as_map(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def as_list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else ()


def as_text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def as_count(value: Json) -> int:
    """Read a number of tokens; what is no sane count reads as 0."""
    amount = None if isinstance(value, str) else as_amount(value)
    return 0 if amount is None or amount > LARGEST_COUNT else int(amount)


def as_amount(value: Json) -> Decimal | None:
    """Read an amount (money, seconds), number or string; what is no sane amount is unknown, never 0."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        amount = Decimal(value)
    except ArithmeticError:
        return None
    return amount if amount.is_finite() and 0 <= amount <= LARGEST_AMOUNT else None


def as_id(value: Json) -> str | None:
    """Read a name given by somebody else; what could not be stored and looked up again is none."""
    text = as_text(value)
    return text if text.isprintable() and text.isascii() and 0 < len(text) <= LONGEST_ID else None


def plain(value: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return a copy that any JSON column takes: Decimals become strings."""
    copy: dict[str, Json] = json.loads(json.dumps(value, default=str))
    return copy


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
