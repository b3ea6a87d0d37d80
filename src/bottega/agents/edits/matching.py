"""Find the one place a SEARCH block means, and put the REPLACE block there.

The ladder goes from exact to forgiving: exact lines, trailing whitespace, one uniform indent shift, typographic
punctuation, blank lines. Every rung must find exactly one place; two are refused with their line numbers. There is no
rung by similarity: retrying recovers, a wrong place corrupts silently. Lines outside the place are never touched.
"""

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bottega.agents.edits.types import EditFault

_PUNCTUATION = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′", "'"),
        **dict.fromkeys("“”„‟″", '"'),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2009\u202f\u3000", " "),
        "…": "...",
    }
)
_HINT_LINES = 12
_HINT_SEARCHED = 40  # a hint must not cost seconds
_MAX_ALIGNED_LINES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Lines `start` to `end` (exclusive) are the place; `lines` is what belongs there."""

    start: int
    end: int
    lines: list[str]


_Rung = Callable[[list[str], list[str], list[str]], list[_Place]]


def replace_block(text: str, *, search: str, replace: str) -> str:
    """Return `text` with the only match of `search` replaced, in the text's own line ends, or raise EditFault."""
    raw = split_lines(text)
    lines = [line.rstrip("\n").removesuffix("\r") for line in raw]
    wanted, new = search.split("\n")[:-1], replace.split("\n")[:-1]
    for rung in _LADDER:
        places = rung(lines, wanted, new)
        if len(places) == 1:
            return _splice(raw, places[0], line_end(text))
        if places:
            raise EditFault(_ambiguous(places))
    raise EditFault(_not_found(lines, wanted))


def split_lines(text: str) -> list[str]:
    """Split at LF only and keep it; str.splitlines would split at form feeds and other characters inside lines."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def line_end(text: str) -> str:
    """Return the line end most lines of the text have."""
    crlf = text.count("\r\n")
    return "\r\n" if crlf * 2 > text.count("\n") else "\n"


def _splice(raw: list[str], place: _Place, end: str) -> str:
    new = [line + end for line in place.lines]
    at_end = place.end == len(raw)
    if new and at_end and not raw[-1].endswith("\n"):
        new[-1] = new[-1].removesuffix(end)
    return "".join([*raw[: place.start], *new, *raw[place.end :]])


def _by_key(key: Callable[[str], str]) -> _Rung:
    """Make a rung that compares lines by `key`. Lines the model only repeated keep the file's own characters."""

    def find(lines: list[str], wanted: list[str], new: list[str]) -> list[_Place]:
        keys, target = [key(line) for line in lines], [key(line) for line in wanted]
        return [
            _Place(start=at, end=at + len(wanted), lines=_keep_context(lines[at : at + len(wanted)], wanted, new))
            for at in _windows(keys, target)
        ]

    return find


def _windows(lines: list[str], wanted: list[str]) -> list[int]:
    size = len(wanted)
    return [n for n in range(len(lines) - size + 1) if size and lines[n] == wanted[0] and lines[n : n + size] == wanted]


def _keep_context(old: list[str], wanted: list[str], new: list[str]) -> list[str]:
    if old == wanted or len(wanted) > _MAX_ALIGNED_LINES:
        return new
    kept: list[str] = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, wanted, new, autojunk=False).get_opcodes():
        kept.extend(old[i1:i2] if tag == "equal" else new[j1:j2])
    return kept


def _by_indent(lines: list[str], wanted: list[str], new: list[str]) -> list[_Place]:
    stripped, target = [line.strip() for line in lines], [line.strip() for line in wanted]
    places = []
    for at in _windows(stripped, target):
        shift = _shift(lines[at : at + len(wanted)], wanted)
        moved = None if shift is None else _shifted(new, shift)
        if moved is not None:
            places.append(_Place(start=at, end=at + len(wanted), lines=moved))
    return places


def _shift(old: list[str], wanted: list[str]) -> tuple[str, str] | None:
    """Return the (added, removed) indent that turns every wanted line into the old one, if one does."""
    shifts = {_indent_change(_indent(w), _indent(o)) for o, w in zip(old, wanted, strict=True) if o.strip()}
    return shifts.pop() if len(shifts) == 1 else None


def _indent_change(before: str, after: str) -> tuple[str, str] | None:
    if after.endswith(before):
        return after[: len(after) - len(before)], ""
    return ("", before[: len(before) - len(after)]) if before.endswith(after) else None


def _shifted(new: list[str], shift: tuple[str, str]) -> list[str] | None:
    added, removed = shift
    if any(line.strip() and not line.startswith(removed) for line in new):
        return None
    return [added + line.removeprefix(removed) if line.strip() else line for line in new]


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _by_text_lines(lines: list[str], wanted: list[str], new: list[str]) -> list[_Place]:
    numbers = [n for n, line in enumerate(lines) if line.strip()]
    texts = [lines[n].rstrip() for n in numbers]
    target = [line.rstrip() for line in wanted if line.strip()]
    trimmed = _without_outer_blanks(new)
    return [
        _Place(start=numbers[at], end=numbers[at + len(target) - 1] + 1, lines=trimmed)
        for at in _windows(texts, target)
    ]


def _without_outer_blanks(lines: list[str]) -> list[str]:
    filled = [n for n, line in enumerate(lines) if line.strip()]
    return lines[filled[0] : filled[-1] + 1] if filled else []


_LADDER: tuple[_Rung, ...] = (
    _by_key(str),
    _by_key(str.rstrip),
    _by_indent,
    _by_key(lambda line: line.rstrip().translate(_PUNCTUATION)),
    _by_text_lines,
)


def _ambiguous(places: Sequence[_Place]) -> str:
    shown = [str(place.start + 1) for place in places[:8]]
    where = f"{', '.join(shown[:-1])} and {shown[-1]}" + (", and more" if len(places) > len(shown) else "")
    return f"the SEARCH block has {len(places)} matches, at lines {where}: add lines around it until it occurs once"


def _not_found(lines: list[str], wanted: list[str]) -> str:
    opening = next((line.strip() for line in wanted if line.strip()), "")
    place = _nearest([line.strip() for line in lines], [line.strip() for line in wanted], opening)
    if place is None:
        return f"the SEARCH block, which begins {opening[:80]!r}, is not in the file, and nothing in it comes close"
    end = min(place + min(len(wanted), _HINT_LINES), len(lines))
    real = "\n".join(f"    {line[:200]}" for line in lines[place:end])
    meant = f"line {end}, which really is" if end == place + 1 else f"lines {place + 1} to {end}, which really are"
    return f"the SEARCH block is not in the file. Did you mean {meant}:\n{real}"


def _nearest(lines: list[str], wanted: list[str], opening: str) -> int | None:
    """Return where most of the wanted lines stand, or a line like the first of them. For a hint only."""
    scores: dict[int, int] = {}
    for offset, line in enumerate(wanted[:_HINT_SEARCHED]):
        if line:
            for at in (n for n, text in enumerate(lines) if text == line and n >= offset):
                scores[at - offset] = scores.get(at - offset, 0) + 1
    if scores:
        return max(scores, key=lambda at: (scores[at], -at))
    close = difflib.get_close_matches(opening, lines[: _HINT_SEARCHED * 100], n=1)
    return lines.index(close[0]) if close else None
