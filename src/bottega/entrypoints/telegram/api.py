"""The Bot API, through python-telegram-bot: one client for a process, whose errors are told as `faults.py` has them.

No error and no log line shows the token, which is part of every address: of what goes wrong below, only kinds are told.
Updates are handed on as the JSON they came as.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, TelegramError
from telegram.request import HTTPXRequest

from bottega.core.errors import AppError
from bottega.entrypoints.telegram.faults import (
    Conflicted,
    Later,
    Moved,
    Rejected,
    Shut,
    TooLarge,
    Unreachable,
)
from bottega.entrypoints.telegram.types import Keyboard
from bottega.llm.foreign_json import NotJson, as_amount, as_map, parse
from bottega.llm.wire import load_certificates

ALLOWED_UPDATES = ("message", "callback_query", "pre_checkout_query", "my_chat_member")
POLL_SECONDS = 50
PAGE = 100
TIMEOUT_SECONDS = 15.0
UPLOAD_SECONDS = 25.0  # less than the outbox gives a sender
CONNECTIONS = 64
WEBHOOK_CONNECTIONS = 40
_TOO_MANY_REQUESTS, _TOO_LARGE = 429, 413
_GONE = ("chat not found", "peer_id_invalid", "chat_write_forbidden", "not enough rights", "user is deactivated")


class _Flooded(TelegramError):
    __slots__ = ("after_seconds",)

    def __init__(self, *, after_seconds: float) -> None:
        super().__init__("Too Many Requests")
        self.after_seconds = after_seconds


class _EntityTooLarge(TelegramError):
    pass


class _Request(HTTPXRequest):
    """Tells by their status the two answers that the library's errors do not."""

    async def do_request(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        status, payload = await super().do_request(*args, **kwargs)
        if status == _TOO_MANY_REQUESTS:
            raise _Flooded(after_seconds=_retry_after(payload))
        if status == _TOO_LARGE:
            raise _EntityTooLarge("Request Entity Too Large")
        return status, payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """The bot itself, as people call it."""

    id: int
    username: str


class BotApi:
    """`base_url` is a server's root; `/bot<token>/<method>` and `/file/bot<token>/<path>` are appended."""

    def __init__(self, *, token: str, base_url: str) -> None:
        self._updates, self._others = _request(connections=1), _request(connections=CONNECTIONS)
        self.bot = Bot(
            token,
            base_url=f"{base_url}/bot",
            base_file_url=f"{base_url}/file/bot",
            request=self._others,
            get_updates_request=self._updates,
        )

    async def me(self) -> Me:
        async with faults():
            found = await self.bot.get_me()
            return Me(id=found.id, username=found.username or "")

    async def updates(self, *, offset: int, within_seconds: int = POLL_SECONDS) -> Sequence[Any]:
        """Return what came, as it came, waiting for it if need be. What is before `offset` is confirmed thereby.

        Raises:
            Conflicted, Later, Unreachable
        """
        asked = {"offset": offset, "limit": PAGE, "timeout": within_seconds}
        query = urlencode({**asked, "allowed_updates": json.dumps(ALLOWED_UPDATES)})
        async with faults():
            found = await self._updates.post(
                f"{self.bot.base_url}/getUpdates?{query}", read_timeout=within_seconds + TIMEOUT_SECONDS
            )
        return found if isinstance(found, list) else []

    async def set_webhook(self, *, url: str, secret: str) -> None:
        async with faults():
            await self.bot.set_webhook(
                url, secret_token=secret, allowed_updates=ALLOWED_UPDATES, max_connections=WEBHOOK_CONNECTIONS
            )

    async def delete_webhook(self) -> None:
        """Have updates kept for whoever asks for them; those that wait are not dropped."""
        async with faults():
            await self.bot.delete_webhook(drop_pending_updates=False)

    async def close(self) -> None:
        await self._updates.shutdown()
        await self._others.shutdown()


@asynccontextmanager
async def faults() -> AsyncIterator[None]:
    """Tell what the library raises in our words.

    Raises:
        Later, Unreachable, Conflicted, Shut, Moved, TooLarge, Rejected
    """
    try:
        yield
    except TelegramError as error:
        raise _told(error) from None  # what it says, and what caused it, may hold the address


def _told(error: TelegramError) -> AppError:
    match error:
        case _Flooded():
            return Later(after_seconds=error.after_seconds)
        case _EntityTooLarge():
            return TooLarge("Telegram does not take a file as large as that.")
        case ChatMigrated():
            return Moved(chat_id=error.new_chat_id)
        case Forbidden():
            return Shut(f"Telegram: {error.message}.")
        case BadRequest():
            kind = Shut if error.message.lower().startswith(_GONE) else Rejected
            return kind(f"Telegram: {error.message}.")
        case Conflict():
            return Conflicted(f"Telegram: {error.message}.")
        case InvalidToken():
            return Unreachable("Telegram does not know this bot: check TELEGRAM_BOT_TOKEN.")
        case _:
            return Unreachable(f"Telegram could not be reached ({type(error.__cause__ or error).__name__}).")


def markup(keyboard: Keyboard) -> InlineKeyboardMarkup | None:
    if not keyboard:
        return None
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(one.label, callback_data=one.data, url=one.url) for one in row] for row in keyboard]
    )


def _request(*, connections: int) -> _Request:
    return _Request(
        connection_pool_size=connections,
        read_timeout=TIMEOUT_SECONDS,
        write_timeout=TIMEOUT_SECONDS,
        connect_timeout=TIMEOUT_SECONDS,
        pool_timeout=TIMEOUT_SECONDS,
        media_write_timeout=UPLOAD_SECONDS,
        httpx_kwargs={"verify": load_certificates(), "trust_env": False, "follow_redirects": False},
    )


def _retry_after(payload: bytes) -> float:
    try:
        wait = as_amount(as_map(as_map(parse(payload)).get("parameters")).get("retry_after"))
    except NotJson:
        wait = None
    return float(wait) if wait else 1.0
