"""What the database's edge tells, and what it keeps to itself."""

import asyncio
import socket
from collections.abc import Awaitable

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from bottega.db.transaction import Autocommit, Database, is_out_of_reach, transaction_open


async def test_an_error_does_not_repeat_what_was_to_be_written(database: Database) -> None:
    """Errors are logged; a brief, a prompt or a reply is not to be."""
    twice = text("INSERT INTO users (id, username) VALUES (1, :brief), (1, :brief)")
    with pytest.raises(SQLAlchemyError) as error:
        async with database.transaction() as session:
            await session.execute(twice, {"brief": "a shop for my secret sauce"})
    assert "secret sauce" not in str(error.value)


async def failure(execution: Awaitable[object]) -> Exception:
    with pytest.raises((SQLAlchemyError, OSError)) as raised:
        await execution
    return raised.value


@pytest.mark.parametrize("kind", ["autocommit", "reading", "transaction"])
async def test_a_database_that_is_away_is_told_from_our_mistakes(database_url: str, kind: str) -> None:
    database = Database(url=database_url, pool_size=1)

    async def execute(sql: str, database: Database = database, **given: object) -> object:
        if kind == "autocommit":
            return await database.autocommit.execute(text(sql), given)
        async with database.reading() if kind == "reading" else database.transaction() as session:
            return await session.execute(text(sql), given)

    for sql in ("SELECT 1 / 0", "SELECT * FROM nowhere", "INSERT INTO users (id) VALUES (NULL)"):
        assert not is_out_of_reach(await failure(execute(sql)))
    assert not is_out_of_reach(await failure(execute("SELECT CAST(:number AS integer)", number="x")))
    assert not is_out_of_reach(await failure(execute("SELECT CAST(:number AS integer)")))
    assert is_out_of_reach(await failure(execute("SELECT pg_terminate_backend(pg_backend_pid())")))
    await execute("SELECT 1")
    await database.close()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nowhere = Database(url=f"postgresql+asyncpg://a@127.0.0.1:{taken.getsockname()[1]}/a")
    assert is_out_of_reach(await failure(execute("SELECT 1", nowhere)))
    await nowhere.close()


def test_a_server_that_is_starting_or_full_is_away() -> None:
    for error in (asyncpg.CannotConnectNowError(), asyncpg.TooManyConnectionsError(), asyncpg.AdminShutdownError()):
        assert is_out_of_reach(DBAPIError("SELECT 1", None, error))
    assert not is_out_of_reach(DBAPIError("SELECT 1", None, asyncpg.UniqueViolationError()))


def test_other_errors_are_none_of_the_databases() -> None:
    for error in (ConnectionRefusedError(), TimeoutError(), OSError(28, "No space left on device"), ValueError()):
        assert not is_out_of_reach(error)


async def test_whoever_waits_for_a_connection_has_it_before_those_who_come_later(database_url: str) -> None:
    database, order = Database(url=database_url, pool_size=1), list[str]()

    async def use(name: str) -> None:
        async with database.transaction() as session:
            await session.execute(text("SELECT 1"))
            order.append(name)
            await asyncio.sleep(0.01)

    async def come_again_and_again() -> None:
        for _ in range(5):
            await use("greedy")

    greedy = [asyncio.create_task(come_again_and_again()) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.gather(*greedy, use("waiting"), database.autocommit.execute(text("SELECT 1"), {}))
    await database.close()
    assert order.index("waiting") == 2


async def test_what_goes_aside_waits_for_nobody(database_url: str) -> None:
    database = Database(url=database_url, pool_size=1)
    async with database.transaction() as session, asyncio.timeout(5):
        await session.execute(text("SELECT 1"))
        assert (await database.aside.execute(text("SELECT 1"), {})).scalar_one() == 1
    await database.close()


async def test_what_raises_or_is_cancelled_writes_nothing_and_gives_its_connection_back(database_url: str) -> None:
    database, writes = Database(url=database_url, pool_size=1), text("INSERT INTO users (username) VALUES ('ada')")
    for _ in range(3):
        with pytest.raises(LookupError):  # noqa: PT012 -- it is the block that raises
            async with database.transaction() as session:
                await session.execute(writes)
                raise LookupError
        with pytest.raises(TimeoutError):  # noqa: PT012
            async with asyncio.timeout(0.1), database.transaction() as session:
                await session.execute(writes)
                await session.execute(text("SELECT pg_sleep(60)"))
    async with database.reading() as session:
        assert (await session.execute(text("SELECT count(*) FROM users"))).scalar_one() == 0
    await database.close()


async def test_a_reading_is_open_until_its_end_and_sees_what_is_committed_meanwhile(database: Database) -> None:
    count = text("SELECT count(*) FROM users")
    async with database.reading() as session:
        assert transaction_open(), "no model may be asked in it either"
        assert (await session.execute(count)).scalar_one() == 0
        await database.autocommit.execute(text("INSERT INTO users (username) VALUES ('ada')"), {})
        assert (await session.execute(count)).scalar_one() == 1
    assert not transaction_open()


async def test_a_server_that_refuses_a_connection_in_its_own_words_is_a_database_error(database_url: str) -> None:
    """So says one that is starting up: a heartbeat misses a beat then, and no more."""
    database = Database(url=f"{database_url.partition('?')[0]}_nowhere?{database_url.partition('?')[2]}")
    with pytest.raises(SQLAlchemyError):
        await database.aside.execute(text("SELECT 1"), {})
    await database.close()


async def _backend(at: Autocommit) -> int:
    return int((await at.execute(text("SELECT pg_backend_pid()"), {})).scalar_one())


async def test_single_statements_keep_a_connection_at_hand(database: Database) -> None:
    assert len({await _backend(database.autocommit) for _ in range(20)}) == 1
    pids = await asyncio.gather(*(_backend(database.autocommit) for _ in range(20)))
    assert len(set(pids)) <= 10
    async with database.transaction() as session:  # what is at hand takes nothing away from sessions
        await session.execute(text("SELECT 1"))


async def test_a_connection_that_was_lost_at_hand_is_not_lent_again(database: Database, database_url: str) -> None:
    other = Database(url=database_url)
    lost = await _backend(other.autocommit)
    async with database.transaction() as session:
        await session.execute(text("SELECT pg_terminate_backend(CAST(:pid AS int))"), {"pid": lost})
    await asyncio.sleep(0.2)  # the end has arrived
    assert await _backend(other.autocommit) != lost
    await other.close()


async def test_a_connection_given_back_after_the_end_is_closed(database_url: str) -> None:
    late = Database(url=database_url)
    slow = asyncio.create_task(late.autocommit.execute(text("SELECT pg_sleep(0.2)"), {}))
    await asyncio.sleep(0.05)
    await late.autocommit.close()
    await slow
    assert late.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    await late.close()


async def test_whoever_comes_after_the_server_hung_up_does_not_notice(database: Database, database_url: str) -> None:
    other = Database(url=database_url)

    async def use() -> None:
        async with other.transaction() as session:
            await session.execute(text("SELECT pg_sleep(0.05)"))

    await asyncio.gather(*(use() for _ in range(4)))
    async with database.transaction() as session:
        mine = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        await session.execute(text(f"{mine} AND pid <> pg_backend_pid() AND backend_type = 'client backend'"))
    await asyncio.sleep(0.2)  # the end has arrived
    await asyncio.gather(*(use() for _ in range(4)))
    async with other.own_connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await other.close()
