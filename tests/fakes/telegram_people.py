"""People in Telegram, as tests play them: what they do reaches the bot, what they see is what it sent and edited.

ada = telegram.person(7, "Ada")
await ada.says("A to-do list")
plan = await ada.waits_for("Approve")
await ada.presses("Approve")
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.fakes.telegram_html import Entity, utf16

if TYPE_CHECKING:
    from tests.fakes.telegram import FakeTelegram

BOT = {"id": 123456789, "is_bot": True, "first_name": "Bottega", "username": "bottega_bot"}

Json = dict[str, Any]


class CheckoutRefused(Exception):
    """The bot would not let a person pay, and said why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    payload: str
    stars: int
    asked: Json


@dataclass(slots=True, kw_only=True)
class Message:
    """A message as its chat shows it. `keyboard` is rows of buttons, as the Bot API has them."""

    id: int
    text: str
    html: str
    entities: tuple[Entity, ...]
    keyboard: tuple[tuple[Json, ...], ...]
    document_name: str | None = None
    document: bytes | None = None
    invoice: Invoice | None = None
    is_the_bots: bool = True
    edits: int = 0

    @property
    def labels(self) -> list[str]:
        return [button["text"] for row in self.keyboard for button in row]


@dataclass(slots=True, kw_only=True)
class Chat:
    id: int
    is_private: bool
    messages: dict[int, Message] = field(default_factory=dict)
    actions: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)  # answers to buttons
    is_shut: bool = False
    moved_to: int | None = None
    sent: deque[float] = field(default_factory=deque)
    tokens: float = 5.0
    filled_at: float = 0.0

    def told(self, message: Message) -> Json:
        """Return the message as the Bot API tells of it."""
        said: Json = {"message_id": message.id, "date": int(time.time()), "chat": self.as_json()}
        if message.text:
            said["text"] = message.text
        if message.is_the_bots:
            said["from"] = BOT
        if message.keyboard:
            said["reply_markup"] = {"inline_keyboard": [list(row) for row in message.keyboard]}
        return said

    def as_json(self) -> Json:
        return {"id": self.id, "type": "private" if self.is_private else "supergroup", "title": "Us"}


@dataclass(eq=False)
class Group:
    id: int
    title: str
    telegram: "FakeTelegram"

    def __post_init__(self) -> None:
        self.chat = Chat(id=self.id, is_private=False)


@dataclass(eq=False)
class Person:
    id: int
    name: str
    language: str | None
    telegram: "FakeTelegram"

    def __post_init__(self) -> None:
        self.chat = Chat(id=self.id, is_private=True)

    @property
    def notices(self) -> list[str]:
        """What pressed buttons were answered with, an empty text included."""
        return self.chat.notices

    async def says(
        self,
        text: str,
        *,
        group: Group | None = None,
        reply_to: Message | None = None,
        forwarded: bool = False,
    ) -> int:
        """Send a text; return the update's id."""
        said: Json = {"text": text, "entities": list(_entities(text))}
        if forwarded:
            said["forward_origin"] = {"type": "hidden_user", "sender_user_name": "Somebody", "date": int(time.time())}
        if reply_to is not None:
            said["reply_to_message"] = (group or self).chat.told(reply_to)
        return await self._sends(said, group=group)

    async def forwards(self, text: str) -> int:
        """Forward what somebody else wrote."""
        origin = {"type": "hidden_user", "sender_user_name": "Bob", "date": int(time.time())}
        return await self._sends({"text": text, "forward_origin": origin}, group=None)

    async def sends_document(self, name: str, content: bytes, *, caption: str = "", group: Group | None = None) -> int:
        file_id = f"file{self.telegram.number()}"
        self.telegram.files[file_id] = content
        document = {"file_id": file_id, "file_unique_id": file_id, "file_name": name, "file_size": len(content)}
        return await self._sends({"document": document, "caption": caption}, group=group)

    async def sends(self, kind: str, what: Json | None = None, *, group: Group | None = None) -> int:
        """Send something that is no text: a sticker, a voice message, a photo."""
        return await self._sends({kind: what or {"file_id": "x"}}, group=group)

    async def presses(self, label: str, *, group: Group | None = None) -> int:
        """Press a button of the newest keyboard that has it. `label` may be a part of its text."""
        chat = (group or self).chat
        for message in reversed(list(chat.messages.values())):
            for button in [button for row in message.keyboard for button in row]:
                if label in button["text"] and "callback_data" in button:
                    return self.presses_data(button["callback_data"], message=message, group=group)
        raise AssertionError(f"no button {label!r} among {[message.labels for message in chat.messages.values()]}")

    def presses_data(self, data: str, *, message: Message, group: Group | None = None) -> int:
        query_id = f"query{self.telegram.number()}"
        self.telegram.queries[query_id] = (self.id, self.telegram.clock())
        chat = (group or self).chat
        query = {"id": query_id, "from": self.as_json(), "data": data, "message": chat.told(message)}
        return self.telegram.deliver("callback_query", {**query, "chat_instance": "1"})

    async def pays(self, invoice: Message, *, within: float = 10.0) -> str:
        """Pay an invoice as Telegram has it done: ask the bot first, then tell it. Return the charge's id.

        Raises:
            CheckoutRefused; TimeoutError where the bot did not answer in time.
        """
        assert invoice.invoice is not None
        query_id = f"checkout{self.telegram.number()}"
        answer = self.telegram.checkouts[query_id] = asyncio.get_running_loop().create_future()
        about = {
            "currency": "XTR",
            "total_amount": invoice.invoice.stars,
            "invoice_payload": invoice.invoice.payload,
        }
        self.telegram.deliver("pre_checkout_query", {"id": query_id, "from": self.as_json(), **about})
        async with asyncio.timeout(within):
            refusal = await answer
        if refusal is not None:
            raise CheckoutRefused(refusal)
        charge_id = self.telegram.stars.pay(invoice.invoice.asked, telegram_user_id=self.id)
        payment = {**about, "telegram_payment_charge_id": charge_id, "provider_payment_charge_id": "p"}
        await self._sends({"successful_payment": payment})
        return charge_id

    def blocks(self) -> None:
        self._changes_membership(is_shut=True)

    def unblocks(self) -> None:
        self._changes_membership(is_shut=False)

    def deletes(self, message: Message) -> None:
        """Delete a message for both sides."""
        del self.chat.messages[message.id]

    def sees(self, *, group: Group | None = None) -> list[Message]:
        """Return what the bot said, as it stands in the chat now, from top to bottom."""
        return [message for message in (group or self).chat.messages.values() if message.is_the_bots]

    async def waits_for(
        self, what: str | Callable[[Message], object], *, within: float = 5.0, group: Group | None = None
    ) -> Message:
        """Return the newest message that holds the text, or that is as the function wants it."""
        fits = (lambda message: what in message.text) if isinstance(what, str) else what
        try:
            async with asyncio.timeout(within):
                while True:
                    found = [message for message in self.sees(group=group) if fits(message)]
                    if found:
                        return found[-1]
                    await self.telegram.news()
        except TimeoutError:
            seen = "\n".join(f"- {message.text!r} {message.labels}" for message in self.sees(group=group))
            raise AssertionError(f"{what!r} did not come within {within} s; {self.name} sees:\n{seen}") from None

    def as_json(self) -> Json:
        told = {"id": self.id, "is_bot": False, "first_name": self.name, "username": self.name.lower()}
        return told if self.language is None else {**told, "language_code": self.language}

    async def _sends(self, what: Json, *, group: Group | None = None) -> int:
        chat = (group or self).chat
        number = self.telegram.number()
        text = str(what.get("text", ""))
        chat.messages[number] = Message(id=number, text=text, html=text, entities=(), keyboard=(), is_the_bots=False)
        message = {"message_id": number, "date": int(time.time()), "chat": chat.as_json(), "from": self.as_json()}
        return self.telegram.deliver("message", {**message, **what})

    def _changes_membership(self, *, is_shut: bool) -> None:
        statuses = ("member", "kicked") if is_shut else ("kicked", "member")
        self.chat.is_shut = is_shut
        old, new = ({"status": status, "user": BOT} for status in statuses)
        change = {"chat": self.chat.as_json(), "from": self.as_json(), "date": int(time.time())}
        self.telegram.deliver("my_chat_member", {**change, "old_chat_member": old, "new_chat_member": new})


def _entities(text: str) -> list[Json]:
    """Return the mentions and commands that Telegram would mark."""
    kinds = {"bot_command": r"(?<!\S)/[a-zA-Z0-9_]+(?:@\w+)?", "mention": r"(?<![\w/])(?<!/\w)@[a-zA-Z]\w{3,}"}
    return [
        {"type": kind, "offset": utf16(text[: found.start()]), "length": utf16(found[0])}
        for kind, pattern in kinds.items()
        for found in re.finditer(pattern, text)
    ]
