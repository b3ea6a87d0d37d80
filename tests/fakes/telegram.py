"""A Bot API over HTTP that is as strict as Telegram's, in its own words, and plays the people on the other side.

It delivers updates by long polling or to a webhook, holds every message as its chat shows it, and keeps Telegram's
limits on a clock that it is given: what comes too fast gets a 429 and is counted in `floods`. `journal` has every call.
"""

import asyncio
import math
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from tests.fakes import telegram_html
from tests.fakes.http_server import HttpRequest, HttpResponse, HttpServer
from tests.fakes.telegram_asking import Refusal, answer, asked_of, keyboard_of, text_of
from tests.fakes.telegram_people import BOT, Chat, Group, Invoice, Message, Person
from tests.fakes.telegram_stars import FakeTelegramStars
from tests.fakes.telegram_updates import Updates

TOKEN = "123456789:AAfake-token_of_a_bot_that_is_not_there"
LONGEST_TEXT, LONGEST_CAPTION, LONGEST_NOTICE = 4096, 1024, 200
LARGEST_UPLOAD, LARGEST_DOWNLOAD = 50 * 1024**2, 20 * 1024**2
QUERY_SECONDS, CHECKOUT_SECONDS = 30.0, 10.0
ACTIONS = {"typing", "upload_document", "choose_sticker", "find_location"}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    method: str
    asked: Json
    at: float


@dataclass
class Limits:
    """All together in any second; a private chat after a burst, one a second; a group in any minute."""

    overall: int = 30
    burst: int = 5
    group: int = 20


@dataclass(eq=False, kw_only=True)
class FakeTelegram(Updates):
    clock: Callable[[], float] = time.monotonic
    limits: Limits | None = field(default_factory=Limits)
    largest_upload: int = LARGEST_UPLOAD
    largest_download: int = LARGEST_DOWNLOAD
    journal: list[Call] = field(default_factory=list)
    floods: int = 0
    commands: dict[str, list[Json]] = field(default_factory=dict)
    chats: dict[int, Chat] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    queries: dict[str, tuple[int, float]] = field(default_factory=dict)  # whose, and when it was asked
    checkouts: dict[str, "asyncio.Future[str | None]"] = field(default_factory=dict)
    stars: FakeTelegramStars = field(default_factory=FakeTelegramStars)
    refusals: deque[Refusal] = field(default_factory=deque)  # answers to the next calls

    def __post_init__(self) -> None:
        super().__post_init__()
        self._server = HttpServer(self._handle)
        self._sent: deque[float] = deque()

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop_delivering()
        await self._server.__aexit__(kind, error, trace)

    @property
    def url(self) -> str:
        return self._server.url

    def person(self, id: int, name: str = "Ada", language: str | None = "en") -> Person:  # noqa: A002
        """Return who plays a person that has a private chat with the bot."""
        person = Person(id=id, name=name, language=language, telegram=self)
        self.chats[id] = person.chat
        return person

    def group(self, id: int, title: str = "Us") -> Group:  # noqa: A002
        """Return a group in which the bot hears everything (its privacy mode is off)."""
        group = Group(id=id, title=title, telegram=self)
        self.chats[id] = group.chat
        return group

    def refuses_next(self, status: int, description: str = "", **parameters: int) -> None:
        """Answer the next call that is not getUpdates with an error."""
        self.refusals.append(Refusal(description or f"Error {status}", status=status, **parameters))

    def calls(self, method: str) -> list[Json]:
        return [call.asked for call in self.journal if call.method == method]

    async def _handle(self, request: HttpRequest) -> HttpResponse:
        root, _, rest = request.path.removeprefix("/").partition("/")
        if root == "file":
            return self._download(rest)
        if root != f"bot{TOKEN}":
            return answer(401, {"ok": False, "error_code": 401, "description": "Unauthorized"})
        try:
            asked = asked_of(request)
            self.journal.append(Call(method=rest, asked=asked, at=self.clock()))
            result = await self._result(rest, asked)
        except Refusal as refusal:
            return answer(refusal.status, refusal.body())
        self.has_news()
        return answer(200, {"ok": True, "result": result})

    async def _result(self, method: str, asked: Json) -> object:
        if method == "getUpdates":
            return await self.get_updates(asked)
        if self.refusals:
            raise self.refusals.popleft()
        handlers: Mapping[str, Callable[[Json], object]] = {
            "getMe": lambda _: BOT,
            "setWebhook": self.set_webhook,
            "deleteWebhook": self.delete_webhook,
            "sendMessage": self._send_message,
            "editMessageText": self._edit,
            "deleteMessage": self._delete,
            "sendDocument": self._send_document,
            "sendInvoice": self._send_invoice,
            "answerCallbackQuery": self._answer_button,
            "answerPreCheckoutQuery": self._answer_checkout,
            "sendChatAction": self._chat_action,
            "getFile": self._get_file,
            "setMyCommands": self._set_commands,
        }
        handler = handlers.get(method) or self.stars.methods().get(method)
        if handler is None:
            raise Refusal("Not Found", status=404)
        return handler(asked)

    # -- what the bot says ---------------------------------------------------------------------------

    def _send_message(self, asked: Json) -> Json:
        chat = self._chat(asked)
        message = self._message(asked, text=text_of(asked, "text", LONGEST_TEXT), source=asked["text"])
        if not message.text:
            raise Refusal("message text is empty")
        self._paced(chat)
        return self._kept(chat, message)

    def _send_document(self, asked: Json) -> Json:
        name, content = asked["document"]
        if len(content) > self.largest_upload:
            raise Refusal("Request Entity Too Large", status=413)
        chat = self._chat(asked)
        caption = text_of(asked, "caption", LONGEST_CAPTION) if "caption" in asked else telegram_html.parse("")
        message = self._message(asked, text=caption, source=asked.get("caption", ""))
        message.document_name, message.document = name, content
        self._paced(chat)
        return self._kept(chat, message)

    def _send_invoice(self, asked: Json) -> Json:
        chat = self._chat(asked)
        checked = self.stars.checked({**asked, "provider_token": asked.get("provider_token", "")})
        message = Message(id=self.number(), text=asked["title"], html="", entities=(), keyboard=())
        message.invoice = Invoice(payload=checked["payload"], stars=checked["prices"][0]["amount"], asked=checked)
        self._paced(chat)
        return self._kept(chat, message)

    def _edit(self, asked: Json) -> Json:
        chat = self._chat(asked)
        old = chat.messages.get(int(asked["message_id"]))
        if old is None:
            raise Refusal("message to edit not found")
        if not old.is_the_bots or old.invoice or old.document is not None:
            raise Refusal("message can't be edited")
        new = self._message(asked, text=text_of(asked, "text", LONGEST_TEXT), source=asked["text"])
        if not new.text:
            raise Refusal("message text is empty")
        if (new.text, new.entities, new.keyboard) == (old.text, old.entities, old.keyboard):
            raise Refusal(
                "message is not modified: specified new message content and reply markup are exactly the same as a"
                " current content and reply markup of the message"
            )
        self._paced(chat)
        old.text, old.html, old.entities, old.keyboard = new.text, new.html, new.entities, new.keyboard
        old.edits += 1
        return chat.told(old)

    def _delete(self, asked: Json) -> bool:
        if self._chat(asked).messages.pop(int(asked["message_id"]), None) is None:
            raise Refusal("message to delete not found")
        return True

    def _message(self, asked: Json, *, text: telegram_html.Parsed, source: str) -> Message:
        keyboard = keyboard_of(asked["reply_markup"]) if asked.get("reply_markup") else ()
        return Message(id=self.number(), text=text.text, html=source, entities=text.entities, keyboard=keyboard)

    def _kept(self, chat: Chat, message: Message) -> Json:
        chat.messages[message.id] = message
        return chat.told(message)

    def _chat(self, asked: Json) -> Chat:
        chat = self.chats.get(int(asked["chat_id"]))
        if chat is None:
            raise Refusal("chat not found")
        if chat.is_shut:
            why = "bot was blocked by the user" if chat.is_private else "bot was kicked from the group chat"
            raise Refusal(f"Forbidden: {why}", status=403)
        if chat.moved_to:
            raise Refusal("group chat was upgraded to a supergroup chat", migrate_to_chat_id=chat.moved_to)
        return chat

    def _paced(self, chat: Chat) -> None:
        """Count what is sent against the limits. What is refused does not count."""
        if self.limits is None:
            return
        now, limits = self.clock(), self.limits
        mine, window, most = chat.sent, 60.0, limits.group
        if chat.is_private:  # a bucket, refilled once a second
            chat.tokens = min(limits.burst, chat.tokens + (now - chat.filled_at))
            chat.filled_at = now
        waits = [_wait(self._sent, now, 1.0, limits.overall)]
        waits.append(1 - chat.tokens if chat.is_private else _wait(mine, now, window, most))
        if max(waits) > 0:
            self.floods += 1
            seconds = max(1, math.ceil(max(waits)))
            raise Refusal(f"Too Many Requests: retry after {seconds}", status=429, retry_after=seconds)
        chat.tokens -= 1
        mine.append(now)
        self._sent.append(now)

    # -- the rest ------------------------------------------------------------------------------------

    def _answer_button(self, asked: Json) -> bool:
        if telegram_html.utf16(asked.get("text", "")) > LONGEST_NOTICE:
            raise Refusal("MESSAGE_TOO_LONG")
        person, asked_at = self.queries.pop(asked["callback_query_id"], (0, -math.inf))
        if self.clock() - asked_at > QUERY_SECONDS:
            raise Refusal("query is too old and response timeout expired or query ID is invalid")
        self.chats[person].notices.append(asked.get("text", ""))
        return True

    def _answer_checkout(self, asked: Json) -> bool:
        answer = self.checkouts.pop(asked["pre_checkout_query_id"], None)
        if answer is None or answer.done():
            raise Refusal("query is too old and response timeout expired or query ID is invalid")
        is_ok = str(asked["ok"]).lower() == "true"
        if not is_ok and not asked.get("error_message"):
            raise Refusal("error message is empty")
        answer.set_result(None if is_ok else asked["error_message"])
        return True

    def _chat_action(self, asked: Json) -> bool:
        if asked["action"] not in ACTIONS:
            raise Refusal("wrong parameter action in request")
        self._chat(asked).actions.append(asked["action"])
        return True

    def _get_file(self, asked: Json) -> Json:
        content = self.files.get(asked["file_id"])
        if content is None:
            raise Refusal("invalid file_id")
        if len(content) > self.largest_download:
            raise Refusal("file is too big")
        file_id = asked["file_id"]
        return {"file_id": file_id, "file_unique_id": file_id, "file_size": len(content), "file_path": f"d/{file_id}"}

    def _download(self, path: str) -> HttpResponse:
        token, _, name = unquote(path).removeprefix("bot").partition("/")
        content = self.files.get(name.removeprefix("d/"))
        if token != TOKEN or content is None:
            return HttpResponse(status=404, body=b"Not Found")
        return HttpResponse(body=content)

    def _set_commands(self, asked: Json) -> bool:
        for command in asked["commands"]:
            if not re.fullmatch("[a-z0-9_]{1,32}", command["command"]):
                raise Refusal("BOT_COMMAND_INVALID")
            if not 1 <= len(command["description"]) <= 256:
                raise Refusal("BOT_COMMAND_DESCRIPTION_INVALID")
        self.commands[asked.get("language_code", "")] = asked["commands"]
        return True


def _wait(sent: deque[float], now: float, window: float, most: int) -> float:
    while sent and sent[0] <= now - window:
        sent.popleft()
    return sent[0] + window - now if len(sent) >= most else 0.0
