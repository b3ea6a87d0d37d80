"""Five hundred people write twenty messages each, at once, and Telegram delivers everything twice.

The clock is the real one. While the flood comes, the answers go out within the limits that Telegram has, and the fake
counts what it had to refuse. Ten thousand answers at 26 a second would take six minutes: what is left of them when all
is in the outbox goes out without limits, to see that each arrives, once and in order.
"""

import asyncio
import multiprocessing
from collections import Counter

import pytest
from fastapi import FastAPI
from sqlalchemy import text

from bottega.core.clock import SystemClock
from bottega.db.transaction import Database
from bottega.entrypoints.relay.server import listen, serving
from bottega.entrypoints.telegram.carrier import Carrier
from bottega.entrypoints.telegram.pacing import Limits, Pacer
from bottega.entrypoints.telegram.saying import Voice
from bottega.entrypoints.telegram.sending import TARGET
from bottega.entrypoints.telegram.webhook import PATH, Webhook, webhook_routes
from bottega.orchestration.post.outbox import Postman
from tests.entrypoints.telegram import flooding
from tests.entrypoints.telegram.wires import IN_A_HURRY, Wires, going_on, wired
from tests.fakes.telegram import Call, FakeTelegram
from tests.waiting import when

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([flooding.__name__])
PEOPLE, MESSAGES = 500, 20
SECRET = "a-secret-of-the-flood"
SECONDS = 600.0  # on a busy machine


@pytest.mark.slow
@pytest.mark.timeout(2 * SECONDS)
async def test_everybody_is_answered_once_and_in_order_and_never_too_fast(database: Database) -> None:
    telegram = FakeTelegram()
    people = [telegram.person(number) for number in range(1, PEOPLE + 1)]
    async with wired(database, telegram=telegram, limits=Limits()) as wires:
        await floods(wires)
        paced = [call for call in telegram.journal if call.method == "sendMessage"]
        assert (telegram.floods, most_in_a_second(paced) <= 30) == (0, True)
        assert len(paced) > 10 * MESSAGES, "too few to tell anything"

        telegram.limits = None
        hurried = unpaced(wires)
        async with going_on(hurried.work()):
            await when(lambda: is_empty(database, "outbox", "sent_at"), seconds=SECONDS)
    wanted = [f"you: {number}" for number in range(MESSAGES)]
    wrong = {person.id: said for person in people if (said := [m.text for m in person.sees()]) != wanted}
    assert wrong == {}


async def floods(wires: Wires) -> None:
    """Let the flood come, and answer it; what may go out goes out."""
    app = FastAPI()
    app.include_router(webhook_routes(Webhook(inbox=wires.inbox, secret=SECRET)))
    at, clerk = listen(host="127.0.0.1", port=0), wires.clerk(wires.echo)
    url = f"http://127.0.0.1:{at.getsockname()[1]}{PATH}"
    given = {"url": url, "secret": SECRET, "people": PEOPLE, "messages": MESSAGES}
    async with serving(app, at=at, grace_seconds=1), going_on(clerk.work(), wires.postman.work()):
        flood = PROCESSES.Process(target=flooding.deliver, kwargs=given, daemon=True)
        flood.start()
        await asyncio.to_thread(flood.join)
        assert flood.exitcode == 0
        await when(lambda: is_empty(wires.database, "inbox", "done_at"), seconds=SECONDS)
    async with wires.database.transaction() as session:
        counted = await session.execute(text("SELECT recipient, count(*) FROM outbox GROUP BY recipient"))
        assert Counter(dict(map(tuple, counted.all()))) == {str(number): MESSAGES for number in range(1, PEOPLE + 1)}
        assert (await session.execute(text("SELECT max(attempts), count(*) FROM inbox"))).one() == (
            1,
            PEOPLE * MESSAGES,
        )


def most_in_a_second(calls: list[Call]) -> int:
    """Return how many calls the busiest second had, whenever it begins."""
    times, first, most = [call.at for call in calls], 0, 0
    for number, at in enumerate(times):
        while times[first] <= at - 1:
            first += 1
        most = max(most, number - first + 1)
    return most


def unpaced(wires: Wires) -> Postman:
    clock = SystemClock()
    voice = Voice(api=wires.api, pacer=Pacer(clock=clock, limits=IN_A_HURRY))
    carrier = Carrier(voice=voice, archives=wires.shelf, links=wires.shelf)
    return Postman(database=wires.database, senders={TARGET: carrier}, clock=clock, at_once=200)


async def is_empty(database: Database, table: str, done_at: str) -> bool:
    open_rows = text(f"SELECT count(*) FROM {table} WHERE {done_at} IS NULL")  # noqa: S608
    async with database.transaction() as session:
        left: int = (await session.execute(open_rows)).scalar_one()
    return left == 0
