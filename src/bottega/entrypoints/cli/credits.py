"""`bottega credits`: what an account has, and adding to it. Whoever runs an installation may give what they like."""

import uuid
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

import click
from rich.console import Console
from rich.table import Table

from bottega.billing import ledger, statement
from bottega.billing.payments.development import DEVELOPMENT
from bottega.billing.payments.types import Checkout
from bottega.billing.statement import Movement
from bottega.billing.types import Cause, TransactionType
from bottega.bootstrap import App
from bottega.config import Settings
from bottega.core.money import show_credits, show_price
from bottega.entrypoints.cli import words
from bottega.entrypoints.cli.running import account, fail, local_username, run_app
from bottega.entrypoints.cli.tables import as_csv
from bottega.orchestration import funding

CENT = Decimal("0.01")
LARGEST_GRANT = Decimal(1_000_000)  # a slip of the hand is not worth a correction
WIDE = 600


@click.group()
def credits() -> None:
    """See and add credits."""


@credits.command()
@click.option("--user", default=None, help="Whose account [default: yours].")
def show(user: str | None) -> None:
    """Show the credits that are available, what is set aside, and what waits for more."""

    async def work(app: App) -> str:
        user_id = await account(app, user)
        async with app.database.transaction() as session:
            available = await ledger.available(session, user_id=user_id)
            held = await statement.held(session, user_id=user_id)
            waiting = await funding.waiting_for_credits(session, user_id=user_id)
        return words.account(
            available=available,
            held=[(one.project or "no project", one.credits) for one in held],
            waiting=[(str(run.project_id), run.title, run.credits_needed, run.limit_left) for run in waiting],
        )

    Console(width=WIDE, highlight=False, emoji=False).print(run_app(work, settings=Settings.load()))


@credits.command()
@click.argument("amount")
@click.option("--user", default=None, help="Whose account [default: yours].")
def grant(amount: str, user: str | None) -> None:
    """Add AMOUNT credits to an account of this installation, as a row of the ledger."""
    granted = _amount(amount)

    async def work(app: App) -> tuple[Decimal, tuple[uuid.UUID, ...]]:
        user_id = await app.local_user(user or local_username())
        async with app.database.transaction() as session:
            await ledger.grant(
                session,
                user_id=user_id,
                credits=granted,
                cause=Cause(
                    type=TransactionType.ADJUSTMENT,
                    idempotency_key=f"grant:cli:{uuid.uuid4()}",
                    description="Granted by the operator",
                ),
            )
            woken = await funding.wake_for_credits(session, user_id)
        return await app.available_credits(user_id), woken

    available, woken = run_app(work, settings=Settings.load())
    click.echo(f"Granted {show_credits(granted)}; {show_credits(available)} credits are available.")
    if woken:
        click.echo(words.goes_on([str(project_id) for project_id in woken]))


@credits.command()
@click.option("--user", default=None, help="Whose account [default: yours].")
@click.option("--limit", default=20, type=click.IntRange(1, 100_000), help="How many rows [default: 20].")
@click.option("--csv", "with_csv", is_flag=True, help="Print CSV with exact amounts.")
def history(user: str | None, limit: int, *, with_csv: bool) -> None:
    """Show how the balance moved, newest first. Times are UTC."""

    async def work(app: App) -> Sequence[Movement]:
        user_id = await account(app, user)
        async with app.database.transaction() as session:
            return await statement.movements(session, user_id=user_id, limit=limit)

    rows = run_app(work, settings=Settings.load())
    if with_csv:
        headings = ("date", "type", "credits", "balance_after", "project_id", "project", "description")
        click.echo(as_csv(headings, [_csv_row(row) for row in rows]), nl=False)
    else:
        Console(width=WIDE, highlight=False, emoji=False).print(_history(rows))


def _csv_row(row: Movement) -> tuple[str | Decimal | None, ...]:
    project = str(row.project_id) if row.project_id else None
    return (row.at.isoformat(), row.type, row.credits, row.balance_after, project, row.project, _what_for(row))


def _history(rows: Sequence[Movement]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("Date", no_wrap=True)
    table.add_column("What")
    table.add_column("Credits", justify="right")
    table.add_column("Balance", justify="right")
    table.add_column("For", overflow="fold")
    for row in rows:
        sign = "+" if row.credits > 0 else ""
        amounts = (f"{sign}{show_credits(row.credits)}", show_credits(row.balance_after))
        where = ": ".join(words.shown(part) for part in (row.project, _what_for(row)) if part)
        table.add_row(f"{row.at:%Y-%m-%d %H:%M}", words.MOVED[row.type], *amounts, where)
    return table


def _what_for(row: Movement) -> str | None:
    if row.purpose is None:
        return row.description
    return f"{row.task_key} {row.purpose}" if row.task_key else row.purpose


@credits.command()
def packages() -> None:
    """List what can be bought."""
    settings = Settings.load()
    table = Table(box=None, pad_edge=False)
    for heading in ("Package", "Credits", "Price", "Telegram Stars"):
        table.add_column(heading)
    for package in settings.payments.packages:
        price = show_price(package.price_minor, currency=settings.payments.payment_currency)
        table.add_row(package.name, f"{package.credits:,}", price, f"{package.stars:,}")
    Console().print(table)


@credits.command()
@click.argument("package")
@click.option("--user", default=None, help="For whose account [default: yours].")
@click.option("--gateway", default=None, help="Where to pay: stripe, telegram_stars, development.")
def buy(package: str, user: str | None, gateway: str | None) -> None:
    """Order PACKAGE and print the page where it is paid. The credits come when it is."""

    async def work(app: App) -> Checkout:
        user_id = await account(app, user)
        return await app.payments.create_checkout(user_id=user_id, package=package, gateway=gateway)

    checkout = run_app(work, settings=Settings.load())
    click.echo(f"Order {checkout.order_id}. Pay here:\n{checkout.url}")
    if checkout.gateway == DEVELOPMENT:
        click.echo("This page is served by: bottega serve")


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        fail(f"'{text}' is not a number of credits. Try: bottega credits grant 100")
    if not CENT <= amount <= LARGEST_GRANT or amount % CENT:
        fail(f"Credits are granted in hundredths, from {CENT} to {LARGEST_GRANT:,} at a time.")
    return amount
