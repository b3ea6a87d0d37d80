"""`bottega people`: what the operator does to accounts. Each deed is put on record, and `record` shows them."""

import click

from bottega.access import administration, audit
from bottega.access.audit import Facts, Recorded
from bottega.access.types import Actor, Role
from bottega.bootstrap import App
from bottega.config import Settings
from bottega.entrypoints.cli.running import fail, local_username, run_app
from bottega.entrypoints.cli.words import shown

LONGEST_NAME = 255
_MOST_DIGITS = 9


@click.group()
def people() -> None:
    """Say who is an admin, and suspend accounts."""


@people.command()
@click.argument("user")
@click.argument("role", type=click.Choice([role.value for role in Role]))
def role(user: str, role: str) -> None:
    """Give USER (a name, or an account's number) a ROLE: admins see and do over HTTP what the operator does here."""

    async def work(app: App) -> bool:
        user_id = await account(app, user)
        async with app.database.transaction() as session:
            return await administration.set_role(session, actor=Actor(), user_id=user_id, role=Role(role))

    changed = run_app(work, settings=Settings.load())
    click.echo(
        f"{shown(user)} is {'now' if changed else 'already'} {'an admin' if role == Role.ADMIN else 'a person'}."
    )


@people.command()
@click.argument("user")
@click.option("--reason", required=True, help="Why; it stays on record.")
def suspend(user: str, reason: str) -> None:
    """Let nothing of USER's count or be spent, from now on."""

    async def work(app: App) -> bool:
        user_id = await account(app, user)
        async with app.database.transaction() as session:
            return await administration.suspend(session, actor=Actor(), user_id=user_id, reason=reason)

    changed = run_app(work, settings=Settings.load())
    click.echo(f"{shown(user)} is {'suspended' if changed else 'suspended already'}.")


@people.command()
@click.argument("user")
@click.option("--reason", required=True, help="Why; it stays on record.")
def restore(user: str, reason: str) -> None:
    """Let a suspended USER go on."""

    async def work(app: App) -> bool:
        user_id = await account(app, user)
        async with app.database.transaction() as session:
            return await administration.restore(session, actor=Actor(), user_id=user_id, reason=reason)

    changed = run_app(work, settings=Settings.load())
    click.echo(f"{shown(user)} may go on." if changed else f"{shown(user)} was not suspended.")


@people.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
def record(limit: int) -> None:
    """Show what admins and the operator did, the newest first."""

    async def work(app: App) -> tuple[Recorded, ...]:
        async with app.database.reading() as session:
            return await audit.recorded(session, limit=limit)

    rows = run_app(work, settings=Settings.load())
    if not rows:
        click.echo("Nothing is on record yet.")
        return
    for row in rows:
        who = "the operator" if row.actor.user_id is None else f"account {row.actor.user_id}"
        whom = [] if row.subject_user_id is None else [f"account {row.subject_user_id}"]
        what = ", ".join([*whom, *([shown(row.subject)] if row.subject else [])])
        facts = " -> ".join(filter(None, (_told(row.before), _told(row.after))))
        click.echo(f"{row.at:%Y-%m-%d %H:%M}  {who}: {row.action} of {what}{f' ({facts})' if facts else ''}")


async def account_or_mine(app: App, user: str | None) -> int:
    return await app.local_user(local_username()) if user is None else await account(app, user)


async def account(app: App, user: str) -> int:
    """Return the account of a name, or of a number. Raise NobodyCalled for a name that nobody has."""
    name = user.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        fail(f"Write a name of 1 to {LONGEST_NAME} characters, or an account's number.")
    is_number = name.isascii() and name.isdecimal() and len(name) <= _MOST_DIGITS
    return int(name) if is_number else await app.account_of(name)


def _told(facts: Facts | None) -> str:
    return ", ".join(f"{name} {shown(str(value))}" for name, value in (facts or {}).items())
