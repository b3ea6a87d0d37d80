import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.database import connected, drop, sibling

from bottega.core.clock import SystemClock
from bottega.core.ids import new_id
from bottega.db.embedded import EmbeddedPostgres


@dataclass
class Client:
    process: asyncio.subprocess.Process
    url: str

    async def leave(self) -> bool:
        """Return whether it was the last one and stopped the server."""
        told, _ = await self.process.communicate(b"\n")
        return told.decode().strip() == "True"

    async def kill(self) -> None:
        self.process.kill()
        await self.process.communicate()


async def start_client(home: Path) -> Client:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("client.py")),
        str(home),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    assert url, "the client could not start"
    return Client(process=process, url=url)


def server_pid(home: Path) -> int:
    return int((home / "postgres/data/postmaster.pid").read_text().split("\n", 1)[0])


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Path]:
    """Return a home that is not there yet; whatever still serves it when the test ends is killed."""
    home = tmp_path / "home"
    yield home
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(server_pid(home), signal.SIGQUIT)


@pytest.fixture
def postgres(home: Path) -> Callable[[], EmbeddedPostgres]:
    return lambda: EmbeddedPostgres(home=home, clock=SystemClock(), durable=False)


@pytest.fixture
async def empty_url(server_url: str) -> AsyncIterator[str]:
    """Return the URL of a database with nothing in it."""
    name = f"bottega_empty_{new_id().hex}"
    async with connected(server_url) as server:
        await server.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    yield sibling(url=server_url, name=name)
    await drop(server_url=server_url, name=name)
