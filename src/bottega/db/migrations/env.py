"""Alembic's entry: runs on the connection that `bottega.db.migrate` passes, inside its transaction.

To write a revision: `alembic -x url=postgresql+asyncpg://... revision --autogenerate -m "what changes"`.
"""

import asyncio

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from bottega.db.migrate import declared_schema


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=declared_schema(), compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


async def run_at(url: str) -> None:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    asyncio.run(run_at(context.get_x_argument(as_dictionary=True)["url"]))
