"""`bottega ledger`: the money truths, audited."""

import dataclasses
import json

import click

from bottega.billing.audit import Finding, audit
from bottega.bootstrap import App
from bottega.config import Settings
from bottega.entrypoints.cli.running import run_app


@click.group()
def ledger() -> None:
    """Audit the ledger."""


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
