"""What is said to Telegram at once, outside the outbox: best effort, or with a result that somebody waits for.

Nothing here is tried twice. No call may be made while a transaction is open.
"""

from collections.abc import Mapping

from bottega.entrypoints.telegram.types import Say
from bottega.orchestration.outbox import Refused, TryLater


class Later(TryLater):
    """Telegram, or our own pace, wants a pause of `after_seconds` first."""

    code = "telegram.later"


class Unreachable(TryLater):
    """No answer came: whether it arrived is not known."""

    code = "telegram.unreachable"


class Shut(Refused):
    """The person blocked the bot, or the chat is gone."""

    code = "telegram.shut"


class TooLarge(Refused):
    """A person's file is larger than what is read."""

    code = "telegram.too_large"

    def __init__(self, *, limit_bytes: int) -> None:
        super().__init__(f"The file is larger than {limit_bytes // 1024} KiB.")
        self.limit_bytes = limit_bytes


class NotText(Refused):
    """A person's file is not UTF-8 text."""

    code = "telegram.not_text"

    def __init__(self) -> None:
        super().__init__("The file is not UTF-8 text.")


class Desk:
    async def answer_button(self, query_id: str, text: str | None = None) -> None:
        """End a button's waiting, with a short notice; best effort, raises nothing: it may be too late for it."""
        raise NotImplementedError

    async def answer_checkout(self, query_id: str, refusal: str | None) -> None:
        """Say that a person may pay, or why not. Raise Later or Unreachable; too late is only logged."""
        raise NotImplementedError

    async def typing(self, chat_id: int) -> None:
        """Show that something is being written; best effort, raises nothing."""
        raise NotImplementedError

    async def show(self, chat_id: int, message_id: int | None, say: Say) -> int:
        """Edit the message in place, or send it where there is none or it is gone; return its id.

        An edit that changes nothing is skipped. What is longer than a message is cut off.

        Raises:
            Later, Unreachable, Shut
        """
        raise NotImplementedError

    async def fetch_text(self, file_id: str, limit_bytes: int) -> bytes:
        """Return a person's file.

        Raises:
            TooLarge, NotText, Later, Unreachable
        """
        raise NotImplementedError

    async def set_commands(self, language: str | None, commands: Mapping[str, str]) -> None:
        """Set what the menu offers, as name -> description; without a language, for all others. Best effort."""
        raise NotImplementedError
