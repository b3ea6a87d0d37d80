"""Cutting: what Telegram takes, nothing lost, nothing torn."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.entrypoints.telegram.pieces import NOTHING, pieces, visible
from tests.fakes import telegram_html

TAGS = ("b", "i", "u", "s", "code", "pre", "tg-spoiler", "blockquote")
LETTERS = st.sampled_from("ab \n😀<>&\"'é\u200d👩🏽﷽")
TEXT = st.text(LETTERS | st.characters(exclude_categories=["Cs"]), max_size=30)


@st.composite
def markups(draw: st.DrawFn, depth: int = 3) -> str:
    """Well-formed HTML of Telegram's tags, with texts of any kind in it."""
    parts: list[str] = []
    for _ in range(draw(st.integers(0, 4))):
        inner = html.escape(draw(TEXT), quote=False)
        if depth and draw(st.booleans()):
            tag = draw(st.sampled_from((*TAGS, "a")))
            opening = f'<a href="https://example.org/?a=1&amp;b={len(parts)}">' if tag == "a" else f"<{tag}>"
            inner = f"{opening}{inner}{draw(markups(depth - 1))}</{tag}>"
        parts.append(inner)
    return "".join(parts)


@given(source=markups(), longest=st.integers(6, 60))
def test_each_piece_is_well_formed_and_short_and_together_they_say_it_all(source: str, longest: int) -> None:
    whole, cut = telegram_html.parse(source), pieces(source, longest=longest)
    parsed = [telegram_html.parse(piece) for piece in cut]
    assert all(
        telegram_html.utf16(piece.text.strip()) > 0 and telegram_html.utf16(piece.text) <= longest for piece in parsed
    )
    said = "".join("".join(piece.text for piece in parsed).split())
    assert said == ("".join(whole.text.split()) or NOTHING)


@given(source=markups())
def test_a_text_that_fits_is_left_as_it_is(source: str) -> None:
    assert pieces(source) == [source if telegram_html.parse(source).text.strip() else NOTHING]


@given(source=markups())
def test_without_its_looks_a_text_says_the_same(source: str) -> None:
    assert visible(source) == telegram_html.parse(source).text


def test_tags_are_closed_and_opened_again_with_what_they_hold() -> None:
    cut = pieces('<b>one <a href="https://e.org">two three</a></b> four', longest=9)
    assert cut == [
        '<b>one <a href="https://e.org">two </a></b>',
        '<b><a href="https://e.org">three</a></b> ',
        "four",
    ]


@pytest.mark.parametrize(
    ("source", "cut"),
    [
        ("aaaa bbbb\n\ncccc dd", ["aaaa bbbb\n\n", "cccc dd"]),
        ("aaaa bbbb\ncc dddddd", ["aaaa bbbb\n", "cc dddddd"]),
        ("aaaa bbbb ccccc", ["aaaa bbbb ", "ccccc"]),
        ("a" * 25, ["a" * 12, "a" * 12, "a"]),
        ("&amp;" * 13, ["&amp;" * 12, "&amp;"]),
        ("😀" * 7, ["😀" * 6, "😀"]),
        ("\n" * 30 + "a", ["\n" * 6 + "a"]),
        ("👩\u200d👩\u200d👧" * 2, ["👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"]),
        ("", [NOTHING]),
        ("<b> \n</b>", [NOTHING]),
        ("1 < 2 & 3", ["1 < 2 & 3"]),
        ("<b>never closed", ["<b>never closed</b>"]),
    ],
)
def test_it_is_cut_where_a_reader_would(source: str, cut: list[str]) -> None:
    assert list(pieces(source, longest=12)) == cut


def test_a_book_is_cut_in_no_time_to_speak_of() -> None:
    book = "<b>" + "word " * 20_000 + "</b>"
    assert len(pieces(book)) == 25
