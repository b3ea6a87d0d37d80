"""`make bench-bot`: how soon the bot hears, and how fast it may say, when five hundred people write at once.

Updates come to the webhook over HTTP, from a process of their own; the inbox and the outbox are rows of a durable
PostgreSQL, and the handler answers each message through the outbox, as the conversation does. Telegram is the fake of
the tests, strict about its limits. Nothing of what a person waits for is left out but models, and the answers' words.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from benchmarks.task import Row, table
from fastapi import FastAPI
from rich.console import Console
from tests.entrypoints.telegram.wires import Wires, going_on, wired
from tests.fakes.telegram import FakeTelegram

from bottega.core.clock import SystemClock
from bottega.core.log import configure_logging
from bottega.db.embedded import EmbeddedPostgres
from bottega.db.migrate import upgrade
from bottega.db.transaction import Database
from bottega.entrypoints.relay.server import listen, serving
from bottega.entrypoints.telegram.pacing import Limits
from bottega.entrypoints.telegram.sending import post_say
from bottega.entrypoints.telegram.types import Incoming, Say, TextSent
from bottega.entrypoints.telegram.webhook import PATH, SECRET_HEADER, Webhook, webhook_routes

PEOPLE = 500
PACES = ((25, 2), (0, 20))  # updates a second, as many as can be answered, and messages of each; 0: all at once
AT_ONCE = 40  # connections, as Telegram is told
SAYING_SECONDS = 15.0
SECRET = "a-secret-of-the-benchmark"  # noqa: S105


@dataclass
class Answerer:
    """Answers each text, and notes when it was handed over; a message says when it was sent off."""

    wires: Wires
    answers: bool
    waits_ms: list[float] = field(default_factory=list)

    async def __call__(self, incoming: Incoming) -> None:
        assert isinstance(incoming, TextSent)
        self.waits_ms.append((time.time() - float(incoming.text)) * 1000)
        if self.answers:
            async with self.wires.database.transaction() as session:
                say, key = Say(html="<b>Noted</b>"), f"{incoming.update_id}"
                await post_say(session, chat_id=incoming.chat_id, say=say, key=key)


def main() -> None:
    if len(sys.argv) > 1:
        rate, messages, first = map(int, sys.argv[2:])
        asyncio.run(_deliver(sys.argv[1], rate=rate, messages=messages, first=first))
        return
    configure_logging(level="ERROR")
    rows = asyncio.run(_measure(Console(stderr=True)))
    Console().print(table(rows, title=f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"))


async def _measure(status: Console) -> list[Row]:
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-bot-")))
        server = EmbeddedPostgres(home=home, clock=SystemClock())
        url = await server.start()
        stack.push_async_callback(server.stop)
        await upgrade(url=url)
        database = Database(url=url)
        stack.push_async_callback(database.close)
        for number, (rate, messages) in enumerate(PACES):
            status.print(f"hearing {PEOPLE * messages} messages, {rate or 'any number of them'} a second", style="dim")
            rows += await _hearing(database, rate=rate, messages=messages, first=1 + number * 1_000_000)
        status.print(f"saying as much as Telegram takes, for {SAYING_SECONDS:.0f} s", style="dim")
        rows += await _saying(database)
    return rows


async def _hearing(database: Database, *, rate: int, messages: int, first: int) -> list[Row]:
    async with wired(database) as wires:
        answerer = Answerer(wires=wires, answers=True)
        app = FastAPI()
        app.include_router(webhook_routes(Webhook(inbox=wires.inbox, secret=SECRET)))
        at = listen(host="127.0.0.1", port=0)
        clerk = wires.clerk(answerer)
        async with serving(app, at=at, grace_seconds=1), going_on(clerk.work()):
            began = time.perf_counter()
            client = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.bot", f"http://127.0.0.1:{at.getsockname()[1]}{PATH}"),
                *(str(rate), str(messages), str(first)),
                stdout=subprocess.PIPE,
            )
            said, _ = await client.communicate()
            while len(answerer.waits_ms) < PEOPLE * messages:  # noqa: ASYNC110  # it is counted, not told
                await asyncio.sleep(0.01)
            seconds = time.perf_counter() - began
    taken_ms = [float(line) for line in said.split()]
    title = f"{rate} updates a second" if rate else "as fast as they are taken"
    return [
        Row(what=f"{title}: the webhook's answer, p50 / p99", measured=_both(taken_ms), target="50 ms"),
        Row(what=f"{title}: from sending to handler, p50 / p99", measured=_both(answerer.waits_ms), target="100 ms"),
        Row(what=f"{title}: answered into the outbox, a second", measured=f"{len(taken_ms) / seconds:.0f}"),
    ]


async def _saying(database: Database) -> list[Row]:
    """Say something to everybody, within Telegram's limits, and count what it had to refuse."""
    telegram = FakeTelegram()
    async with wired(database, telegram=telegram, limits=Limits()) as wires:
        for person in range(1, PEOPLE + 1):
            telegram.person(person)
        async with database.transaction() as session:
            for person in range(1, PEOPLE + 1):
                await post_say(session, chat_id=person, say=Say(html="News"), key=f"news:{person}")
        async with going_on(wires.postman.work()):
            await asyncio.sleep(SAYING_SECONDS)
        sent = [call.at for call in telegram.journal if call.method == "sendMessage"]
    rate = (len(sent) - 1) / (sent[-1] - sent[0])
    return [
        Row(what="messages out a second, of the 30 that Telegram takes", measured=f"{rate:.1f}", target="25"),
        Row(what="refused as too many", measured=str(telegram.floods), target="0"),
    ]


async def _deliver(url: str, *, rate: int, messages: int, first: int) -> None:
    """Be Telegram: deliver each person's messages one after the other, and print how long each took, in ms."""
    taken_ms: list[float] = []
    connections = asyncio.Semaphore(AT_ONCE)
    limits = httpx2.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    began = time.perf_counter()
    async with httpx2.AsyncClient(trust_env=False, limits=limits, timeout=60) as client:

        async def write(person: int) -> None:
            for number in range(messages):
                place = number * PEOPLE + person
                if rate:
                    await asyncio.sleep(max(0.0, began + place / rate - time.perf_counter()))
                async with connections:
                    update, sent = _update(first + place, person=person + 1), time.perf_counter()
                    answer = await client.post(url, json=update, headers={SECRET_HEADER: SECRET})
                    taken_ms.append((time.perf_counter() - sent) * 1000)
                    assert answer.is_success, answer.text

        await asyncio.gather(*(write(person) for person in range(PEOPLE)))
    print("\n".join(f"{ms:.2f}" for ms in taken_ms))


def _update(number: int, *, person: int) -> dict[str, object]:
    who, chat = {"id": person, "first_name": "P"}, {"id": person, "type": "private"}
    return {
        "update_id": number,
        "message": {"message_id": number, "from": who, "chat": chat, "date": 1, "text": str(time.time())},
    }


def _both(taken_ms: Sequence[float]) -> str:
    return f"{statistics.median(taken_ms):.1f} / {statistics.quantiles(taken_ms, n=100)[98]:.1f} ms"


if __name__ == "__main__":
    main()
