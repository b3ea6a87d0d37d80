"""One language speaking: messages of the catalogue made into HTML, labels, buttons.

Safe by default: a `str` argument is others' text and is escaped and cut; only `Html` is let through. Credits are
Decimal and shown as everywhere; a whole number is written as the language writes numbers.
"""

from collections.abc import Iterable
from decimal import Decimal

from bottega.core.money import show_credits
from bottega.entrypoints.telegram.buttons import Press, encode
from bottega.entrypoints.telegram.types import Button, Keyboard, Say
from bottega.entrypoints.telegram.words import markup
from bottega.entrypoints.telegram.words.catalogue import Catalogue
from bottega.entrypoints.telegram.words.markup import Html
from bottega.entrypoints.telegram.words.values import Named

Argument = str | int | Decimal
LONGEST_LABEL, LONGEST_NOTICE = 60, 200  # of ours: others' text in them is cut to less
_HOUR, _MINUTE = 3600, 60


class Voice:
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    @property
    def language(self) -> str:
        return self._catalogue.language

    def html(self, message: str, **arguments: Argument) -> Html:
        """Return a message as markup."""
        return Html(self._catalogue.say(message, {name: _as_html(value) for name, value in arguments.items()}))

    def plain(self, message: str, *, limit: int = LONGEST_NOTICE, **arguments: Argument) -> str:
        """Return a message without markup: a label, a notice over the chat, an invoice's title."""
        said = self._catalogue.say(message, {name: _as_plain(value) for name, value in arguments.items()})
        return markup.cut(said, limit=limit)

    def knows(self, message: str) -> bool:
        return self._catalogue.knows(message)

    def say(self, message: str, keyboard: Keyboard = (), **arguments: Argument) -> Say:
        return Say(html=self.html(message, **arguments), keyboard=keyboard)

    def button(self, message: str, press: Press, **arguments: Argument) -> Button:
        return Button(label=self.plain(message, limit=LONGEST_LABEL, **arguments), data=encode(press))

    def link(self, message: str, url: str, **arguments: Argument) -> Button:
        return Button(label=self.plain(message, limit=LONGEST_LABEL, **arguments), url=url)

    def title(self, project: Named) -> Html:
        return markup.bold(markup.line(project.title, limit=100))

    def duration(self, seconds: int) -> Html:
        """Return a time as people say it: 40 s, 12 min, 2 h 5 min."""
        seconds = max(0, seconds)
        if seconds < _MINUTE:
            return self.html("duration-seconds", seconds=seconds)
        if seconds < _HOUR:
            return self.html("duration-minutes", minutes=seconds // _MINUTE)
        return self.html("duration-hours", hours=seconds // _HOUR, minutes=seconds % _HOUR // _MINUTE)

    def some(self, rows: Iterable[Html], *, most: int) -> Html:
        """Return rows one below the other, at most so many, and how many more there are."""
        kept = list(rows)
        more = len(kept) - most
        return markup.joined(*kept[:most], self.html("and-more", count=more) if more > 0 else None)


def one_of(family: str, member: str) -> str:
    """Return the message's name for one of a family: what a status, a code or a command is called."""
    return f"{family}-{member.replace('_', '-').replace('.', '-')}"


def in_rows(buttons: Iterable[Button | None], *, width: int = 2) -> Keyboard:
    """Return what there is of the buttons, so many in a row."""
    kept = [button for button in buttons if button]
    return tuple(tuple(kept[start : start + width]) for start in range(0, len(kept), width))


def _as_html(value: Argument) -> str | int:
    match value:
        case Html() | int():
            return value
        case Decimal():
            return show_credits(value)
        case _:
            return markup.line(value)


def _as_plain(value: Argument) -> str | int:
    match value:
        case int():
            return value
        case Decimal():
            return show_credits(value)
        case _:
            return markup.label(value)
