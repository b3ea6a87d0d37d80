"""The outbox's way to Telegram: a row becomes one message, in its chat's turn.

Whoever blocked the bot, and a chat that is gone, is refused for good. A pause that Telegram asks for is kept. A file
that is too large for Telegram goes out as a link. A code to sign in is made in the moment in which it
is sent; another attempt makes another, which replaces it, as its words say.
"""

import html
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

import structlog
from telegram import InputFile, LabeledPrice
from telegram.constants import ParseMode

from bottega.delivery.storage import UnknownObject
from bottega.entrypoints.telegram.api import markup
from bottega.entrypoints.telegram.faults import Moved, Rejected, TooLarge
from bottega.entrypoints.telegram.pieces import LONGEST_MESSAGE, pieces
from bottega.entrypoints.telegram.saying import Voice, is_ours
from bottega.entrypoints.telegram.sending import CODE_HERE, as_say
from bottega.entrypoints.telegram.types import Say
from bottega.orchestration.post.outbox import Message, Refused

LARGEST_FILE_BYTES = 50 * 1024**2
STARS = "XTR"
_ROOM = 500  # for a link behind a caption

log = structlog.get_logger()


class Archives(Protocol):
    async def get(self, *, key: str) -> bytes:
        """Return a stored file; raise an AppError where it cannot be had."""
        ...


class Links(Protocol):
    async def to(self, *, key: str) -> str | None:
        """Return an address under which anybody may fetch the file for a week; None where there is none."""
        ...


class Codes(Protocol):
    async def issue_on_telegram(self, *, telegram_user_id: int, asked_at: datetime) -> str | None:
        """Return a new code for whose private chat has this number; None where they get none (any more)."""
        ...


class Carrier:
    """A `Sender` of the outbox."""

    def __init__(
        self,
        *,
        voice: Voice,
        archives: Archives,
        links: Links,
        codes: Codes | None = None,
        largest_file_bytes: int = LARGEST_FILE_BYTES,
    ) -> None:
        self._voice = voice
        self._archives = archives
        self._links = links
        self._codes = codes
        self._largest_file_bytes = largest_file_bytes

    async def send(self, message: Message) -> None:
        """Send what a row keeps.

        Raises:
            Later, Unreachable: it waits.
            Refused: it never arrives.
        """
        try:
            await self._send(int(message.recipient), message)
        except Moved as error:
            await self._send(error.chat_id, message)

    async def _send(self, chat_id: int, message: Message) -> None:
        kept = message.payload
        match kept["kind"]:
            case "say":
                await self._voice.say(chat_id=chat_id, say=as_say(kept))
            case "code":
                say = await self._with_code(chat_id, kept, asked_at=message.posted_at)
                await self._voice.say(chat_id=chat_id, say=say)
            case "document":
                await self._send_document(chat_id, kept)
            case "invoice":
                await self._send_invoice(chat_id, kept)
            case kind:
                raise Refused(f"Nobody knows how to send a {kind!r}: another version of Bottega wrote it.")

    async def _with_code(self, chat_id: int, kept: Mapping[str, Any], *, asked_at: datetime) -> Say:
        codes, say = self._codes, as_say(kept)
        code = None if codes is None else await codes.issue_on_telegram(telegram_user_id=chat_id, asked_at=asked_at)
        return as_say(kept["instead"]) if code is None else replace(say, html=say.html.replace(CODE_HERE, code))

    async def _send_document(self, chat_id: int, kept: Mapping[str, Any]) -> None:
        try:
            content = await self._archives.get(key=kept["archive_key"])
        except UnknownObject as error:
            raise Refused(error.message) from error
        if len(content) <= self._largest_file_bytes:
            try:
                await self._upload(chat_id, kept, content)
            except TooLarge:
                log.warning("telegram.upload.too_large", size_bytes=len(content))
            else:
                return
        await self._voice.say(chat_id=chat_id, say=await self._linked(kept, size_bytes=len(content)))

    async def _upload(self, chat_id: int, kept: Mapping[str, Any], content: bytes) -> None:
        caption = as_say(kept)
        try:
            await self._send_file(chat_id, kept, content, caption=caption)
        except Rejected as error:
            if not is_ours(error):
                raise
            log.error("telegram.caption.malformed", reason=error.message)  # noqa: TRY400  # no trace is wanted
            await self._send_file(chat_id, kept, content, caption=Say(html=""))
            if caption.html:
                await self._voice.say(chat_id=chat_id, say=caption)

    async def _send_file(self, chat_id: int, kept: Mapping[str, Any], content: bytes, *, caption: Say) -> None:
        file = InputFile(content, filename=kept["file_name"], attach=False)
        async with self._voice.speaking(chat_id):
            await self._voice.api.bot.send_document(
                chat_id,
                file,
                caption=caption.html or None,
                parse_mode=ParseMode.HTML,
                reply_markup=markup(caption.keyboard),
            )

    async def _linked(self, kept: Mapping[str, Any], *, size_bytes: int) -> Say:
        """Return what stands in for a file that is too large."""
        caption, megabytes = as_say(kept), f"{size_bytes / 1024**2:.0f} MB"
        link = await self._links.to(key=kept["archive_key"])
        name = html.escape(kept["file_name"])
        if link is not None:
            caption_html = pieces(caption.html, longest=LONGEST_MESSAGE - _ROOM)[0] if caption.html else ""
            address = f'<a href="{html.escape(link)}">{name}</a> ({megabytes})'
            return Say(html=f"{caption_html}\n\n{address}".strip(), keyboard=caption.keyboard)
        if kept["too_large"] is not None:
            return as_say(kept["too_large"])
        return Say(
            html=f"{name} ({megabytes}) is larger than what Telegram takes, and this installation has no public address"
            f" to fetch it from. Whoever runs it has it: <code>bottega download {kept['project_id']}</code>",
            keyboard=caption.keyboard,
        )

    async def _send_invoice(self, chat_id: int, kept: Mapping[str, Any]) -> None:
        async with self._voice.speaking(chat_id):
            await self._voice.api.bot.send_invoice(
                chat_id,
                title=kept["title"],
                description=kept["description"],
                payload=kept["order_id"],
                currency=STARS,
                prices=[LabeledPrice(kept["label"], kept["stars"])],
                provider_token="",
            )
