"""`bottega credits`: what an account has, and adding to it. Whoever runs an installation may give what they like."""

import uuid
from decimal import Decimal, InvalidOperation

import click
from rich.console import Console
from rich.table import Table

from bottega.billing import ledger
from bottega.billing.payments.types import Checkout
from bottega.billing.types import Cause, TransactionType
from bottega.bootstrap import App
from bottega.config import Settings
from bottega.core.money import show_credits
from bottega.entrypoints.cli import words
from bottega.entrypoints.cli.running import fail, local_username, run_app

CENT = Decimal("0.01")
LARGEST_GRANT = Decimal(1_000_000)  # a slip of the hand is not worth a correction


@click.group()
def credits() -> None:
    """See and add credits."""


@credits.command()
@click.option("--user", default=None, help="Whose account [default: yours].")
def show(user: str | None) -> None:
    """Show the credits that are available."""

    async def work(app: App) -> Decimal:
        return await app.available_credits(await app.local_user(user or local_username()))

    click.echo(f"{show_credits(run_app(work, settings=Settings.load()))} credits are available.")


@credits.command()
@click.argument("amount")
@click.option("--user", default=None, help="Whose account [default: yours].")
def grant(amount: str, user: str | None) -> None:
    """Add AMOUNT credits to an account of this installation, as a row of the ledger."""
    granted = _amount(amount)

    async def work(app: App) -> Decimal:
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
        return await app.available_credits(user_id)

    available = run_app(work, settings=Settings.load())
    click.echo(f"Granted {show_credits(granted)}; {show_credits(available)} credits are available.")


@credits.command()
def packages() -> None:
    """List what can be bought."""
    settings = Settings.load()
    table = Table(box=None, pad_edge=False)
    for heading in ("Package", "Credits", "Price", "Telegram Stars"):
        table.add_column(heading)
    for package in settings.payments.packages:
        price = words.money(package.price_minor, currency=settings.payments.payment_currency)
        table.add_row(package.name, f"{package.credits:,}", price, f"{package.stars:,}")
    Console().print(table)


@credits.command()
@click.argument("package")
@click.option("--user", default=None, help="For whose account [default: yours].")
@click.option("--gateway", default=None, help="Where to pay: stripe, telegram_stars, development.")
def buy(package: str, user: str | None, gateway: str | None) -> None:
    """Order PACKAGE and print the page where it is paid. The credits come when it is."""

    async def work(app: App) -> Checkout:
        user_id = await app.local_user(user or local_username())
        return await app.payments.create_checkout(user_id=user_id, package=package, gateway=gateway)

    checkout = run_app(work, settings=Settings.load())
    click.echo(f"Order {checkout.order_id}. Pay here:\n{checkout.url}")


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
