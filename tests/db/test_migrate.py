import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool
from tests.database import connected

from bottega.db.migrate import HEAD, SchemaTooNew, alembic_config, declared_schema, status, upgrade

# What the database itself says its schema is, in words that two databases can be compared by.
CATALOGUE = """
SELECT format('column %s.%s %s %s default %s', table_name, column_name, coalesce(domain_name, udt_name) || coalesce(
    '(' || coalesce(character_maximum_length::text, numeric_precision || ',' || numeric_scale) || ')', ''),
    is_nullable, column_default) FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT format('options %s %s', oid::regclass, reloptions) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
"""


@asynccontextmanager
async def engine_at(url: str) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        yield connection
    await engine.dispose()


async def catalogue(url: str) -> set[str]:
    async with connected(url) as connection:
        lines = {str(row[0]) for row in await connection.fetch(CATALOGUE)}
    return {line for line in lines if "alembic_version" not in line}


def test_the_head_is_the_newest_revision() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [HEAD]


async def test_alembic_finds_no_difference_between_revisions_and_tables(worker_url: str) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return list(compare_metadata(context, declared_schema()))

    async with engine_at(worker_url) as connection:
        assert await connection.run_sync(differences) == []


async def test_the_database_finds_no_difference_either(worker_url: str, empty_url: str) -> None:
    """Alembic does not compare checks, partial indexes and table options; the catalogue has them all."""
    async with engine_at(empty_url) as connection:
        await connection.run_sync(declared_schema().create_all)
    declared, migrated = await catalogue(empty_url), await catalogue(worker_url)
    assert migrated - declared == set()
    assert declared - migrated == set()


async def test_an_empty_database_has_no_revision_and_is_not_current(empty_url: str) -> None:
    before = await status(url=empty_url)
    assert (before.current, before.head, before.is_current) == (None, HEAD, False)
    await upgrade(url=empty_url)
    assert (await status(url=empty_url)).is_current


async def test_upgrading_at_once_and_again_is_harmless(empty_url: str) -> None:
    await asyncio.gather(*(upgrade(url=empty_url) for _ in range(4)))
    await upgrade(url=empty_url)
    assert (await status(url=empty_url)).is_current


async def test_a_database_of_a_newer_version_is_refused(empty_url: str) -> None:
    await upgrade(url=empty_url)
    async with connected(empty_url) as connection:
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNew, match="9999"):
        await upgrade(url=empty_url)


@pytest.mark.usefixtures("worker_url")
def test_a_current_database_is_recognised_without_alembic(worker_url: str) -> None:
    program = (
        "import asyncio, sys; from bottega.db.migrate import upgrade\n"
        "asyncio.run(upgrade(url=sys.argv[1])); sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, worker_url], check=True)
