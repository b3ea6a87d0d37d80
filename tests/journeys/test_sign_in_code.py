"""From /login in a chat to a token that reads what is the person's own: the bot and the API together."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from structlog.testing import capture_logs

from bottega.access import administration
from bottega.access.types import Actor
from bottega.config import AccessSettings, HttpSettings, PlatformSettings, Settings
from bottega.db.migrate import declared_schema
from bottega.entrypoints.http.serve import serving_app
from bottega.entrypoints.relay.server import listen
from bottega.entrypoints.telegram import types
from bottega.users.service import find_telegram
from tests.database import connected
from tests.entrypoints.relay.conftest import client
from tests.entrypoints.telegram.bots import Bot, a_bot, bot_settings
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram_people import Message, Person
from tests.journeys import scripts

ADDRESS = "https://bottega.example"
ASKS = {**scripts.GOOD, "gather-1.md": scripts.gathered("Count characters too?")}
SECRET = base64.b64encode(hashlib.sha256(b"a secret of the test").digest()).decode()


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram(limits=None) as telegram:
        yield telegram


@pytest.fixture
def settings(tmp_path: Path, database_url: str, telegram: FakeTelegram) -> Settings:
    made = bot_settings(home=tmp_path / "home", database_url=database_url, api_url=telegram.url)
    return replace(made, http=HttpSettings(public_url=ADDRESS))


@asynccontextmanager
async def installed(settings: Settings) -> AsyncIterator[tuple[Bot, httpx2.AsyncClient]]:
    """Lend a bot and a server of one installation, which have nothing in common but its database and its home."""
    async with AsyncExitStack() as stack:
        bot = await stack.enter_async_context(a_bot(settings, llm=ASKS))
        at = stack.enter_context(listen(host="127.0.0.1", port=0))
        await stack.enter_async_context(serving_app(bot.app, at=at, grace_seconds=1))
        yield bot, await stack.enter_async_context(client(f"http://127.0.0.1:{at.getsockname()[1]}"))


def code_in(message: Message) -> str:
    """Return what a touch copies."""
    found = re.search("<code>(.+?)</code>", message.html)
    assert found is not None
    return found[1]


async def asks_for_a_code(person: Person, said: str = "/login") -> str:
    before = max((one.id for one in person.sees()), default=0)
    await person.says(said)
    return code_in(await person.waits_for(lambda one: one.id > before and "Your code to sign in" in one.text))


async def signed_in(http: httpx2.AsyncClient, code: str) -> str:
    answer = await http.post("/auth/code", json={"code": code})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def projects_of(http: httpx2.AsyncClient, token: str) -> list[str]:
    answer = await http.get("/v1/projects", headers={"Authorization": f"Bearer {token}"})
    return [project["id"] for project in answer.json()["items"]]


async def begins_a_project(bot: Bot, person: Person) -> str:
    await person.says(scripts.BRIEF)
    await person.waits_for("Count characters too?", within=30)
    async with bot.app.database.transaction() as session:
        found = text("SELECT projects.id FROM projects JOIN users ON users.id = user_id WHERE telegram_user_id = :id")
        return str(await session.scalar(found, {"id": person.id}))


async def every_row(database_url: str) -> str:
    async with connected(database_url) as connection:
        tables = [table.name for table in declared_schema().sorted_tables]
        rows = [await connection.fetch(f'SELECT to_jsonb("{name}") FROM "{name}"') for name in tables]  # noqa: S608
    return str(rows)


async def count(bot: Bot, table: str) -> int:
    async with bot.app.database.transaction() as session:
        return int((await session.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())  # noqa: S608


async def test_a_code_from_the_bot_opens_what_is_the_persons_own(
    settings: Settings, telegram: FakeTelegram, database_url: str
) -> None:
    ada, bob = telegram.person(7, "Ada"), telegram.person(8, "Bob")
    with capture_logs() as logged:
        async with installed(settings) as (bot, http):
            project_id = await begins_a_project(bot, ada)
            codes = [await asks_for_a_code(ada), await asks_for_a_code(bob)]
            hers, his = [await signed_in(http, code) for code in codes]
            assert await projects_of(http, hers) == [project_id]
            assert await projects_of(http, his) == []
            again = await http.post("/auth/code", json={"code": codes[0]})
            assert (again.status_code, again.json()["code"]) == (401, "invalid_code")
    said = ada.sees()[-1].text
    assert ADDRESS in said
    assert "5 minutes" in said
    kept, told = await every_row(database_url), str(logged)
    assert project_id in kept
    for secret in (one for code in codes for one in (code, code.partition("-")[2])):
        assert secret not in kept
        assert secret not in told


async def test_a_code_for_who_is_new_here_comes_after_the_welcome(settings: Settings, telegram: FakeTelegram) -> None:
    ada = telegram.person(7, "Ada", language="es")
    async with installed(settings) as (_, http):
        await ada.says("/start login")
        code = code_in(await ada.waits_for("Tu código para entrar"))
        assert [one.text.split()[1] for one in ada.sees()] == ["Te", "Tu"]
        await signed_in(http, code)


async def test_an_update_that_is_handled_twice_gives_one_code_which_is_good(
    settings: Settings, telegram: FakeTelegram
) -> None:
    ada = telegram.person(7, "Ada")
    async with installed(settings) as (bot, http):
        me = types.Person(id=7, name="Ada", username=None, language="en")
        said = types.TextSent(update_id=1, chat_id=7, person=me, is_private=True, message_id=1, text="/login")
        await bot.conversation.handle(said)
        code = code_in(await ada.waits_for("Your code to sign in"))
        async with bot.app.database.transaction() as session:
            await session.execute(text("DELETE FROM deeds"))  # the bot was killed before it noted that it had answered
        await bot.conversation.handle(said)
        assert await count(bot, "outbox WHERE payload->>'kind' = 'code'") == 1
        assert await count(bot, "outbox WHERE sent_at IS NULL") == 0
        await signed_in(http, code)


async def test_a_new_code_replaces_the_one_before(settings: Settings, telegram: FakeTelegram) -> None:
    ada = telegram.person(7, "Ada")
    async with installed(settings) as (_, http):
        first, second = await asks_for_a_code(ada), await asks_for_a_code(ada)
        assert (await http.post("/auth/code", json={"code": first})).status_code == 401
        await signed_in(http, second)
    assert "A code you were given before no longer works" in ada.sees()[-1].text


async def test_in_a_group_the_way_to_a_code_is_shown_and_no_code(settings: Settings, telegram: FakeTelegram) -> None:
    ada, group = telegram.person(7, "Ada"), telegram.group(-100)
    async with installed(settings) as (bot, _):
        for said in ("/login@bottega_bot", "/start@bottega_bot login"):
            before = len(ada.sees(group=group))
            await ada.says(said, group=group)
            await ada.waits_for(
                lambda _, before=before: len(ada.sees(group=group)) > before,  # type: ignore[misc]
                group=group,
            )
            answer = ada.sees(group=group)[-1]
            assert "eyes alone" in answer.text
            assert [button["url"] for row in answer.keyboard for button in row] == [
                "https://t.me/bottega_bot?start=login"
            ]
        assert await count(bot, "sign_in_codes") == 0
    assert ada.sees() == []


async def test_who_is_suspended_or_gone_gets_no_code(settings: Settings, telegram: FakeTelegram) -> None:
    ada = telegram.person(7, "Ada")
    async with installed(settings) as (bot, http):
        code = await asks_for_a_code(ada)
        async with bot.app.database.transaction() as session:
            user_id = await find_telegram(session, telegram_user_id=7)
            assert user_id is not None
            await administration.suspend(session, actor=Actor(), user_id=user_id, reason="a test")
        await ada.says("/login")
        assert "suspended" in (await ada.waits_for("cannot sign in")).text
        assert (await http.post("/auth/code", json={"code": code})).json()["code"] == "account_not_active"
        await bot.house.forgetting.forget(user_id=user_id)
        assert await count(bot, "sign_in_codes") == 0


@pytest.mark.parametrize("secret", [None, SECRET], ids=["without a secret", "with one"])
async def test_where_nobody_signs_in_no_code_is_offered(
    settings: Settings, telegram: FakeTelegram, secret: str | None
) -> None:
    """Outside development, without a secret for tokens, there is no server to sign in to."""
    production = PlatformSettings(
        bottega_home=settings.platform.bottega_home, app_env="production", api_key_encryption_key=(SecretStr(SECRET),)
    )
    access = AccessSettings(jwt_secret=() if secret is None else (SecretStr(secret),))
    ada = telegram.person(7, "Ada")
    async with a_bot(replace(settings, platform=production, access=access), llm={}) as bot:
        await bot.conversation.introduce()
        offered = {one["command"] for one in telegram.commands["es"]}
        assert ("login" in offered) is (secret is not None)
        assert "settings" in offered
        await ada.says("/login")
        await ada.waits_for("no command" if secret is None else "Your code to sign in")
