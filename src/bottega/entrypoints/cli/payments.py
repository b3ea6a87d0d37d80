"""`bottega payments`: what people ordered and paid, giving money back, and asking the gateways what was missed."""

import uuid

import click
from rich.console import Console
from rich.table import Table

from bottega.billing.payments.service import Reconciled, Refunded
from bottega.billing.payments.types import ListedOrder
from bottega.bootstrap import App
from bottega.config import Settings
from bottega.core.money import show_price
from bottega.entrypoints.cli import words
from bottega.entrypoints.cli.running import Exit, fail, run_app
from bottega.users.service import names_of

WIDE = 600


@click.group()
def payments() -> None:
    """See, refund and reconcile payments."""


@payments.command(name="list")
@click.option("--user", default=None, help="Whose orders [default: everybody's].")
def list_(user: str | None) -> None:
    """List orders, newest first, and what does not match one."""

    async def work(app: App) -> tuple[tuple[ListedOrder, ...], dict[int, str], tuple[tuple[str, str], ...]]:
        user_id = None if user is None else await app.account_of(user)
        orders = await app.payments.orders(user_id=user_id)
        async with app.database.transaction() as session:
            names = await names_of(session, ids={listed.order.user_id for listed in orders})
        return orders, names, await app.payments.unmatched()

    orders, names, unmatched = run_app(work, settings=Settings.load())
    # Let a narrow terminal wrap the lines: a table that fits itself in folds every cell but the id to a few letters.
    console = Console(width=WIDE, highlight=False, emoji=False)
    console.print(_table(orders, names=names) if orders else "There are no orders.")
    for listed in orders:
        if listed.problem:
            console.print(f"Order {listed.order.id} was not paid as ordered: {words.shown(listed.problem)}")
    for gateway, name in unmatched:
        console.print(f"{gateway}: the payment {words.shown(name)} is for no order of ours.")


@payments.command()
@click.argument("order")
@click.argument("amount", type=click.IntRange(min=1), required=False)
def refund(order: str, amount: int | None) -> None:
    """Refund ORDER, all that is left or AMOUNT of it (in cents); its credits are taken back."""
    order_id = _order_id(order)

    async def work(app: App) -> Refunded:
        return await app.payments.refund(order_id, amount)

    refunded = run_app(work, settings=Settings.load())
    click.echo(f"Refunded {show_price(refunded.amount_minor, currency=refunded.currency)} of order {order_id}.")


@payments.command()
@click.option("--days", default=3, show_default=True, type=click.IntRange(1, 365), help="How far to look back.")
def reconcile(days: int) -> None:
    """Ask the gateways what they know, and mend what a lost webhook left behind."""

    async def work(app: App) -> Reconciled:
        return await app.payments.reconcile(days=days)

    outcome = run_app(work, settings=Settings.load())
    for order_id in outcome.healed:
        click.echo(f"Mended order {order_id}.")
    click.echo(f"Looked at {outcome.facts} reports; mended {len(outcome.healed)} orders.")
    if outcome.failed:
        fail("\n".join(outcome.failed), code=Exit.PROVIDER_FAILED)


def _table(orders: tuple[ListedOrder, ...], *, names: dict[int, str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("Order", "Account", "Package", "Price", "Refunded", "State", "Through", "When"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "Order")
    for listed in orders:
        order = listed.order
        table.add_row(
            str(order.id),
            words.shown(names[order.user_id]),
            order.package,
            show_price(order.amount_minor, currency=order.currency),
            show_price(listed.refunded_minor, currency=order.currency) if listed.refunded_minor else "",
            listed.state.value,
            order.gateway,
            f"{listed.created_at:%Y-%m-%d %H:%M}",
        )
    return table


def _order_id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text.strip())
    except ValueError:
        fail(f"{text[:80]!r} is not an order. `bottega payments list` shows them.")
