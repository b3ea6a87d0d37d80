"""The files themselves: they are found by their names alone, read at once, and part of what is installed."""

import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from bottega.entrypoints.telegram.words import words_for
from bottega.entrypoints.telegram.words.catalogue import Catalogue, catalogue, closest, languages, source

ROOT = Path(__file__).parents[3]


def test_english_stands_first_and_every_language_names_itself() -> None:
    assert languages()[:1] == ("en",)
    assert {"en", "es"} <= set(languages())
    names = [catalogue(language).say("language-name", {}) for language in languages()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("es", "es"),
        ("es-MX", "es"),
        ("ES_419", "es"),
        ("en-GB", "en"),
        ("de", "en"),
        ("", "en"),
        (None, "en"),
        ("-", "en"),
        ("../en", "en"),
        ("es" * 10_000, "en"),
    ],
)
def test_a_language_is_found_by_its_tag(tag: str | None, language: str) -> None:
    assert closest(tag) == language
    assert words_for(tag).language == language


def test_a_message_that_a_language_lacks_is_said_in_english() -> None:
    english = Catalogue(language="en", source="hello = Hello, { $name }.")
    basque = Catalogue(language="eu", source="bye = Agur", fallback=english)
    assert basque.say("bye", {}) == "Agur"
    assert basque.say("hello", {"name": "Ana"}) == "Hello, Ana."
    assert basque.knows("hello")
    assert not basque.knows("nothing")


@pytest.mark.parametrize(("message", "arguments"), [("nothing", {}), ("hello", {"title": "x"}), ("empty", {})])
def test_what_cannot_be_said_is_never_said_half(message: str, arguments: dict[str, str]) -> None:
    english = Catalogue(language="en", source="hello = Hello, { $name }.\nempty =\n    .title = x\n")
    with pytest.raises(LookupError, match=message):
        english.say(message, arguments)


@pytest.mark.parametrize(
    ("language", "count", "said"),
    [
        ("en", 1, "… and 1 more"),
        ("en", 1234, "… and 1,234 more"),
        ("es", 12_345, "… y 12.345 más"),
    ],
)
def test_numbers_are_written_as_the_language_writes_them(language: str, count: int, said: str) -> None:
    assert catalogue(language).say("and-more", {"count": count}) == said


def test_arguments_are_never_read_as_messages() -> None:
    english = Catalogue(language="en", source="hello = Hello, { $name }.\nsecret = hidden")
    assert english.say("hello", {"name": "{ secret } { $name }"}) == "Hello, { secret } { $name }."


def test_a_language_is_read_in_a_moment() -> None:
    """Measured 0.1 s on the machine of docs/benchmarks.md; ten times that would delay a start noticeably."""
    begun = time.perf_counter()
    for language in languages():
        Catalogue(language=language, source=source(language))
    assert time.perf_counter() - begun < len(languages())


def test_an_installation_has_every_language(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for language in languages():
            text = archive.read(f"bottega/entrypoints/telegram/words/{language}.ftl").decode()
            assert text == source(language)
