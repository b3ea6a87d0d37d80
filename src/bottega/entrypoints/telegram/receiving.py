"""From a row of the inbox to a call of whoever answers: each update at least once, in order within its chat.

Several chats are served at once. A handler that raises is called again, with growing pauses, and everything later of
its chat waits for it; after some attempts the update is set aside with a line in the log, and the person is told so
once. A question of a checkout has a stream of its own: Telegram waits ten seconds for its answer and no longer.
"""

from collections.abc import Callable
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from bottega.entrypoints.telegram.reading import Me, read
from bottega.entrypoints.telegram.sending import post_say
from bottega.entrypoints.telegram.types import Blocked, CheckoutAsked, Incoming, Say
from bottega.orchestration.post.inbox import Received

SOURCE = "telegram"


class Handler(Protocol):
    async def handle(self, incoming: Incoming) -> None:
        """Do what is asked, in less than `orchestration.inbox.HANDLING_SECONDS`.

        It may be called again for what it has done, half or whole: every effect carries a key made of `update_id`.

        Raises:
            TryLater: it cannot be done now (the desk's `Later` and `Unreachable` are such); it is tried for longer.
            Refused: it never can. Whatever else is raised is taken for a defect and tried again a few times.
        """
        ...


class Reception:
    """Calls a handler for the rows of the inbox. `apology` is what a person is told whose update is set aside."""

    def __init__(self, *, handler: Handler, me: Me, apology: Callable[[Incoming], Say]) -> None:
        self._handler = handler
        self._me = me
        self._apology = apology

    async def __call__(self, received: Received) -> None:
        incoming = read(received.payload, me=self._me)
        if incoming is not None:
            await self._handler.handle(incoming)

    async def given_up(self, session: AsyncSession, received: Received) -> None:
        """Tell the person, in the transaction that sets their update aside."""
        incoming = read(received.payload, me=self._me)
        if incoming is None or isinstance(incoming, CheckoutAsked | Blocked):  # nobody reads an answer to these
            return
        key = f"{incoming.update_id}:given-up"
        await post_say(session, chat_id=incoming.chat_id, say=self._apology(incoming), key=key)
