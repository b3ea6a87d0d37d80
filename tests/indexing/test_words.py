import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.indexing.words import identifiers, is_compound, parts


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("parse_todo", ("parse", "todo")),
        ("parseTodoList", ("parse", "todo", "list")),
        ("HTTPServer", ("http", "server")),
        ("getURL", ("url",)),
        ("sha256", ("sha", "256")),
        ("MAX_ITEMS", ("max", "item")),
        ("__init__", ("init",)),
        ("queries", ("query",)),
        ("tasks", ("task",)),
        ("class", ("class",)),
        ("status", ("status",)),
        ("straßen_name", ("straßen", "name")),
        ("the", ()),
        ("x", ()),
        ("", ()),
    ],
)
def test_an_identifier_is_found_by_its_parts(identifier: str, expected: tuple[str, ...]) -> None:
    assert parts(identifier) == tuple(part.casefold() for part in expected)


@pytest.mark.parametrize("written", ["user_names", "userNames", "UserNames", "USER_NAMES", "user-names", "user names"])
def test_the_way_a_name_is_written_does_not_matter(written: str) -> None:
    assert parts(written) == ("user", "name")


@given(st.text())
def test_any_text_has_parts_in_lower_case(text: str) -> None:
    assert all(part == part.casefold() for part in parts(text))


def test_identifiers_are_counted_as_written_and_blobs_are_left_out() -> None:
    assert identifiers(f"save(Save, save) + {'A' * 200} 12 naïve") == {"save": 2, "Save": 1, "naïve": 1}


@pytest.mark.parametrize(("identifier", "compound"), [("parse_todo", True), ("todoList", True), ("todo", False)])
def test_a_compound_identifier_means_itself(identifier: str, *, compound: bool) -> None:
    assert is_compound(identifier) is compound
