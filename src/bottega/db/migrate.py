"""The schema, brought to the revision this package was written for, by one process at a time.

A database that is already there costs one short query: Alembic is imported only when something is to be done.
"""

import importlib
import pkgutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
from sqlalchemy import Connection, MetaData, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

import bottega
from bottega.core.errors import AppError
from bottega.db.base import Base

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0001"  # the newest file in migrations/versions; a test compares

_CONNECT_SECONDS = 10.0  # a server that takes the connection and says nothing is not a PostgreSQL
_NO_CONNECTION = (OSError, TypeError, ValueError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError)
_TURN = 0x626F7474656761  # "bottega": the advisory lock of whoever upgrades


class DatabaseUnreachable(AppError):
    code = "database.unreachable"
    http_status = 503

    def __init__(self, *, url: str, why: str) -> None:
        where = make_url(url).render_as_string(hide_password=True).replace("+asyncpg", "")
        super().__init__(
            f"The database at {where} cannot be used: {why}. Start it or correct DATABASE_URL or POSTGRES_*; with none "
            "of them set, Bottega runs a PostgreSQL of its own."
        )


class SchemaTooNew(AppError):
    code = "database.schema_too_new"

    def __init__(self, *, current: str) -> None:
        super().__init__(
            f"The database is at revision {current}, which this version of Bottega (revision {HEAD}) does not know. "
            "Upgrade Bottega, or restore a backup made before the newer version was started."
        )
        self.current = current


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaStatus:
    current: str | None  # None: nothing was created yet
    head: str = HEAD

    @property
    def is_current(self) -> bool:
        return self.current == self.head

    @property
    def is_newer(self) -> bool:
        """Tell whether a later version of Bottega made it; revisions are numbered."""
        return self.current is not None and self.current > self.head


async def status(*, url: str) -> SchemaStatus:
    async with _connected(url) as connection:
        return SchemaStatus(current=await connection.run_sync(_revision))


async def upgrade(*, url: str) -> None:
    """Bring the schema to HEAD in one transaction; harmless when repeated or when several processes do it at once."""
    async with _connected(url) as connection, connection.begin():
        if await connection.run_sync(_revision) == HEAD:
            return
        await connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})
        await connection.run_sync(_upgrade)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AsyncConnection]:
    try:
        engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": _CONNECT_SECONDS})
        connection = await engine.connect()
    except _NO_CONNECTION as error:
        raise DatabaseUnreachable(url=url, why=_first_line(error)) from error
    try:
        yield connection
    finally:
        await connection.close()
        await engine.dispose()


def _first_line(error: Exception) -> str:
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0].rstrip(".") if lines else "it does not answer"  # a time-out has no words


def declared_schema() -> MetaData:
    """Return the metadata of every table that a folder, however deep, declares in its `tables.py`.

    By name rather than by import: db lies below the folders whose tables it creates.
    """
    for module in pkgutil.walk_packages(bottega.__path__, "bottega."):
        if module.name.endswith(".tables"):
            importlib.import_module(module.name)
    return Base.metadata


def alembic_config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415 -- a fifth of a second that most starts need not pay

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config


def _revision(connection: Connection) -> str | None:
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    return connection.scalars(text("SELECT version_num FROM alembic_version")).one_or_none()


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 -- as above
    from alembic.script import ScriptDirectory  # noqa: PLC0415 -- as above

    config = alembic_config()
    current = _revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise SchemaTooNew(current=current)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
