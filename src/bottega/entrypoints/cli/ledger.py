"""`bottega ledger`: the money truths, audited, and what lost calls cost, asked for."""

import dataclasses
import json

import click

from bottega.billing.audit import Finding, audit
from bottega.billing.reconcile import Findings
from bottega.bootstrap import App
from bottega.config import Settings
from bottega.entrypoints.cli import words
from bottega.entrypoints.cli.running import run_app


@click.group()
def ledger() -> None:
    """Audit the ledger; ask what lost calls cost."""


@ledger.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as a JSON list.")
def check(*, as_json: bool) -> None:
    """Test every money truth against the database; exit code 0 when all hold, 1 otherwise."""

    async def work(app: App) -> tuple[Finding, ...]:
        async with app.database.transaction() as session:
            return await audit(session)

    findings = run_app(work, settings=Settings.load())
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], default=str, indent=2))
    elif findings:
        for finding in findings:
            click.echo(str(finding))
    else:
        click.echo("All money truths hold.")
    raise SystemExit(1 if findings else 0)


@ledger.command()
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def reconcile(*, as_json: bool) -> None:
    """Ask providers what calls cost that were cut, cancelled or killed; nobody is charged for them.

    Safe to run at any time and beside itself: an hourly job is a good habit.
    """

    async def work(app: App) -> Findings:
        return await app.reconciler.run()

    findings = run_app(work, settings=Settings.load())
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(findings), default=str, indent=2))
        return
    for line in words.reconciled(findings):
        click.echo(line)
