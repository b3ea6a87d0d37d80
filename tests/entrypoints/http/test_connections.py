"""Who may hold a connection, and for how long: over real sockets, with little patience."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from fastapi import FastAPI
from starlette.responses import Response
from structlog.testing import capture_logs

from bottega.core.clock import SystemClock
from bottega.entrypoints.http.application import Parts, create_app
from bottega.entrypoints.http.protection import unreadable_answer
from bottega.entrypoints.relay.calls import Calls
from bottega.entrypoints.relay.connections import KEPT_BACK, Patience, connections, patience
from bottega.entrypoints.relay.router import Relay
from bottega.entrypoints.relay.server import listen, serving
from tests.entrypoints.http.doors import Nobody
from tests.entrypoints.relay.conftest import nothing

HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
LARGE_BYTES = 32 * 1024 * 1024


@dataclass(slots=True, kw_only=True)
class Wire:
    """A connection as whoever opened it has it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def asked(self, sent: bytes = HEAD + b"\r\n") -> bytes:
        """Send bytes and return the status line of what comes back."""
        self.writer.write(sent)
        return await asyncio.wait_for(self.reader.readline(), timeout=5)

    async def is_closed(self, *, within_seconds: float) -> bool:
        """Tell whether the server ends the connection in that time; what it says before does not count."""
        try:
            async with asyncio.timeout(within_seconds):
                while await self.reader.read(65_536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Street:
    port: int
    begun: asyncio.Event
    stop: Callable[[], Awaitable[None]]

    @contextlib.asynccontextmanager
    async def wire(self) -> AsyncIterator[Wire]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Wire(reader=reader, writer=writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def street(allowed: Patience) -> AsyncIterator[Street]:
    relay = Relay(desk=Nobody(), models=(), calls=Calls(), clock=SystemClock())
    app, begun = create_app(Parts(ping=nothing, relay=relay)), asyncio.Event()
    _add_slow_and_large(app, begun=begun)
    at = listen(host="127.0.0.1", port=0)
    port = at.getsockname()[1]
    connection = connections(allowed, unreadable=unreadable_answer)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(serving(app, at=at, grace_seconds=1, connection=connection))
        yield Street(port=port, begun=begun, stop=stack.aclose)


def _add_slow_and_large(app: FastAPI, *, begun: asyncio.Event) -> None:
    @app.get("/endless", response_model=None)
    async def endless() -> Response:
        begun.set()
        await asyncio.Event().wait()
        return Response()

    @app.get("/slow", response_model=None)
    async def slow() -> Response:
        await asyncio.sleep(0.5)
        return Response(b"slow")

    @app.get("/large", response_model=None)
    async def large() -> Response:
        return Response(b"x" * LARGE_BYTES)


async def test_whoever_is_silent_is_left() -> None:
    async with street(Patience(connections=10, head_seconds=0.2)) as here, here.wire() as silent:
        assert await silent.is_closed(within_seconds=2)


async def test_a_head_that_is_dripped_is_not_waited_for() -> None:
    async with street(Patience(connections=10, head_seconds=0.3)) as here, here.wire() as slow:
        slow.writer.write(HEAD)
        ended = asyncio.create_task(slow.is_closed(within_seconds=2))
        for _ in range(20):
            if ended.done():
                break
            slow.writer.write(b"X-A: b\r\n")
            await asyncio.sleep(0.05)
        assert ended.done()
        assert await ended


async def test_what_takes_long_to_answer_is_no_silence() -> None:
    async with street(Patience(connections=10, head_seconds=0.2)) as here, here.wire() as patient:
        for _ in range(2):
            assert b" 200 " in await patient.asked(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await patient.reader.readuntil(b"\r\n\r\nslow")).endswith(b"slow")


async def test_a_body_that_is_dripped_after_its_answer_keeps_nothing_open() -> None:
    async with street(Patience(connections=10, head_seconds=0.3)) as here, here.wire() as slow:
        assert b" 404 " in await slow.asked(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        ended = asyncio.create_task(slow.is_closed(within_seconds=2))
        for _ in range(20):
            if ended.done():
                break
            slow.writer.write(b"x")
            await asyncio.sleep(0.05)
        assert ended.done()
        assert await ended


async def test_whoever_takes_no_answer_has_gone() -> None:
    async with street(Patience(connections=10, stalled_seconds=0.3)) as here, here.wire() as lazy:
        assert b" 200 " in await lazy.asked(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.8)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asyncio.wait_for(lazy.reader.readexactly(LARGE_BYTES), timeout=5)


async def test_one_too_many_is_turned_away_and_the_others_are_served() -> None:
    async with street(Patience(connections=3)) as here, contextlib.AsyncExitStack() as stack:
        first = [await stack.enter_async_context(here.wire()) for _ in range(3)]
        with capture_logs() as logged:
            for _ in range(5):
                async with here.wire() as late:
                    assert await late.is_closed(within_seconds=2)
        assert [line["event"] for line in logged] == ["http.connections.too_many"], "told once, and not once each"
        for one in first:
            assert b" 200 " in await one.asked()
        first[0].writer.close()
        await first[0].writer.wait_closed()
        await asyncio.sleep(0.05)
        async with here.wire() as next_one:
            assert b" 200 " in await next_one.asked()


@pytest.mark.parametrize("before", [b"", HEAD + b"\r\n"], ids=["at once", "after a request"])
async def test_what_is_no_http_gets_a_problem_with_an_id(before: bytes) -> None:
    async with street(Patience(connections=3)) as here, here.wire() as garbled:
        if before:
            assert b" 200 " in await garbled.asked(before)
            await garbled.reader.readuntil(b'"ok"}')
        with capture_logs() as logged:
            assert b" 400 " in await garbled.asked(b"GET / HTTP/1.1\r\nBad Header\r\n\r\n")
            head, _, body = (await garbled.reader.read()).partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n"))
        told = json.loads(body)
    assert (told["status"], told["code"]) == (400, "unreadable_request")
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-request-id"] == told["request_id"]
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
    (line,) = [one for one in logged if one["event"] == "http.unreadable"]
    assert line["request_id"] == told["request_id"]


def test_a_process_keeps_files_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    for files, most in ((1024, 1024 - KEPT_BACK), (200, 100), (2**20, 2**20 - KEPT_BACK)):
        monkeypatch.setattr("resource.getrlimit", lambda _, files=files: (files, files))
        assert patience().connections == most


async def test_what_is_cut_off_by_a_stop_is_told_so() -> None:
    async with street(Patience(connections=3)) as here, here.wire() as late:
        late.writer.write(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(here.begun.wait(), timeout=5)
        with capture_logs() as logged:
            await here.stop()
        head, _, body = (await asyncio.wait_for(late.reader.read(), timeout=5)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"x-request-id: " in head.lower()
    assert json.loads(body)["code"] == "stopping"
    assert [line["event"] for line in logged] == ["http.cut_off", "http.request"]
