"""Payments at the command line, through the development gateway."""

import base64
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from bottega.core.money import show_price
from bottega.entrypoints.cli.app import main
from bottega.entrypoints.cli.running import local_username

ORDER = re.compile(r"[0-9a-f-]{36}")


@pytest.fixture
def runner(tmp_path: Path, database_url: str) -> CliRunner:
    return CliRunner(env={"BOTTEGA_HOME": str(tmp_path), "DATABASE_URL": database_url, "COLUMNS": "200"})


def test_the_packages_are_listed_with_their_prices(runner: CliRunner) -> None:
    listed = runner.invoke(main, ["credits", "packages"]).output
    assert re.search(r"buy_500 +500 +5\.00 USD +400", listed)


def test_an_order_is_made_and_listed_and_has_nothing_to_refund_yet(runner: CliRunner) -> None:
    bought = runner.invoke(main, ["credits", "buy", "buy_100"])
    order_id = ORDER.findall(bought.output)[0]
    assert bought.output.splitlines()[1] == f"http://127.0.0.1:8080/dev/checkout/{order_id}"
    assert bought.output.splitlines()[2] == "This page is served by: bottega serve"
    listed = runner.invoke(main, ["payments", "list"], env={"COLUMNS": "60"}).output
    assert re.search(
        rf"^{order_id} +{re.escape(local_username())} +buy_100 +1\.00 USD +created +development ", listed, re.MULTILINE
    )
    refused = runner.invoke(main, ["payments", "refund", order_id])
    assert (refused.exit_code, "is not paid" in refused.output) == (2, True)
    assert runner.invoke(main, ["payments", "reconcile"]).output == "Looked at 0 reports; mended 0 orders.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("credits buy gold", "choose one of: buy_100, buy_500, buy_2000"),
        ("credits buy buy_100 --gateway paypal", "no payment gateway 'paypal'"),
        ("payments refund 7", "is not an order"),
        ("payments refund 00000000-0000-0000-0000-000000000000", "no payment order"),
        ("payments refund x 0", "0 is not in the range"),
        ("payments reconcile --days 0", "0 is not in the range"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(runner: CliRunner, arguments: str, said: str) -> None:
    refused = runner.invoke(main, arguments.split())
    assert (refused.exit_code, said in refused.output) == (2, True), refused.output


def test_in_production_without_stripe_payments_are_off(runner: CliRunner) -> None:
    key = base64.b64encode(bytes(range(100, 132))).decode()
    production = {"APP_ENV": "production", "API_KEY_ENCRYPTION_KEY": key}
    refused = runner.invoke(main, ["credits", "buy", "buy_100"], env=production)
    assert (refused.exit_code, "STRIPE_SECRET_KEY" in refused.output) == (2, True)


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (500, "usd", "5.00 USD"),
        (1, "eur", "0.01 EUR"),
        (1_234_500, "usd", "12,345.00 USD"),
        (500, "jpy", "500 JPY"),
        (80, "XTR", "80 Stars"),
    ],
)
def test_money_is_written_as_people_do(amount: int, currency: str, shown: str) -> None:
    assert show_price(amount, currency=currency) == shown
