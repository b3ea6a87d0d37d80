"""Others' text as Telegram shows it: escaped, obeyed by nothing, and bounded.

- What is not `Html` is not markup yet; only `line`, `block` and `code`, and the catalogue's own messages, make it.
- Control characters, halves of surrogate pairs and what reorders a line are dropped; text that runs from right to left
  is isolated, so that the sentence around it stays in order.
- Lengths are in UTF-16 units, as Telegram counts them, before escaping.
"""

import html
import unicodedata

LINE, LABEL = 120, 40  # what a line of a chat bears, and a button
_JOINERS = "\u200c\u200d"  # emoji and whole scripts are written with them
_BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and symbols that show nothing
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
_FIRST_STRONG, _POP = "\u2068", "\u2069"
_ASTRAL = 0x10000


class Html(str):
    """Markup that is safe to send: of Telegram's tags, everything else escaped."""

    __slots__ = ()


def line(text: str, *, limit: int = LINE) -> Html:
    """Return text as one line."""
    return Html(_isolated(_escaped(plain(text, limit=limit))))


def block(text: str, *, limit: int, lines: int = 12) -> Html:
    """Return text line by line, at most so many of them."""
    kept = [row for row in (_flat(row) for row in harmless(text).splitlines()) if row]
    if len(kept) > lines:
        kept = [*kept[:lines], "…"]
    short = cut("\n".join(kept), limit=limit)
    return Html("\n".join(_isolated(_escaped(row)) for row in short.splitlines()) or "…")


def code(text: str, *, limit: int = LINE) -> Html:
    """Return text in the type of a machine, to be copied by a touch."""
    return Html(_isolated(f"<code>{_escaped(plain(text, limit=limit))}</code>"))


def commands(lines: tuple[str, ...], *, limit: int) -> Html:
    """Return commands to be copied, one a line."""
    short = cut("\n".join(_flat(harmless(row)) for row in lines), limit=limit)
    return Html(f"<pre>{_escaped(short)}</pre>")


def quoted(text: Html) -> Html:
    return Html(f"<blockquote>{text}</blockquote>")


def bold(text: Html) -> Html:
    return Html(f"<b>{text}</b>")


def joined(*parts: Html | None, between: str = "\n") -> Html:
    """Return what there is of the parts, one below the other."""
    return Html(between.join(part for part in parts if part))


def plain(text: str, *, limit: int = LINE) -> str:
    """Return text as one line without markup, for buttons and notices; never empty."""
    flat = _flat(harmless(text))
    return cut(flat, limit=limit) if _shows(flat) else "…"


def label(text: str, *, limit: int = LABEL) -> str:
    return _isolated(plain(text, limit=limit))


def harmless(text: str) -> str:
    """Drop what cannot be sent, is obeyed, or reorders a line; line breaks and joiners stay."""
    kept = (c for c in text if c in _JOINERS or c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Cn"})
    return "".join(kept)


def cut(text: str, *, limit: int) -> str:
    """Return text of at most `limit` units, with an ellipsis where it was longer."""
    if units(text) <= limit:
        return text
    room = limit - 1
    for end, character in enumerate(text):
        room -= _width(character)
        if room < 0:
            return text[:end].rstrip(_JOINERS + "\n ") + "…"
    return text


def units(text: str) -> int:
    return sum(map(_width, text))


def bar(*, done: int, total: int, cells: int = 10) -> str:
    """Return a progress bar; it is full only when all is done, and empty only when nothing is."""
    if total <= 0 or done <= 0:
        return "▱" * cells
    full = cells if done >= total else max(1, min(cells - 1, done * cells // total))
    return "▰" * full + "▱" * (cells - full)


def _width(character: str) -> int:
    return 2 if ord(character) >= _ASTRAL else 1


def _flat(text: str) -> str:
    return " ".join(text.split())


def _shows(text: str) -> bool:
    return any(c not in _BLANKS and unicodedata.category(c)[0] not in "CZM" for c in text)


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _isolated(text: str) -> str:
    if any(unicodedata.bidirectional(c) in _RIGHT_TO_LEFT for c in text):
        return f"{_FIRST_STRONG}{text}{_POP}"
    return text
