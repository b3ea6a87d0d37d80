"""`bottega token` and `bottega people`, as an operator meets them."""

import asyncio
import re
import uuid

import pytest

from bottega.access.door import Door
from bottega.access.signing import InvalidToken, TokenKeys
from bottega.access.types import Identity
from bottega.core.clock import SystemClock
from bottega.db.transaction import Database
from tests.entrypoints.cli.conftest import Environment, Run
from tests.entrypoints.cli.test_bad_input import assert_one_sentence


def admitted(environment: Environment, token: str) -> Identity | None:
    async def ask() -> Identity | None:
        database = Database(url=environment.database_url)
        keys = TokenKeys([bytes(32)], issuer="https://bottega.test", clock=SystemClock())
        try:
            return await Door(database=database, keys=keys).admit(token)
        except InvalidToken:
            return None
        finally:
            await database.close()

    return asyncio.run(ask())


def test_a_token_is_made_listed_and_ended(bottega: Run, environment: Environment) -> None:
    made = bottega("token", "create", "ci", "--scope", "projects:read", "--scope", "credits:read")
    assert made.exit_code == 0, made.output
    assert re.fullmatch("bott_[0-9A-Za-z]{49}\n", made.stdout), "nothing but the token, for a shell to take"
    token = made.stdout.strip()
    who = admitted(environment, token)
    assert who is not None
    assert who.scopes == {"projects:read", "credits:read"}
    listed = bottega("token", "list").stdout
    assert str(who.token_id) in listed
    assert re.search(r"last used .*: ci \(credits:read projects:read\)", listed)
    assert token not in listed
    assert bottega("token", "revoke", str(who.token_id)).stdout == f"The token {who.token_id} is ended.\n"
    assert admitted(environment, token) is None
    assert "There are no tokens" in bottega("token", "list").stdout


def test_a_token_may_be_somebody_elses_and_is_on_record(bottega: Run, environment: Environment) -> None:
    assert_one_sentence(bottega("token", "create", "x", "--user", "ada"), "no account called 'ada'")
    bottega("keys", "add", "google", "--user", "ada", typed="a-key-of-the-operator-0123456789")
    made = bottega("token", "create", "x", "--user", "ada")
    who = admitted(environment, made.stdout.strip())
    assert who is not None
    assert_one_sentence(bottega("token", "revoke", str(who.token_id)), "no such token")
    assert bottega("token", "revoke", str(who.token_id), "--user", str(who.user_id)).exit_code == 0
    record = bottega("people", "record").stdout
    assert "token.created" in record
    assert "token.revoked" in record
    assert made.stdout.strip() not in record


def test_an_admin_is_made_and_unmade(bottega: Run, environment: Environment) -> None:
    bottega("token", "create", "first")
    admin = ("token", "create", "x", "--scope", "admin", "--user", "1")
    assert_one_sentence(bottega(*admin), "does not have: admin")
    assert bottega("people", "role", "1", "admin").stdout == "1 is now an admin.\n"
    assert bottega("people", "role", "1", "admin").stdout == "1 is already an admin.\n"
    who = admitted(environment, bottega(*admin).stdout.strip())
    assert who is not None
    assert who.scopes == {"admin"}
    assert bottega("people", "role", "1", "person").exit_code == 0
    newest, before = bottega("people", "record").stdout.splitlines()[:2]
    assert newest.endswith("the operator: account.role_set of account 1 (role admin -> role person)")
    assert "token.created" in before


def test_a_suspended_account_is_out_until_it_is_restored(bottega: Run, environment: Environment) -> None:
    token = bottega("token", "create", "x").stdout.strip()
    assert bottega("people", "suspend", "1", "--reason", "abuse").stdout == "1 is suspended.\n"
    assert admitted(environment, token) is None
    assert_one_sentence(bottega("token", "create", "y"), "suspended")
    assert bottega("people", "restore", "1", "--reason", "sorry").stdout == "1 may go on.\n"
    assert admitted(environment, token) is not None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("token", "create", ""), "name is one line"),
        (("token", "create", "a\nb"), "name is one line"),
        (("token", "create", "x" * 101), "name is one line"),
        (("token", "revoke", "nonsense"), "id is as"),
        (("token", "revoke", "bott_" + "a" * 49), "id is as"),
        (("token", "revoke", str(uuid.UUID(int=1))), "no such token"),
        (("token", "list", "--user", "nobody"), "no account called"),
        (("token", "create", "x", "--user", "999"), "suspended or deleted"),
        (("people", "role", "nobody", "admin"), "no account called"),
        (("people", "role", "999", "admin"), "no such account"),
        (("people", "role", "", "admin"), "Write a name"),
        (("people", "role", "a\x1b[31m", "admin"), "Write a name"),
        (("people", "suspend", "999", "--reason", ""), "reason is one line"),
    ],
    ids=lambda part: ascii(part)[:50],
)
def test_what_cannot_be_done_is_one_sentence(bottega: Run, arguments: tuple[str, ...], words: str) -> None:
    assert_one_sentence(bottega(*arguments), words)
