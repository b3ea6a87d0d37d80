"""Rows that are worked off: each lane's one after the other, several lanes at once, by any number of processes.

An attempt is a lease: claiming a row moves its next time past the longest that an attempt may take, and raises the
attempt's number, which whatever is noted about the row must name. Who is killed in the middle leaves the row due again.
A row that has to wait holds up those behind it in its lane, and nobody else's. What cannot be done for good is set
aside with its reason. No transaction is open while anybody works on a row.

The outbox and the inbox are such rows.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, NoReturn, Protocol, TypeVar

import structlog
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.core.clock import Clock
from bottega.db.transaction import FAULTS, Database

LOOK_SECONDS = 2.0
ENDING_SECONDS = 5.0  # for what is under way when a process is told to stop

log = structlog.get_logger()


class Row(Protocol):
    @property
    def id(self) -> int: ...
    @property
    def attempt(self) -> int: ...


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a table calls what every worklist has, and the columns that a claimed row brings."""

    table: str
    kind: str  # who works it off
    lane: str
    done_at: str
    brings: str


class Worklist(Generic[R]):
    """The statements of one table. `read` makes a value of a claimed row."""

    def __init__(self, *, database: Database, shape: Shape, read: Callable[..., R]) -> None:
        self._database = database
        self._name = shape.table
        self._read = read
        self._sql = _Statements(shape)

    async def claim(self, *, kinds: Sequence[str], at_most: int, lease_seconds: float) -> list[R]:
        """Claim the oldest open row of each lane that is due. A database out of reach has none."""
        if at_most < 1 or not kinds:
            return []
        given = {"kinds": list(kinds), "at_most": at_most, "lease": timedelta(seconds=lease_seconds)}
        try:
            found = await self._database.autocommit.execute(self._sql.claim, given)
        except FAULTS as error:
            log.warning("worklist.claim.missed", table=self._name, reason=type(error).__name__)
            return []
        return [self._read(**row.columns) for row in found.all()]

    async def done(self, row: R) -> None:
        await self._note(self._sql.done, row)

    async def put_off(self, row: R, *, reason: str, wait_seconds: float) -> None:
        await self._note(self._sql.put_off, row, reason=reason, wait=timedelta(seconds=wait_seconds))

    async def set_aside(
        self, row: R, *, reason: str, then: Callable[[AsyncSession, R], Awaitable[None]] | None = None
    ) -> None:
        """Set a row aside for good, and do `then` in the same transaction: so it happens once."""
        if then is None:
            return await self._note(self._sql.set_aside, row, reason=reason)
        try:
            async with self._database.transaction() as session:
                given = {"id": row.id, "attempt": row.attempt, "reason": reason}
                if (await session.execute(self._sql.set_aside, given)).scalar_one_or_none() is not None:
                    await then(session, row)
        except FAULTS as error:
            self._warn(row, error)

    async def _note(self, statement: TextClause, row: R, **given: object) -> None:
        """Note what became of an attempt, unless a later one has begun. Unnoted, it is made again."""
        try:
            await self._database.autocommit.execute(statement, {"id": row.id, "attempt": row.attempt, **given})
        except FAULTS as error:
            self._warn(row, error)

    def _warn(self, row: R, error: Exception) -> None:
        log.warning("worklist.unnoted", table=self._name, row_id=row.id, reason=type(error).__name__)


class Hands(Generic[R]):
    """Works off what is due, so many rows at once. `work_on` raises nothing, and notes what became of its row."""

    def __init__(
        self,
        *,
        claim: Callable[[int], Awaitable[list[R]]],
        work_on: Callable[[R], Coroutine[None, None, bool]],
        at_once: int,
        clock: Clock,
    ) -> None:
        self._claim = claim
        self._work_on = work_on
        self._at_once = at_once
        self._clock = clock
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look now: there may be something to do. It only makes things sooner."""
        self._woken.set()

    async def work_off(self) -> int:
        """Work off all that is due now, and what becomes due by that; return how many rows were done."""
        done_of_all = 0
        under_way: set[asyncio.Task[bool]] = set()
        try:
            while True:
                under_way |= await self._begun(at_most=self._at_once - len(under_way))
                if not under_way:
                    return done_of_all
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                done_of_all += sum(task.result() for task in done)
        finally:
            await _ended(under_way, within_seconds=0)

    async def work(self, *, every_seconds: float) -> NoReturn:
        """Work off whatever is due, until cancelled; then let what is under way end, for a while.

        A lane that is slow is not waited for. Without being woken it looks `every_seconds`.
        """
        under_way: set[asyncio.Task[bool]] = set()
        try:
            while True:
                self._woken.clear()
                under_way |= await self._begun(at_most=self._at_once - len(under_way))
                under_way -= await self._something_happened(under_way, within_seconds=every_seconds)
        finally:
            await _ended(under_way, within_seconds=ENDING_SECONDS)

    async def _something_happened(
        self, under_way: "set[asyncio.Task[bool]]", *, within_seconds: float
    ) -> "set[asyncio.Task[bool]]":
        """Wait for the end of a row, or for being woken where there are hands free; return what has ended."""
        woken = asyncio.create_task(self._woken.wait())
        waited: set[asyncio.Task[bool]] = under_way if len(under_way) >= self._at_once else {*under_way, woken}
        try:
            done, _ = await asyncio.wait(waited, timeout=within_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        for task in done - {woken}:
            task.result()
        return done

    async def _begun(self, *, at_most: int) -> "set[asyncio.Task[bool]]":
        rows = await self._claim(at_most) if at_most > 0 else []
        return {asyncio.create_task(self._work_on(row)) for row in rows}


async def _ended(tasks: "set[asyncio.Task[bool]]", *, within_seconds: float) -> None:
    if tasks and within_seconds:
        await asyncio.wait(tasks, timeout=within_seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Statements:
    def __init__(self, shape: Shape) -> None:
        table, kind, lane = shape.table, shape.kind, shape.lane
        is_open = f"{shape.done_at} IS NULL AND refused_at IS NULL"
        is_mine = f"id = :id AND attempts = :attempt AND {is_open} RETURNING id"
        # The oldest open row of each lane, by jumping from lane to lane: a long lane costs one look.
        self.claim = text(
            f"""
            WITH RECURSIVE heads AS (
                (SELECT {kind}, {lane}, id FROM {table} WHERE {is_open} ORDER BY {kind}, {lane}, id LIMIT 1)
                UNION ALL
                SELECT following.* FROM heads CROSS JOIN LATERAL (
                    SELECT {kind}, {lane}, id FROM {table}
                    WHERE {is_open} AND ({kind}, {lane}) > (heads.{kind}, heads.{lane})
                    ORDER BY {kind}, {lane}, id LIMIT 1
                ) AS following
            ), due AS (
                SELECT {table}.id FROM {table} JOIN heads ON heads.id = {table}.id
                WHERE {is_open} AND wake_at <= clock_timestamp() AND {table}.{kind} = ANY (CAST(:kinds AS text[]))
                ORDER BY wake_at LIMIT :at_most FOR UPDATE OF {table} SKIP LOCKED
            )
            UPDATE {table} SET attempts = attempts + 1, wake_at = clock_timestamp() + CAST(:lease AS interval)
            FROM due WHERE {table}.id = due.id
            RETURNING {table}.id, {shape.brings}, payload, attempts AS attempt
            """  # noqa: S608  # of our own words
        )
        self.done = text(f"UPDATE {table} SET {shape.done_at} = clock_timestamp() WHERE {is_mine}")  # noqa: S608
        self.set_aside = text(
            f"UPDATE {table} SET refused_at = clock_timestamp(), refusal = :reason WHERE {is_mine}"  # noqa: S608
        )
        self.put_off = text(
            f"UPDATE {table} SET wake_at = clock_timestamp() + CAST(:wait AS interval), last_fault = :reason"  # noqa: S608
            f" WHERE {is_mine}"
        )
