"""Waiting for what happens elsewhere: in another process, on a disk."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path


async def when(is_so: Callable[[], Awaitable[bool]], *, seconds: float = 60) -> None:
    """Return when it is so; fail when it is not in time."""
    async with asyncio.timeout(seconds):
        while not await is_so():  # noqa: ASYNC110 -- nothing here could set an event
            await asyncio.sleep(0.02)


async def when_there(path: Path, *, seconds: float = 60) -> None:
    async def is_there() -> bool:
        return path.exists()  # noqa: ASYNC240 -- a glance

    await when(is_there, seconds=seconds)
