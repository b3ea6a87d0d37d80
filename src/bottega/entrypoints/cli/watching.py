"""A project's events on a screen, whoever works on it: this process or any other."""

import asyncio
import contextlib
import uuid
from types import TracebackType
from typing import Self

from bottega.bootstrap import App
from bottega.entrypoints.cli.screen import Screen
from bottega.orchestration.events import RunStopped

REACH_SECONDS = 10.0


class Watching:
    """Show what comes after number `after` while the block runs. `stopped` is the last event of that kind."""

    def __init__(self, *, app: App, user_id: int, project_id: uuid.UUID, screen: Screen, after: int) -> None:
        self._app = app
        self._user_id = user_id
        self._project_id = project_id
        self._screen = screen
        self._seen = after
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.stopped: RunStopped | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._show())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def reach(self, sequence: int, *, within_seconds: float = REACH_SECONDS) -> None:
        """Wait until the event of this number has been shown; a screen that lags holds nobody up for longer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                while self._seen < sequence:
                    await self._next()

    async def wait(self, *, seconds: float) -> None:
        """Wait until something was shown, but no longer than this."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._next()

    async def _next(self) -> None:
        assert self._task is not None  # noqa: S101  # it is asked within the block
        moved = asyncio.create_task(self._moved.wait())
        try:
            await asyncio.wait([moved, self._task], return_when=asyncio.FIRST_COMPLETED)
        finally:
            moved.cancel()
        if self._task.done():
            self._task.result()

    async def _show(self) -> None:
        following = self._app.live.follow(user_id=self._user_id, project_id=self._project_id, after=self._seen)
        async with contextlib.aclosing(following) as told_events:
            async for told in told_events:
                if told.event is not None:
                    self._screen.show(told.event)
                if isinstance(told.event, RunStopped):
                    self.stopped = told.event
                self._seen = max(self._seen, told.sequence)  # a step under way has the number of what came before it
                self._moved.set()
                self._moved = asyncio.Event()
