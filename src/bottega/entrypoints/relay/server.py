"""Serving an application from this process: on a socket that is given, without touching signals or the log.

Whoever takes nothing of an answer for a minute is hung up upon, and within a second when the server stops: a reader
that stopped reading, or is gone without a word, keeps neither memory nor the server. One that is slow is waited for.
Whoever goes on sending after the answer is heard for a second, so that they see it, and no longer.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from bottega.core.errors import AppError

LARGEST_HEAD_BYTES = 16 * 1024
STALLED_SECONDS = 60.0
STALLED_AT_THE_END_SECONDS = 1.0
STILL_SENDING_SECONDS = 1.0


class CannotListen(AppError):
    code = "cannot_listen"

    def __init__(self, *, host: str, port: int, error: OSError) -> None:
        reason = error.strerror or str(error)
        super().__init__(f"Cannot listen on {host}:{port} ({reason}). Choose another --host or --port.")


def listen(*, host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 is any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=256)
    except (OSError, UnicodeError) as error:
        raise CannotListen(host=host, port=port, error=error if isinstance(error, OSError) else OSError()) from error
    # asyncio does so only for sockets that name their protocol; without it, small answers wait 40 ms for an ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


@asynccontextmanager
async def serving(
    app: ASGIApp, *, at: socket.socket, grace_seconds: int, stalled_seconds: float = STALLED_SECONDS
) -> AsyncIterator[None]:
    """Serve while the block runs; then take no more requests and let those under way end, for a while."""
    server = _Server(
        uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            http=type("_Connection", (_Connection,), {"stalled_seconds": stalled_seconds}),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=LARGEST_HEAD_BYTES,
            timeout_graceful_shutdown=grace_seconds,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[at]), name="http server")
    try:
        while not server.started and not task.done():  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0)
        yield
    finally:
        server.should_exit = True
        await asyncio.gather(task)
        at.close()


class _Connection(H11Protocol):
    """Looks every now and then whether its reader still reads."""

    stalled_seconds = STALLED_SECONDS
    _unsent_bytes = 0  # when last looked at, if none are added meanwhile
    _watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look_after(self.stalled_seconds)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unsent_bytes = 0  # it reads

    def connection_lost(self, exc: Exception | None) -> None:
        self._look_after(None)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        cycle = self.cycle  # before what was sent behind it begins
        super().on_response_complete()
        if cycle.more_body:
            self.loop.call_later(STILL_SENDING_SECONDS, self._stop_hearing, cycle)

    def shutdown(self) -> None:
        super().shutdown()
        self._unsent_bytes = self._waiting_bytes()
        self._look_after(min(self.stalled_seconds, STALLED_AT_THE_END_SECONDS))

    def _stop_hearing(self, cycle: object) -> None:
        if self.cycle is cycle and self.cycle.more_body:
            self.transport.close()

    def _look_after(self, seconds: float | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._watch = None if seconds is None else self.loop.call_later(seconds, self._look, seconds)

    def _look(self, seconds: float) -> None:
        waiting_bytes = self._waiting_bytes()
        if 0 < waiting_bytes == self._unsent_bytes:
            self.transport.abort()
            return
        self._unsent_bytes = waiting_bytes
        self._look_after(seconds)

    def _waiting_bytes(self) -> int:
        """Return how much waits for the reader, once no more is added to it: it is full, or the last was said."""
        adds_more = not (self.flow.write_paused or self.transport.is_closing())
        return 0 if adds_more else self.transport.get_write_buffer_size()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever runs the process."""
        yield
