"""Other processes that are bots: they poll, or work the inbox off, until they are killed."""

import asyncio

from bottega.core.clock import SystemClock
from bottega.db.transaction import Database
from bottega.entrypoints.telegram.api import BotApi
from bottega.entrypoints.telegram.poller import Poller
from bottega.entrypoints.telegram.receiving import SOURCE, Reception
from bottega.entrypoints.telegram.sending import post_say
from bottega.entrypoints.telegram.types import Incoming, Say, TextSent
from bottega.orchestration.post import inbox
from bottega.orchestration.post.inbox import Clerk, Inbox
from tests.entrypoints.telegram.wires import ME, Listener, apology


def poll(*, url: str, api_url: str, token: str) -> None:
    """Poll until killed."""
    asyncio.run(_poll(url=url, api_url=api_url, token=token))


async def _poll(*, url: str, api_url: str, token: str) -> None:
    database = Database(url=url)
    door = Inbox(database=database, source=SOURCE)
    api = BotApi(token=token, base_url=api_url)
    await Poller(api=api, inbox=door, database=database, clock=SystemClock()).work()


def answer(*, url: str, lease_seconds: float) -> None:
    """Echo what people say until killed."""
    inbox.LEASE_SECONDS = lease_seconds
    asyncio.run(_answer(url=url))


async def _answer(*, url: str) -> None:
    database = Database(url=url)

    async def echo(incoming: Incoming) -> None:
        assert isinstance(incoming, TextSent)
        async with database.transaction() as session:
            key = f"echo:{incoming.update_id}"
            await post_say(session, chat_id=incoming.chat_id, say=Say(html=f"you: {incoming.text}"), key=key)
        await asyncio.sleep(0.01)

    reception = Reception(handler=Listener(echo), me=ME, apology=apology)
    clerk = Clerk(database=database, source=SOURCE, takes=reception, given_up=reception.given_up, clock=SystemClock())
    await clerk.work(every_seconds=0.1)
