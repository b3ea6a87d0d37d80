"""A PostgreSQL for tests: one server per run, a template migrated once, a database per worker cloned from it.

The workers of one run share the server as any processes of Bottega do: the first starts it, the last stops it.
Set TEST_DATABASE_URL (a superuser's, on a server that may be littered) to test against a server of your own.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import cache
from typing import Protocol

import asyncpg
from sqlalchemy import make_url

from bottega.billing.tables import CreditTransaction
from bottega.core.ids import new_id
from bottega.db.migrate import declared_schema, upgrade
from bottega.db.transaction import Database
from bottega.projects.tables import Project
from bottega.users.tables import User

_TURN = 4_242


class MakeUser(Protocol):
    """Insert a person whose balance, unless zero, is one ledger row."""

    async def __call__(self, *, balance: Decimal = ..., username: str | None = None) -> User: ...


class MakeProject(Protocol):
    async def __call__(self, user: User, *, title: str = ..., status: str = ...) -> Project: ...


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Connect without SQLAlchemy, outside any transaction."""
    connection = await asyncpg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        yield connection
    finally:
        await connection.close()


async def clone(*, server_url: str, run: str, name: str) -> str:
    """Return the URL of a new, migrated database; the run's first clone migrates the template."""
    template = f"bottega_template_{run}"
    async with connected(server_url) as server:
        await server.execute("SELECT pg_advisory_lock($1)", _TURN)
        if not await server.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", template):
            await server.execute(f'CREATE DATABASE "{template}"')
            await upgrade(url=sibling(url=server_url, name=template))
        await server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
    return sibling(url=server_url, name=name)


async def drop(*, server_url: str, name: str) -> None:
    async with connected(server_url) as server:
        await server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def wipe(*, url: str) -> None:
    """Empty every table, past the triggers that forbid it, and end connections that an earlier test left open.

    TRUNCATE makes new files for every table and index, which takes ten times as long. A vacuum gives the pages back:
    rows are found in the order of their insertion, and what stayed empty is passed over by the next.
    """
    async with connected(url) as connection:
        await connection.execute(_END_OTHERS)
        if used := [row["name"] for row in await connection.fetch(_USED, _tables())]:
            emptied = "; ".join(f"DELETE FROM {table}" for table in used)  # noqa: S608  # our own tables
            await connection.execute(f"SET session_replication_role = replica; {emptied}")
            await connection.execute(f"VACUUM (TRUNCATE) {', '.join(used)}")
        await connection.execute(_COUNT_ANEW)


@cache
def _tables() -> Sequence[str]:
    return list(declared_schema().tables)


_END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_USED = """
SELECT relname AS name FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname = ANY ($1) AND pg_relation_size(oid) > 0
"""
_COUNT_ANEW = """
SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace
"""


async def add_user(database: Database, *, balance: Decimal, username: str | None) -> User:
    user = User(username=username or f"person-{new_id().hex[:8]}", credit_balance=balance)
    async with database.transaction() as session:
        session.add(user)
        await session.flush()
        if balance:
            session.add(
                CreditTransaction(
                    user_id=user.id,
                    transaction_type="initial_grant",
                    credits_amount=balance,
                    balance_after=balance,
                    idempotency_key=f"test-grant:{user.id}",
                )
            )
    return user


async def add_project(database: Database, user: User, *, title: str, status: str) -> Project:
    project = Project(id=new_id(), user_id=user.id, title=title, description=title, status=status)
    async with database.transaction() as session:
        session.add(project)
    return project


def sibling(*, url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)
