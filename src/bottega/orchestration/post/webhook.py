"""Alerts to an operator's webhook: one POST of JSON for each, under a key by which a repeated one can be told.

No redirect is followed, nothing of the answer is read but its status and Retry-After, and an error never shows the
address: it may hold a token.
"""

import asyncio
import json

import httpx2

from bottega.core.clock import Clock
from bottega.llm.dialect import HttpFault, retry_after
from bottega.llm.wire import load_certificates
from bottega.orchestration.post.outbox import Message, Refused, TryLater

TIMEOUT_SECONDS = 15.0
_LATER = {408, 425, 429}


class AlertWebhook:
    def __init__(self, *, url: str, clock: Clock, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._url = url
        self._clock = clock
        self._timeout_seconds = timeout_seconds

    async def send(self, message: Message) -> None:
        """POST the payload, with its age and its key.

        Raises:
            TryLater, Refused
        """
        body = {**message.payload, "at": message.posted_at.isoformat()}
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": message.dedupe_key,
            "Bottega-Attempt": str(message.attempt),
        }
        answer = await self._post(json.dumps(body), headers)
        status = answer.status
        if httpx2.codes.is_success(status):
            return
        said = f"The alert webhook answered with HTTP {status}"
        if status in _LATER or status >= httpx2.codes.INTERNAL_SERVER_ERROR:
            raise TryLater(f"{said}.", after_seconds=retry_after(answer))
        if httpx2.codes.is_redirect(status):
            raise Refused(f"{said}, a redirect, which is not followed: set ALERT_WEBHOOK_URL to where it leads.")
        raise Refused(f"{said}: check ALERT_WEBHOOK_URL.")

    async def _post(self, body: str, headers: dict[str, str]) -> HttpFault:
        """Return the answer's head. Alerts are rare: no connection is kept."""
        certificates = await asyncio.to_thread(load_certificates)
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),  # the client's own begins anew with every byte
                httpx2.AsyncClient(follow_redirects=False, verify=certificates, trust_env=False) as client,
                client.stream("POST", self._url, content=body, headers=headers) as response,
            ):
                return HttpFault(
                    status=response.status_code, headers=response.headers, body=b"", received_at=self._clock.now()
                )
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            raise TryLater(f"The alert webhook did not answer ({type(error).__name__}).") from None
