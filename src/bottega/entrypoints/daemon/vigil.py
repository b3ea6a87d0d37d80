"""How a process that goes on by itself lives and ends: it shows that it lives, is told to stop, says why it failed."""

import asyncio
import contextlib
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import click
import structlog

from bottega.core.errors import AppError

HEARTBEAT_SECONDS = 5.0

log = structlog.get_logger()


@contextlib.asynccontextmanager
async def beating(file: Path | None, *, every_seconds: float = HEARTBEAT_SECONDS) -> AsyncIterator[None]:
    """Touch the file again and again while the block runs: a probe sees from its age that the event loop turns."""
    if file is None:
        yield
        return
    heart = asyncio.create_task(_beat(file, every_seconds))
    try:
        yield
    finally:
        heart.cancel()
        await asyncio.wait([heart])


async def _beat(file: Path, every_seconds: float) -> None:
    while True:
        try:
            file.write_text(f"{time.time():.0f}\n", encoding="ascii")  # noqa: ASYNC240  # it is for showing stalls
        except OSError as error:
            log.warning("worker.heartbeat.unwritable", file=str(file), reason=str(error))
        await asyncio.sleep(every_seconds)


async def told_to_stop() -> None:
    """Wait for SIGTERM or SIGINT; a second one ends the process at once."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, told.set)
    await told.wait()
    for number in numbers:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def last_edge(event: str) -> Iterator[None]:
    """End the process with one kind sentence when the block fails for no known reason; the rest is in the log."""
    try:
        yield
    except AppError:
        raise
    except Exception:
        error_id = uuid.uuid4().hex[:12]
        log.exception(event, error_id=error_id)
        click.echo(f"Something went wrong on our side (error {error_id}); the process has stopped.", err=True)
        sys.exit(1)
