"""How late the event loop is: everything of a process waits for it, and one blocking call makes all runs wait.

`lag_seconds` may be read from any thread, also while the loop hangs: what is overdue counts already.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

EVERY_SECONDS = 0.5
_KEPT = 60  # half a minute: longer than the pause between two scrapes


class LoopWatch:
    def __init__(self, *, every_seconds: float = EVERY_SECONDS) -> None:
        self._every_seconds = every_seconds
        self._due = time.monotonic() + every_seconds
        self._late: deque[float] = deque(maxlen=_KEPT)

    def lag_seconds(self) -> float:
        """Return by how much the loop was late at worst, lately or right now."""
        return max(0.0, time.monotonic() - self._due, *tuple(self._late))

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        watch = asyncio.create_task(self._watch(), name="loop watch")
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            self._due = time.monotonic() + self._every_seconds
            await asyncio.sleep(self._every_seconds)
            self._late.append(time.monotonic() - self._due)
