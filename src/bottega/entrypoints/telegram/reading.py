"""Updates of the Bot API as values: pure functions over JSON from a stranger, who may send anything.

What the bot does not deal with, and what is not an update at all, is None: it is confirmed and forgotten. In a group
the bot reads what is meant for it and nothing else: a command, a mention, a reply to what it said.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bottega.entrypoints.telegram.types import (
    Blocked,
    ButtonPressed,
    CheckoutAsked,
    DocumentSent,
    Incoming,
    NotUnderstood,
    Person,
    RepliedTo,
    StarsPaid,
    TextSent,
)
from bottega.llm.foreign_json import Json, as_list, as_map, as_text
from bottega.orchestration.post.inbox import Arrival, storable

LARGEST_ID = 2**52
KINDS = ("message", "callback_query", "pre_checkout_query", "my_chat_member")
NOT_UNDERSTOOD = (
    "photo", "voice", "audio", "video", "video_note", "animation", "sticker", "location", "venue", "contact", "poll",
    "dice", "story", "game", "paid_media", "checklist",
)  # fmt: skip
_OUTSIDE = {"left", "kicked"}
_COMMAND = re.compile(r"/([A-Za-z0-9_]{1,32})(?:@(\w+))?(?=\s|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """The bot itself, as people call it."""

    id: int
    username: str


def number_of(update: Json) -> int | None:
    """Return what Telegram calls the update; None where it is none."""
    number = as_map(update).get("update_id")
    return number if type(number) is int and 0 <= number <= LARGEST_ID else None


def arrival_of(update: Json) -> Arrival | None:
    """Return the update as the inbox keeps it; None for one that nobody here deals with.

    A chat's updates are one stream. A checkout is asked about in another: its answer must not wait for anything.
    """
    number, payload = number_of(update), storable(update)
    kind = next((kind for kind in KINDS if as_map(as_map(update).get(kind))), None)
    if number is None or payload is None or kind is None:
        return None
    told = as_map(update[kind])
    if kind == "pre_checkout_query":
        stream = f"checkout:{_id(as_map(told.get('from')))}"
    else:
        chat = as_map(as_map(told.get("message")).get("chat")) if kind == "callback_query" else as_map(told.get("chat"))
        stream = str(_id(chat) or _id(as_map(told.get("from"))))
    return Arrival(external_id=str(number), stream=stream, payload=payload)


def read(update: Json, *, me: Me) -> Incoming | None:
    """Return what happened, as far as it is for us."""
    number = number_of(update)
    if number is None:
        return None
    kinds = {"message": _message, "callback_query": _button, "pre_checkout_query": _checkout, "my_chat_member": _member}
    for kind, reader in kinds.items():
        told = as_map(as_map(update).get(kind))
        person = _person(as_map(told.get("from")))
        if told and person is not None:
            return reader(told, _Scene(update_id=number, person=person, me=me))
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    update_id: int
    person: Person
    me: Me

    def at(self, chat: Mapping[str, Json]) -> dict[str, Any] | None:
        """Return what every Incoming has; None where the chat is none that the bot talks in."""
        chat_id, kind = _id(chat), chat.get("type")
        if chat_id is None or kind not in {"private", "group", "supergroup"}:
            return None
        return self._common(chat_id, is_private=kind == "private")

    def alone(self) -> dict[str, Any]:
        return self._common(self.person.id, is_private=True)

    def _common(self, chat_id: int, *, is_private: bool) -> dict[str, Any]:
        return {"update_id": self.update_id, "chat_id": chat_id, "person": self.person, "is_private": is_private}


def _message(told: Mapping[str, Json], scene: _Scene) -> Incoming | None:
    common, message_id = scene.at(as_map(told.get("chat"))), _id(told, "message_id")
    if common is None or message_id is None:
        return None
    if payment := as_map(told.get("successful_payment")):
        return _paid(payment, common)
    said = as_text(told.get("text")) or as_text(told.get("caption"))
    text = _for_us(said, scene.me)
    is_meant = common["is_private"] or _is_meant(told, said, scene.me)
    if text is None or not is_meant:
        return None
    if as_text(told.get("text")):
        return TextSent(
            **common,
            message_id=message_id,
            text=text,
            reply_to=_replied_to(as_map(told.get("reply_to_message")), scene.me),
            is_forwarded=bool(told.get("forward_origin")),
        )
    if document := as_map(told.get("document")):
        return _document(document, {**common, "message_id": message_id, "caption": text})
    what = next((kind for kind in NOT_UNDERSTOOD if told.get(kind)), None)
    return None if what is None else NotUnderstood(**common, what=what)


def _replied_to(told: Mapping[str, Json], me: Me) -> RepliedTo | None:
    message_id = _id(told, "message_id")
    if message_id is None or _id(as_map(told.get("from"))) != me.id:
        return None
    rows = as_list(as_map(told.get("reply_markup")).get("inline_keyboard"))
    data = (as_text(as_map(button).get("callback_data")) for row in rows for button in as_list(row))
    return RepliedTo(message_id=message_id, data=tuple(each for each in data if each))


def _paid(payment: Mapping[str, Json], common: Mapping[str, Any]) -> Incoming | None:
    amount, charge_id = payment.get("total_amount"), as_text(payment.get("telegram_payment_charge_id"))
    if type(amount) is not int or not charge_id:
        return None
    payload, currency = as_text(payment.get("invoice_payload")), as_text(payment.get("currency"))
    return StarsPaid(**common, payload=payload, currency=currency, amount=amount, charge_id=charge_id)


def _document(document: Mapping[str, Json], common: Mapping[str, Any]) -> Incoming | None:
    file_id, size = as_text(document.get("file_id")), document.get("file_size")
    if not file_id:
        return None
    name = as_text(document.get("file_name")) or "file"
    return DocumentSent(**common, file_id=file_id, name=name, size_bytes=size if type(size) is int else None)


def _button(told: Mapping[str, Json], scene: _Scene) -> Incoming | None:
    message, query_id, data = as_map(told.get("message")), as_text(told.get("id")), as_text(told.get("data"))
    common = scene.at(as_map(message.get("chat"))) if message else scene.alone()
    if common is None or not query_id or not data:
        return None
    return ButtonPressed(**common, query_id=query_id, data=data, message_id=_id(message, "message_id"))


def _checkout(told: Mapping[str, Json], scene: _Scene) -> Incoming | None:
    query_id, amount = as_text(told.get("id")), told.get("total_amount")
    if not query_id or type(amount) is not int:
        return None
    payload, currency = as_text(told.get("invoice_payload")), as_text(told.get("currency"))
    return CheckoutAsked(**scene.alone(), query_id=query_id, payload=payload, currency=currency, amount=amount)


def _member(told: Mapping[str, Json], scene: _Scene) -> Incoming | None:
    common = scene.at(as_map(told.get("chat")))
    was, now = (as_text(as_map(told.get(side)).get("status")) for side in ("old_chat_member", "new_chat_member"))
    if common is None or not now or (was in _OUTSIDE) == (now in _OUTSIDE):
        return None
    return Blocked(**common, is_back=now not in _OUTSIDE)


def _person(told: Mapping[str, Json]) -> Person | None:
    """Return who did it. Bots, among them the one that stands for a group's anonymous admins, are nobody."""
    person_id = _id(told)
    if person_id is None or person_id <= 0 or told.get("is_bot") is True:
        return None
    names = (as_text(told.get("first_name")), as_text(told.get("last_name")))
    return Person(
        id=person_id,
        name=" ".join(name for name in names if name),
        username=as_text(told.get("username")) or None,
        language=as_text(told.get("language_code")) or None,
    )


def _is_meant(told: Mapping[str, Json], said: str, me: Me) -> bool:
    author = as_map(as_map(told.get("reply_to_message")).get("from"))
    return _id(author) == me.id or _COMMAND.match(said) is not None or _mention(me).search(said) is not None


def _for_us(said: str, me: Me) -> str | None:
    """Return the text without the bot's name; None where it is a command of another bot."""
    command = _COMMAND.match(said)
    if command is None:
        return _mention(me).sub("", said).strip()
    if command[2] and command[2].lower() != me.username.lower():
        return None
    return f"/{command[1]}{said[command.end() :]}"


def _mention(me: Me) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w@/])@{re.escape(me.username)}\b,?\s*", re.IGNORECASE)


def _id(told: Mapping[str, Json], name: str = "id") -> int | None:
    number = told.get(name)
    return number if type(number) is int and -LARGEST_ID <= number <= LARGEST_ID and number else None
