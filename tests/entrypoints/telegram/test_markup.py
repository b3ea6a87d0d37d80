import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.entrypoints.telegram.words import markup
from bottega.entrypoints.telegram.words.markup import Html
from tests.fakes import telegram_html

HEBREW = "מונה"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<b>x</b> & y", "&lt;b&gt;x&lt;/b&gt; &amp; y"),
        ("two\n lines\t here ", "two lines here"),
        ("bell\x07 nul\0 back\x1b[31m", "bell nul back[31m"),
        ("\u202eevil\u2066", "evil"),
        ("half \ud83d", "half"),
        ("👩‍🚀 é 漢字", "👩‍🚀 é 漢字"),
        (f"a {HEBREW} b", f"\u2068a {HEBREW} b\u2069"),
        ("\u0661\u0662", "\u2068\u0661\u0662\u2069"),  # Arabic digits alone reorder what stands beside them
        ("", "…"),
        ("\u3164\u2800", "…"),
        ("\u0301\u0301", "…"),
    ],
)
def test_a_line_of_others_is_shown_as_it_is_and_obeyed_by_nothing(text: str, shown: str) -> None:
    assert markup.line(text) == shown


def test_what_is_markup_already_is_only_ever_made_here() -> None:
    assert isinstance(markup.line("x"), Html)
    assert markup.code(HEBREW + "<") == f"\u2068<code>{HEBREW}&lt;</code>\u2069"
    assert markup.commands(("a < b", "c\x1b"), limit=50) == "<pre>a &lt; b\nc</pre>"


def test_a_block_keeps_its_lines_and_says_when_there_were_more() -> None:
    assert markup.block("one\n\n two \n<three>", limit=100) == "one\ntwo\n&lt;three&gt;"
    assert markup.block("\n".join("abcdef"), limit=100, lines=3) == "a\nb\nc\n…"
    assert markup.block(f"{HEBREW}\nb", limit=100) == f"\u2068{HEBREW}\u2069\nb"
    assert markup.block(" \n ", limit=100) == "…"


@given(st.text(), st.integers(1, 50))
def test_a_text_is_cut_to_what_telegram_counts(text: str, limit: int) -> None:
    short = markup.cut(text, limit=limit)
    assert telegram_html.utf16(short) == markup.units(short) <= limit
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))


def test_a_family_of_emoji_is_not_cut_into_a_joiner() -> None:
    assert markup.cut("👩‍🚀👩‍🚀", limit=7) == "👩‍🚀…"
    assert markup.cut("👩‍🚀👩‍🚀", limit=5) == "👩…"


@pytest.mark.parametrize(
    ("done", "total", "bar"),
    [
        (0, 10, "▱▱▱▱▱▱▱▱▱▱"),
        (1, 100, "▰▱▱▱▱▱▱▱▱▱"),
        (5, 10, "▰▰▰▰▰▱▱▱▱▱"),
        (99, 100, "▰▰▰▰▰▰▰▰▰▱"),
        (10, 10, "▰▰▰▰▰▰▰▰▰▰"),
        (11, 10, "▰▰▰▰▰▰▰▰▰▰"),
        (0, 0, "▱▱▱▱▱▱▱▱▱▱"),
        (-1, 10, "▱▱▱▱▱▱▱▱▱▱"),
    ],
)
def test_a_bar_is_full_only_when_all_is_done(done: int, total: int, bar: str) -> None:
    assert markup.bar(done=done, total=total) == bar
