"""A code's way to whose it is: it is in no row, and whatever goes wrong on the way, the last one that came is good."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from bottega.access.codes import InvalidCode
from bottega.db.migrate import declared_schema
from bottega.db.transaction import Database
from bottega.entrypoints.telegram.sending import CODE_HERE, post_code
from bottega.entrypoints.telegram.types import Say
from bottega.users.service import find_or_create
from tests.access.scene import Scene, set_scene
from tests.database import connected
from tests.entrypoints.telegram.wires import Wires, wired
from tests.fakes.telegram_people import Person

SAID, LATE = Say(html=f"Your code: <code>{CODE_HERE}</code>"), Say(html="Ask again, please.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """Where codes are asked for and tried."""

    scene: Scene
    wires: Wires

    async def person(self, telegram_user_id: int) -> Person:
        async with self.scene.database.transaction() as session:
            await find_or_create(session, telegram_user_id=telegram_user_id)
        return self.wires.telegram.person(telegram_user_id)

    async def ask(self, *, chat_id: int = 7, key: str = "k") -> None:
        async with self.scene.database.transaction() as session:
            await post_code(session, chat_id=chat_id, say=SAID, instead=LATE, key=key)

    async def is_good(self, code: str) -> bool:
        try:
            await self.scene.access.codes.redeem(code, address="192.0.2.1")
        except InvalidCode:
            return False
        return True

    async def every_row(self) -> str:
        kept = ""
        async with connected(self.scene.database_url) as connection:
            for table in declared_schema().sorted_tables:
                for row in await connection.fetch(f'SELECT to_jsonb("{table.name}") FROM "{table.name}"'):  # noqa: S608
                    kept += f"{table.name} {row[0]}\n"
        return kept


@pytest.fixture
async def counter(database: Database, database_url: str) -> AsyncIterator[Counter]:
    scene = set_scene(database, database_url=database_url)
    async with wired(database, codes=scene.access.codes) as wires:
        yield Counter(scene=scene, wires=wires)


def codes_seen(person: Person) -> list[str]:
    return [found[1] for one in person.sees() if (found := re.fullmatch("Your code: (.+)", one.text))]


async def test_a_code_is_in_no_row_whether_its_message_waits_or_was_sent(counter: Counter) -> None:
    ada = await counter.person(7)
    await counter.ask()
    assert "outbox " in await counter.every_row()
    assert await counter.scene.count("SELECT count(*) FROM sign_in_codes") == 0, "it is not made before it is sent"
    await counter.wires.postman.deliver_due()
    [code] = codes_seen(ada)
    kept = await counter.every_row()
    assert "sign_in_codes " in kept
    assert code not in kept
    assert code.partition("-")[2] not in kept
    assert await counter.is_good(code)
    assert not await counter.is_good(code)


async def test_a_message_that_is_sent_again_brings_a_code_that_is_good(counter: Counter) -> None:
    """Its sender was killed after sending and before it could note that."""
    ada = await counter.person(7)
    await counter.ask()
    await counter.wires.postman.deliver_due()
    await counter.scene.execute("UPDATE outbox SET sent_at = NULL, wake_at = now()")
    await counter.wires.postman.deliver_due()
    first, second = codes_seen(ada)
    assert not await counter.is_good(first)
    assert await counter.is_good(second)


@pytest.mark.parametrize("status", [429, 502, 400])
async def test_a_code_whose_message_did_not_arrive_is_replaced_by_the_next(counter: Counter, status: int) -> None:
    ada = await counter.person(7)
    if status == 400:
        counter.wires.telegram.refuses_next(400, "can't parse entities: it is ours")
    else:
        counter.wires.telegram.refuses_next(status, retry_after=1)
    await counter.ask()
    await counter.wires.postman.deliver_due()
    await counter.scene.execute("UPDATE outbox SET wake_at = now() WHERE sent_at IS NULL")
    await asyncio.sleep(1.0 if status == 429 else 0.0)
    await counter.wires.postman.deliver_due()
    [code] = codes_seen(ada)
    assert await counter.is_good(code)


async def test_whoever_asks_twice_has_the_second_code(counter: Counter) -> None:
    ada = await counter.person(7)
    for key in ("once", "once", "again"):
        await counter.ask(key=key)
    await counter.wires.postman.deliver_due()
    first, second = codes_seen(ada)
    assert (await counter.is_good(first), await counter.is_good(second)) == (False, True)


async def test_a_wish_that_could_not_be_granted_in_five_minutes_gets_no_code(counter: Counter) -> None:
    ada = await counter.person(7)
    await counter.ask()
    await counter.scene.execute("UPDATE outbox SET created_at = created_at - interval '5 minutes'")
    await counter.wires.postman.deliver_due()
    assert [one.text for one in ada.sees()] == [LATE.html]
    assert await counter.scene.count("SELECT count(*) FROM sign_in_codes") == 0


@pytest.mark.parametrize("why", ["suspended", "a group", "a stranger"])
async def test_a_chat_that_is_nobodys_who_may_sign_in_gets_no_code(
    counter: Counter, database: Database, why: str
) -> None:
    ada, group, eve = await counter.person(7), counter.wires.telegram.group(-100), counter.wires.telegram.person(8)
    if why == "suspended":
        async with database.transaction() as session:
            await session.execute(text("UPDATE users SET status = 'suspended'"))
    await counter.ask(chat_id={"a group": -100, "a stranger": 8}.get(why, 7))
    await counter.wires.postman.deliver_due()
    seen = {"a group": ada.sees(group=group), "a stranger": eve.sees()}.get(why, ada.sees())
    assert [one.text for one in seen] == [LATE.html]
    assert await counter.scene.count("SELECT count(*) FROM sign_in_codes") == 0


async def test_without_a_secret_no_code_is_made(database: Database, database_url: str) -> None:
    scene = set_scene(database, database_url=database_url)
    async with wired(database) as wires:
        counter = Counter(scene=scene, wires=wires)
        ada = await counter.person(7)
        await counter.ask()
        await wires.postman.deliver_due()
        assert [one.text for one in ada.sees()] == [LATE.html]


async def test_a_group_that_moved_gets_no_code_at_its_new_address(counter: Counter) -> None:
    ada, old, new = await counter.person(7), counter.wires.telegram.group(-100), counter.wires.telegram.group(-1001)
    old.chat.moved_to = new.id
    await counter.ask(chat_id=-100)
    await counter.wires.postman.deliver_due()
    assert [one.text for one in ada.sees(group=new)] == [LATE.html]
