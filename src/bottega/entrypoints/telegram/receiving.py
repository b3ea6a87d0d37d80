"""From a row of the inbox to a call of whoever answers: each update at least once, in order within its chat.

Several chats are served at once. A handler that raises is called again, with growing pauses, and everything later of
its chat waits for it; after some attempts the update is set aside with a line in the log, and the person is told so
once. A question of a checkout has a stream of its own: Telegram waits ten seconds for its answer and no longer.
"""

from typing import Protocol

from bottega.entrypoints.telegram.types import Incoming


class Handler(Protocol):
    async def handle(self, incoming: Incoming) -> None:
        """Do what is asked, in less than `orchestration.inbox.HANDLING_SECONDS`.

        It may be called again for what it has done, half or whole: every effect carries a key made of `update_id`.

        Raises:
            TryLater: it cannot be done now (the desk's `Later` and `Unreachable` are such); it is tried for longer.
            Whatever else is raised is taken for a defect and tried again a few times.
        """
        ...
