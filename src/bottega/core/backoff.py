"""How long to wait before the next attempt: pure but for the draw."""

import random


def backoff_seconds(attempt: int, *, first_seconds: float, cap_seconds: float) -> float:
    """Return a wait between the half and the whole of a bound that doubles with each attempt, counted from 1."""
    bound = min(cap_seconds, first_seconds * 2.0 ** min(attempt - 1, 20))
    return random.uniform(bound / 2, bound)  # noqa: S311  # spreading retries is not a secret
