import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from tests.database import connected, sibling
from tests.db.conftest import server_pid, start_client

from bottega.core.clock import SystemClock
from bottega.db.cluster import DatabaseInUse, DataFolderUnusable, ServerFailed
from bottega.db.embedded import EmbeddedPostgres
from bottega.db.filelock import hold_lock, is_held

Postgres = Callable[[], EmbeddedPostgres]


def account_of(pid: int) -> int:
    return Path("/proc", str(pid)).stat().st_uid


class HurriedClock(SystemClock):
    """A clock on which every wait is over at once and a minute later."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        self._ahead += 60
        await super().sleep(min(seconds, 0.001))


async def test_a_new_home_gets_a_utf8_database_of_version_18(postgres: Postgres) -> None:
    server = postgres()
    async with connected(await server.start()) as connection:
        assert await connection.fetchval("SHOW server_version_num") >= "180000"
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"
        assert await connection.fetchval("SELECT current_database()") == "bottega"
    assert await server.stop()


@pytest.mark.parametrize(("durable", "setting"), [(True, "on"), (False, "off")])
async def test_only_an_expendable_database_gives_up_safety(home: Path, durable: bool, setting: str) -> None:  # noqa: FBT001
    server = EmbeddedPostgres(home=home, clock=SystemClock(), durable=durable)
    async with connected(await server.start()) as connection:
        assert await connection.fetchval("SHOW fsync") == setting
        assert await connection.fetchval("SHOW synchronous_commit") == setting
    await server.stop()


async def test_closed_parent_folders_stay_exactly_as_they_were(tmp_path: Path) -> None:
    home = tmp_path / "closed" / "home"
    home.mkdir(parents=True)
    for folder in (tmp_path, home.parent, home):
        folder.chmod(0o700)
    parents = [home, *home.parents]
    before = [(folder.stat().st_mode, folder.stat().st_uid, folder.stat().st_gid) for folder in parents]
    server = EmbeddedPostgres(home=home, clock=SystemClock(), durable=False)
    async with connected(await server.start()) as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await server.stop()
    assert [(folder.stat().st_mode, folder.stat().st_uid, folder.stat().st_gid) for folder in parents] == before


async def test_the_server_never_runs_as_root_and_nobody_else_may_enter_its_data(home: Path, postgres: Postgres) -> None:
    server = postgres()
    await server.start()
    data = (home / "postgres/data").stat()
    assert account_of(server_pid(home)) == data.st_uid != 0
    assert data.st_mode & 0o077 == 0
    await server.stop()


async def test_the_last_to_leave_stops_the_server(home: Path, postgres: Postgres) -> None:
    first, second = postgres(), postgres()
    assert await first.start() == await second.start()
    assert not await first.stop()
    assert is_held(path=home / "postgres/server.lock")
    assert await second.stop()
    assert not is_held(path=home / "postgres/server.lock")
    assert not await second.stop(), "leaving twice is harmless"


async def test_what_was_written_is_there_after_a_restart(postgres: Postgres) -> None:
    server = postgres()
    async with connected(await server.start()) as connection:
        await connection.execute("CREATE TABLE notes AS SELECT 'kept' AS note")
    await server.stop()
    async with connected(await server.start()) as connection:
        assert await connection.fetchval("SELECT note FROM notes") == "kept"
    await server.stop()


async def test_processes_that_start_together_share_one_server(home: Path) -> None:
    clients = await asyncio.gather(*(start_client(home) for _ in range(3)))
    assert len({client.url for client in clients}) == 1
    assert await asyncio.gather(*(client.leave() for client in clients)) in (
        [True, False, False],
        [False, True, False],
        [False, False, True],
    )
    assert not is_held(path=home / "postgres/server.lock")


async def test_several_that_find_a_server_without_the_database_create_it_once(postgres: Postgres) -> None:
    first = postgres()
    url = await first.start()
    async with connected(sibling(url=url, name="postgres")) as connection:
        await connection.execute("DROP DATABASE bottega")
    others = [postgres() for _ in range(4)]
    assert await asyncio.gather(*(other.start() for other in others)) == [url] * 4
    for server in (first, *others):
        await server.stop()


async def test_a_killed_client_leaves_a_server_that_the_next_one_uses_and_stops(home: Path, postgres: Postgres) -> None:
    client = await start_client(home)
    pid = server_pid(home)
    await client.kill()
    server = postgres()
    assert await server.start() == client.url
    assert server_pid(home) == pid
    assert await server.stop()


async def test_a_killed_server_is_started_again_with_what_was_committed(home: Path, postgres: Postgres) -> None:
    survivor = EmbeddedPostgres(home=home, clock=SystemClock())
    next_one = postgres()
    async with connected(await survivor.start()) as connection:
        await connection.execute("CREATE TABLE notes AS SELECT 'kept' AS note")
    os.kill(server_pid(home), signal.SIGKILL)
    async with connected(await next_one.start()) as connection:
        assert await connection.fetchval("SELECT note FROM notes") == "kept"
    assert not await survivor.stop()
    assert await next_one.stop()


async def test_starting_again_brings_a_killed_server_back(home: Path, postgres: Postgres) -> None:
    server = postgres()
    url = await server.start()
    os.kill(server_pid(home), signal.SIGKILL)
    assert await server.start() == url
    assert await server.stop()


async def test_a_killed_server_comes_back_while_it_is_used(
    home: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bottega.db.embedded.LOOK_SECONDS", 0.02)
    server = postgres()
    url = await server.start()
    keeping = asyncio.create_task(server.keep())
    killed = server_pid(home)
    os.kill(killed, signal.SIGKILL)
    async with asyncio.timeout(20):
        while not await answers(url) or server_pid(home) == killed:  # noqa: ASYNC110  # nobody tells when it is back
            await asyncio.sleep(0.02)
    assert server_pid(home) != killed
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert await server.stop()


async def answers(url: str) -> bool:
    try:
        async with connected(url):
            return True
    except (OSError, asyncpg.PostgresError):
        return False


async def test_a_stale_pid_that_now_is_another_process_does_not_matter(
    home: Path, postgres: Postgres, server_url: str
) -> None:
    server = postgres()
    await server.start()
    await server.stop()
    async with connected(server_url) as connection:
        alive = await connection.fetchval("SELECT pg_backend_pid()")
        (home / "postgres/data/postmaster.pid").write_text(f"{alive}\n/nowhere\n")
        await server.start()
        assert await server.stop()


async def test_a_home_too_deep_for_a_socket_is_reached_by_a_short_path(tmp_path: Path) -> None:
    home = tmp_path / ("deep" * 20) / ("deeper" * 20)
    server = EmbeddedPostgres(home=home, clock=SystemClock(), durable=False)
    async with connected(await server.start()) as connection:
        assert await connection.fetchval("SELECT 1") == 1
    assert await server.stop()


async def test_a_relative_home_with_odd_characters_works(tmp_path: Path) -> None:
    up = "../" * len(Path.cwd().parts)
    home = Path(up, *tmp_path.parts[1:], "a home & 100 % mine?")
    server = EmbeddedPostgres(home=home, clock=SystemClock(), durable=False)
    async with connected(await server.start()) as connection:
        assert await connection.fetchval("SELECT 1") == 1
    assert await server.stop()


async def test_a_home_that_cannot_be_written_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataFolderUnusable, match=r"file/home.*BOTTEGA_HOME"):
        await EmbeddedPostgres(home=tmp_path / "file" / "home", clock=SystemClock()).start()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_read_only_home_is_refused(home: Path, postgres: Postgres) -> None:
    os.mkdir(home, mode=0o500)  # noqa: PTH102 -- ruff takes the method for blocking and the function for old
    with pytest.raises(DataFolderUnusable, match="Permission denied"):
        await postgres().start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another's folder")
async def test_data_of_another_account_is_refused(home: Path, postgres: Postgres) -> None:
    data = home / "postgres/data"
    data.mkdir(parents=True)
    os.chown(data, 12345, 12345)
    with pytest.raises(DataFolderUnusable, match="belongs to user 12345"):
        await postgres().start()


@pytest.mark.parametrize(
    ("version", "sentence"), [("15", "PostgreSQL 15 made it and this is PostgreSQL 18"), (None, "no PostgreSQL")]
)
async def test_data_that_version_18_cannot_read_is_refused(
    home: Path, postgres: Postgres, version: str | None, sentence: str
) -> None:
    server = postgres()
    await server.start()
    await server.stop()
    stamp = home / "postgres/data/PG_VERSION"
    stamp.unlink() if version is None else stamp.write_text(version)
    with pytest.raises(DataFolderUnusable, match=sentence):
        await server.start()
    assert not await server.stop(), "who could not start is no client"


async def test_corrupt_data_is_reported_with_the_end_of_the_log(home: Path, postgres: Postgres) -> None:
    server = postgres()
    await server.start()
    await server.stop()
    os.truncate(home / "postgres/data/global/pg_control", 0)
    with pytest.raises(ServerFailed, match=r"server\.log(.|\n)*pg_control"):
        await server.start()


async def test_an_initdb_that_was_killed_halfway_is_begun_again(home: Path, postgres: Postgres) -> None:
    rest = home / "postgres/data.partial/base"
    rest.mkdir(parents=True)
    server = postgres()
    await server.start()
    assert not rest.exists()
    await server.stop()


async def test_a_server_that_holds_the_data_and_does_not_answer_is_reported(home: Path) -> None:
    folder = home / "postgres"
    folder.mkdir(parents=True)
    lock = await hold_lock(path=folder / "server.lock", exclusive=True, clock=SystemClock(), timeout_seconds=0)
    with pytest.raises(DatabaseInUse, match=str(folder)):
        await EmbeddedPostgres(home=home, clock=HurriedClock(), durable=False).start()
    os.close(lock)


async def test_a_server_that_does_not_hold_our_lock_is_not_trampled(home: Path, postgres: Postgres) -> None:
    """As when somebody started it by hand: two servers on one folder would destroy it."""
    await postgres().start()
    pid = server_pid(home)
    (home / "postgres/server.lock").unlink()
    (home / "postgres/data/.s.PGSQL.5432").unlink()
    with pytest.raises(DatabaseInUse):
        await postgres().start()
    assert server_pid(home) == pid
