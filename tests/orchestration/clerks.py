"""Another process that works an inbox off, and hangs in the middle of the first update."""

import asyncio
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from bottega.core.clock import SystemClock
from bottega.db.transaction import Database
from bottega.orchestration.post.inbox import Clerk, Received


def hang(*, url: str, path: Path) -> None:
    """Take the first update, say so in a file, and never end."""
    asyncio.run(_hang(url=url, path=path))


async def _hang(*, url: str, path: Path) -> None:
    async def takes(received: Received) -> None:
        path.write_text(received.external_id, encoding="utf-8")  # noqa: ASYNC240  # it is killed now
        await asyncio.Event().wait()

    async def given_up(session: AsyncSession, received: Received) -> None:
        raise AssertionError(session, received)

    clerk = Clerk(database=Database(url=url), source="test", takes=takes, given_up=given_up, clock=SystemClock())
    await clerk.work()
