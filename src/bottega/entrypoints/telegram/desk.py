"""What is said to Telegram at once, outside the outbox: best effort, or with a result that somebody waits for.

Nothing here is tried twice. No call may be made while a transaction is open.
"""

from collections import OrderedDict
from collections.abc import Mapping

import structlog
from telegram import BotCommand
from telegram.constants import ChatAction

from bottega.core.errors import AppError
from bottega.db.transaction import transaction_open
from bottega.entrypoints.telegram.api import faults
from bottega.entrypoints.telegram.faults import Later, NotText, Rejected, Shut, TooLarge, Unreachable
from bottega.entrypoints.telegram.pieces import LONGEST_MESSAGE, NOTHING, pieces
from bottega.entrypoints.telegram.saying import Voice
from bottega.entrypoints.telegram.types import Say

__all__ = ["Desk", "Later", "NotText", "Rejected", "Shut", "TooLarge", "Unreachable"]

PATIENCE_SECONDS = 0.5  # for a turn of its own; a status that has to wait longer can be newer by then
LONGEST_NOTICE = 100  # letters: Telegram takes 200 UTF-16 units
_REMEMBERED = 10_000
_UNCHANGED = "message is not modified"
_GONE = ("message to edit not found", "message can't be edited", "message_id_invalid")

log = structlog.get_logger()


class Desk:
    def __init__(self, *, voice: Voice) -> None:
        self._voice = voice
        self._shown: OrderedDict[tuple[int, int], Say] = OrderedDict()

    async def answer_button(self, query_id: str, text: str | None = None) -> None:
        """End a button's waiting, with a short notice; best effort, raises nothing: it may be too late for it."""
        _outside()
        notice = None if text is None else text[:LONGEST_NOTICE]
        try:
            async with faults():
                await self._voice.api.bot.answer_callback_query(query_id, text=notice)
        except AppError as error:
            log.info("telegram.button.unanswered", reason=error.message)

    async def answer_checkout(self, query_id: str, refusal: str | None) -> None:
        """Say that a person may pay, or why not. Raise Later or Unreachable; too late is only logged."""
        _outside()
        try:
            async with faults():
                await self._voice.api.bot.answer_pre_checkout_query(query_id, ok=refusal is None, error_message=refusal)
        except Rejected as error:
            log.warning("telegram.checkout.unanswered", reason=error.message)

    async def typing(self, chat_id: int) -> None:
        """Show that something is being written; best effort, raises nothing."""
        _outside()
        try:
            async with faults():
                await self._voice.api.bot.send_chat_action(chat_id, ChatAction.TYPING)
        except AppError as error:
            log.info("telegram.typing.unshown", reason=error.message)

    async def show(self, chat_id: int, message_id: int | None, say: Say) -> int:
        """Edit the message in place, or send it where there is none or it is gone; return its id.

        An edit that changes nothing is skipped. What is longer than a message is cut off.

        Raises:
            Later, Unreachable, Shut; Rejected for what Telegram does not take in any form
        """
        _outside()
        say = _cut(say)
        if message_id is not None and self._shown.get((chat_id, message_id)) == say:
            return message_id
        wait = self._voice.pacer.wait_seconds(chat_id)
        if wait > PATIENCE_SECONDS:
            raise Later(after_seconds=wait)
        shown = await self._edited(chat_id, message_id, say) if message_id is not None else None
        if shown is None:
            shown = await self._voice.say(chat_id=chat_id, say=say)
        self._remember(chat_id, shown, say)
        return shown

    async def fetch_text(self, file_id: str, limit_bytes: int) -> bytes:
        """Return a person's file, which is UTF-8.

        Raises:
            TooLarge, NotText, Later, Unreachable; Rejected where Telegram has no such file
        """
        _outside()
        too_large = TooLarge(f"The file is larger than {limit_bytes // 1024} KiB.")
        try:
            async with faults():
                file = await self._voice.api.bot.get_file(file_id)
                if file.file_size is not None and file.file_size > limit_bytes:
                    raise too_large
                content = bytes(await file.download_as_bytearray())
        except Rejected as error:
            if "too big" in error.message:
                raise too_large from None
            raise
        if len(content) > limit_bytes:
            raise too_large
        try:
            content.decode()
        except UnicodeDecodeError:
            raise NotText("The file is not UTF-8 text.") from None
        return content

    async def set_commands(self, language: str | None, commands: Mapping[str, str]) -> None:
        """Set what the menu offers, as name -> description; without a language, for all others. Best effort."""
        _outside()
        menu = [BotCommand(name, description) for name, description in commands.items()]
        try:
            async with faults():
                await self._voice.api.bot.set_my_commands(menu, language_code=language)
        except AppError as error:
            log.warning("telegram.commands.unset", reason=error.message)

    def _remember(self, chat_id: int, message_id: int, say: Say) -> None:
        self._shown[chat_id, message_id] = say
        self._shown.move_to_end((chat_id, message_id))
        if len(self._shown) > _REMEMBERED:
            self._shown.popitem(last=False)

    async def _edited(self, chat_id: int, message_id: int, say: Say) -> int | None:
        """Return the id of the message, or None where there is nothing to edit."""
        try:
            await self._voice.edit(chat_id=chat_id, message_id=message_id, say=say)
        except Rejected as error:
            said = error.message.lower()
            if _UNCHANGED in said:
                return message_id
            if any(sign in said for sign in _GONE):
                return None
            raise
        return message_id


def _cut(say: Say) -> Say:
    first, *more = pieces(say.html)
    if more:
        first = pieces(say.html, longest=LONGEST_MESSAGE - 2)[0] + f"\n{NOTHING}"
    return Say(html=first, keyboard=say.keyboard)


def _outside() -> None:
    if transaction_open():
        raise AssertionError("Telegram is called while a transaction is open")
