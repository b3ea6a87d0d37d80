"""Telegram's limits, kept before it has to remind us: of all together, of a private chat, of a group.

Turns are given out in the order in which they are asked for, each at a time; whoever has one sleeps until then. Each
limit is a bucket that holds `burst` and is refilled at `each_second`. It is one process's: where several send, they
hear of each other by Telegram's 429.

Telegram counts a message at some time between its turn and its answer. So what a bucket for all together lets through
in a second is counted from the turn until a second after the answer: messages that are held up on their way and arrive
together are not too many.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bottega.core.clock import Clock

_MOST_CHATS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    burst: float
    each_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Telegram's are 30 in a second for all, about one a second for a chat, 20 in a minute for a group."""

    overall: Limit = field(default_factory=lambda: Limit(burst=3, each_second=26))
    private: Limit = field(default_factory=lambda: Limit(burst=3, each_second=1))
    group: Limit = field(default_factory=lambda: Limit(burst=5, each_second=0.25))


class Pacer:
    def __init__(self, *, clock: Clock, limits: Limits | None = None) -> None:
        self._clock = clock
        self._limits = limits or Limits()
        self._door = asyncio.Lock()  # one at a time: after a stall, those who overslept would all go at once
        self._queued = 0
        self._full_at: dict[int | None, float] = {}  # when each bucket will be full; None is everybody's
        self._unanswered = 0
        self._counted_until: deque[float] = deque()  # of messages that were answered
        self._answered = asyncio.Event()

    @asynccontextmanager
    async def turn(self, chat_id: int) -> AsyncIterator[None]:
        """Wait until one message may go to the chat; it is answered when the block ends.

        Nobody waits for a chat that has to.
        """
        await self._clock.sleep(self._taken(chat_id, self._of(chat_id)))
        await self._turn_of_all()
        try:
            yield
        finally:
            self._unanswered -= 1
            self._counted_until.append(self._clock.monotonic() + 1)
            self._answered.set()

    async def _turn_of_all(self) -> None:
        overall = self._limits.overall
        self._queued += 1
        try:
            async with self._door:
                await self._clock.sleep(self._wait(None, overall))
                await self._room(at_most=int(overall.burst + overall.each_second))
                self._taken(None, overall)
                self._unanswered += 1
        finally:
            self._queued -= 1

    async def _room(self, *, at_most: int) -> None:
        """Wait until fewer messages than that may be in the second that Telegram looks at."""
        while True:
            now = self._clock.monotonic()
            while self._counted_until and self._counted_until[0] <= now:
                self._counted_until.popleft()
            if self._unanswered + len(self._counted_until) < at_most:
                return
            if self._counted_until:
                await self._clock.sleep(self._counted_until[0] - now)
            else:
                self._answered.clear()
                await self._answered.wait()

    def wait_seconds(self, chat_id: int) -> float:
        """Return how long a turn asked for now would take to come."""
        overall = self._limits.overall
        queue = max(0, self._queued - 1) / overall.each_second
        return max(self._wait(chat_id, self._of(chat_id)), self._wait(None, overall) + queue)

    def pause(self, chat_id: int, *, seconds: float) -> None:
        """Let a chat rest, because Telegram asked for it."""
        limit = self._of(chat_id)
        until = self._clock.monotonic() + seconds + (limit.burst - 1) / limit.each_second
        self._full_at[chat_id] = max(self._full_at.get(chat_id, 0.0), until)

    def _taken(self, key: int | None, limit: Limit) -> float:
        """Take the next turn of a bucket, and return the seconds until then."""
        now, wait = self._clock.monotonic(), self._wait(key, limit)
        self._full_at[key] = max(self._full_at.get(key, 0.0), now + wait) + 1 / limit.each_second
        if len(self._full_at) > _MOST_CHATS:
            self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        return wait

    def _wait(self, key: int | None, limit: Limit) -> float:
        """A bucket has nothing left when it will be full later than all but one of its drops take to come."""
        full_in = self._full_at.get(key, 0.0) - self._clock.monotonic()
        return max(0.0, full_in - (limit.burst - 1) / limit.each_second)

    def _of(self, chat_id: int) -> Limit:
        return self._limits.private if chat_id > 0 else self._limits.group
