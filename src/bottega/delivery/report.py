"""TESTS.md and RECEIPT.md: what was checked, and what it cost, told without flattery.

A command counts as passed only if it was executed. What was not executed is said to be so, first and in words.
Amounts are exact: the column of credits adds up to the total to the last decimal.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from bottega.core.money import show_credits

_SHORT_HASH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One command on one tree. Without `task_key` it is the README's commands, one a line, run as one script."""

    task_key: str | None
    command: str
    executed: bool
    passed: bool
    exit_code: int | None
    tests_run: int | None
    tests_skipped: int | None
    tree_hash: str
    isolation: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptLine:
    """The model calls of one task or other part of the work; `calls` includes `calls_not_charged`.

    `causes` are the latter by cause, in words; `own_key_calls` were paid by a key of the person's. `unbilled` are
    credits that neither what was set aside nor the balance covered.
    """

    title: str
    calls: int
    calls_not_charged: int
    input_tokens: int
    output_tokens: int
    credits: Decimal
    task_key: str | None = None
    causes: Mapping[str, int] = field(default_factory=dict)
    own_key_calls: int = 0
    unbilled: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    low: Decimal
    high: Decimal


def render_tests(*, title: str, delivered_tree: str, checks: Sequence[Check]) -> str:
    """Render TESTS.md. `delivered_tree` is the git tree id of the files in the archive."""
    rows = [_check_row(check, delivered_tree=delivered_tree) for check in checks]
    table = _table(("Task", "Command", "Result", "Exit code", "Tests", "Tree", "Isolation"), rows)
    about_trees = (
        f"Delivered tree: `{delivered_tree}` (in a clone of the bundle: `git rev-parse HEAD^{{tree}}`). "
        "A check speaks for the tree it ran on; those on the delivered tree say so."
    )
    paragraphs = [f"# What was checked: {_text(title)}", _summary(checks), about_trees, *([table] if rows else [])]
    return "\n\n".join(paragraphs) + "\n"


def render_receipt(*, title: str, lines: Sequence[ReceiptLine], quote: Quote | None, credit_value_usd: Decimal) -> str:
    """Render RECEIPT.md."""
    total = sum((line.credits for line in lines), Decimal(0))
    rows = [_receipt_row(line, name=_named(line.task_key, line.title)) for line in lines]
    rows.append(_receipt_row(_total(lines, credits=total), name="**Total**"))
    paragraphs = [
        f"# Receipt: {_text(title)}",
        _table(("Part", "Calls", "Not charged", "Tokens in", "Tokens out", "Credits"), rows, numbers=5),
        f"One credit is {_exact(credit_value_usd)} USD; the whole is {_exact(total * credit_value_usd)} USD.",
    ]
    if quote:
        paragraphs.append(f"Quoted before the work: {show_credits(quote.low)} to {show_credits(quote.high)} credits.")
    paragraphs += receipt_notes(lines, credit_value_usd=credit_value_usd)
    return "\n\n".join(paragraphs) + "\n"


def receipt_notes(lines: Sequence[ReceiptLine], *, credit_value_usd: Decimal) -> list[str]:
    """Return how the credits of a receipt arise, and what is not among them and why: one sentence or two for each."""
    credit = f"credits of {_exact(credit_value_usd)} USD, rounded up once at the 8th decimal"
    notes = [f"A call costs what its provider bills for it times this installation's factor, in {credit}."]
    if own_keys := sum(line.own_key_calls for line in lines):
        notes.append(f"Paid by a key of your own, and charged here as a fee only: {_calls(own_keys)}.")
    if sum(line.calls_not_charged for line in lines):
        notes.append(f"Not charged: {_causes(lines)}. What they cost is the platform's loss, not yours.")
    if unbilled := sum((line.unbilled for line in lines), Decimal(0)):
        notes.append(f"Not billed, because neither what was set aside nor the balance covered it: {_exact(unbilled)}.")
    return notes


def _causes(lines: Sequence[ReceiptLine]) -> str:
    counted: Counter[str] = Counter()
    for line in lines:
        counted.update(line.causes)
        if other := line.calls_not_charged - sum(line.causes.values()):
            counted["failed or cut off"] += other
    return "; ".join(f"{_calls(calls)} {cause}" for cause, calls in counted.items())


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number:,} calls"


def _summary(checks: Sequence[Check]) -> str:
    if not checks:
        return "**Nothing was checked: the project has no checks, or none was reached.**"
    not_executed = sum(not check.executed for check in checks)
    passed = sum(check.executed and check.passed for check in checks)
    parts = [
        f"{not_executed} not executed" if not_executed else "",
        f"{passed} passed",
        f"{failed} failed" if (failed := len(checks) - passed - not_executed) else "",
    ]
    commands = "1 command" if len(checks) == 1 else f"{len(checks)} commands"
    return f"**{commands}: {', '.join(part for part in parts if part)}.**"


def _check_row(check: Check, *, delivered_tree: str) -> tuple[str, ...]:
    tree = _code(check.tree_hash[:_SHORT_HASH])
    return (
        check.task_key or "README",
        _commands(check.command),
        _result(check),
        "" if check.exit_code is None else str(check.exit_code),
        _counts(check),
        f"{tree} (delivered)" if check.tree_hash == delivered_tree else tree,
        _text(check.isolation),
    )


def _result(check: Check) -> str:
    outcome = "passed" if check.passed else "**failed**"
    result = outcome if check.executed else "**not executed**"
    return f"{result}: {_text(check.reason)}" if check.reason else result


def _counts(check: Check) -> str:
    if not check.executed or not check.tests_run:  # 0 is what a command that is no test runner has
        return ""
    return f"{check.tests_run} run, {check.tests_skipped} skipped" if check.tests_skipped else f"{check.tests_run} run"


def _total(lines: Iterable[ReceiptLine], *, credits: Decimal) -> ReceiptLine:
    lines = tuple(lines)
    return ReceiptLine(
        title="Total",
        calls=sum(line.calls for line in lines),
        calls_not_charged=sum(line.calls_not_charged for line in lines),
        input_tokens=sum(line.input_tokens for line in lines),
        output_tokens=sum(line.output_tokens for line in lines),
        credits=credits,
    )


def _receipt_row(line: ReceiptLine, *, name: str) -> tuple[str, ...]:
    counts = (line.calls, line.calls_not_charged, line.input_tokens, line.output_tokens)
    return (name, *(f"{number:,}" for number in counts), _exact(line.credits))


def _named(key: str | None, title: str) -> str:
    return f"{key} {_text(title)}" if key else _text(title)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0) -> str:
    """`numbers` says how many of the last columns are aligned to the right."""
    rules = ["---"] * (len(heads) - numbers) + ["---:"] * numbers
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, rules, *rows))


def _text(text: str) -> str:
    """Return text as one line that markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(text.split()))


def _commands(script: str) -> str:
    return "<br>".join(_code(line) for line in script.splitlines() if line.strip())


def _code(text: str) -> str:
    """Return a code span that can stand in a table and hold backticks of its own."""
    line = " ".join(text.split()).replace("|", "\\|")
    ticks = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def _exact(amount: Decimal) -> str:
    """Return every decimal that is not a trailing zero, and at least two."""
    whole, _, decimals = f"{amount:f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"
