"""`bottega sandbox`, as an operator meets it on a machine they have just set up."""

from tests.entrypoints.cli.conftest import Run


def test_every_rung_is_named_with_what_holds_or_what_blocked_it(bottega: Run) -> None:
    said = bottega("sandbox").stdout.splitlines()
    rungs = dict(line.split(": ", 1) for line in said[:-1])
    assert list(rungs)[-2:] == ["landlock", "landlock, without namespaces"]
    assert all(text.startswith(("holds: ", "does not hold: ")) for text in rungs.values())
    assert said[-1].startswith("With SANDBOX=auto ")


def test_where_nothing_would_run_it_says_so_and_fails(bottega: Run) -> None:
    result = bottega("sandbox", SANDBOX="none")
    assert result.exit_code == 1
    assert "With SANDBOX=none no check runs here" in result.stdout


def test_it_needs_no_database(bottega: Run) -> None:
    assert bottega("sandbox", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none").exit_code == 0
