"""Work that is done whole: being cancelled ends the wait for it only when it has ended.

Money is moved this way. A caller may be cancelled at any await; what was begun on its behalf is finished or undone
before the cancellation goes on, so that nothing stays reserved, uncharged or half written.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_the_end(
    work: Coroutine[Any, Any, T], *, undo: Callable[[T], Coroutine[Any, Any, object]] | None = None
) -> T:
    """Return what `work` returns. A cancellation is raised when the work has ended, and been undone where asked."""
    task = asyncio.create_task(work)
    interruption = await _ended(task)
    if interruption is None:
        return task.result()
    error = None if task.cancelled() else task.exception()
    if undo is not None and error is None and not task.cancelled():
        undoing = asyncio.create_task(undo(task.result()))
        await _ended(undoing)
        error = None if undoing.cancelled() else undoing.exception()
    raise interruption from error


async def _ended(task: "asyncio.Task[Any]") -> asyncio.CancelledError | None:
    """Wait for a task, and return the caller's last cancellation meanwhile. The task itself is never cancelled."""
    interruption = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as cancelled:
            interruption = cancelled
    return interruption
