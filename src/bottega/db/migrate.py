"""The schema, brought to the revision this package was written for, by one process at a time.

A database that is already there costs one short query: Alembic is imported only when something is to be done.
"""

import importlib
import pkgutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import bottega
from bottega.core.errors import AppError
from bottega.db.base import Base

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0001"  # the newest file in migrations/versions; a test compares

_TURN = 0x626F7474656761  # "bottega": the advisory lock of whoever upgrades


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


async def status(*, url: str) -> SchemaStatus:
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return SchemaStatus(current=await connection.run_sync(_revision))
    finally:
        await engine.dispose()


async def upgrade(*, url: str) -> None:
    """Bring the schema to HEAD in one transaction; harmless when repeated or when several processes do it at once."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            if await connection.run_sync(_revision) == HEAD:
                return
            await connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def declared_schema() -> MetaData:
    """Return the metadata of every table that a folder declares in its `tables.py`.

    By name rather than by import: db lies below the folders whose tables it creates.
    """
    for folder in pkgutil.iter_modules(bottega.__path__, "bottega."):
        if folder.ispkg and find_spec(f"{folder.name}.tables"):
            importlib.import_module(f"{folder.name}.tables")
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
