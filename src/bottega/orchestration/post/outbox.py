"""Messages to the outside: written by the transaction that makes them true, sent afterwards, at least once.

A message is posted once for each key, and is out when its sender says so. Between the two anything may die: whoever is
killed after sending and before noting it leaves the message due, and it is sent again, under the same key and with a
higher attempt number. A recipient's messages go out in the order in which they were posted, one after the other: one
that has to wait holds up those behind it, and nobody else's. What a recipient refuses for good is set aside with its
reason and counted.

How messages are claimed and noted is `worklist.py`'s. A target without a sender keeps its messages until it has one,
for thirty days. Whoever posts wakes the postman of the same process; that of another looks every two seconds.
"""

import asyncio
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn, Protocol

import structlog
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.core.backoff import backoff_seconds
from bottega.core.clock import Clock
from bottega.core.errors import AppError
from bottega.db.transaction import Database, note
from bottega.orchestration.post.worklist import LOOK_SECONDS, Hands, Shape, Worklist
from bottega.orchestration.tables import Outbox

LEASE_SECONDS = 60.0
SENDING_SECONDS = 30.0  # half the lease: who is slow in noting what was sent still holds it
AT_ONCE = 16  # recipients that a postman serves at once
BACKOFF_SECONDS, BACKOFF_CAP_SECONDS = 2.0, 3600.0
LONGEST_WAIT_SECONDS = 86_400.0  # whatever a recipient asks for
ATTEMPTS = 50  # some forty hours
KEPT = timedelta(days=30)
_SHOWN = 500  # characters of a fault

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a sender gets. `attempt` counts from 1; one above it may have arrived before."""

    id: int
    target: str
    recipient: str
    payload: Mapping[str, Any]
    dedupe_key: str
    attempt: int
    posted_at: datetime


class Sender(Protocol):
    async def send(self, message: Message) -> None:
        """Send it, within 30 seconds; return when the recipient has it.

        Raises:
            TryLater: it cannot be had now. Whatever else is raised is taken for that, too.
            Refused: it will never be taken.
        """
        ...


class TryLater(AppError):
    code = "try_later"

    def __init__(self, reason: str, *, after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.after_seconds = after_seconds


class Refused(AppError):
    code = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What is not out: messages that wait, the age of the oldest, and those set aside."""

    waiting: int
    oldest_seconds: float
    refused: int


async def post(
    session: AsyncSession, *, target: str, payload: Mapping[str, Any], dedupe_key: str, recipient: str = ""
) -> bool:
    """Post a message, which exists when the caller's transaction commits; False when its key was posted before."""
    values = {"target": target, "recipient": recipient, "payload": dict(payload), "dedupe_key": dedupe_key}
    statement = insert(Outbox).values(values).on_conflict_do_nothing(index_elements=[Outbox.dedupe_key])
    is_new = (await session.execute(statement.returning(Outbox.id))).scalar_one_or_none() is not None
    if is_new:
        note(session, Posted(target=target))
    return is_new


async def backlog(session: AsyncSession) -> Backlog:
    row = (await session.execute(_BACKLOG)).one()
    return Backlog(waiting=row.waiting, oldest_seconds=float(row.oldest_seconds), refused=row.refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """The note that a posting transaction leaves."""

    target: str


class Postman:
    """Sends what is due. Any number may work at once, in any number of processes. `senders` are by target."""

    def __init__(
        self, *, database: Database, senders: Mapping[str, Sender], clock: Clock, at_once: int = AT_ONCE
    ) -> None:
        self._database = database
        self._senders = senders
        self._rows = Worklist(database=database, shape=_SHAPE, read=Message)
        self._hands = Hands(claim=self._claim, work_on=self._deliver, at_once=at_once, clock=clock)
        database.hear(self._hear)

    async def deliver_due(self) -> int:
        """Send all that is due now, and what becomes due by that; return how many went out."""
        return await self._hands.work_off()

    async def work(self, *, every_seconds: float = LOOK_SECONDS) -> NoReturn:
        """Send whatever is due, until cancelled; a recipient that is slow is not waited for."""
        await self._hands.work(every_seconds=every_seconds)

    async def tidy(self) -> None:
        """Forget what was sent long ago, and set aside what nobody could send for as long."""
        async with self._database.transaction() as session:
            await session.execute(_FORGET, {"kept": KEPT})
            await session.execute(_EXPIRE, {"kept": KEPT, "why": f"Nobody sent it within {KEPT.days} days."})

    def _hear(self, what: Hashable) -> None:
        if isinstance(what, Posted) and what.target in self._senders:
            self._hands.wake()

    async def _claim(self, at_most: int) -> list[Message]:
        return await self._rows.claim(kinds=list(self._senders), at_most=at_most, lease_seconds=LEASE_SECONDS)

    async def _deliver(self, message: Message) -> bool:
        try:
            if message.attempt > ATTEMPTS:
                raise Refused(f"It was tried {ATTEMPTS} times.")  # noqa: TRY301  # one place sets aside
            async with asyncio.timeout(SENDING_SECONDS):
                await self._senders[message.target].send(message)
        except Refused as error:
            await self._set_aside(message, reason=fault_of(error))
            return False
        except Exception as error:  # noqa: BLE001  # whatever a sender raises, its message waits for another attempt
            await self._put_off(message, error)
            return False
        await self._rows.done(message)
        return True

    async def _set_aside(self, message: Message, *, reason: str) -> None:
        log.error("outbox.refused", target=message.target, message_id=message.id, reason=reason)
        await self._rows.set_aside(message, reason=reason)

    async def _put_off(self, message: Message, error: Exception) -> None:
        reason = fault_of(error)
        wait = wait_after(message.attempt, asked=error.after_seconds if isinstance(error, TryLater) else None)
        log.warning("outbox.put_off", target=message.target, message_id=message.id, reason=reason, seconds=round(wait))
        await self._rows.put_off(message, reason=reason, wait_seconds=wait)


def fault_of(error: Exception) -> str:
    """Return what may be kept of an error: our own sentence, or a foreign error's name alone."""
    return error.message[:_SHOWN] if isinstance(error, AppError) else type(error).__name__


def wait_after(attempt: int, *, asked: float | None) -> float:
    """Return the seconds until the next attempt: at least what the recipient asked for, within a day."""
    wait = backoff_seconds(attempt, first_seconds=BACKOFF_SECONDS, cap_seconds=BACKOFF_CAP_SECONDS)
    return min(max(wait, asked or 0.0), LONGEST_WAIT_SECONDS)


_SHAPE = Shape(
    table="outbox",
    kind="target",
    lane="recipient",
    done_at="sent_at",
    brings="target, recipient, dedupe_key, created_at AS posted_at",
)
_FORGET = text("DELETE FROM outbox WHERE sent_at < clock_timestamp() - CAST(:kept AS interval)")
_EXPIRE = text(
    "UPDATE outbox SET refused_at = clock_timestamp(), refusal = :why WHERE sent_at IS NULL AND refused_at IS NULL"
    " AND attempts = 0 AND created_at < clock_timestamp() - CAST(:kept AS interval)"
)
_BACKLOG = text(
    """
    SELECT count(*) FILTER (WHERE sent_at IS NULL AND refused_at IS NULL) AS waiting, count(refused_at) AS refused,
        COALESCE(EXTRACT(epoch FROM clock_timestamp()
            - min(created_at) FILTER (WHERE sent_at IS NULL AND refused_at IS NULL)), 0) AS oldest_seconds
    FROM outbox
    """
)
