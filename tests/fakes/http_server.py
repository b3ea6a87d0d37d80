"""A small HTTP/1.1 server on loopback for fakes: it can be slow, break off, and never buffers a stream.

A client that hangs up in the middle of a stream ends it there and then, wherever it was waiting.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit


class HangUp(Exception):
    """Raised by a stream to close the connection in the middle of it."""


class Reset(Exception):
    """Raised by a handler to have the connection reset instead of an answer."""


class Silence(Exception):
    """Raised by a handler to send not a byte until the client hangs up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """`stream` is sent chunk by chunk as it comes; without it, `body` is sent whole."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    stream: AsyncGenerator[bytes, None] | None = None


class HttpServer:
    def __init__(self, handle: Callable[[HttpRequest], Awaitable[HttpResponse]]) -> None:
        self._handle = handle
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.connections_accepted = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.connections_accepted += 1
        try:
            while (request := await _read(reader)) is not None:
                await _write(reader, writer, await self._handle(request))
        except Reset:
            _reset(writer)
        except Silence:
            await _hear_out(reader)
        except (HangUp, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the client is sent RST: a socket that lingers for no time does."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _hear_out(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError, asyncio.CancelledError):
        await reader.read()


async def _read(reader: asyncio.StreamReader) -> HttpRequest | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    return HttpRequest(method=method, path=parts.path, query=dict(parse_qsl(parts.query)), headers=headers, body=body)


async def _write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, response: HttpResponse) -> None:
    length = {"transfer-encoding": "chunked"} if response.stream else {"content-length": str(len(response.body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**length, **response.headers}.items())
    writer.write(f"HTTP/1.1 {response.status} Fake\r\n{lines}\r\n".encode("latin-1") + response.body)
    await writer.drain()
    if response.stream is None:
        return
    await _stream(reader, writer, response.stream)
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _stream(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chunks: AsyncGenerator[bytes, None]
) -> None:
    """Send the chunks until they end or the client is gone. A client waits for the end before it sends anything."""
    sending = asyncio.create_task(_send(writer, chunks))
    gone = asyncio.create_task(reader.read(1))
    try:
        await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        sending.cancel()  # no effect on one that is done
        await asyncio.wait({sending, gone})
        _ = gone.cancelled() or gone.exception()  # a reset is a way to go, too
    if sending.cancelled():
        raise HangUp
    sending.result()


async def _send(writer: asyncio.StreamWriter, chunks: AsyncGenerator[bytes, None]) -> None:
    async with aclosing(chunks) as stream:
        async for chunk in stream:
            writer.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            await writer.drain()
