"""No secret stays in the clear: everything is used once over HTTP, then every row and every line of the log is read."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from bottega.core.log import configure_logging
from bottega.core.redaction import redacted
from bottega.db.migrate import declared_schema
from bottega.db.transaction import Database
from tests.access.scene import BOT_TOKEN, OLDER, SECRET
from tests.access.vouching import init_data, widget
from tests.database import connected
from tests.entrypoints.http.doors import Doors, doors

ADDRESS = "203.0.113.77"
ADA: dict[str, Any] = {"id": 42, "username": "ada"}


async def every_secret(here: Doors) -> list[str]:
    """Use every way in and return every secret that was shown, given or kept."""
    at = int(here.scene.clock.now().timestamp())
    said, opened = widget(**ADA, auth_date=at), init_data(user=ADA, auth_date=at)
    answers = [
        await here.http.post("/auth/telegram", json=said),
        await here.http.post("/auth/telegram-mini-app", json={"init_data": opened}),
    ]
    async with here.scene.database.transaction() as session:
        codes = [await here.scene.access.codes.issue_code(session, user_id=1) for _ in range(2)]
    right_and_replaced = [{"code": code} for code in reversed(codes)]
    proxied = {"X-Forwarded-For": ADDRESS}
    answers += [await here.http.post("/auth/code", json=body, headers=proxied) for body in right_and_replaced]
    async with here.scene.database.transaction() as session:
        codes.append(await here.scene.access.codes.issue_code(session, user_id=1))
    shown = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(shown) == 3
    for told in shown[:2]:
        answer = await here.http.post("/auth/refresh", json={"refresh_token": told["refresh_token"]})
        shown.append(answer.json())
    bearer = {"Authorization": f"Bearer {shown[0]['access_token']}"}
    made = await here.http.post("/tokens", json={"name": "ci", "scopes": ["projects:read"]}, headers=bearer)
    personal = made.json()["token"]
    await here.ask(personal)
    await here.ask(personal[:-1])
    tokens = [told[name] for told in shown for name in ("access_token", "refresh_token")]
    ours = [SECRET.hex(), OLDER.hex(), here.scene.keys._newest.signing.hex(), BOT_TOKEN]
    typed = [code.partition("-")[2] for code in codes]
    return [*tokens, personal, *typed, said["hash"], opened.rpartition("hash=")[2], *ours, ADDRESS]


async def test_no_row_holds_a_secret(database: Database, database_url: str) -> None:
    async with doors(database, database_url=database_url, trusted_proxies=["127.0.0.1"]) as here:
        secrets = await every_secret(here)
    kept = ""
    async with connected(database_url) as connection:
        for table in declared_schema().sorted_tables:
            for row in await connection.fetch(f'SELECT to_jsonb("{table.name}") FROM "{table.name}"'):  # noqa: S608
                kept += f"{table.name} {row[0]}\n"
    for name in ("refresh_tokens", "personal_tokens", "sign_in_codes", "wrong_codes", "used_telegram_data"):
        assert f"{name} " in kept, "it was used"
    assert [secret for secret in secrets if secret in kept] == []


async def test_no_line_of_the_log_holds_a_secret(database: Database, database_url: str) -> None:
    with capture_logs() as logged:
        async with doors(database, database_url=database_url) as here:
            secrets = await every_secret(here)
    assert len(logged) > 8
    said = json.dumps(logged, default=repr)
    assert [secret for secret in secrets if secret in said] == []


@pytest.fixture
def configured() -> Iterator[None]:
    configure_logging(level="INFO", json=True)
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("configured")
async def test_a_token_that_is_logged_by_mistake_is_not_readable(
    database: Database, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with doors(database, database_url=database_url) as here:
        secrets = await every_secret(here)
    tokens = [secret for secret in secrets if secret.startswith(("bott_", "bort_", "eyJ"))]
    assert len(tokens) == 11
    for token in tokens:
        assert token not in redacted(f"Authorization: Bearer {token}.")
    configure_logging(level="INFO", json=True)
    structlog.get_logger().warning("a mistake", headers={"authorization": f"Bearer {tokens[0]}"}, token=tokens[-1])
    said = capsys.readouterr().err
    assert "a mistake" in said
    assert not [token for token in tokens if token in said]
