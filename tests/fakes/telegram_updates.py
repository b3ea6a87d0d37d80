"""How updates get to the bot: by long polling or to a webhook, each until it is confirmed."""

import asyncio
import itertools
import re
import time
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

import httpx2
from tests.fakes.telegram_asking import Refusal

from bottega.llm.wire import load_certificates

REDELIVERY_SECONDS = 0.05  # Telegram takes longer

Json = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Webhook:
    url: str
    secret: str


@dataclass(eq=False, kw_only=True)
class Updates:
    """What waits for the bot. `conflicts` counts the polls that another one ended."""

    webhook: Webhook | None = None
    allowed: list[str] | None = None
    conflicts: int = 0
    poll_refusals: deque[Refusal] = field(default_factory=deque)  # answers to the next getUpdates

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._updates: list[Any] = []
        self._changed = asyncio.Event()
        self._poll: asyncio.Future[None] | None = None
        self._pump: asyncio.Task[None] | None = None

    def number(self) -> int:
        return next(self._numbers)

    def deliver(self, kind: str, what: Json) -> int:
        """Have the bot told, unless it does not want this kind; return the update's id."""
        update_id = 870_000_000 + self.number()
        if self.allowed is None or kind in self.allowed:
            self.deliver_raw({"update_id": update_id, kind: what})
        return update_id

    def deliver_raw(self, update: Any) -> None:
        """Deliver whatever it is: again, in another order, or not an update at all."""
        self._updates.append(update)
        self.has_news()

    def refuses_next_poll(self, status: int, **parameters: int) -> None:
        self.poll_refusals.append(Refusal(f"Error {status}", status=status, **parameters))

    def has_news(self) -> None:
        """Wake everybody who waits for something to happen here."""
        news, self._changed = self._changed, asyncio.Event()
        news.set()

    def news(self) -> Awaitable[object]:
        """Return what ends with the next news after this call, whenever it is awaited."""
        return self._changed.wait()

    @property
    def undelivered(self) -> int:
        return len(self._updates)

    async def get_updates(self, asked: Json) -> list[Any]:
        if self.poll_refusals:
            raise self.poll_refusals.popleft()
        if self.webhook is not None:
            raise Refusal(
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook"
                " first",
                status=409,
            )
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(None)
        mine = self._poll = asyncio.get_running_loop().create_future()
        if "allowed_updates" in asked:
            self.allowed = asked["allowed_updates"] or None
        offset = int(asked.get("offset", 0))
        self._updates = [u for u in self._updates if not _has_number(u) or u["update_id"] >= offset]
        until = time.monotonic() + int(asked.get("timeout", 0))
        while not self._updates and time.monotonic() < until:
            waiting = asyncio.ensure_future(self.news())
            await asyncio.wait({waiting, mine}, timeout=until - time.monotonic(), return_when="FIRST_COMPLETED")
            waiting.cancel()
            if mine.done():
                self.conflicts += 1
                raise Refusal(
                    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
                    status=409,
                )
        mine.cancel()
        return self._updates[: min(int(asked.get("limit", 100)), 100)]

    def set_webhook(self, asked: Json) -> bool:
        if not re.fullmatch(r"https?://[^\s]+", str(asked.get("url"))):
            raise Refusal("bad webhook: invalid URL")
        if not re.fullmatch(r"[A-Za-z0-9_-]{0,256}", asked.get("secret_token", "")):
            raise Refusal("secret token contains unallowed characters")
        self.webhook = Webhook(url=asked["url"], secret=asked.get("secret_token", ""))
        self.allowed = asked.get("allowed_updates", self.allowed)
        if self._pump is None:
            self._pump = asyncio.create_task(self._deliver_to_webhook())
        return True

    def delete_webhook(self, asked: Json) -> bool:
        self.webhook = None
        if str(asked.get("drop_pending_updates")).lower() == "true":
            self._updates.clear()
        return True

    async def _deliver_to_webhook(self) -> None:
        """Post each update until it is taken, one after the other."""
        async with httpx2.AsyncClient(trust_env=False, verify=load_certificates()) as client:
            while True:
                if self.webhook is None or not self._updates:
                    await self.news()
                    continue
                update, hook = self._updates[0], self.webhook
                headers = {"X-Telegram-Bot-Api-Secret-Token": hook.secret} if hook.secret else {}
                try:
                    answer = await client.post(hook.url, json=update, headers=headers, timeout=10)
                    taken = answer.is_success
                except httpx2.HTTPError:
                    taken = False
                if taken:
                    self._updates.remove(update)
                else:
                    await asyncio.sleep(REDELIVERY_SECONDS)

    async def stop_delivering(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)


def _has_number(update: Any) -> bool:
    return isinstance(update, dict) and type(update.get("update_id")) is int
