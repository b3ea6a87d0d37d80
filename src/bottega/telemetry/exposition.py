"""`GET /metrics`, on a port of its own: internal, and never part of the application that the world reaches.

It answers from threads, so that a scrape is answered even while the event loop hangs or the database is down. A page is
kept for a moment, and one at a time is made: however many ask, the database is looked at once. Whoever asks too slowly
is hung up on, and beyond a few at once nobody is let in.
"""

import asyncio
import concurrent.futures
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog

from bottega.core.errors import AppError
from bottega.telemetry import metrics
from bottega.telemetry.loop import LoopWatch
from bottega.telemetry.metrics import Rows

KEPT_SECONDS = 2.0
LOOK_SECONDS = 3.0  # for the loop and the database together
READ_SECONDS = 5.0  # for a client to say what it wants
AT_ONCE = 16

Look = Callable[[], Awaitable[Rows | None]]
"""Reads what the rows say, within bounds of its own; None where the database does not answer."""

log = structlog.get_logger()


class MetricsUnavailable(AppError):
    code = "metrics_unavailable"

    def __init__(self, *, host: str, port: int, error: OSError) -> None:
        reason = error.strerror or str(error)
        super().__init__(f"Cannot serve metrics on {host}:{port} ({reason}). Choose another METRICS_PORT or none.")


class MetricsPage:
    """The page, as any thread may ask for it; `look` is called in the loop that made this."""

    def __init__(self, *, look: Look, watch: LoopWatch, kept_seconds: float = KEPT_SECONDS) -> None:
        self._look = look
        self._watch = watch
        self._kept_seconds = kept_seconds
        self._loop = asyncio.get_running_loop()
        self._turn = threading.Lock()
        self._made_at = float("-inf")
        self._page = b""

    def __call__(self) -> bytes:
        with self._turn:
            if time.monotonic() - self._made_at >= self._kept_seconds:
                lag = self._watch.lag_seconds()
                self._page = metrics.page(loop_lag_seconds=lag, rows=self._rows(), is_asked=True)
                self._made_at = time.monotonic()
            return self._page

    def _rows(self) -> Rows | None:
        async def look() -> Rows | None:
            return await self._look()

        asked = asyncio.run_coroutine_threadsafe(look(), self._loop)
        try:
            return asked.result(timeout=LOOK_SECONDS)
        except (TimeoutError, concurrent.futures.CancelledError):
            asked.cancel()
            return None


@contextmanager
def serve_metrics(page: Callable[[], bytes], *, host: str, port: int) -> Iterator[int]:
    """Serve a page while the block runs; yield the port, which 0 leaves to the system.

    Raises:
        MetricsUnavailable
    """
    try:
        at = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, UnicodeError) as error:
        given = error if isinstance(error, OSError) else OSError(str(error))
        raise MetricsUnavailable(host=host, port=port, error=given) from error
    server = _Server(at, page=page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="metrics", daemon=True)
    thread.start()
    try:
        yield int(at.getsockname()[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, at: socket.socket, *, page: Callable[[], bytes]) -> None:
        super().__init__(at.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = at
        self.page = page
        self._free = threading.BoundedSemaphore(AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        del request, client_address
        log.exception("metrics.scrape.failed")  # noqa: LOG004  # called while an exception is handled


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = READ_SECONDS
    server_version, sys_version = "bottega", ""

    def do_GET(self) -> None:  # the library's name
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        body = self.server.page()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", metrics.CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: a scrape every few seconds is no event."""
