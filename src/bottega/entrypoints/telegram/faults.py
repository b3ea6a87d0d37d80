"""What may come of talking to Telegram, as the outbox and the inbox understand it: later, or never."""

from bottega.orchestration.post.outbox import Refused, TryLater


class Later(TryLater):
    """Telegram, or our own pace, wants a pause of `after_seconds` first."""

    code = "telegram.later"

    def __init__(self, *, after_seconds: float) -> None:
        super().__init__(f"Telegram wants {after_seconds:.0f} s of silence.", after_seconds=after_seconds)


class Unreachable(TryLater):
    """No answer came, or none that can be used: whether anything arrived is not known."""

    code = "telegram.unreachable"


class Conflicted(TryLater):
    """Somebody else asks for this bot's updates, or Telegram delivers them to a webhook."""

    code = "telegram.conflict"


class Shut(Refused):
    """The person blocked the bot, or the chat is gone."""

    code = "telegram.shut"


class Moved(Refused):
    """The group has another id now."""

    code = "telegram.moved"

    def __init__(self, *, chat_id: int) -> None:
        super().__init__(f"The group is now {chat_id}.")
        self.chat_id = chat_id


class Rejected(Refused):
    """Telegram does not take what we made of it."""

    code = "telegram.rejected"


class TooLarge(Refused):
    """A file is larger than what is read, or taken."""

    code = "telegram.too_large"


class NotText(Refused):
    """A person's file is not UTF-8 text."""

    code = "telegram.not_text"
