"""What the ledger's machine stands on: a loop, a database, eyes of its own, and operations that die on the way."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncpg
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from tests.billing.scene import MODEL, RATES

from bottega.billing.prices import set_price
from bottega.billing.pricing import Price
from bottega.core.errors import AppError
from bottega.db.transaction import Database

T = TypeVar("T")
Operation = Callable[[AsyncSession], Awaitable[T]]

TABLES = ("credit_transactions", "api_key_usage", "credit_holds", "projects", "users")
DELETES = "; ".join(f"DELETE FROM {table}" for table in TABLES)  # noqa: S608 -- our own names


class Crash(Exception):
    """The process died here."""


@dataclass(kw_only=True)
class Bench:
    """One event loop and one database for all the machines of a run. `eyes` read past SQLAlchemy and the ledger."""

    runner: asyncio.Runner
    database: Database
    eyes: "asyncpg.Connection[asyncpg.Record]"
    price: Price
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    clearings: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def run(self, operation: Operation[T]) -> T:
        async def whole() -> T:
            async with self.database.transaction() as session:
                return await operation(session)

        return self.runner.run(whole())

    def crash(self, operation: Operation[T], *, after: int) -> None:
        """Do so many statements of an operation, or all and not the commit; a refusal on the way is none the worse."""

        async def dying(session: AsyncSession) -> None:
            with self._dying(after=after):
                await operation(session)
            raise Crash

        with pytest.raises((Crash, AppError)):
            self.run(dying)

    @contextmanager
    def _dying(self, *, after: int) -> Iterator[None]:
        numbers = itertools.count()

        def count(*_: object) -> None:
            if next(numbers) >= after:
                raise Crash

        event.listen(self.database.engine.sync_engine, "before_cursor_execute", count)
        try:
            yield
        finally:
            event.remove(self.database.engine.sync_engine, "before_cursor_execute", count)

    def fetch(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.runner.run(self.eyes.fetch(statement, *values))]

    def clear(self) -> None:
        """Empty the books for the next example; deleting a few rows is quicker than TRUNCATE, until they pile up."""
        if next(self.clearings) % 50 == 0:
            self.runner.run(self.eyes.execute(f"TRUNCATE {', '.join(TABLES)} CASCADE"))
        else:
            self.runner.run(self.eyes.execute(DELETES))


@contextmanager
def open_bench(url: str) -> Iterator[Bench]:
    with asyncio.Runner() as runner:
        database = Database(url=url, pool_size=1)
        eyes = runner.run(_connect(database))

        async def price() -> Price:
            async with database.transaction() as session:
                return await set_price(session, model=MODEL, rates=RATES)

        try:
            yield Bench(runner=runner, database=database, eyes=eyes, price=runner.run(price()))
        finally:
            runner.run(eyes.close())
            runner.run(database.close())


async def _connect(database: Database) -> "asyncpg.Connection[asyncpg.Record]":
    plain = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain)
    await connection.execute("SET session_replication_role = replica")  # ledger rows may go between examples
    return connection
