"""`bottega projects`, `status`, `download` and `cancel`: looking at one's projects and taking them along."""

import uuid
from decimal import Decimal, InvalidOperation
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bottega.bootstrap import App
from bottega.config import Settings
from bottega.core.money import show_credits
from bottega.entrypoints.cli import delivery, words
from bottega.entrypoints.cli.running import fail, local_username, parse_project_id, run_app
from bottega.orchestration.state import StopCode
from bottega.orchestration.views.standing import Status

WIDE = 600


@click.command()
def projects() -> None:
    """List your projects, newest first."""

    async def work(app: App) -> Table:
        user_id = await app.local_user(local_username())
        table = Table(box=None, pad_edge=False)
        table.add_column("Project", no_wrap=True, min_width=36)  # an id that is cut cannot be copied
        for heading in ("Status", "Credits", "Title"):
            table.add_column(heading, overflow="fold")
        for project in await app.orchestrator.projects(user_id=user_id):
            spent = show_credits(project.actual_credit_cost)
            table.add_row(str(project.id), project.status, spent, words.shown(project.title))
        return table

    table = run_app(work, settings=Settings.load())
    # Let a narrow terminal wrap the lines: a table that fits itself in cuts the ids every other command wants.
    Console(width=WIDE, emoji=False).print(
        table if table.row_count else 'No project yet. Try: bottega build "a command line tool that ..."'
    )


@click.command()
@click.argument("project")
def status(project: str) -> None:
    """Show where PROJECT (its id) stands: its TODO, its cost, and what it waits for."""
    project_id = parse_project_id(project)

    async def work(app: App) -> None:
        user_id = await app.local_user(local_username())
        now = await app.orchestrator.status(user_id=user_id, project_id=project_id)
        console = Console(highlight=False, emoji=False)
        console.print(
            f"[bold]{words.shown(now.title)}[/]  {now.status}, {show_credits(now.credits_charged)} credits so far"
        )
        if now.reason:
            console.print(words.shown(now.reason, limit=words.LONG))
        if now.stop_code is StopCode.OUT_OF_CREDITS:
            console.print("\n".join(words.how_to_top_up(now.credits_needed or Decimal(0))), soft_wrap=True)
        console.print(words.todo(now.todo_markdown))
        if now.stop_code is StopCode.APPROVAL:
            available = await app.available_credits(user_id)
            console.print(words.quote(low=now.quote_low_credits, high=now.quote_high_credits, available=available))
            console.print(words.how_to_approve(str(project_id)), soft_wrap=True)
        if now.credit_limit is not None:
            console.print(words.limited(limit=now.credit_limit, spent=now.credits_charged))
        if receipt := await app.orchestrator.receipt(user_id=user_id, project_id=project_id):
            value = app.settings.billing.platform_credit_value_usd
            console.print(delivery.receipt_table(receipt))
            console.print(delivery.receipt_notes(receipt, credit_value_usd=value), soft_wrap=True)

    run_app(work, settings=Settings.load())


@click.command()
@click.argument("project")
@click.option("--out", type=click.Path(path_type=Path), default=Path(), help="Folder for the archive [default: here].")
def download(project: str, out: Path) -> None:
    """Write the archive of PROJECT (its id), with whatever has been accepted so far."""
    project_id = parse_project_id(project)
    settings = Settings.load()
    delivery.require_writable(out)

    async def work(app: App) -> Path:
        user_id = await app.local_user(local_username())
        now = await app.orchestrator.status(user_id=user_id, project_id=project_id)
        content = await app.orchestrator.archive(user_id=user_id, project_id=project_id)
        return delivery.save(content, out=out, title=now.title, project_id=project_id)

    click.echo(run_app(work, settings=settings))


@click.command()
@click.argument("project")
@click.argument("message")
def say(project: str, message: str) -> None:
    """Say MESSAGE about PROJECT (its id): an answer, a go, what to change, or a remark for the work under way."""
    project_id = parse_project_id(project)

    async def work(app: App) -> Status:
        user_id = await app.local_user(local_username())
        await app.orchestrator.handle_message(user_id=user_id, channel="cli", text=message, project_id=project_id)
        return await app.orchestrator.status(user_id=user_id, project_id=project_id)

    now = run_app(work, settings=Settings.load())
    click.echo(f"Noted; the project is {now.status.replace('_', ' ')}. Go on with: bottega resume {project_id}")


@click.command()
@click.argument("project")
def pause(project: str) -> None:
    """Pause PROJECT (its id): work under way ends within ten seconds and is kept."""
    project_id = parse_project_id(project)

    async def work(app: App) -> None:
        user_id = await app.local_user(local_username())
        await app.orchestrator.pause(user_id=user_id, project_id=project_id)

    run_app(work, settings=Settings.load())
    click.echo(f"Paused. Go on with: bottega resume {project_id}")


@click.command()
@click.argument("project")
@click.argument("credits")
def limit(project: str, credits: str) -> None:
    """Let PROJECT (its id) cost no more than CREDITS, all in all; `none` lifts the limit."""
    project_id = parse_project_id(project)
    most = None if credits.strip().lower() == "none" else parse_limit(credits)

    async def work(app: App) -> tuple[Status, tuple[uuid.UUID, ...]]:
        user_id = await app.local_user(local_username())
        woken = await app.orchestrator.limit_project(user_id=user_id, project_id=project_id, credits=most)
        return await app.orchestrator.status(user_id=user_id, project_id=project_id), woken

    now, woken = run_app(work, settings=Settings.load())
    click.echo(words.limited(limit=now.credit_limit, spent=now.credits_charged))
    if woken:
        click.echo(words.goes_on([str(one) for one in woken]))


def parse_limit(text: str) -> Decimal:
    """Return the credits, or end the command; NaN and the like are refused where the limit is set."""
    try:
        return Decimal(text)
    except InvalidOperation:
        fail(f"{text[:80]!r} is not a number of credits. Try: bottega limit PROJECT 50, or none")


@click.command()
@click.argument("project")
def cancel(project: str) -> None:
    """Stop PROJECT (its id) for good. What was accepted stays downloadable."""
    project_id = parse_project_id(project)

    async def work(app: App) -> None:
        user_id = await app.local_user(local_username())
        await app.orchestrator.cancel(user_id=user_id, project_id=project_id)

    run_app(work, settings=Settings.load())
    click.echo(f"Cancelled. bottega download {project_id} still gives you what was accepted.")
