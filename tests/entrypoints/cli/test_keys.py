"""`bottega keys` as an operator meets it: no key on the screen or in an argument, one sentence for what is wrong."""

import asyncio
import base64
import hashlib
import re
import subprocess
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from bottega.billing.prices import set_price
from bottega.billing.pricing import Rates
from bottega.billing.tables import ApiKeyUsage
from bottega.db.transaction import Database
from bottega.keys.tables import ApiKey
from bottega.llm.types import ModelName
from bottega.users.tables import User
from tests.entrypoints.cli.conftest import Environment, Run, command
from tests.entrypoints.cli.test_bad_input import assert_one_sentence
from tests.fakes.providers import FakeProviders
from tests.journeys import scripts
from tests.journeys.test_wire import ARCHITECT, FIRST_RUNG, SECOND_RUNG, Models

SECRET = "a-key-of-the-operator-0123456789"
FIRST, SECOND = (base64.b64encode(hashlib.sha256(bytes([n])).digest()).decode() for n in range(2))


def mark_in(output: str) -> str:
    found = re.search(r"\b[0-9a-f]{12}\b", output)
    assert found is not None, output
    return found[0]


def test_a_key_is_added_listed_and_removed_without_being_shown(bottega: Run) -> None:
    added = bottega("keys", "add", "google", "--label", "team", "--quota-group", "g1", typed=f"{SECRET}\n")
    assert added.exit_code == 0, added.output
    mark = mark_in(added.output)
    assert added.stdout == f"Kept the key {mark} (it ends in 6789) of google for the pool.\n"
    listed = bottega("keys", "list")
    for word in ("google", mark, "6789", "the pool", "team", "g1", "not used yet"):
        assert word in listed.stdout
    removed = bottega("keys", "remove", mark.upper())
    assert (removed.exit_code, mark in removed.stdout) == (0, True)
    assert "No key is kept" in bottega("keys", "list").stdout
    assert SECRET not in added.output + listed.output + removed.output


def test_a_persons_own_key_is_theirs_alone(bottega: Run) -> None:
    mark = mark_in(bottega("keys", "add", "openrouter", "--user", "ada", typed=SECRET).output)
    assert "ada" in bottega("keys", "list").stdout
    for other in ((), ("--user", "bob")):
        assert_one_sentence(bottega("keys", "remove", mark, *other), "no key", "bottega keys list")
    assert bottega("keys", "remove", mark, "--user", "ada").exit_code == 0


@pytest.mark.parametrize(
    ("provider", "typed", "words"),
    [
        ("acme", SECRET, "no model provider 'acme'"),
        ("google", "", "No key was given"),
        ("google", "   \n", "No key was given"),
        ("google", "two words of more than sixteen", "characters no key has"),
        ("google", "k" * 5000, "16 to 500"),
        ("google", "k" * 200_000, "16 to 500"),
        ("google", "tiny", "16 to 500"),
        (SECRET, SECRET, "no model provider"),
    ],
)
async def test_what_is_no_key_is_one_sentence_and_changes_nothing(
    bottega: Run, database: Database, provider: str, typed: str, words: str
) -> None:
    result = await asyncio.to_thread(bottega, "keys", "add", provider, "--user", "ada", typed=typed)
    assert_one_sentence(result, words)
    async with database.transaction() as session:
        for table in (ApiKey, User):
            assert (await session.execute(select(func.count()).select_from(table))).scalar_one() == 0


def test_the_same_key_twice_is_told(bottega: Run) -> None:
    bottega("keys", "add", "google", typed=SECRET)
    assert_one_sentence(bottega("keys", "add", "google", typed=SECRET), "is kept already", "nothing was changed")


def test_bytes_that_are_no_text_are_refused(environment: Environment) -> None:
    run = subprocess.run(
        command("keys", "add", "google"),
        input=b"\xff\xfe" * 20,
        env=environment.variables(),
        capture_output=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (2, b"")
    assert b"not text" in run.stderr


@pytest.mark.parametrize("mark", ["", "xyz", "0123456789a", "0123456789abc", "'; DROP TABLE--", "\x1b[31m"])
def test_what_is_no_fingerprint_is_told(bottega: Run, mark: str) -> None:
    assert_one_sentence(bottega("keys", "remove", "--", mark), "12 hex digits")


@pytest.mark.parametrize("user", ["", " ", "a" * 300, "a\nb"])
def test_what_is_no_name_is_told(bottega: Run, user: str) -> None:
    assert_one_sentence(bottega("keys", "add", "google", "--user", user, typed=SECRET), "name")


def test_encryption_keys_are_replaced_in_three_steps(bottega: Run) -> None:
    bottega("keys", "add", "google", typed=SECRET, API_KEY_ENCRYPTION_KEY=FIRST)
    both = f"{SECOND},{FIRST}"
    lacking = bottega("keys", "rotate", API_KEY_ENCRYPTION_KEY=SECOND)
    assert (lacking.exit_code, "1 could not be read" in lacking.stderr) == (2, True)
    assert bottega("keys", "rotate", API_KEY_ENCRYPTION_KEY=both).stdout.startswith("1 keys were encrypted anew")
    for ring in (both, SECOND):
        assert bottega("keys", "rotate", API_KEY_ENCRYPTION_KEY=ring).stdout.startswith("0 keys")


def test_production_does_not_start_without_an_encryption_key(bottega: Run) -> None:
    result = bottega("projects", APP_ENV="production")
    assert result.exit_code == 2
    assert "API_KEY_ENCRYPTION_KEY: it must be set in production" in result.stderr


async def test_whoever_has_kept_keys_alone_can_build(bottega: Run, database: Database) -> None:
    rates = Rates(input=Decimal("0.50"), cached=Decimal("0.05"), output=Decimal("2.00"))
    async with database.transaction() as session:
        for name in (ARCHITECT, FIRST_RUNG, SECOND_RUNG):
            await set_price(session, model=ModelName.parse(name), rates=rates)
    async with FakeProviders() as fake:
        fake.answer = Models()
        variables = {
            "GEMINI_BASE_URL": fake.gemini_url,
            "ARCHITECT_MODEL": ARCHITECT,
            "IMPLEMENTER_MODELS": ARCHITECT,
            "INITIAL_CREDITS": "1000",
        }
        build = ("build", scripts.BRIEF, "--yes")
        without = await asyncio.to_thread(bottega, *build, **variables)
        assert_one_sentence(without, "GOOGLE_API_KEY", "bottega keys add")
        added = await asyncio.to_thread(bottega, "keys", "add", "google", typed=SECRET, **variables)
        result = await asyncio.to_thread(bottega, *build, **variables)
        assert result.exit_code == 0, result.output
        assert {ask.key for ask in fake.asks} == {SECRET}
    async with database.transaction() as session:
        used = set((await session.scalars(select(ApiKeyUsage.api_key_identifier))).all())
        kept = set((await session.scalars(select(ApiKeyUsage.api_key_id))).all())
        assert (used, kept) == ({mark_in(added.output)}, set((await session.scalars(select(ApiKey.id))).all()))
