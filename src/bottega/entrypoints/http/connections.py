"""Connections to the server: never more than the process can hold, and none is held by somebody who is silent.

A request's head arrives within seconds, also where it is dripped; whoever does not take an answer has gone away. Past
the last connection that fits, a new one is closed at once: without that, `accept` fails in a loop, and with it every
other file and connection of the process. What is no HTTP gets a problem with an id, as every other error does.
"""

import asyncio
import math
import resource
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from bottega.entrypoints.http.problems import problem
from bottega.entrypoints.http.protection import SECURITY_HEADERS

HEAD_SECONDS = 15.0
TAKING_SECONDS = 60.0
TELL_EVERY_SECONDS = 60.0
KEPT_BACK = 256  # files for the database, Redis, providers, the sandbox and whatever is read from disk

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How many connections at once, and how long one may be silent."""

    connections: int
    head_seconds: float = HEAD_SECONDS
    taking_seconds: float = TAKING_SECONDS


def patience() -> Patience:
    """Return what this process can afford: of its files, all but those that are kept back, and half at least."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        files = 2**20
    return Patience(connections=max(files - KEPT_BACK, files // 2))


def connections(allowed: Patience) -> Callable[..., asyncio.Protocol]:
    """Return what uvicorn makes a connection with."""
    crowd = _Crowd(allowed=allowed)

    def made(*arguments: Any, **given: Any) -> asyncio.Protocol:
        return _Connection(crowd, *arguments, **given)

    return made


@dataclass(slots=True, kw_only=True)
class _Crowd:
    """Everybody who is connected, and when it was last told that they are too many."""

    allowed: Patience
    told_at: float = -math.inf

    def is_too_large(self, count: int, *, now: float) -> bool:
        is_so = count > self.allowed.connections
        if is_so and now >= self.told_at + TELL_EVERY_SECONDS:
            self.told_at = now
            log.warning("http.connections.too_many", most=self.allowed.connections)
        return is_so


class _Connection(H11Protocol):
    def __init__(self, crowd: _Crowd, *arguments: Any, **given: Any) -> None:
        super().__init__(*arguments, **given)
        self._crowd = crowd
        self._waiting_for_a_head: asyncio.TimerHandle | None = None
        self._waiting_to_be_taken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if self._crowd.is_too_large(len(self.connections), now=self.loop.time()):
            transport.abort()
            return
        self._expect_a_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting_for_a_head()
        self._stop_waiting_to_be_taken()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._expect_a_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_a_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._waiting_to_be_taken = self.loop.call_later(self._crowd.allowed.taking_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_waiting_to_be_taken()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # its own sentence
        """Answer what is no HTTP: uvicorn's own answer has neither an id nor our headers."""
        request_id = uuid.uuid4().hex
        log.info("http.unreadable", request_id=request_id, status=400)
        if not (self._is_answering() and self.cycle.response_started):
            self.transport.write(_unreadable(request_id))
        self.transport.close()

    def _expect_a_head(self) -> None:
        """Begin to wait for a head where none was waited for; data that is no whole head does not begin anew."""
        if self._is_answering():
            self._stop_waiting_for_a_head()
        elif self._waiting_for_a_head is None and not self.transport.is_closing():
            self._waiting_for_a_head = self.loop.call_later(self._crowd.allowed.head_seconds, self.transport.abort)

    def _stop_waiting_for_a_head(self) -> None:
        if self._waiting_for_a_head is not None:
            self._waiting_for_a_head.cancel()
            self._waiting_for_a_head = None

    def _stop_waiting_to_be_taken(self) -> None:
        if self._waiting_to_be_taken is not None:
            self._waiting_to_be_taken.cancel()
            self._waiting_to_be_taken = None

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # there is none before the first request
        return cycle is not None and not cycle.response_complete


def _unreadable(request_id: str) -> bytes:
    detail = "This is no HTTP request that could be read."
    answer: Response = problem(status=400, code="unreadable_request", detail=detail, request_id=request_id)
    headers = {**SECURITY_HEADERS, "X-Request-Id": request_id, "Connection": "close"}
    head = [f"{name.decode()}: {value.decode()}" for name, value in answer.raw_headers]
    head += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(["HTTP/1.1 400 Bad Request", *head, "", ""]).encode("ascii") + bytes(answer.body)
