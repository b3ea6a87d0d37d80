"""`bottega ledger`: the money truths, audited, and credits for whoever runs this installation."""

import dataclasses
import json
from decimal import Decimal, InvalidOperation

import click

from bottega.billing.audit import Finding, audit
from bottega.billing.ledger import grant as grant_credits
from bottega.bootstrap import App
from bottega.core.ids import new_id
from bottega.core.money import show_credits
from bottega.entrypoints.cli.running import fail, load_settings, local_username, run_app

CENT = Decimal("0.01")
MOST_CREDITS = Decimal(1_000_000)  # of one grant: a slip of the hand is not worth a correction


@click.group()
def ledger() -> None:
    """Audit the ledger, and add credits to your account."""


@ledger.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as a JSON list.")
def check(*, as_json: bool) -> None:
    """Test every money truth against the database; exit code 0 when all hold, 1 otherwise."""

    async def work(app: App) -> tuple[Finding, ...]:
        async with app.database.transaction() as session:
            return await audit(session)

    findings = run_app(work, settings=load_settings())
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], default=str, indent=2))
    elif findings:
        for finding in findings:
            click.echo(str(finding))
    else:
        click.echo("All money truths hold.")
    raise SystemExit(1 if findings else 0)


@ledger.command()
@click.argument("credits")
def grant(*, credits: str) -> None:
    """Add CREDITS to your account. Whoever runs the workshop decides what a credit is backed by."""
    amount = _amount(credits)

    async def work(app: App) -> Decimal:
        user_id = await app.local_user(local_username())
        async with app.database.transaction() as session:
            entry = await grant_credits(
                session,
                user_id=user_id,
                credits=amount,
                transaction_type="operator_grant",
                idempotency_key=f"grant:operator:{new_id()}",
                description="Credits added at the command line",
            )
        return entry.balance_after

    balance = run_app(work, settings=load_settings())
    click.echo(f"Added {show_credits(amount)} credits; the balance is {show_credits(balance)}.")


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        fail(f"'{text}' is not a number of credits. Try: bottega ledger grant 100")
    if not CENT <= amount <= MOST_CREDITS or amount % CENT:
        fail(f"Credits are added in hundredths, from {CENT} to {MOST_CREDITS:,} at a time.")
    return amount
