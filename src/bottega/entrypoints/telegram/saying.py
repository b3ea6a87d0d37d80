"""One message to one chat, whatever was wrong with how we made it: its words arrive, if need be without their looks.

Markup that Telegram cannot parse, or a keyboard that it refuses, is a defect of ours: logged as one, and the message is
sent again without it.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import structlog
from telegram import LinkPreviewOptions
from telegram.constants import ParseMode

from bottega.entrypoints.telegram.api import BotApi, faults, markup
from bottega.entrypoints.telegram.faults import Later, Rejected
from bottega.entrypoints.telegram.pacing import Pacer
from bottega.entrypoints.telegram.pieces import visible
from bottega.entrypoints.telegram.types import Say

NO_PREVIEW = LinkPreviewOptions(is_disabled=True)

_LOOKS = ("can't parse entities", "button_", "inline keyboard", "text buttons", "reply markup is too long", "entity_")

log = structlog.get_logger()


class Voice:
    """Says things in turn. All that a process says goes through one, so that its pace is one."""

    def __init__(self, *, api: BotApi, pacer: Pacer) -> None:
        self.api = api
        self.pacer = pacer

    async def say(self, *, chat_id: int, say: Say) -> int:
        """Send a message of one piece and return its id.

        Raises:
            Later, Unreachable, Shut, Moved, Rejected
        """
        return await self._as_it_can_be(chat_id=chat_id, message_id=None, say=say)

    async def edit(self, *, chat_id: int, message_id: int, say: Say) -> None:
        """Make a message of one piece another.

        Raises:
            Later, Unreachable, Shut, Moved; Rejected also where nothing changes, and where it is gone.
        """
        await self._as_it_can_be(chat_id=chat_id, message_id=message_id, say=say)

    @asynccontextmanager
    async def speaking(self, chat_id: int) -> AsyncIterator[None]:
        """Wait for a turn, in which one thing may be said; what goes wrong is told as in `faults`."""
        try:
            async with self.pacer.turn(chat_id), faults():
                yield
        except Later as error:
            self.pacer.pause(chat_id, seconds=error.after_seconds or 0.0)
            raise

    async def _as_it_can_be(self, *, chat_id: int, message_id: int | None, say: Say) -> int:
        looks = list(_looks(say))
        for number, (look, parse_mode) in enumerate(looks):
            try:
                return await self._send(chat_id=chat_id, message_id=message_id, say=look, parse_mode=parse_mode)
            except Rejected as error:
                if not is_ours(error) or number == len(looks) - 1:
                    raise
                log.error("telegram.message.malformed", reason=error.message)  # noqa: TRY400  # no trace is wanted
        raise AssertionError("unreachable")

    async def _send(self, *, chat_id: int, message_id: int | None, say: Say, parse_mode: ParseMode | None) -> int:
        bot, keyboard = self.api.bot, markup(say.keyboard)
        async with self.speaking(chat_id):
            if message_id is None:
                sent = await bot.send_message(
                    chat_id, say.html, parse_mode=parse_mode, reply_markup=keyboard, link_preview_options=NO_PREVIEW
                )
                return sent.message_id
            await bot.edit_message_text(
                say.html,
                chat_id=chat_id,
                message_id=message_id,
                parse_mode=parse_mode,
                reply_markup=keyboard,
                link_preview_options=NO_PREVIEW,
            )
            return message_id


def is_ours(error: Rejected) -> bool:
    """Tell whether Telegram refuses how the message is made, which can be made simpler."""
    said = error.message.lower()
    return any(sign in said for sign in _LOOKS)


def _looks(say: Say) -> Iterator[tuple[Say, ParseMode | None]]:
    """Yield the message as it is meant, then ever simpler."""
    plain = visible(say.html)
    yield say, ParseMode.HTML
    yield Say(html=plain, keyboard=say.keyboard), None
    if say.keyboard:
        yield Say(html=plain), None
