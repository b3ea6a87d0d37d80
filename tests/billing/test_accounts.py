import asyncio
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from bottega.billing.accounts import open_account
from bottega.billing.audit import audit
from bottega.billing.tables import CreditTransaction
from bottega.db.transaction import Database
from bottega.users.service import Person
from bottega.users.tables import User


async def open_one(database: Database, *, telegram_user_id: int | None, credits: str = "10") -> Person:
    async with database.transaction() as session:
        return await open_account(
            session, initial_credits=Decimal(credits), telegram_user_id=telegram_user_id, username="ada"
        )


@pytest.mark.parametrize("telegram_user_id", [None, 7_000_000_000])
async def test_an_account_is_opened_and_granted_credits_once(database: Database, telegram_user_id: int | None) -> None:
    people = await asyncio.gather(*(open_one(database, telegram_user_id=telegram_user_id) for _ in range(6)))
    assert sorted(person.created for person in people) == 5 * [False] + [True]
    assert len({person.id for person in people}) == 1
    async with database.transaction() as session:
        assert await session.scalar(select(User.credit_balance)) == Decimal(10)
        assert (await session.scalars(select(CreditTransaction.idempotency_key))).all() == [
            f"grant:signup:{people[0].id}"
        ]
        assert await audit(session) == ()


async def test_no_credits_to_start_with_means_no_ledger_row(database: Database) -> None:
    await open_one(database, telegram_user_id=None, credits="0")
    async with database.transaction() as session:
        assert await session.scalar(select(func.count(CreditTransaction.id))) == 0
