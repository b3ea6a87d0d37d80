"""Connections to a server: never more than the process can hold, and none is held by somebody who is silent.

A request's head arrives within seconds, also where it is dripped. Whoever takes nothing of an answer for a minute is
hung up upon, and within a second when the server stops: a reader that stopped reading, or is gone without a word, keeps
neither memory nor the server. One that is slow is waited for. Whoever goes on sending after the answer is heard for a
second, so that they see it, and no longer. Past the last connection that fits, a new one is closed at once: without
that, `accept` fails in a loop, and with it every other file and connection of the process.
"""

import asyncio
import math
import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

HEAD_SECONDS = 15.0
STALLED_SECONDS = 60.0
STALLED_AT_THE_END_SECONDS = 1.0
STILL_SENDING_SECONDS = 1.0
TELL_EVERY_SECONDS = 60.0
KEPT_BACK = 256  # files for the database, Redis, providers, the sandbox and whatever is read from disk

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How many connections at once, how long for a head, and how long for whoever takes nothing of an answer."""

    connections: int
    head_seconds: float = HEAD_SECONDS
    stalled_seconds: float = STALLED_SECONDS


def patience(*, stalled_seconds: float = STALLED_SECONDS) -> Patience:
    """Return what this process can afford: of its files, all but those that are kept back, and half at least."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        files = 2**20
    return Patience(connections=max(files - KEPT_BACK, files // 2), stalled_seconds=stalled_seconds)


def connections(allowed: Patience, *, unreadable: Callable[[], bytes] | None = None) -> Callable[..., asyncio.Protocol]:
    """Return what uvicorn makes a connection with. `unreadable` is what is answered to what is no HTTP."""
    crowd = _Crowd(allowed=allowed, unreadable=unreadable)

    def made(*arguments: Any, **given: Any) -> asyncio.Protocol:
        return _Connection(crowd, *arguments, **given)

    return made


@dataclass(slots=True, kw_only=True)
class _Crowd:
    """Everybody who is connected, and when it was last told that they are too many."""

    allowed: Patience
    unreadable: Callable[[], bytes] | None
    told_at: float = -math.inf

    def is_too_large(self, count: int, *, now: float) -> bool:
        is_so = count > self.allowed.connections
        if is_so and now >= self.told_at + TELL_EVERY_SECONDS:
            self.told_at = now
            log.warning("http.connections.too_many", most=self.allowed.connections)
        return is_so


class _Connection(H11Protocol):
    """Waits for a head by one timer, and looks every now and then by another whether its reader still reads."""

    def __init__(self, crowd: _Crowd, *arguments: Any, **given: Any) -> None:
        super().__init__(*arguments, **given)
        self._crowd = crowd
        self._waiting_for_a_head: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._unsent_bytes = 0  # when last looked at, if none are added meanwhile

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if self._crowd.is_too_large(len(self.connections), now=self.loop.time()):
            transport.abort()
            return
        self._expect_a_head()
        self._look_after(self._crowd.allowed.stalled_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting_for_a_head()
        self._look_after(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._expect_a_head()

    def on_response_complete(self) -> None:
        cycle = self.cycle  # before what was sent behind it begins
        super().on_response_complete()
        if cycle.more_body:
            self.loop.call_later(STILL_SENDING_SECONDS, self._stop_hearing, cycle)
        self._expect_a_head()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unsent_bytes = 0  # it reads

    def shutdown(self) -> None:
        super().shutdown()
        self._unsent_bytes = self._waiting_bytes()
        self._look_after(min(self._crowd.allowed.stalled_seconds, STALLED_AT_THE_END_SECONDS))

    def send_400_response(self, msg: str) -> None:
        if self._crowd.unreadable is None:
            super().send_400_response(msg)
            return
        answer = self._crowd.unreadable()
        if not (self._is_answering() and self.cycle.response_started):
            self.transport.write(answer)
        self.transport.close()

    # -- whoever sends ------------------------------------------------------------------------------------------------

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

    def _stop_hearing(self, cycle: object) -> None:
        if self.cycle is cycle and self.cycle.more_body:
            self.transport.close()

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # there is none before the first request
        return cycle is not None and not cycle.response_complete

    # -- whoever reads ------------------------------------------------------------------------------------------------

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
