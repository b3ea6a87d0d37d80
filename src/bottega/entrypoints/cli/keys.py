"""`bottega keys`: the provider keys that are kept encrypted in the database.

A key is typed at a hidden prompt or comes through a pipe, never as an argument: arguments stand in the shell's history
and in the list of processes. What is shown of a key is its fingerprint and its last four characters.
"""

import sys
import uuid
from dataclasses import replace

import click
from rich.console import Console
from rich.table import Table

from bottega.bootstrap import App
from bottega.config import Settings
from bottega.entrypoints.cli.running import fail, run_app
from bottega.entrypoints.cli.words import shown
from bottega.keys import store
from bottega.keys.encryption import FINGERPRINT_LENGTH
from bottega.keys.store import KeptKey, NewKey, NoSuchKey, Rotated
from bottega.users.service import find_named, names_of

LONGEST_NAME = 255
MOST_BYTES = 10_000  # enough to see that it is no key
_POOL = "the pool"


@click.group()
def keys() -> None:
    """Keep provider keys, the platform's or somebody's own."""


@keys.command()
@click.argument("provider")
@click.option("--user", default=None, help="Whose own key it is [default: the platform's pool].")
@click.option("--label", default=None, help="A name to tell it by.")
@click.option("--quota-group", default=None, help="Keys of one account share its limits: give them one group.")
def add(provider: str, user: str | None, label: str | None, quota_group: str | None) -> None:
    """Keep a key for PROVIDER (google, openrouter), read from a hidden prompt or a pipe."""
    settings = Settings.load()
    secret = _read_secret()

    async def work(app: App) -> KeptKey:
        new = NewKey(provider=provider, secret=secret, label=label, quota_group=quota_group)
        store.check(new)  # before an account is opened
        if user is not None:
            new = replace(new, user_id=await app.local_user(_named(user)))
        async with app.database.transaction() as session:
            return await store.add(session, vault=app.vault, key=new)

    kept = run_app(work, settings=settings)
    click.echo(f"Kept the key {kept.fingerprint} (it ends in {kept.last4}) of {provider} for {user or _POOL}.")


@keys.command(name="list")
def list_() -> None:
    """List the kept keys."""

    async def work(app: App) -> Table:
        async with app.database.transaction() as session:
            rows = await store.kept(session)
            names = await names_of(session, ids={row.user_id for row in rows if row.user_id is not None})
        table = Table(box=None, pad_edge=False)
        for heading in ("Provider", "Key", "Ends in", "Whose", "Label", "Quota group", "State"):
            table.add_column(heading, no_wrap=heading in {"Provider", "Key"})
        for row in rows:
            whose = names[row.user_id] if row.user_id is not None else _POOL
            labels = (shown(text) for text in (whose, row.label or "", row.quota_group or ""))
            table.add_row(row.provider, row.fingerprint, row.last4, *labels, _state(row))
        return table

    table = run_app(work, settings=Settings.load())
    if not table.row_count:
        click.echo("No key is kept. Add one with: bottega keys add openrouter")
        return
    Console().print(table)


@keys.command()
@click.argument("fingerprint")
@click.option("--user", default=None, help="Whose own key it is [default: the platform's pool].")
def remove(fingerprint: str, user: str | None) -> None:
    """Remove the key with this FINGERPRINT; what is on record of its calls stays."""
    mark = fingerprint.strip().lower()
    if len(mark) != FINGERPRINT_LENGTH or set(mark) - set("0123456789abcdef"):
        fail(f"A fingerprint is {FINGERPRINT_LENGTH} hex digits, as `bottega keys list` shows them.")

    async def work(app: App) -> None:
        async with app.database.transaction() as session:
            owner = None if user is None else await find_named(session, username=_named(user))
            if user is not None and owner is None:
                raise NoSuchKey(mark)
            await store.remove(session, fingerprint=mark, owner=owner)

    run_app(work, settings=Settings.load())
    click.echo(f"Removed the key {mark} of {user or _POOL}; it is used no more.")


@keys.command()
def rotate() -> None:
    """Encrypt every key anew under the newest of API_KEY_ENCRYPTION_KEY; safe to repeat, and while others work."""
    resealed, unreadable = run_app(_rotate, settings=Settings.load())
    click.echo(f"{resealed} keys were encrypted anew; all others had the newest encryption key already.")
    if unreadable:
        fail(
            f"{len(unreadable)} could not be read and stay as they were: {', '.join(unreadable)}."
            " Add the encryption key they were made with to API_KEY_ENCRYPTION_KEY, after the newest."
        )


async def _rotate(app: App) -> tuple[int, list[str]]:
    resealed, unreadable, last = 0, list[str](), None
    while True:
        batch = await _rotate_some(app, after=last)
        resealed += batch.resealed
        unreadable += batch.unreadable
        last = batch.last_id
        if last is None:
            return resealed, unreadable


async def _rotate_some(app: App, *, after: uuid.UUID | None) -> Rotated:
    async with app.database.transaction() as session:
        return await store.rotate(session, vault=app.vault, after=after)


def _named(user: str) -> str:
    name = user.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        fail(f"A person's name is one line of 1 to {LONGEST_NAME} characters.")
    return name


def _read_secret() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Key", hide_input=True, default="", show_default=False))
    raw = sys.stdin.buffer.read(MOST_BYTES)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        fail("What came through the pipe is not text; nothing was changed.")


def _state(key: KeptKey) -> str:
    if not key.is_active:
        return f"refused by {key.provider}: add it again, or remove it"
    if key.rests_seconds:
        return f"rests {key.rests_seconds:.0f} s ({key.last_error or 'too many requests'})"
    return "in use" if key.last_used_at else "not used yet"
