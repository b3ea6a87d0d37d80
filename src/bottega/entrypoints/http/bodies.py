"""No body is larger than it may be, or slower than is decent, whoever reads it.

A route that reads for itself, with a limit of its own, is left alone: the relay's, and webhooks.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bottega.core.errors import AppError
from bottega.entrypoints.relay.body import READING_SECONDS, BodyTooLarge, BodyTooSlow

BODY_LIMIT_BYTES = 1024 * 1024
READ_THEMSELVES = ("/v1/chat/completions", "/webhooks/", "/telegram/", "/dev/checkout/")
Refuse = Callable[[Request, Exception], Awaitable[Response]]


class BodyLimit:
    """`refuse` answers an AppError, as it does for the routes."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        refuse: Refuse,
        limit_bytes: int = BODY_LIMIT_BYTES,
        within_seconds: float = READING_SECONDS,
    ) -> None:
        self._app = app
        self._refuse = refuse
        self._limit_bytes = limit_bytes
        self._within_seconds = within_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(READ_THEMSELVES):
            await self._app(scope, receive, send)
            return
        reading = _Reading(receive, send, limit_bytes=self._limit_bytes, within_seconds=self._within_seconds)
        announced = Request(scope).headers.get("content-length", "")
        if announced.isdigit() and int(announced[:20]) > self._limit_bytes:
            reading.fault = BodyTooLarge(limit_bytes=self._limit_bytes)
        else:
            with contextlib.suppress(_Given):
                await self._app(scope, reading.receive, reading.send)
        if reading.fault is not None and not reading.has_answered:
            await (await self._refuse(Request(scope), reading.fault))(scope, receive, send)


class _Given(Exception):
    """Reading was given up; what a framework makes of this exception is not sent."""


class _Reading:
    def __init__(self, receive: Receive, send: Send, *, limit_bytes: int, within_seconds: float) -> None:
        self._receive = receive
        self._send = send
        self._left = limit_bytes
        self._limit_bytes = limit_bytes
        self._until = asyncio.get_running_loop().time() + within_seconds
        self._is_whole = False
        self.fault: AppError | None = None
        self.has_answered = False

    async def receive(self) -> Message:
        if self._is_whole:  # from here on only the client's going is waited for
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError as error:
            self.fault = BodyTooSlow()
            raise _Given from error
        self._left -= len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._left < 0:
            self.fault = BodyTooLarge(limit_bytes=self._limit_bytes)
            raise _Given
        return message

    async def send(self, message: Message) -> None:
        if self.fault is not None and not self.has_answered:
            return
        self.has_answered = True
        await self._send(message)
