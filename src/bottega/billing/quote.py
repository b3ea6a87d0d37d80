"""What a build may cost, said before it starts: a low end where everything works at once, a high end with repairs.

The token counts are plain constants per size of task, so that a quote can be explained in a sentence. The lower ones
are what projects of a few hundred lines took with models that answer without thinking aloud (the demo is one); the
upper ones leave room for reasoning, which is billed as output. A quote is not a limit; holds and the project's credit
limit are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from bottega.billing.pricing import Price, charge_credits, cost_usd
from bottega.billing.types import Terms
from bottega.llm.types import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What one call reads and writes, at least and at most."""

    low: Usage
    high: Usage


def _effort(low: tuple[int, int], high: tuple[int, int]) -> Effort:
    """Return an effort from (input, output) tokens."""
    return Effort(
        low=Usage(input_tokens=low[0], output_tokens=low[1]), high=Usage(input_tokens=high[0], output_tokens=high[1])
    )


IMPLEMENT: Mapping[str, Effort] = {
    "small": _effort((4_000, 1_500), (5_000, 4_000)),
    "medium": _effort((5_000, 3_000), (9_000, 8_000)),
    "large": _effort((9_000, 6_000), (16_000, 14_000)),
}
VERIFY: Mapping[str, Effort] = {
    "small": _effort((6_000, 300), (8_000, 1_500)),
    "medium": _effort((7_000, 400), (10_000, 2_500)),
    "large": _effort((10_000, 600), (16_000, 3_500)),
}
README = _effort((8_000, 900), (12_000, 4_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedTask:
    key: str
    size: str  # small | medium | large; anything else is quoted as large


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskQuote:
    key: str
    low_credits: Decimal
    high_credits: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """`low_credits` and `high_credits` are the sums of `per_task` and of the README."""

    low_credits: Decimal
    high_credits: Decimal
    per_task: tuple[TaskQuote, ...]


def quote(*, tasks: Sequence[SizedTask], architect: Price, implementers: Sequence[Price], terms: Terms) -> Quote:
    """Quote a plan. `implementers` is the ladder, in the order in which it is climbed; it has at least one rung.

    Low: each task takes one attempt of the first rung. High: two of the first rung and one of the dearest, each of them
    verified; the README twice.
    """
    per_task = tuple(_task(task, architect=architect, implementers=implementers, terms=terms) for task in tasks)
    readme = charge_credits(cost_usd(architect, README.low), terms=terms)
    readme_twice = 2 * charge_credits(cost_usd(architect, README.high), terms=terms)
    return Quote(
        low_credits=sum((task.low_credits for task in per_task), readme),
        high_credits=sum((task.high_credits for task in per_task), readme_twice),
        per_task=per_task,
    )


def _task(task: SizedTask, *, architect: Price, implementers: Sequence[Price], terms: Terms) -> TaskQuote:
    written, checked = IMPLEMENT.get(task.size, IMPLEMENT["large"]), VERIFY.get(task.size, VERIFY["large"])
    once = cost_usd(implementers[0], written.low) + cost_usd(architect, checked.low)
    attempts = [cost_usd(price, written.high) for price in implementers]
    thrice = 2 * attempts[0] + max(attempts) + 3 * cost_usd(architect, checked.high)
    return TaskQuote(
        key=task.key,
        low_credits=charge_credits(once, terms=terms),
        high_credits=charge_credits(thrice, terms=terms),
    )
