import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indexing.samples import NOTES, python_files

from bottega.indexing.chunking import Chunk, chunk_file


def spans(chunks: tuple[Chunk, ...]) -> list[tuple[str, str, int, int]]:
    return [(chunk.symbol, chunk.kind, chunk.start_line, chunk.end_line) for chunk in chunks]


def test_a_class_is_cut_into_its_methods_and_what_is_left() -> None:
    assert spans(chunk_file(text=NOTES, language="python")) == [
        ("", "module", 1, 3),
        ("Notes", "class", 6, 9),
        ("Notes.add", "method", 11, 12),
        ("Notes.find", "method", 14, 16),
        ("main", "function", 19, 20),
    ]


def test_a_chunk_knows_what_it_defines_and_what_it_uses() -> None:
    module, notes, add, *_ = chunk_file(text=NOTES, language="python")
    assert module.defines == {"LIMIT": 1}
    assert notes.defines == {"Notes": 1, "kept": 1}
    assert add.defines == {"Notes": 1, "add": 1}
    assert add.uses == {"def": 1, "add": 1, "self": 2, "note": 2, "kept": 1, "append": 1}


def test_a_file_that_does_not_parse_is_cut_into_windows() -> None:
    text = "def broken(:\n" + "x = 1\n" * 90
    assert spans(chunk_file(text=text, language="python")) == [
        ("", "window", 1, 40),
        ("", "window", 41, 80),
        ("", "window", 81, 91),
    ]


def test_a_long_symbol_is_cut_into_windows_that_keep_its_name() -> None:
    text = "def long():\n" + "    x = 1\n" * 99
    assert spans(chunk_file(text=text, language="python")) == [
        ("long", "function", 1, 40),
        ("long", "function", 41, 80),
        ("long", "function", 81, 100),
    ]


@pytest.mark.parametrize("text", ["", "\n\n\n", "   \n\t\n"])
def test_blank_files_have_no_chunks(text: str) -> None:
    assert chunk_file(text=text, language="python") == ()


def covers_each_line_once(text: str, language: str) -> bool:
    chunks = chunk_file(text=text, language=language)
    numbers = [number for chunk in chunks for number in range(chunk.start_line, chunk.end_line + 1)]
    full = {number for number, line in enumerate(text.split("\n"), start=1) if line.strip()}
    return numbers == sorted(set(numbers)) and full <= set(numbers)


@given(text=python_files)
def test_every_line_of_code_is_in_exactly_one_chunk(text: str) -> None:
    assert covers_each_line_once(text, "python")


@given(
    text=st.text(alphabet="ab{}();=>\n \f\r\u2028class function", max_size=200),
    language=st.sampled_from(["text", "tsx"]),
)
def test_every_line_of_anything_is_in_exactly_one_chunk(text: str, language: str) -> None:
    assert covers_each_line_once(text, language)
