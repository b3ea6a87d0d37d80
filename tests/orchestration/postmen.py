"""Other processes that send messages: to a file, one line for each time something was sent."""

import asyncio
import json
import os
from pathlib import Path

from bottega.core.clock import SystemClock
from bottega.db.transaction import Database
from bottega.orchestration.post import outbox
from bottega.orchestration.post.outbox import Message, Postman


class Notebook:
    """Appends whole lines, which other processes do at the same time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def send(self, message: Message) -> None:
        line = {"recipient": message.recipient, "n": message.payload["n"], "attempt": message.attempt}
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, (json.dumps(line) + "\n").encode())
        os.close(descriptor)
        await asyncio.sleep(0.002)


def work(*, url: str, path: Path, lease_seconds: float) -> None:
    """Send until killed."""
    outbox.LEASE_SECONDS = lease_seconds
    asyncio.run(_work(url=url, path=path))


async def _work(*, url: str, path: Path) -> None:
    database = Database(url=url)
    postman = Postman(database=database, senders={"notes": Notebook(path)}, clock=SystemClock())
    await postman.work(every_seconds=0.02)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
