"""Work that goes on while something else is opened."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


@asynccontextmanager
async def meanwhile(work: Coroutine[None, None, T]) -> AsyncIterator["asyncio.Task[T]"]:
    """Lend a task that has ended, one way or the other, when the block does."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
