import pytest

from bottega.db.transaction import Database
from bottega.users.service import NobodyNamed, find_or_create


async def test_one_telegram_account_is_one_person_whatever_the_name(database: Database) -> None:
    async with database.transaction() as session:
        first = await find_or_create(session, telegram_user_id=7, username="ada")
        again = await find_or_create(session, telegram_user_id=7, username="countess")
        other = await find_or_create(session, telegram_user_id=8, username="ada")
    assert (first.created, again.created, other.created) == (True, False, True)
    assert first.id == again.id != other.id


async def test_a_name_alone_never_finds_a_telegram_account(database: Database) -> None:
    async with database.transaction() as session:
        telegram = await find_or_create(session, telegram_user_id=7, username="ada")
        local = await find_or_create(session, username=" ada ")
        again = await find_or_create(session, username="ada")
    assert local.created
    assert telegram.id != local.id == again.id


@pytest.mark.parametrize("username", [None, "", "  "])
async def test_nobody_in_particular_has_no_account(database: Database, username: str | None) -> None:
    with pytest.raises(NobodyNamed):
        async with database.transaction() as session:
            await find_or_create(session, username=username)
