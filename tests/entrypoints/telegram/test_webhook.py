"""The webhook: only Telegram is believed, what it says is kept before it is thanked, and answered in no time."""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from bottega.config import Settings
from bottega.core.errors import AppError
from bottega.db.transaction import Database
from bottega.entrypoints.http.problems import refuse
from bottega.entrypoints.relay.server import listen, serving
from bottega.entrypoints.telegram.receiving import SOURCE
from bottega.entrypoints.telegram.webhook import PATH, SECRET_HEADER, Webhook, secret_for, webhook_routes
from bottega.llm.wire import load_certificates
from bottega.orchestration.post.inbox import Inbox
from tests.entrypoints.telegram.wires import going_on, wired
from tests.fakes.telegram import TOKEN

SECRET = "a-secret-of-the-webhook"
HEADERS = {SECRET_HEADER: SECRET}


@asynccontextmanager
async def hooked(database: Database) -> AsyncIterator[str]:
    """Serve a webhook, and return its address."""
    inbox = Inbox(database=database, source=SOURCE)
    app = FastAPI()
    app.add_exception_handler(AppError, refuse)
    app.include_router(webhook_routes(Webhook(inbox=inbox, secret=SECRET)))
    at = listen(host="127.0.0.1", port=0)
    async with serving(app, at=at, grace_seconds=1):
        yield f"http://127.0.0.1:{at.getsockname()[1]}{PATH}"
    await inbox.close()


def update(number: int, *, text: str = "hello") -> dict[str, Any]:
    person, chat = {"id": 7, "first_name": "Ada"}, {"id": 7, "type": "private"}
    return {"update_id": number, "message": {"message_id": number, "from": person, "chat": chat, "text": text}}


async def kept(database: Database) -> list[str]:
    async with database.transaction() as session:
        return list(await session.scalars(text("SELECT external_id FROM inbox ORDER BY id")))


@pytest.mark.parametrize("headers", [{}, {SECRET_HEADER: ""}, {SECRET_HEADER: "x"}, {SECRET_HEADER: f"{SECRET}x"}])
async def test_without_the_secret_nothing_is_believed(headers: dict[str, str], database: Database) -> None:
    async with hooked(database) as url, httpx2.AsyncClient(trust_env=False, verify=load_certificates()) as client:
        answer = await client.post(url, json=update(1), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "telegram.webhook.forbidden")
        odd = await client.post(url, json=update(1), headers=[(SECRET_HEADER.encode(), b"\xff\xfe")])
        assert odd.status_code == 403
    assert await kept(database) == []


async def test_an_update_is_kept_before_it_is_thanked_for_and_twice_is_once(database: Database) -> None:
    async with hooked(database) as url, httpx2.AsyncClient(trust_env=False, verify=load_certificates()) as client:
        answers = await asyncio.gather(*(client.post(url, json=update(1), headers=HEADERS) for _ in range(5)))
        assert [answer.status_code for answer in answers] == [200] * 5
        assert await kept(database) == ["1"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"update_id": NaN}', 400),
        (b"[" * 100_000, 400),
        (b"[]", 200),
        (b"{}", 200),
        (b'{"update_id": 1, "poll": {"id": "x"}}', 200),
        (json.dumps({"update_id": 10**30, "message": {"text": "x"}}).encode(), 200),
        (b'{"update_id": 1, "message": ' + b"[" * 900 + b"]" * 900 + b"}", 200),
        (json.dumps(update(1, text="x" * 1024 * 1024)).encode(), 413),
    ],
)
async def test_what_is_no_update_changes_nothing(body: bytes, status: int, database: Database) -> None:
    async with hooked(database) as url, httpx2.AsyncClient(trust_env=False, verify=load_certificates()) as client:
        assert (await client.post(url, content=body, headers=HEADERS)).status_code == status
    assert await kept(database) == []


async def test_characters_that_a_database_refuses_do_not_lose_the_message(database: Database) -> None:
    async with hooked(database) as url, httpx2.AsyncClient(trust_env=False, verify=load_certificates()) as client:
        body = json.dumps(update(1, text="a\0b\ud800"))
        assert (await client.post(url, content=body, headers=HEADERS)).status_code == 200
    assert await kept(database) == ["1"]


async def test_what_could_not_be_kept_is_delivered_again(database: Database) -> None:
    async with hooked(database) as url, httpx2.AsyncClient(trust_env=False, verify=load_certificates()) as client:
        async with database.transaction() as session:
            await session.execute(text("ALTER TABLE inbox RENAME TO away"))
        try:
            answer = await client.post(url, json=update(1), headers=HEADERS)
        finally:
            async with database.transaction() as session:
                await session.execute(text("ALTER TABLE away RENAME TO inbox"))
        assert (answer.status_code, answer.json()["code"]) == (503, "telegram.webhook.not_kept")
        assert (await client.post(url, json=update(1), headers=HEADERS)).status_code == 200
    assert await kept(database) == ["1"]


async def test_telegram_delivers_to_it_and_people_are_answered_at_once(database: Database) -> None:
    async with wired(database) as wires, hooked(database) as url:
        clerk = wires.clerk(wires.echo)
        ada = wires.telegram.person(7)
        await wires.api.set_webhook(url=url, secret=SECRET)
        async with going_on(clerk.work(), wires.postman.work()):
            await asyncio.sleep(0.3)
            took = []
            for number in range(10):
                began = time.perf_counter()
                await ada.says(f"{number}")
                await ada.waits_for(f"you: {number}")
                took.append(time.perf_counter() - began)
        assert statistics.median(took) < 0.25, took
        assert [message.text for message in ada.sees()] == [f"you: {number}" for number in range(10)]


def test_the_secret_is_made_from_the_token_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", TOKEN)
    monkeypatch.setenv("APP_ENV", "development")
    made = secret_for(Settings.load().telegram)
    assert len(made) == 64
    assert TOKEN not in made
    monkeypatch.setenv("TELEGRAM_WEBHOOK_SECRET", "x" * 16)
    assert secret_for(Settings.load().telegram) == "x" * 16
