"""Another process that is Telegram: everybody writes at once, and every update is delivered twice."""

import asyncio
import random
from typing import Any

import httpx2

from bottega.entrypoints.telegram.webhook import SECRET_HEADER

AT_ONCE = 40  # connections, as Telegram is told
LATEST = 3  # so many updates later an update comes again


def deliver(*, url: str, secret: str, people: int, messages: int) -> None:
    """Deliver each person's messages in order, and each again, later; in no order between people."""
    asyncio.run(_deliver(url, secret=secret, people=people, messages=messages))


async def _deliver(url: str, *, secret: str, people: int, messages: int) -> None:
    chances, door = random.Random(5), asyncio.Semaphore(AT_ONCE)  # noqa: S311  # a shuffle is no secret
    limits = httpx2.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx2.AsyncClient(trust_env=False, limits=limits, timeout=60) as client:

        async def write(person: int) -> None:
            for number in _twice(messages, chances):
                async with door:
                    body = _update(number, person=person, messages=messages)
                    answer = await client.post(url, json=body, headers={SECRET_HEADER: secret})
                    assert answer.is_success, answer.text

        everybody = list(range(1, people + 1))
        chances.shuffle(everybody)
        await asyncio.gather(*map(write, everybody))


def _twice(messages: int, chances: random.Random) -> list[int]:
    """Return numbers in order, and each a second time, at once or a while later."""
    again = [(number + chances.uniform(0, LATEST), number) for number in range(messages)]
    return [number for _, number in sorted([*((float(number), number) for number in range(messages)), *again])]


def _update(number: int, *, person: int, messages: int) -> dict[str, Any]:
    who, chat = {"id": person, "first_name": "P"}, {"id": person, "type": "private"}
    said = {"message_id": 1 + number, "from": who, "chat": chat, "date": 1, "text": f"{number}"}
    return {"update_id": 1 + person * messages + number, "message": said}
