"""`bottega usage`: for whoever runs the installation. What model calls cost, what they earned, and what was lost."""

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import click
from rich.console import Console
from rich.table import Table

from bottega.billing.usage_report import Dimension, UsageLine, UsageReport, Window, usage_report
from bottega.bootstrap import App
from bottega.config import Settings
from bottega.core.money import show_credits
from bottega.entrypoints.cli import words
from bottega.entrypoints.cli.running import fail, run_app
from bottega.entrypoints.cli.tables import as_csv

WIDE = 600
FIGURES = ("calls", "input_tokens", "output_tokens", "credits", "revenue_usd", "cost_usd", "margin_usd")
LOSSES = ("orphan_usd", "failed_usd", "fenced_usd", "unbilled_usd")
HEADINGS = {
    "calls": "Calls",
    "input_tokens": "Tokens in",
    "output_tokens": "Tokens out",
    "credits": "Credits",
    "revenue_usd": "Revenue USD",
    "cost_usd": "Cost USD",
    "margin_usd": "Margin USD",
    "margin_percent": "Margin %",
    "orphan_usd": "Lost: cut off",
    "failed_usd": "Lost: failed",
    "fenced_usd": "Lost: fenced",
    "unbilled_usd": "Unbilled",
}
COLUMNS = (*FIGURES, "margin_percent", *LOSSES)


@click.group()
def usage() -> None:
    """See what model calls cost and what they earned."""


@usage.command()
@click.option(
    "--by",
    default="project",
    type=click.Choice([one.value for one in Dimension]),
    help="Lines for each [default: project].",
)
@click.option("--since", help="The first day, as in 2026-11-20 [default: the first there is].")
@click.option("--until", help="The last day, included [default: today].")
@click.option("--csv", "with_csv", is_flag=True, help="Print CSV with exact amounts, without the total.")
def report(by: str, since: str | None, until: str | None, *, with_csv: bool) -> None:
    """Show calls, cost, revenue, margin and losses. Days are UTC."""
    window = Window(since=_day(since, "--since"), until=_day(until, "--until"))
    if window.since and window.until and window.since > window.until:
        fail(f"--since {window.since} is later than --until {window.until}.")

    async def work(app: App) -> UsageReport:
        async with app.database.transaction() as session:
            return await usage_report(session, by=Dimension(by), window=window)

    made = run_app(work, settings=Settings.load())
    if with_csv:
        rows = ([line.label, *(getattr(line, column) for column in COLUMNS)] for line in made.lines)
        click.echo(as_csv((by, *COLUMNS), rows), nl=False)
        return
    console = Console(width=WIDE, highlight=False, emoji=False)
    console.print(report_table(made, by=by))
    console.print(words.usage_notes(given=made.given_credits, bought=made.bought_credits))


def _day(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        fail(f"{option} {text[:40]!r} is not a day. Write it as 2026-11-20.")


def report_table(made: UsageReport, *, by: str) -> Table:
    """Return the report, with the sums below; amounts are rounded for display only."""
    table = Table(box=None, pad_edge=False, show_footer=True)
    table.add_column(by.capitalize(), footer="Total", overflow="fold")
    for column, total in zip(COLUMNS, _cells(made.total), strict=True):
        table.add_column(HEADINGS[column], justify="right", footer=total, no_wrap=True)
    for line in made.lines:
        table.add_row(words.shown(line.label, limit=words.LONG), *_cells(line))
    return table


def _cells(line: UsageLine) -> list[str]:
    return [_shown(column, getattr(line, column)) for column in COLUMNS]


def _shown(column: str, value: Decimal | int | None) -> str:
    if value is None:
        return "-"
    if not isinstance(value, Decimal):
        return f"{value:,}"
    if column == "credits":
        return show_credits(value)
    step = Decimal("0.1") if column == "margin_percent" else Decimal("0.0001")
    return f"{value.quantize(step, rounding=ROUND_HALF_UP):f}"
