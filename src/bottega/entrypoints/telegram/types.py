"""What comes from Telegram and what goes to it, as values. Both halves of the bot meet here and know no more.

Ids are Telegram's own: `chat_id` and `person.id` are up to 52 bits, of either sign for chats. Text to be shown is HTML
of the few tags that Telegram takes, escaped by whoever made it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who did something. `language` is what their Telegram is set to, as an IETF tag, if they tell."""

    id: int
    name: str
    username: str | None
    language: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """`update_id` names what happened, once and for all; `chat_id` is where its answer belongs."""

    update_id: int
    chat_id: int
    person: Person
    is_private: bool  # a chat of the person and the bot alone


@dataclass(frozen=True, slots=True, kw_only=True)
class RepliedTo:
    """The message that is answered, where it is one of ours; `data` is what its buttons hold."""

    message_id: int
    data: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSent(Incoming):
    """In a group only what is meant for the bot: a mention (taken out of the text), a command, a reply to it."""

    message_id: int
    text: str
    reply_to: RepliedTo | None = None
    is_forwarded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentSent(Incoming):
    message_id: int
    file_id: str
    name: str
    size_bytes: int | None
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ButtonPressed(Incoming):
    """`message_id` is None where Telegram no longer tells which message the button was under."""

    query_id: str
    data: str
    message_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutAsked(Incoming):
    """Telegram wants to know within ten seconds whether a person may pay."""

    query_id: str
    payload: str
    currency: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StarsPaid(Incoming):
    payload: str
    currency: str
    amount: int
    charge_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked(Incoming):
    """The person shut the bot out, or (`is_back`) let it in again."""

    is_back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NotUnderstood(Incoming):
    """A sticker, a voice message, a poll: nothing that software is described with."""

    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """One of `data` (at most 64 bytes) and `url`."""

    label: str
    data: str | None = None
    url: str | None = None


Keyboard = tuple[tuple[Button, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """A message: HTML of any length, sent in several pieces where it is too long, the keyboard under the last."""

    html: str
    keyboard: Keyboard = ()
