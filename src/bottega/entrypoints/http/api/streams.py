"""Answers that go on for a while: so many at once of a person, none for ever, and none when the server stops."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from bottega.core.clock import Clock
from bottega.core.errors import AppError

AT_ONCE = 20
HEARTBEAT_SECONDS = 15.0
LONGEST_SECONDS = 900.0  # then whoever reads comes again, with a token that still counts

T = TypeVar("T")


class TooManyStreams(AppError):
    code = "too_many_streams"
    http_status = 429

    def __init__(self) -> None:
        super().__init__(f"{AT_ONCE} streams of yours are open already. Close one of them first.")


@dataclass(slots=True, kw_only=True)
class Streams:
    """Those of one process. `closing` is set when the server stops."""

    clock: Clock
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    longest_seconds: float = LONGEST_SECONDS
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    _open: Counter[int] = field(default_factory=Counter)

    def require_room(self, *, user_id: int) -> None:
        if self._open[user_id] >= AT_ONCE:
            raise TooManyStreams

    @contextmanager
    def one(self, *, user_id: int) -> Iterator[None]:
        self._open[user_id] += 1
        try:
            yield
        finally:
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]

    async def beating(self, source: AsyncGenerator[T, None], *, every_seconds: float) -> AsyncIterator[T | None]:
        """Yield what comes, and None after each silence, until the source, the stream's time or the server ends."""
        until = self.clock.monotonic() + self.longest_seconds
        closing = asyncio.ensure_future(self.closing.wait())
        following = asyncio.ensure_future(anext(source, _END))
        try:
            while not closing.done() and (left := until - self.clock.monotonic()) > 0:
                waited = {closing, following}
                await asyncio.wait(waited, timeout=min(every_seconds, left), return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    if not closing.done():
                        yield None
                    continue
                came = following.result()
                if isinstance(came, _End):
                    return
                following = asyncio.ensure_future(anext(source, _END))
                yield came
        finally:
            closing.cancel()
            following.cancel()
            await asyncio.gather(closing, following, return_exceptions=True)
            await source.aclose()


class _End:
    """There is no more."""


_END = _End()
