"""What the outside tells us: a row before it is confirmed, worked off at least once, in order within its stream.

An update is taken in once, by what its source calls it; who tells it again is thanked again. Rows of one stream become
visible in the order of their ids: whoever takes some in holds a lock of their streams until they are committed. How
they are claimed and noted is `worklist.py`'s. Whoever works them off is woken at once, in this process and by NOTIFY in
others, and looks every two seconds anyway.

A handler that raises is tried again, with growing pauses, and its stream waits. What fails again and again is set aside
with its reason, and whatever is said about that is said once, in the same transaction.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn, Protocol

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.core.backoff import backoff_seconds
from bottega.core.clock import Clock
from bottega.core.log import bound
from bottega.db.notifications import listen
from bottega.db.transaction import FAULTS, Database
from bottega.orchestration.post.outbox import Refused, TryLater, fault_of
from bottega.orchestration.post.worklist import LOOK_SECONDS, Hands, Shape, Worklist

CHANNEL = "bottega_inbox"  # the payload is a source
HANDLING_SECONDS = 20.0
LEASE_SECONDS = 30.0  # who is killed at work holds its stream up for this long
AT_ONCE = 64  # streams
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 60.0
DEFECTS = 6  # attempts at what fails for no known reason: half a minute
ATTEMPTS = 40  # at what cannot be done yet: half an hour
KEPT = timedelta(days=30)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """An update as it comes. `payload` is a JSON object, as `storable` writes it."""

    external_id: str
    stream: str
    payload: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An update as it is worked off. `attempt` counts from 1; one above it may have been handled before."""

    id: int
    source: str
    external_id: str
    stream: str
    payload: Mapping[str, Any]
    attempt: int
    received_at: datetime


class Takes(Protocol):
    async def __call__(self, received: Received) -> None:
        """Deal with an update, within HANDLING_SECONDS. It may have been dealt with before, half or whole.

        Raises:
            TryLater: it cannot be done now.
            Refused: it never can. Whatever else is raised is taken for a defect of ours.
        """
        ...


GivenUp = Callable[[AsyncSession, Received], Awaitable[None]]
"""Say that an update is set aside, in the transaction that does so."""


def storable(value: object) -> str | None:
    """Return JSON that PostgreSQL takes, without NUL and broken surrogates; None for what cannot be had as JSON."""
    try:
        written = json.dumps(value, allow_nan=False, default=str)
    except (ValueError, TypeError, RecursionError):
        return None
    return _UNSTORABLE.sub(lambda found: found[0] if found[0] == r"\\" or len(found[0]) > _ONE else r"\ufffd", written)


class Inbox:
    """Takes in what a source tells, and lets those know who work it off."""

    def __init__(self, *, database: Database, source: str) -> None:
        self._database = database
        self._source = source
        self._ears: list[Callable[[], None]] = []
        self._is_news = False
        self._telling: asyncio.Task[None] | None = None

    async def take_in(self, arrivals: Sequence[Arrival]) -> int:
        """Keep what is new of them, all or none; return how many were. They may then be confirmed.

        Raises whatever a database out of reach raises.
        """
        if not arrivals:
            return 0
        rows = [{"external_id": one.external_id, "stream": one.stream, "payload": one.payload} for one in arrivals]
        given = {"source": self._source, "rows": json.dumps(rows)}
        kept = (await self._database.autocommit.execute(_TAKE_IN, given)).all()
        if kept:
            self._tell()
        return len(kept)

    def hear(self, ear: Callable[[], None]) -> None:
        """Have an ear of this process called when something was taken in. It neither waits nor raises."""
        self._ears.append(ear)

    async def close(self) -> None:
        if self._telling is not None:
            await asyncio.wait([self._telling], timeout=1)
            self._telling.cancel()
            await asyncio.wait([self._telling])

    def _tell(self) -> None:
        for ear in self._ears:
            ear()
        self._is_news = True
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell_others())

    async def _tell_others(self) -> None:
        """Notify other processes, once for all that came meanwhile; nobody waits for it and nothing depends on it."""
        while self._is_news:
            self._is_news = False
            try:
                await self._database.autocommit.execute(_NOTIFY, {"channel": CHANNEL, "source": self._source})
            except FAULTS as error:
                log.warning("inbox.unheard", reason=type(error).__name__)


class Clerk:
    """Works an inbox off. Any number may at once, in any number of processes."""

    def __init__(
        self,
        *,
        database: Database,
        source: str,
        takes: Takes,
        given_up: GivenUp,
        clock: Clock,
        at_once: int = AT_ONCE,
    ) -> None:
        self._database = database
        self._source = source
        self._takes = takes
        self._given_up = given_up
        self._clock = clock
        self._rows = Worklist(database=database, shape=_SHAPE, read=Received)
        self._hands = Hands(claim=self._claim, work_on=self._deal_with, at_once=at_once, clock=clock)

    async def work(self, *, every_seconds: float = LOOK_SECONDS) -> NoReturn:
        """Work off whatever comes, until cancelled; what is under way may then end, for a while."""
        hearing = listen(
            self._database, channel=CHANNEL, heard=lambda _source: self.wake(), missed=self.wake, clock=self._clock
        )
        ear = asyncio.create_task(hearing, name="inbox notifications")
        try:
            await self._hands.work(every_seconds=every_seconds)
        finally:
            ear.cancel()
            await asyncio.wait([ear])

    async def work_off(self) -> int:
        """Work off all that is due now; return how many updates were dealt with."""
        return await self._hands.work_off()

    def wake(self) -> None:
        self._hands.wake()

    async def tidy(self) -> None:
        """Forget what was dealt with, or set aside, long ago."""
        async with self._database.transaction() as session:
            await session.execute(_FORGET, {"kept": KEPT})

    async def _claim(self, at_most: int) -> list[Received]:
        return await self._rows.claim(kinds=[self._source], at_most=at_most, lease_seconds=LEASE_SECONDS)

    async def _deal_with(self, received: Received) -> bool:
        with bound(update=received.external_id):
            try:
                if received.attempt > ATTEMPTS:
                    raise Refused(f"It was tried {ATTEMPTS} times.")  # noqa: TRY301  # one place sets aside
                async with asyncio.timeout(HANDLING_SECONDS):
                    await self._takes(received)
            except Refused as error:
                await self._set_aside(received, reason=fault_of(error))
                return False
            except TryLater as error:
                await self._put_off(received, reason=fault_of(error), asked=error.after_seconds)
                return False
            except Exception as error:  # an edge: whatever a handler raises, its update waits for another attempt
                log.exception("inbox.failed", source=received.source, attempt=received.attempt)
                await self._fail(received, error)
                return False
            await self._rows.done(received)
            return True

    async def _fail(self, received: Received, error: Exception) -> None:
        if received.attempt < DEFECTS:
            await self._put_off(received, reason=fault_of(error), asked=None)
        else:
            await self._set_aside(received, reason=fault_of(error))

    async def _put_off(self, received: Received, *, reason: str, asked: float | None) -> None:
        wait = pause_after(received.attempt, asked=asked)
        log.warning("inbox.put_off", source=received.source, reason=reason, seconds=round(wait, 1))
        await self._rows.put_off(received, reason=reason, wait_seconds=wait)

    async def _set_aside(self, received: Received, *, reason: str) -> None:
        log.error("inbox.refused", source=received.source, reason=reason, attempts=received.attempt)
        await self._rows.set_aside(received, reason=reason, then=self._given_up)


def pause_after(attempt: int, *, asked: float | None) -> float:
    """Return the seconds until the next attempt: what was asked for, or more, within a minute."""
    wait = backoff_seconds(attempt, first_seconds=PAUSE_SECONDS, cap_seconds=LONGEST_PAUSE_SECONDS)
    return min(max(wait, asked or 0.0), LONGEST_PAUSE_SECONDS)


_ONE = len(r"\ud800")
_UNSTORABLE = re.compile(
    r"\\\\|\\u0000|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|\\ud[89a-f][0-9a-f]{2}"  # an escape, a pair, a half
)
_SHAPE = Shape(
    table="inbox",
    kind="source",
    lane="stream",
    done_at="done_at",
    brings="source, external_id, stream, created_at AS received_at",
)

# The locks are taken before any id is given, in one order, and are let go by the commit.
_TAKE_IN = text(
    """
    WITH arrived AS MATERIALIZED (
        SELECT external_id, stream, payload, ordinal
        FROM ROWS FROM (jsonb_to_recordset(CAST(:rows AS jsonb)) AS (external_id text, stream text, payload text))
            WITH ORDINALITY AS row (external_id, stream, payload, ordinal)
    ), streams AS MATERIALIZED (
        SELECT DISTINCT hashtextextended(stream, hashtext(:source)) AS lock FROM arrived ORDER BY lock
    ), locked AS MATERIALIZED (
        SELECT pg_advisory_xact_lock(lock) FROM streams
    )
    INSERT INTO inbox (source, external_id, stream, payload)
    SELECT CAST(:source AS text), external_id, stream, CAST(payload AS jsonb)
    FROM arrived WHERE (SELECT count(*) FROM locked) > 0
    ORDER BY ordinal
    ON CONFLICT (source, external_id) DO NOTHING
    RETURNING id
    """
)
_NOTIFY = text("SELECT pg_notify(CAST(:channel AS text), CAST(:source AS text))")
_FORGET = text("DELETE FROM inbox WHERE COALESCE(done_at, refused_at) < clock_timestamp() - CAST(:kept AS interval)")
