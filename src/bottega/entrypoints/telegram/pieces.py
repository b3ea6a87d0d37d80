"""A text of any length in pieces that Telegram takes: tags closed at the end of one and opened again in the next.

Length is what Telegram counts: UTF-16 units of the text as people see it, tags and entities apart. A piece ends at a
blank line, a line, or a word where there is one in its second half, and never within an entity or a character.
"""

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

LONGEST_MESSAGE = 4096
NOTHING = "…"  # for a text without a visible character, which Telegram refuses

_TOKEN = re.compile(
    r"(?P<close></[a-zA-Z-]+\s*>)"
    r"|(?P<open><[a-zA-Z][a-zA-Z-]*(?:\s[^<>]*)?>)"
    r"|(?P<entity>&(?:lt|gt|amp|quot|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});)"
    r"|(?P<letter>.)",
    re.DOTALL,
)
_NAME = re.compile(r"</?([a-zA-Z-]+)")
_JOINS = {"\u200d", "\ufe0f", "\u20e3"}  # belong to the character before them


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    kind: str
    source: str
    shown: str  # as people see it
    units: int


def pieces(source: str, *, longest: int = LONGEST_MESSAGE) -> Sequence[str]:
    """Return the text as pieces of at most `longest` visible UTF-16 units each, none of them empty; at least one."""
    return list(_pieces(list(_tokens(source)), longest)) or [NOTHING]


def visible(source: str) -> str:
    """Return the text without its tags, entities resolved: what is left when it cannot be read as HTML."""
    return "".join(token.shown for token in _tokens(source))


def units(text: str) -> int:
    """Return the length of plain text as Telegram counts it."""
    return sum(2 if letter > "\uffff" else 1 for letter in text)


def _tokens(source: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(source):
        kind = found.lastgroup or "letter"
        if kind == "letter":
            yield _letter(found[0])
        else:
            shown = html.unescape(found[0]) if kind == "entity" else ""
            yield _Token(kind=kind, source=found[0], shown=shown, units=units(shown))


@lru_cache(maxsize=4096)
def _letter(letter: str) -> _Token:
    return _Token(kind="letter", source=letter, shown=letter, units=units(letter))


@dataclass(slots=True)
class _Opened:
    """The tags that are open at a place, and how they are closed there and opened again behind it."""

    tags: list[str] = field(default_factory=list)

    def after(self, token: _Token) -> None:
        if token.kind == "open":
            self.tags.append(token.source)
        elif token.kind == "close" and self.tags and _name(self.tags[-1]) == _name(token.source):
            self.tags.pop()

    @property
    def closing(self) -> str:
        return "".join(f"</{_name(tag)}>" for tag in reversed(self.tags))

    @property
    def opening(self) -> str:
        return "".join(self.tags)


def _pieces(tokens: Sequence[_Token], longest: int) -> Iterator[str]:
    opened, start = _Opened(), 0
    while start < len(tokens):
        end = _end(tokens, start, longest)
        opening = opened.opening
        for token in tokens[start:end]:
            opened.after(token)
        if any(token.shown.strip() for token in tokens[start:end]):
            yield opening + "".join(token.source for token in tokens[start:end]) + opened.closing
        start = end


def _end(tokens: Sequence[_Token], start: int, longest: int) -> int:
    """Return where the piece that begins at `start` ends: the best place at which it is not too long."""
    length, at = 0, start
    while at < len(tokens) and length + tokens[at].units <= longest:
        length += tokens[at].units
        at += 1
    if at == len(tokens):
        return at
    half = start + (at - start) // 2
    return next((end for ends in _good_ends(tokens, half, at) for end in ends), None) or _whole(tokens, start, at)


def _good_ends(tokens: Sequence[_Token], low: int, high: int) -> Iterator[Iterator[int]]:
    """Yield the ends behind blank lines, then those behind lines, then those behind words; the last ones first."""
    ends = range(high, low, -1)
    yield (end for end in ends if tokens[end - 1].shown == "\n" and tokens[end - 2].shown == "\n")
    yield (end for end in ends if tokens[end - 1].shown == "\n")
    yield (end for end in ends if tokens[end - 1].shown == " ")


def _whole(tokens: Sequence[_Token], start: int, at: int) -> int:
    """Return an end at which no character is torn from what belongs to it."""
    end = at
    while end > start + 1 and (tokens[end].shown in _JOINS or tokens[end - 1].shown == "\u200d"):
        end -= 1
    return end if end > start + 1 else max(at, start + 1)


def _name(tag: str) -> str:
    found = _NAME.match(tag)
    return found[1].lower() if found else ""
