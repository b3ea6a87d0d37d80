"""`bottega db`: the schema of the database, and where it stands."""

import asyncio

import click

from bottega.bootstrap import database_url
from bottega.config import Settings
from bottega.db.migrate import SchemaStatus
from bottega.db.migrate import status as schema_status
from bottega.db.migrate import upgrade as upgrade_schema


@click.group()
def db() -> None:
    """Look after the database."""


@db.command()
def upgrade() -> None:
    """Bring the schema to this version."""
    click.echo(_run(do_upgrade=True))


@db.command()
def status() -> None:
    """Say which schema the database has."""
    click.echo(_run(do_upgrade=False))


def _run(*, do_upgrade: bool) -> str:
    settings = Settings.load()

    async def work() -> str:
        async with database_url(settings) as url:
            if do_upgrade:
                await upgrade_schema(url=url)
            now = await schema_status(url=url)
            return f"Schema {now.current or '(empty)'}: {_standing(now)}."

    return asyncio.run(work())


def _standing(now: SchemaStatus) -> str:
    if now.is_newer:
        return f"made by a newer Bottega than this one, which knows {now.head}; upgrade Bottega"
    return "current" if now.is_current else f"behind: the newest is {now.head}, run `bottega db upgrade`"
