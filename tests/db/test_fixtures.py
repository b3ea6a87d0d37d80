"""The fixtures keep what they promise, whichever worker runs this and in whatever order."""

from decimal import Decimal

import asyncpg
import pytest
from sqlalchemy import func, select
from tests.database import MakeProject, MakeUser, connected, wipe

from bottega.billing.tables import CreditTransaction
from bottega.db.transaction import Database
from bottega.users.tables import User


@pytest.mark.parametrize("turn", [1, 2])
async def test_every_test_starts_from_an_empty_database(turn: int, database: Database, make_user: MakeUser) -> None:
    async with database.transaction() as session:
        assert await session.scalar(select(func.count()).select_from(User)) == 0
        assert await session.scalar(select(func.count()).select_from(CreditTransaction)) == 0
    user = await make_user(username=f"person {turn}")
    assert user.id == 1


async def test_a_made_person_has_a_balance_the_ledger_explains(database: Database, make_user: MakeUser) -> None:
    user = await make_user(balance=Decimal("2.5"))
    async with database.transaction() as session:
        rows = await session.scalars(
            select(CreditTransaction.credits_amount).where(CreditTransaction.user_id == user.id)
        )
        assert list(rows) == [user.credit_balance] == [Decimal("2.5")]


async def test_a_made_project_belongs_to_its_person(make_user: MakeUser, make_project: MakeProject) -> None:
    user = await make_user(balance=Decimal(0))
    project = await make_project(user)
    assert project.user_id == user.id


async def test_a_transaction_that_a_test_forgot_does_not_block_the_next(database_url: str) -> None:
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):  # noqa: PT012 -- closing fails, late
        async with connected(database_url) as forgotten:
            await forgotten.execute("BEGIN; LOCK TABLE users")
            await wipe(url=database_url)
            await forgotten.execute("SELECT 1")
