"""HTTP to payment gateways: one pooled client, no redirects, replies of bounded size, an answer within bounded time.

Nothing is tried again here, and an error never shows the address: Telegram's holds the bot's token.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from bottega.llm.wire import load_certificates

LARGEST_REPLY = 8 * 1024**2


class Unreachable(Exception):
    """No whole answer came; whether the request arrived is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    def __init__(self, *, timeout_seconds: float = 30.0) -> None:
        self._timeout_seconds = timeout_seconds
        self._client: httpx2.AsyncClient | None = None

    async def send(
        self, *, method: str, url: str, headers: Mapping[str, str], body: bytes | str | None = None
    ) -> Answer:
        """Send a request and read the whole answer.

        Raises:
            Unreachable
        """
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),  # the client's own begins anew with every byte
                self._http().stream(method, url, headers=dict(headers), content=body) as response,
            ):
                reply = bytearray()
                async for chunk in response.aiter_bytes():
                    reply += chunk
                    if len(reply) > LARGEST_REPLY:
                        raise Unreachable("the reply is too large")
                return Answer(status=response.status_code, headers=response.headers, body=bytes(reply))
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            raise Unreachable(type(error).__name__) from None  # the cause shows the address

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _http(self) -> httpx2.AsyncClient:
        if self._client is None:
            self._client = httpx2.AsyncClient(
                follow_redirects=False, verify=load_certificates(), trust_env=False, timeout=self._timeout_seconds
            )
        return self._client
