"""What a build may cost, said before it starts: a low end where everything works at once, a high end with repairs.

The token counts are plain constants per size of task, so that a quote can be explained in a sentence: they are what one
attempt reads and writes, reasoning included. A quote is not a limit; holds and the project's credit limit are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from bottega.billing.pricing import Price, charge_credits, cost_usd
from bottega.billing.types import Terms
from bottega.llm.types import Usage

IMPLEMENT = {
    "small": Usage(input_tokens=5_000, output_tokens=2_500),
    "medium": Usage(input_tokens=9_000, output_tokens=6_000),
    "large": Usage(input_tokens=16_000, output_tokens=12_000),
}
VERIFY = {
    "small": Usage(input_tokens=5_000, output_tokens=1_200),
    "medium": Usage(input_tokens=9_000, output_tokens=2_000),
    "large": Usage(input_tokens=16_000, output_tokens=3_000),
}
README = Usage(input_tokens=12_000, output_tokens=3_500)


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
    readme = charge_credits(cost_usd(architect, README), terms=terms)
    return Quote(
        low_credits=sum((task.low_credits for task in per_task), readme),
        high_credits=sum((task.high_credits for task in per_task), 2 * readme),
        per_task=per_task,
    )


def _task(task: SizedTask, *, architect: Price, implementers: Sequence[Price], terms: Terms) -> TaskQuote:
    written, checked = IMPLEMENT.get(task.size, IMPLEMENT["large"]), VERIFY.get(task.size, VERIFY["large"])
    attempts = [cost_usd(price, written) for price in implementers]
    verification = cost_usd(architect, checked)
    return TaskQuote(
        key=task.key,
        low_credits=charge_credits(attempts[0] + verification, terms=terms),
        high_credits=charge_credits(2 * attempts[0] + max(attempts) + 3 * verification, terms=terms),
    )
