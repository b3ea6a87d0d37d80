"""`bottega pricing`: what models cost. Published prices are known; an operator sets those of any other model."""

from decimal import Decimal, InvalidOperation

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from bottega.billing.prices import set_price
from bottega.billing.pricing import Rates
from bottega.billing.tables import ModelPricing
from bottega.bootstrap import App
from bottega.config import Settings
from bottega.entrypoints.cli.running import fail, run_app
from bottega.llm.types import ModelName


@click.group()
def pricing() -> None:
    """See and set what models cost."""


@pricing.command(name="list")
def list_() -> None:
    """List the active prices."""

    async def work(app: App) -> Table:
        table = Table(box=None, pad_edge=False)
        for heading in ("Model", "In, USD per million tokens", "Out", "Source"):
            table.add_column(heading)
        statement = select(ModelPricing).where(ModelPricing.is_active)
        async with app.database.transaction() as session:
            rows = await session.scalars(statement.order_by(ModelPricing.model_provider, ModelPricing.model_name))
            for row in rows:
                prices = (row.input_cost_per_million_tokens, row.output_cost_per_million_tokens)
                shown = ["free"] * 2 if row.is_free else [f"{price.normalize():f}" for price in prices]
                table.add_row(f"{row.model_provider}/{row.model_name}", *shown, row.source)
        return table

    Console().print(run_app(work, settings=Settings.load()))


@pricing.command(name="set")
@click.argument("model")
@click.option("--input", "input_", help="US dollars per million input tokens.")
@click.option("--output", help="US dollars per million output tokens.")
@click.option("--cached-input", help="US dollars per million cached input tokens.")
@click.option("--free", is_flag=True, help="The model costs nothing: a server of your own.")
def set_(model: str, *, input_: str | None, output: str | None, cached_input: str | None, free: bool) -> None:
    """Set the price of MODEL (provider/name). Calls already made keep theirs."""
    if free == (input_ is not None and output is not None):
        fail("Give either --input and --output, or --free.")
    name = ModelName.parse(model)
    rates = Rates(
        input=_price(input_ or "0"), output=_price(output or "0"), cached=_price(cached_input) if cached_input else None
    )

    async def work(app: App) -> None:
        async with app.database.transaction() as session:
            await set_price(session, model=name, rates=rates, is_free=free)

    run_app(work, settings=Settings.load())
    click.echo(f"{name} is priced.")


def _price(text: str) -> Decimal:
    try:
        price = Decimal(text)
    except InvalidOperation:
        fail(f"'{text}' is not a price in US dollars.")
    if not price.is_finite() or price < 0:
        fail("A price is zero or more.")
    return price
