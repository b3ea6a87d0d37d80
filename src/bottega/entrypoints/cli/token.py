"""`bottega token`: tokens with which programs of one's own call the API.

Whoever sits at the terminal makes them for themselves; the operator also for anybody else (--user). A token is shown
this once, on stdout and alone on its line.
"""

import uuid

import click

from bottega.access import audit, personal_tokens
from bottega.access.personal_tokens import LONGEST_DAYS, KeptToken, NewToken, WantedToken
from bottega.access.types import EVERYTHING, Actor, Scope
from bottega.bootstrap import App
from bottega.config import Settings
from bottega.entrypoints.cli.people import account_or_mine
from bottega.entrypoints.cli.running import fail, run_app
from bottega.entrypoints.cli.words import shown

DEFAULT_DAYS = 90
DEFAULT_SCOPES = (Scope.PROJECTS_READ, Scope.PROJECTS_WRITE, Scope.CREDITS_READ)
_USER = click.option("--user", default=None, help="Whose: a name, or an account's number [default: yours].")


@click.group()
def token() -> None:
    """Make, list and revoke tokens for programs that call the API."""


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    help=f"What it may; can be repeated [default: {', '.join(DEFAULT_SCOPES)}].",
)
@click.option("--days", type=click.IntRange(1, LONGEST_DAYS), default=DEFAULT_DAYS, show_default=True)
@_USER
def create(name: str, scopes: tuple[str, ...], days: int, user: str | None) -> None:
    """Make a token and show it, this once. NAME says what it is for."""
    wanted = WantedToken(name=name, scopes=frozenset(map(Scope, scopes or DEFAULT_SCOPES)), days=days)
    personal_tokens.check(wanted)  # before an account is opened

    async def work(app: App) -> NewToken:
        user_id = await account_or_mine(app, user)
        async with app.database.transaction() as session:
            maker = await personal_tokens.maker_for(session, user_id=user_id, scopes=EVERYTHING)
            made = await personal_tokens.create(session, maker=maker, wanted=wanted)
            facts = {"name": made.kept.name, "scopes": " ".join(sorted(made.kept.scopes))}
            await audit.record(
                session,
                actor=Actor(),
                action="token.created",
                subject_user_id=user_id,
                subject=str(made.kept.id),
                after=facts,
            )
        return made

    made = run_app(work, settings=Settings.load())
    click.echo(made.token)
    until = f"{made.kept.expires_at:%Y-%m-%d}"
    click.echo(
        f"It is shown this once and good until {until}. End it with: bottega token revoke {made.kept.id}", err=True
    )


@token.command(name="list")
@_USER
def list_(user: str | None) -> None:
    """List the tokens that are not revoked."""

    async def work(app: App) -> tuple[KeptToken, ...]:
        user_id = await account_or_mine(app, user)
        async with app.database.reading() as session:
            return await personal_tokens.kept_for(session, user_id=user_id)

    kept = run_app(work, settings=Settings.load())
    if not kept:
        click.echo("There are no tokens. Make one with: bottega token create NAME")
        return
    for one in kept:
        until = "expired" if one.is_expired else f"until {one.expires_at:%Y-%m-%d}"
        used = "never used" if one.last_used_at is None else f"last used {one.last_used_at:%Y-%m-%d %H}h"
        click.echo(f"{one.id}  {until}, {used}: {shown(one.name)} ({' '.join(sorted(one.scopes))})")


@token.command()
@click.argument("token_id", metavar="ID")
@_USER
def revoke(token_id: str, user: str | None) -> None:
    """End the token with this ID, as `bottega token list` shows it."""
    try:
        which = uuid.UUID(token_id)
    except ValueError:
        fail("A token's id is as `bottega token list` shows it; the token itself is not asked for.")

    async def work(app: App) -> None:
        user_id = await account_or_mine(app, user)
        async with app.database.transaction() as session:
            await personal_tokens.revoke(session, user_id=user_id, token_id=which)
            await audit.record(
                session, actor=Actor(), action="token.revoked", subject_user_id=user_id, subject=str(which)
            )

    run_app(work, settings=Settings.load())
    click.echo(f"The token {which} is ended.")
