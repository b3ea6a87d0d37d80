"""Serving an application from this process: on a socket that is given, without touching signals or the log."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from bottega.core.errors import AppError
from bottega.entrypoints.relay.connections import connections, patience

LARGEST_HEAD_BYTES = 16 * 1024
ACCEPTED_AT_ONCE = 64  # before any of them is looked at
WAITING_TO_BE_ACCEPTED = 1024


class CannotListen(AppError):
    code = "cannot_listen"

    def __init__(self, *, host: str, port: int, error: OSError) -> None:
        reason = error.strerror or str(error)
        super().__init__(f"Cannot listen on {host}:{port} ({reason}). Choose another --host or --port.")


def listen(*, host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 is any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=WAITING_TO_BE_ACCEPTED)
    except (OSError, UnicodeError) as error:
        raise CannotListen(host=host, port=port, error=error if isinstance(error, OSError) else OSError()) from error
    # asyncio does so only for sockets that name their protocol; without it, small answers wait 40 ms for an ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


@asynccontextmanager
async def serving(
    app: ASGIApp, *, at: socket.socket, grace_seconds: int, connection: Callable[..., asyncio.Protocol] | None = None
) -> AsyncIterator[None]:
    """Serve while the block runs; then take no more requests and let those under way end, for a while.

    `connection` makes what speaks HTTP with one client, as uvicorn calls for it (`connections`).
    """
    server = _Server(
        uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            http=cast("type[asyncio.Protocol]", connection or connections(patience())),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=LARGEST_HEAD_BYTES,
            timeout_graceful_shutdown=grace_seconds,
            backlog=ACCEPTED_AT_ONCE,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[at]), name="http server")
    try:
        while not server.started and not task.done():  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0)
        if server.started:
            at.listen(WAITING_TO_BE_ACCEPTED)  # asyncio has one number for both: how long the queue is, and its bite
        yield
    finally:
        server.should_exit = True
        await asyncio.gather(task)
        at.close()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever runs the process."""
        yield
