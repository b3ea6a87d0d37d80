"""Tables for people and for spreadsheets.

A spreadsheet runs what begins like a formula, and titles and names are people's text: in CSV such text is quoted with
an apostrophe. Numbers are left as they are.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from decimal import Decimal

from bottega.entrypoints.cli import words

Cell = str | int | Decimal | None

_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")


def as_csv(headings: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return RFC 4180 CSV; a number is written in full, an absent one as nothing."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(headings)
    writer.writerows([_csv_cell(cell) for cell in row] for row in rows)
    return written.getvalue()


def _csv_cell(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case Decimal():
            return f"{cell:f}"
        case int():
            return str(cell)
        case str():
            return _harmless(cell)


def _harmless(cell: str) -> str:
    flat = " ".join(words.harmless(cell).split())
    risky = cell.startswith(_BEGINS_A_FORMULA) or flat.startswith(_BEGINS_A_FORMULA)
    return f"'{flat}" if risky else flat
