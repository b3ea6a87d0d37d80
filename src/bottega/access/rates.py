"""How many requests in how long, as a setting says it."""

import re
from dataclasses import dataclass
from typing import Self

from bottega.core.errors import AppError

_RATE = re.compile(r"([1-9][0-9]{0,6})/(second|minute|hour)")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}


class BadRate(AppError):
    code = "bad_rate"

    def __init__(self) -> None:
        super().__init__("write a number and a time, as in 600/minute (second, minute or hour)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    amount: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `600/minute`. Raise BadRate."""
        found = _RATE.fullmatch(text.strip())
        if found is None:
            raise BadRate
        return cls(amount=int(found[1]), seconds=_SECONDS[found[2]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What a person may do, what an address may, and what an address may try in signing in."""

    person: Rate
    address: Rate
    sign_in: Rate


class TooManyRequests(AppError):
    code = "too_many_requests"
    http_status = 429

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__(f"Too many requests. Try again in {retry_after_seconds} seconds.")
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where somebody stands with a rate after a request; `is_counted` is false where Redis could not be asked."""

    name: str
    rate: Rate
    is_allowed: bool
    remaining: int
    resets_in_seconds: int
    is_counted: bool = True
