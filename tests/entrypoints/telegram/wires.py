"""Both ways between a fake Telegram and a database, without anybody who answers."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from bottega.core.clock import SystemClock
from bottega.db.transaction import Database
from bottega.delivery.storage import UnknownObject
from bottega.entrypoints.telegram.api import BotApi
from bottega.entrypoints.telegram.carrier import Carrier, Codes
from bottega.entrypoints.telegram.desk import Desk
from bottega.entrypoints.telegram.pacing import Limit, Limits, Pacer
from bottega.entrypoints.telegram.poller import Poller
from bottega.entrypoints.telegram.reading import Me
from bottega.entrypoints.telegram.receiving import SOURCE, Reception
from bottega.entrypoints.telegram.saying import Voice
from bottega.entrypoints.telegram.sending import TARGET, post_say
from bottega.entrypoints.telegram.types import Incoming, Say, TextSent
from bottega.orchestration.post.inbox import Clerk, Inbox
from bottega.orchestration.post.outbox import Postman
from tests.fakes.telegram import TOKEN, FakeTelegram

ME = Me(id=123456789, username="bottega_bot")
AT_ONCE = Limit(burst=1000, each_second=1000)
IN_A_HURRY = Limits(overall=AT_ONCE, private=AT_ONCE, group=AT_ONCE)


class QuickClock:
    """Time that jumps to the next one who sleeps, as soon as nothing has happened for a moment."""

    def __init__(self) -> None:
        self.at = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._jump: asyncio.TimerHandle | None = None

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, tz=UTC)

    def monotonic(self) -> float:
        if self._jump is not None:
            self._soon()  # somebody is at work
        return self.at

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.at + seconds, id(woken), woken))
        self._soon()
        await woken

    def _soon(self) -> None:
        if self._jump is not None:
            self._jump.cancel()
        self._jump = asyncio.get_running_loop().call_later(0.01, self._jump_on)

    def _jump_on(self) -> None:
        self._jump = None
        if self._sleepers:
            self.at, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            self._soon()


@dataclass
class Shelf:
    """Archives, and links to them where there are any."""

    files: dict[str, bytes] = field(default_factory=dict)
    root: str | None = None

    async def get(self, *, key: str) -> bytes:
        if key not in self.files:
            raise UnknownObject(key)
        return self.files[key]

    async def to(self, *, key: str) -> str | None:
        return None if self.root is None else f"{self.root}/{key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wires:
    telegram: FakeTelegram
    database: Database
    api: BotApi
    voice: Voice
    desk: Desk
    shelf: Shelf
    inbox: Inbox
    postman: Postman

    async def say(self, say: Say | str, *, chat_id: int = 7, key: str = "k") -> None:
        """Post a message and deliver all that is due."""
        async with self.database.transaction() as session:
            whole = say if isinstance(say, Say) else Say(html=say)
            await post_say(session, chat_id=chat_id, say=whole, key=key)
        await self.postman.deliver_due()

    def poller(self) -> Poller:
        return Poller(api=self.api, inbox=self.inbox, database=self.database, clock=SystemClock())

    def clerk(self, handle: Callable[[Incoming], Awaitable[None]]) -> Clerk:
        reception = Reception(handler=Listener(handle), me=ME, apology=apology)
        clerk = Clerk(
            database=self.database,
            source=SOURCE,
            takes=reception,
            given_up=reception.given_up,
            clock=SystemClock(),
        )
        self.inbox.hear(clerk.wake)
        return clerk

    async def echo(self, incoming: Incoming) -> None:
        """Answer each text with itself, once."""
        if isinstance(incoming, TextSent):
            async with self.database.transaction() as session:
                key = f"echo:{incoming.update_id}"
                await post_say(session, chat_id=incoming.chat_id, say=Say(html=f"you: {incoming.text}"), key=key)


class Listener:
    def __init__(self, handle: Callable[[Incoming], Awaitable[None]]) -> None:
        self._handle = handle

    async def handle(self, incoming: Incoming) -> None:
        await self._handle(incoming)


def apology(incoming: Incoming) -> Say:
    return Say(html=f"sorry about {incoming.update_id}")


@asynccontextmanager
async def wired(
    database: Database,
    *,
    telegram: FakeTelegram | None = None,
    limits: Limits = IN_A_HURRY,
    clock: QuickClock | None = None,
    codes: Codes | None = None,
    largest_file_bytes: int = 1000,
) -> AsyncIterator[Wires]:
    """Lend wires to a fake that, unless it is given, keeps no limits."""
    telegram = telegram or FakeTelegram(limits=None)
    async with telegram:
        api = BotApi(token=TOKEN, base_url=telegram.url)
        voice = Voice(api=api, pacer=Pacer(clock=clock or SystemClock(), limits=limits))
        shelf, inbox = Shelf(), Inbox(database=database, source=SOURCE)
        carrier = Carrier(voice=voice, archives=shelf, links=shelf, codes=codes, largest_file_bytes=largest_file_bytes)
        try:
            yield Wires(
                telegram=telegram,
                database=database,
                api=api,
                voice=voice,
                desk=Desk(voice=voice),
                shelf=shelf,
                inbox=inbox,
                postman=Postman(database=database, senders={TARGET: carrier}, clock=SystemClock(), at_once=200),
            )
        finally:
            await inbox.close()
            await api.close()


@asynccontextmanager
async def going_on(*works: Awaitable[object]) -> AsyncIterator[None]:
    """Let these go on while the block runs; one that fails fails the test."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
        for task in tasks:
            assert not task.done() or not task.exception()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def posted(database: Database, statement: Callable[[AsyncSession], Awaitable[None]]) -> None:
    async with database.transaction() as session:
        await statement(session)
