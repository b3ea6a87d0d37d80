"""CSV for spreadsheets: exact, well formed, and nothing in it runs."""

import csv
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.entrypoints.cli.tables import as_csv


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\u200b=1", "|calc", "%x"])
def test_people_cannot_write_a_formula(text: str) -> None:
    [_, [cell]] = read(as_csv(("title",), [(text,)]))
    assert cell.startswith("'")


def test_numbers_are_exact_and_stay_numbers() -> None:
    [_, row] = read(as_csv(("a", "b", "c", "d"), [(Decimal("-0.00000001"), 1_234, None, Decimal("1E+3"))]))
    assert row == ["-0.00000001", "1234", "", "1000"]


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_whatever_people_write_stays_in_its_cell(cells: list[str]) -> None:
    rows = read(as_csv(["heading"] * len(cells), [cells]))
    assert [len(row) for row in rows] == [len(cells)] * 2
