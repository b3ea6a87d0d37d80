"""What a brief must be before anybody works on it, and what can be none."""

import re
from dataclasses import dataclass

from bottega.core.errors import AppError

MAX_BRIEF_BYTES = 50_000
SHORT_WORDS, SHORT_CHARACTERS = 4, 30
_TITLE_LENGTH = 80
_FIRST_OF_DENSE_SCRIPTS = "\u2e80"  # Chinese, Japanese, Korean: a character says what three of ours do
_WORDS_OF_SMALL_TALK = """
hi hello hey yo good morning evening afternoon night thanks thank you so much very well ok okay cool nice great super
perfect bye yes no wow lol test ping help there bot please por favor
hola buenas buenos días tardes noches gracias muchas vale bien perfecto genial adiós sí si ayuda
"""
_SMALL_TALK = frozenset(_WORDS_OF_SMALL_TALK.split())


class EmptyBrief(AppError):
    code = "empty_brief"
    http_status = 422

    def __init__(self) -> None:
        super().__init__("The brief is empty. Say in a few sentences what you want built.")


class BriefTooLong(AppError):
    code = "brief_too_long"
    http_status = 413

    def __init__(self, *, size_bytes: int) -> None:
        super().__init__(
            f"The brief has {size_bytes:,} bytes; at most {MAX_BRIEF_BYTES:,} fit. Keep what the software must do and"
            " leave out examples of data."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanBrief:
    """`title` stands until the Architect finds a better one."""

    text: str
    title: str


def clean_brief(said: str) -> CleanBrief:
    """Return the brief without what no database keeps, or raise EmptyBrief or BriefTooLong."""
    text = storable(said)
    size = len(text.encode())
    if not text:
        raise EmptyBrief
    if size > MAX_BRIEF_BYTES:
        raise BriefTooLong(size_bytes=size)
    title = text.splitlines()[0].lstrip("# ").strip()[:_TITLE_LENGTH]
    return CleanBrief(text=text, title=title or "Untitled Project")


def is_small_talk(text: str) -> bool:
    """Tell whether a text is a greeting, thanks or nothing at all."""
    words = re.findall(r"\w+", text.casefold())
    return len(words) <= SHORT_WORDS and all(word in _SMALL_TALK for word in words)


def is_short(text: str) -> bool:
    """Tell whether a text is clearly too short to build from; its person is asked whether they mean it."""
    length = sum(3 if c >= _FIRST_OF_DENSE_SCRIPTS else 1 for c in text)
    return len(text.split()) < SHORT_WORDS and length < SHORT_CHARACTERS


def storable(text: str) -> str:
    """Return what a person said without what no database keeps: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "").encode(errors="replace").decode().strip()
