from pathlib import Path

import pytest
from click.testing import CliRunner

from bottega.entrypoints.cli.app import main


@pytest.fixture
def environment(tmp_path: Path, database_url: str) -> dict[str, str]:
    return {"BOTTEGA_HOME": str(tmp_path), "DATABASE_URL": database_url, "INITIAL_CREDITS": "10"}


def test_granted_credits_are_added_and_the_truths_still_hold(environment: dict[str, str]) -> None:
    runner = CliRunner(env=environment)
    granted = runner.invoke(main, ["credits", "grant", "2.50"])
    assert granted.output == "Granted 2.50; 12.50 credits are available.\n"
    assert runner.invoke(main, ["credits", "grant", "2.50"]).output.endswith("15.00 credits are available.\n")
    checked = runner.invoke(main, ["ledger", "check"])
    assert (checked.output, checked.exit_code) == ("All money truths hold.\n", 0)


@pytest.mark.parametrize("amount", ["0", "-- -5", "lots", "NaN", "Infinity", "0.001", "1000000.01"])
def test_what_is_no_sum_of_credits_is_refused_before_anything_is_opened(amount: str) -> None:
    refused = CliRunner().invoke(main, ["credits", "grant", *amount.split()])
    assert refused.exit_code == 2
    assert "redits" in refused.output
