"""HTTP to providers: one pooled client, no redirects, nothing compressed, nothing unbounded.

A server may send gigabytes or a single endless line; bodies and events have limits here. What goes wrong on the way is
told as a ProviderError: before the answer began it is Overloaded (nobody was reached) or Disconnected (nothing was
heard), after that Interrupted.
How long to wait is the caller's business.
"""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import cache

import httpx2

from bottega.core.clock import Clock
from bottega.llm.dialect import HttpAsk, HttpFault
from bottega.llm.errors import Disconnected, Interrupted, MalformedResponse, Overloaded, RequestRejected
from bottega.llm.sse import EventParser, EventTooLong

OK = 200
NOT_FOUND = 404
STREAM_TYPE = "text/event-stream"
JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class WireLimits:
    reply_bytes: int = 64 * 1024**2
    event_bytes: int = 8 * 1024**2
    fault_bytes: int = 64 * 1024
    catalogue_bytes: int = 8 * 1024**2
    connections: int = 200
    idle_connections: int = 50
    connect_seconds: float = 10.0


class Wire:
    """`proxy` is the URL of a forward proxy; the environment is not consulted."""

    def __init__(self, *, clock: Clock, limits: WireLimits, proxy: str | None = None) -> None:
        self._clock = clock
        self._limits = limits
        self._proxy = proxy
        self._client: httpx2.AsyncClient | None = None

    @asynccontextmanager
    async def open(self, ask: HttpAsk, *, provider: str) -> AsyncIterator["Answer"]:
        """Send the request; the block has the answer while it streams, and leaving it hangs up."""
        http = self._http()
        try:
            request = http.build_request(
                "GET" if ask.body is None else "POST", ask.url, headers=dict(ask.headers), content=ask.body
            )
            response = await http.send(request, stream=True)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise RequestRejected(
                f"'{ask.url}' is not an http(s) address: check the base URL.", provider=provider
            ) from error
        except (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError) as error:
            raise Disconnected(
                f"{provider} hung up before it answered ({_cause(error)}); try again.", provider=provider
            ) from error
        except httpx2.HTTPError as error:
            raise Overloaded(
                f"{provider} could not be reached at {httpx2.URL(ask.url).host} ({_cause(error)}); try again.",
                provider=provider,
            ) from error
        try:
            yield Answer(response, provider=provider, clock=self._clock, limits=self._limits)
        finally:
            await response.aclose()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _http(self) -> httpx2.AsyncClient:
        if self._client is None:
            limits = self._limits
            self._client = httpx2.AsyncClient(
                follow_redirects=False,
                verify=load_certificates(),
                trust_env=False,
                proxy=self._proxy,
                # Compression would let a small body grow without bound in one read.
                headers={"accept-encoding": "identity", "user-agent": "bottega"},
                timeout=httpx2.Timeout(None, connect=limits.connect_seconds, pool=limits.connect_seconds),
                limits=httpx2.Limits(
                    max_connections=limits.connections,
                    max_keepalive_connections=limits.idle_connections,
                    keepalive_expiry=30.0,
                ),
            )
        return self._client


class Answer:
    """An answer while it arrives. Read `fault`, `events`, `body` or `catalogue`, once."""

    def __init__(self, response: httpx2.Response, *, provider: str, clock: Clock, limits: WireLimits) -> None:
        self._response = response
        self._provider = provider
        self._clock = clock
        self._limits = limits
        self.status = response.status_code
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}

    async def fault(self) -> HttpFault:
        """Return what an answer other than 200 says; its body is cut, not refused, at the limit."""
        body = bytearray()
        try:
            async for chunk in self._response.aiter_raw():
                body += chunk
                if len(body) >= self._limits.fault_bytes:
                    break
        except httpx2.HTTPError:
            pass  # the status has been heard: half an explanation will do
        return HttpFault(
            status=self.status,
            headers=self.headers,
            body=bytes(body[: self._limits.fault_bytes]),
            received_at=self._clock.now(),
        )

    async def events(self) -> AsyncGenerator[str, None]:
        """Yield the data of every event; an answer in plain JSON is one event."""
        kind = self.headers.get("content-type", STREAM_TYPE).partition(";")[0].strip().lower()
        if kind == JSON_TYPE:
            yield (await self.body()).decode("utf-8", "replace")
            return
        if kind != STREAM_TYPE:
            raise self._malformed(f"answered with {kind[:40]} instead of a stream: check the base URL")
        parser = EventParser(max_event_bytes=self._limits.event_bytes)
        try:
            async with aclosing(self._chunks(self._limits.reply_bytes)) as chunks:
                async for chunk in chunks:
                    for event in parser.feed(chunk):
                        yield event
        except EventTooLong as error:
            raise self._malformed(f"sent {error}") from error
        for event in parser.end():
            yield event

    async def body(self) -> bytes:
        return b"".join([chunk async for chunk in self._chunks(self._limits.reply_bytes)])

    async def catalogue(self) -> bytes:
        return b"".join([chunk async for chunk in self._chunks(self._limits.catalogue_bytes)])

    async def _chunks(self, most_bytes: int) -> AsyncGenerator[bytes, None]:
        if self.headers.get("content-encoding", "identity") != "identity":
            raise self._malformed("compressed its answer although asked not to")
        received = 0
        try:
            async for chunk in self._response.aiter_raw():
                received += len(chunk)
                if received > most_bytes:
                    raise self._malformed(f"sent more than {most_bytes} bytes")
                yield chunk
        except httpx2.HTTPError as error:
            raise Interrupted(
                f"{self._provider} broke off its reply ({_cause(error)}); it can be asked again.",
                provider=self._provider,
            ) from error

    def _malformed(self, what: str) -> MalformedResponse:
        return MalformedResponse(f"{self._provider} {what}.", provider=self._provider)


@cache
def load_certificates() -> ssl.SSLContext:
    """Load the system's certificates, once per process: a twentieth of a second, better spent before the first call."""
    return httpx2.create_ssl_context(trust_env=False)


def _cause(error: httpx2.HTTPError) -> str:
    return type(error).__name__
