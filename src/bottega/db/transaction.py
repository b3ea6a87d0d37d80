"""The only commit of the product.

Functions that touch rows take a `session` and never commit; whoever opens `Database.transaction()` does, once, at the
end of the block. No model, payment, chat or sandbox call may happen while one is open: `transaction_open()` says so,
and the scripted model refuses to answer when it is true.

What a transaction makes true may have to be said to others, who must hear of it only once it is. A function leaves a
`note` with its session, and whoever `hear`s this database is told of it after the commit, never after a rollback.

What is atomic in one statement may be a transaction of its own, in one round trip: `Database.autocommit`. It is for the
ledger's hot path, and offers of a session only what that needs.
"""

import asyncio
import builtins
import re
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import cache
from traceback import walk_tb
from typing import Any

import asyncpg
from sqlalchemy import TextClause, event
from sqlalchemy.exc import (
    DBAPIError,
    DisconnectionError,
    EmulatedDBAPIException,
    IntegrityError,
    SQLAlchemyError,
    TimeoutError,  # noqa: A004  # an SQLAlchemyError, unlike Python's
)
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

FAULTS = (OSError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError)  # of a database out of reach
_CONFLICTS = frozenset({"40001", "40P01"})  # a serialization failure, a deadlock
_AWAY = ("57P0", "5330", "0800")  # shutting down or starting, full, a connection that failed
_OF_PARAMETERS = (LookupError, TypeError, ValueError)  # one is missing, or odd: the database is not at fault
_NOTES = "notes"
_AT_HAND = 3
_open: ContextVar[int] = ContextVar("open_transactions", default=0)


_TURN_SECONDS = 300.0  # to wait for a connection: where a thousand want one, a late turn is no fault


def transaction_open() -> bool:
    """Tell whether this task is inside a database transaction."""
    return _open.get() > 0


def is_conflict(error: Exception) -> bool:
    """Tell whether the database undid a transaction only because of another that ran beside it."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _CONFLICTS


def is_out_of_reach(error: BaseException) -> bool:
    """Tell whether something failed only because the database does not answer, or no longer does."""
    if isinstance(error, DBAPIError):
        is_ours = isinstance(error.__cause__, _OF_PARAMETERS)
        is_lost = error.connection_invalidated and not is_ours
        return is_lost or str(getattr(error.orig, "sqlstate", None) or "").startswith(_AWAY)
    if isinstance(error, TimeoutError):  # of the pool
        return True
    return isinstance(error, OSError) and any(
        str(frame.f_globals.get("__name__")).startswith("asyncpg.") for frame, _ in walk_tb(error.__traceback__)
    )


def note(session: AsyncSession, what: Hashable) -> None:
    """Let those who hear the database be told of this when the transaction has committed; the same thing once."""
    session.info.setdefault(_NOTES, {})[what] = None


class Database:
    """An engine and its transactions. `url` is a postgresql+asyncpg URL."""

    def __init__(self, *, url: str, pool_size: int = 10) -> None:
        self.engine = create_async_engine(
            url,
            pool_size=pool_size + 1 + _AT_HAND,  # one is for `aside`
            max_overflow=0,
            pool_pre_ping=False,
            hide_parameters=True,  # they hold what people and models wrote, and errors are logged
        )
        event.listen(self.engine.sync_engine, "checkout", _require_life)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False, autoflush=False)
        alone = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._reading = async_sessionmaker(alone, expire_on_commit=False, autoflush=False)
        self._turns = Turns(pool_size)
        self.autocommit = Autocommit(self.engine, turns=self._turns, at_hand=_AT_HAND)
        self.aside = Autocommit(self.engine, turns=Turns(1), at_hand=0)  # it must not wait behind everybody's work
        self._ears: list[Callable[[Hashable], None]] = []

    def hear(self, ear: Callable[[Hashable], None]) -> None:
        """Be told of every note of this process's transactions. An ear neither waits nor raises."""
        self._ears.append(ear)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Lend a session for statements that only read: each sees what is committed when it starts.

        It saves the two round trips of a beginning and an end. What a statement writes would stay written.
        """
        mark = _open.set(_open.get() + 1)
        try:
            async with self._turns.one(), _closed(self._reading()) as session:
                yield session
        finally:
            _open.reset(mark)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Commit when the block ends, roll back when it raises."""
        mark = _open.set(_open.get() + 1)
        try:
            async with self._turns.one(), _closed(self._sessions()) as session, session.begin():
                yield session
        finally:
            _open.reset(mark)
        for what in session.info.get(_NOTES, ()):
            for ear in self._ears:
                ear(what)

    @asynccontextmanager
    async def own_connection(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """Lend a connection that is none of the pool's: for what stays connected, such as LISTEN."""
        pooled = await self.engine.raw_connection()
        driver = pooled.driver_connection
        assert driver is not None  # noqa: S101  # a connection that was just taken has one
        pooled.detach()
        try:
            yield driver
        finally:
            driver.terminate()
            await greenlet_spawn(pooled.close)

    async def close(self) -> None:
        await self.autocommit.close()
        await self.engine.dispose()


def _require_life(connection: Any, *_: object) -> None:
    """Let the pool connect anew where the server has hung up meanwhile. It asks nobody: a hang-up arrives by itself."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


@asynccontextmanager
async def _closed(session: AsyncSession) -> AsyncIterator[AsyncSession]:
    """Give the session's connection back at the end, whoever is cancelled meanwhile."""
    try:
        yield session
    except BaseException:
        await asyncio.shield(asyncio.ensure_future(session.close()))
        raise
    await session.close()  # it has nothing to wait for, so it needs no task of its own


class Turns:
    """Who may have a connection, in the order in which they came.

    The pool itself lets whoever comes at the right moment pass those who wait, for ever where hundreds do.
    """

    def __init__(self, connections: int) -> None:
        self._free = asyncio.Semaphore(connections)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Raise TimeoutError, as the pool would, after minutes without a turn."""
        if self._free.locked():
            await self._wait()
        else:
            await self._free.acquire()  # at once
        try:
            yield
        finally:
            self._free.release()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await self._free.acquire()
        except builtins.TimeoutError as error:
            raise TimeoutError(f"no connection was free for {_TURN_SECONDS:.0f} s") from error


class Autocommit:
    """Statements that stand alone: each one round trip, and committed when it returns.

    It goes past the ORM to the driver, on a connection of the same pool: a quarter of the CPU of a session's
    transaction with one statement in it. Some connections stay `at_hand`: to take one from the pool and give it back
    costs more than a statement. Parameters take their types from the statement's casts and columns.
    """

    def __init__(self, engine: AsyncEngine, *, turns: Turns, at_hand: int) -> None:
        self._engine = engine
        self._turns = turns
        self._most_at_hand = at_hand
        self._at_hand: list[PoolProxiedConnection] = []

    async def execute(self, statement: TextClause, given: Mapping[str, Any]) -> "Rows":
        """Raise DBAPIError for whatever the driver raises (IntegrityError for a broken rule), as a session does."""
        async with self._turns.one():
            return await self._execute(statement, given)

    async def _execute(self, statement: TextClause, given: Mapping[str, Any]) -> "Rows":
        sql, names = _numbered(statement.text)
        try:
            pooled = await self._taken()
        except EmulatedDBAPIException as error:  # so says a server that is starting, or stopping
            raise DBAPIError(sql, None, error, hide_parameters=True, connection_invalidated=True) from error
        driver = pooled.driver_connection
        assert driver is not None  # noqa: S101  # a connection that was just taken has one
        try:
            return Rows(await driver.fetch(sql, *(given[name] for name in names)))
        except BaseException as error:
            lost = driver.is_closed() or not isinstance(error, asyncpg.PostgresError)
            if lost:  # anything but the server's plain no: the pool is not to lend it again
                await greenlet_spawn(pooled.invalidate)
            if not isinstance(error, Exception):
                raise
            broken_rule = isinstance(error, asyncpg.IntegrityConstraintViolationError)
            kind = IntegrityError if broken_rule else DBAPIError
            raise kind(sql, None, error, hide_parameters=True, connection_invalidated=lost) from error
        finally:
            await self._given_back(pooled)

    async def _taken(self) -> PoolProxiedConnection:
        while self._at_hand:
            pooled = self._at_hand.pop()
            if not _is_lost(pooled):
                return pooled
            await greenlet_spawn(pooled.invalidate)
            await greenlet_spawn(pooled.close)
        return await self._engine.raw_connection()

    async def _given_back(self, pooled: PoolProxiedConnection) -> None:
        if len(self._at_hand) < self._most_at_hand and not _is_lost(pooled):
            self._at_hand.append(pooled)
        else:
            await greenlet_spawn(pooled.close)

    async def close(self) -> None:
        self._most_at_hand = 0  # whoever is late gives theirs back to the pool
        while self._at_hand:
            await greenlet_spawn(self._at_hand.pop().close)


def _is_lost(pooled: PoolProxiedConnection) -> bool:
    driver = pooled.driver_connection
    return driver is None or driver.is_closed()


Execution = AsyncSession | Autocommit
"""Where one statement may be executed: in the caller's transaction, or in one of its own."""


class Rows:
    """What came back, in the words of a session's result."""

    def __init__(self, records: Sequence[Mapping[str, Any]]) -> None:
        self._records = records

    def all(self) -> "list[Row]":
        return [Row(record) for record in self._records]

    def one_or_none(self) -> "Row | None":
        if len(self._records) > 1:
            raise LookupError(f"{len(self._records)} rows where one was expected")
        return Row(self._records[0]) if self._records else None

    def one(self) -> "Row":
        row = self.one_or_none()
        if row is None:
            raise LookupError("no row where one was expected")
        return row

    def scalar_one(self) -> Any:
        return next(iter(self.one()))


class Row:
    """A record whose columns are attributes."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._record = record

    def __getattr__(self, name: str) -> Any:
        try:
            return self._record[name]
        except KeyError:
            raise AttributeError(name) from None

    def __iter__(self) -> Any:
        return iter(self._record.values())

    @property
    def columns(self) -> Mapping[str, Any]:
        return self._record


_NAME = re.compile(r"(?<![:\w]):(\w+)")


@cache
def _numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """Return the SQL with $1, $2, ... for its named parameters, and their names in that order."""
    names: dict[str, int] = {}
    numbered = _NAME.sub(lambda found: f"${names.setdefault(found.group(1), len(names) + 1)}", sql)
    return numbered, tuple(names)
