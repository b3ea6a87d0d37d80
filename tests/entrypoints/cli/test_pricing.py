"""`bottega pricing`, as an operator meets it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from click.testing import Result

from tests.database import connected
from tests.entrypoints.cli.conftest import Run
from tests.entrypoints.cli.test_bad_input import assert_one_sentence
from tests.fakes.catalogue import FREE, OWL, SAGE, listed
from tests.fakes.http_server import HttpResponse
from tests.fakes.providers import FakeProviders

SAGE_NAME = "openrouter/acme/sage"
OWL_NAME = "openrouter/acme/owl"
NEEDS_OPERATOR = 3


@pytest.fixture
async def fake() -> AsyncIterator[FakeProviders]:
    async with FakeProviders() as fake:
        fake.models = [SAGE, OWL, FREE, listed("acme/broken", prompt="-1", completion="0")]
        yield fake


async def sync(bottega: Run, fake: FakeProviders, *arguments: str, configured: str = SAGE_NAME) -> Result:
    """Run `bottega pricing sync` beside the fake, on a screen wide enough for whole rows."""
    settings = {"OPENROUTER_BASE_URL": fake.openrouter_url, "ARCHITECT_MODEL": configured, "COLUMNS": "250"}
    settings["IMPLEMENTER_MODELS"] = configured
    return await asyncio.to_thread(bottega, "pricing", "sync", *arguments, **settings)


def told(result: Result) -> list[str]:
    """Return what was printed, line by line, its columns one space apart."""
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


async def shown(bottega: Run, *arguments: str) -> str:
    return "\n".join(told(await asyncio.to_thread(bottega, "pricing", *arguments, COLUMNS="250")))


async def test_what_is_held_back_is_taken_once_it_is_accepted(bottega: Run, fake: FakeProviders) -> None:
    first = await sync(bottega, fake, OWL_NAME)
    assert first.exit_code == 0, first.output
    assert told(first) == [
        "Model In Out Apart Tiers Why",
        "openrouter/acme/owl added 0.1 0.4",
        "Models: 1 added, 0 changed, 0 unchanged, 0 held back, 0 operator's, 0 skipped.",
    ]
    fake.models = [listed("acme/owl", prompt="0.0000005", completion="0.0000004")]
    held = await sync(bottega, fake, OWL_NAME)
    assert held.exit_code == NEEDS_OPERATOR
    assert told(held)[1:] == [
        "openrouter/acme/owl held back 0.5 0.4 input 0.1 -> 0.5",
        "Models: 0 added, 0 changed, 0 unchanged, 1 held back, 0 operator's, 0 skipped.",
        "Take what is held back, once it looks right: bottega pricing sync --accept openrouter/acme/owl",
    ]
    accepted = await sync(bottega, fake, "--accept", OWL_NAME)
    assert (accepted.exit_code, told(accepted)[1]) == (0, "openrouter/acme/owl changed 0.5 0.4")
    again = await sync(bottega, fake, OWL_NAME)
    assert told(again) == ["Models: 0 added, 0 changed, 1 unchanged, 0 held back, 0 operator's, 0 skipped."]
    history = (await shown(bottega, "history", OWL_NAME)).splitlines()
    assert [line.split()[2:] for line in history[1:]] == [
        ["in", "use", "0.5", "0.4", "openrouter"],
        ["replaced", "0.1", "0.4", "openrouter"],
    ]


async def test_without_names_the_configured_models_are_synced_with_tiers(bottega: Run, fake: FakeProviders) -> None:
    result = await sync(bottega, fake)
    assert result.exit_code == 0, result.output
    [row] = [line for line in (await shown(bottega, "list")).splitlines() if line.startswith(SAGE_NAME)]
    assert row.startswith(
        "openrouter/acme/sage 1.25 10 cached 0.125, cache write 1.5625, image 0.00516 "
        "above 200,000: 2.5 / 15 openrouter 20"
    )


async def test_all_takes_every_usable_model_and_counts_the_others(bottega: Run, fake: FakeProviders) -> None:
    result = await sync(bottega, fake, "--all")
    assert result.exit_code == 0, result.output
    assert told(result)[1:-1] == [
        "openrouter/acme/sage added 1.25 10 cached 0.125, cache write 1.5625, image 0.00516 above 200,000: 2.5 / 15",
        "openrouter/acme/owl added 0.1 0.4",
        "openrouter/acme/owl:free held back free free its input costs nothing; its output costs nothing",
        "Models: 2 added, 0 changed, 0 unchanged, 1 held back, 0 operator's, 1 skipped.",
    ]
    assert (await sync(bottega, fake, "--all", "--accept", "all")).exit_code == 0
    assert "openrouter/acme/owl:free free free openrouter" in await shown(bottega, "list")


async def test_a_dry_run_changes_nothing(bottega: Run, fake: FakeProviders) -> None:
    result = await sync(bottega, fake, "--dry-run", OWL_NAME)
    assert (result.exit_code, told(result)[-1]) == (
        0,
        "Nothing was written. Models: 1 added, 0 changed, 0 unchanged, 0 held back, 0 operator's, 0 skipped.",
    )
    assert OWL_NAME not in await shown(bottega, "list")


async def test_a_model_nobody_lists_is_told_and_needs_the_operator(bottega: Run, fake: FakeProviders) -> None:
    result = await sync(bottega, fake, "openrouter/acme/unheard", "openrouter/acme/broken", "local/house")
    assert result.exit_code == NEEDS_OPERATOR
    assert told(result)[1:4] == [
        "local/house skipped nobody lists prices of local",
        "openrouter/acme/unheard skipped openrouter does not list it",
        "openrouter/acme/broken skipped its prompt price is below zero, so it varies",
    ]


async def test_a_provider_that_fails_is_one_sentence_and_changes_nothing(bottega: Run, fake: FakeProviders) -> None:
    fake.models = HttpResponse(status=500, body=b"oops")
    assert_one_sentence(await sync(bottega, fake), "openrouter is failing", "HTTP 500")
    fake.models = HttpResponse(body=b"<html>")
    assert_one_sentence(await sync(bottega, fake), "list of models cannot be read")
    assert SAGE_NAME not in await shown(bottega, "list")


async def test_a_price_that_was_set_is_shown_in_all_its_parts_and_survives_a_sync(
    bottega: Run, fake: FakeProviders, database_url: str
) -> None:
    given = ["--input", "3", "--output", "15", "--cached-input", "0.30", "--cache-write", "3.75", "--reasoning", "20"]
    given += ["--per-request", "0.01", "--per-image", "0.002", "--tier", "500000:9:40", "--tier", "200000:6:22.5:0.6"]
    result = await asyncio.to_thread(bottega, "pricing", "set", OWL_NAME, *given)
    assert (result.exit_code, result.stdout) == (0, f"{OWL_NAME} is priced.\n")
    row = (
        "3 15 cached 0.3, cache write 3.75, reasoning 20, request 0.01, image 0.002 "
        "above 200,000: 6 / 22.5; above 500,000: 9 / 40"
    )
    assert f"{OWL_NAME} {row} operator 20" in await shown(bottega, "list")
    synced = await sync(bottega, fake, "--accept", "all", OWL_NAME)
    assert (synced.exit_code, told(synced)[1]) == (0, f"{OWL_NAME} operator's {row}")
    async with connected(database_url) as connection:
        kept = await connection.fetch("SELECT source, tiers FROM model_pricing WHERE model_name = 'acme/owl'")
    assert [row["source"] for row in kept] == ["operator"]
    assert '"cached_input": "0.6000000000"' in kept[0]["tiers"]


async def test_a_model_is_free_when_the_operator_says_so(bottega: Run) -> None:
    assert (await asyncio.to_thread(bottega, "pricing", "set", "local/house", "--free")).exit_code == 0
    assert "local/house free free operator" in await shown(bottega, "list")


PRICED = ("--input", "1", "--output", "2")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("set", "local/house"), "Give either --input and --output, or --free"),
        (("set", "local/house", "--input", "1"), "Give either --input and --output, or --free"),
        (("set", "local/house", *PRICED, "--free"), "Give either"),
        (("set", "local/house", "--free", "--cache-write", "1"), "A free model has no prices"),
        (("set", "local/house", "--input", "0", "--output", "0"), "use --free"),
        (("set", "local/house", *PRICED, "--cache-write", "lots"), "'lots' is not a price"),
        (("set", "local/house", *PRICED, "--reasoning", "NaN"), "zero or more"),
        (("set", "local/house", *PRICED, "--per-request", "-1"), "zero or more"),
        (("set", "local/house", *PRICED, "--per-image", "1e999999"), "No price is above 10,000"),
        (("set", "local/house", "--input", "10001", "--output", "1"), "No price is above 10,000"),
        (("set", "local/house", *PRICED, "--tier", "1000"), "'1000' is not a tier"),
        (("set", "local/house", *PRICED, "--tier", "1000:1:2:3:4"), "is not a tier"),
        (("set", "local/house", *PRICED, "--tier", "-5:1:2"), "is not a tier"),
        (("set", "local/house", *PRICED, "--tier", "0:1:2"), "from 1 to a billion"),
        (("set", "local/house", *PRICED, "--tier", f"{'9' * 5000}:1:2"), "is not a tier"),
        (("set", "local/house", *PRICED, "--tier", "5:1:2", "--tier", "5:2:3"), "a number of tokens of its own"),
        (("set", "local/house", *PRICED, "--tier", "5:1:x"), "'x' is not a price"),
        (("set", "house", *PRICED), "'house' is not a model name"),
        (("set", "local/\x1b[31m", *PRICED), "is no model's name"),
        (("set", "local/" + "n" * 300, *PRICED), "no model's name"),
        (("set", "local/" + "n" * 100_000, *PRICED), "no model's name"),
        (("history", "local/house"), "local/house has never had a price"),
        (("history", "\x1b]0;x"), "is no model's name"),
        (("sync", "house"), "'house' is not a model name"),
        (("sync", "--accept", "everything"), "'everything' is not a model name"),
    ],
)
def test_what_is_no_price_is_one_sentence(bottega: Run, arguments: tuple[str, ...], words: str) -> None:
    result = bottega("pricing", *arguments)
    assert_one_sentence(result, words)
    assert "\x1b" not in result.stderr
    assert len(result.stderr) < 400


async def test_what_a_provider_writes_is_text_on_the_screen(bottega: Run, fake: FakeProviders) -> None:
    entry: dict[str, Any] = listed("[red]acme/[/]", prompt="0.000001", completion="0.000001")
    fake.models = [entry]
    result = await sync(bottega, fake, "--all", "--dry-run")
    assert "openrouter/[red]acme/[/] added 1 1" in told(result)
