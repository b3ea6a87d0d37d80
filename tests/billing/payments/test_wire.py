"""What is asked of a payment gateway has an answer, or none, within bounded time."""

import asyncio
import contextlib

import pytest

from bottega.billing.payments.wire import Unreachable, Wire


async def test_an_answer_that_never_ends_is_given_up() -> None:
    hung_up, ended = asyncio.Event(), asyncio.Event()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not hung_up.is_set():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    wire = Wire(timeout_seconds=0.2)
    async with server:
        try:
            with pytest.raises(Unreachable):
                await asyncio.wait_for(wire.send(method="GET", url=f"http://127.0.0.1:{port}/", headers={}), 3)
        finally:
            await wire.close()
            hung_up.set()
            await ended.wait()
