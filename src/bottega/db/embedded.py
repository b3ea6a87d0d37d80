"""A PostgreSQL of one's own: started by the first process that needs it, found by the others, stopped by the last.

Every process that uses the server holds a shared lock on `clients.lock`; whoever can take it exclusively on leaving is
the last and stops the server. The kernel releases the locks of a killed process, so the next one finds the server
either running or truly gone. Two processes that start at the same time take turns at `start.lock`.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from urllib.parse import quote

import asyncpg
import structlog

from bottega.core.clock import Clock
from bottega.core.errors import AppError
from bottega.db.cluster import SUPERUSER, Cluster, DatabaseInUse, DataFolderUnusable
from bottega.db.filelock import hold_lock, is_held, try_lock
from bottega.db.programs import find_programs

DATABASE = "bottega"
LOOK_SECONDS = 2.0

log = structlog.get_logger()

_PORT = 5432  # of the socket's name only; nothing listens on the network
_SOCKET_PATH_LIMIT = 107  # bytes, by the kernel
_TURN_SECONDS = 60.0  # how long another process may take to start or stop the server
_START_SECONDS = 60.0  # a crashed server replays its log before it answers
_STOP_SECONDS = 30.0
_ANSWER_SECONDS = 5.0
_POLL_SECONDS = 0.005


class EmbeddedPostgres:
    def __init__(self, *, home: Path, clock: Clock, durable: bool = True) -> None:
        """Keep the database under `home`/postgres; `durable=False` trades safety for speed, for tests."""
        self._cluster = Cluster(folder=home.absolute() / "postgres", durable=durable)
        self._clock = clock
        self._client_lock: int | None = None
        self._short_path: Path | None = None

    async def start(self) -> str:
        """Return the URL of the running server's database, starting and creating what is not there yet.

        Called again, it makes sure that the server is still there.
        """
        self._make_folder()
        if self._client_lock is None:
            self._client_lock = await self._turn(self._cluster.folder / "clients.lock", exclusive=False)
        try:
            await self._start_in_turn()
        except BaseException:
            await self.stop()
            raise
        return self._url()

    async def keep(self) -> None:
        """Start the server again whenever it has died, until cancelled: whoever uses it goes on for months."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            if is_held(path=self._cluster.server_lock):
                continue
            log.warning("database.embedded.died")
            try:
                await self._start_in_turn()
            except AppError as error:
                log.warning("database.embedded.not_started", reason=error.message)

    async def stop(self) -> bool:
        """Leave; stop the server if nobody else uses it, and tell whether that was so. Harmless when repeated."""
        lock, self._client_lock = self._client_lock, None
        if lock is None:
            return False
        try:
            last = try_lock(fd=lock, exclusive=True)
            if last:
                await self._shut_down()
        finally:
            os.close(lock)
            if self._short_path is not None:
                shutil.rmtree(self._short_path.parent, ignore_errors=True)
                self._short_path = None
        return last

    def _make_folder(self) -> None:
        folder = self._cluster.folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / "start.lock").touch(mode=0o600)
        except OSError as error:
            raise DataFolderUnusable(folder=folder, error=error) from error

    async def _turn(self, path: Path, *, exclusive: bool) -> int:
        try:
            return await hold_lock(path=path, exclusive=exclusive, clock=self._clock, timeout_seconds=_TURN_SECONDS)
        except TimeoutError as error:
            raise DatabaseInUse(folder=self._cluster.folder) from error
        except OSError as error:
            raise DataFolderUnusable(folder=path.parent, error=error) from error

    async def _start_in_turn(self) -> None:
        if await self._answers():
            return
        turn = await self._turn(self._cluster.folder / "start.lock", exclusive=True)
        try:
            await self._start_unless_started()
        finally:
            os.close(turn)

    async def _start_unless_started(self) -> None:
        """Only one process at a time is in here. A lock still held by a server means: starting, or dying."""
        server_lock = await self._server_lock_unless_answered()
        if server_lock is None:
            return
        try:
            await _to_the_end(asyncio.to_thread(self._launch, server_lock))
        finally:
            os.close(server_lock)  # the server holds it from here on
        await self._wait_until_ready()

    def _launch(self, server_lock: int) -> None:
        self._cluster.check()
        programs = find_programs(for_anyone=os.geteuid() == 0)
        try:
            if not self._cluster.data.exists():
                self._cluster.create(programs=programs)
            self._cluster.launch(programs=programs, server_lock=server_lock)
        except OSError as error:
            raise DataFolderUnusable(folder=self._cluster.folder, error=error) from error

    async def _server_lock_unless_answered(self) -> int | None:
        deadline = self._clock.monotonic() + _START_SECONDS
        while not await self._answers(create=True):
            try:
                return await hold_lock(
                    path=self._cluster.server_lock, exclusive=True, clock=self._clock, timeout_seconds=0
                )
            except TimeoutError as error:
                if self._clock.monotonic() > deadline:
                    raise DatabaseInUse(folder=self._cluster.folder) from error
            await self._clock.sleep(_POLL_SECONDS)
        return None

    async def _wait_until_ready(self) -> None:
        deadline = self._clock.monotonic() + _START_SECONDS
        while not await self._answers(create=True):
            if not is_held(path=self._cluster.server_lock) or self._clock.monotonic() > deadline:
                raise self._cluster.failure()
            await self._clock.sleep(_POLL_SECONDS)

    async def _answers(self, *, create: bool = False) -> bool:
        """Tell whether the server takes connections to our database; `create` it, in our turn, on a new server."""
        if not (self._cluster.data / f".s.PGSQL.{_PORT}").is_socket():
            return False
        try:
            await self._visit(DATABASE)
        except asyncpg.InvalidCatalogNameError:
            if create:
                await self._visit("postgres", f'CREATE DATABASE "{DATABASE}"')
            return create
        except asyncpg.TooManyConnectionsError:
            return True
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            return False
        return True

    async def _visit(self, database: str, statement: str | None = None) -> None:
        connection = await asyncpg.connect(
            host=str(self._socket_folder()), user=SUPERUSER, database=database, timeout=_ANSWER_SECONDS
        )
        try:
            if statement is not None:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def _shut_down(self) -> None:
        if not self._cluster.signal_fast_shutdown():
            return
        deadline = self._clock.monotonic() + _STOP_SECONDS
        while is_held(path=self._cluster.server_lock):
            if self._clock.monotonic() > deadline:
                raise DatabaseInUse(folder=self._cluster.folder)
            await self._clock.sleep(_POLL_SECONDS)

    def _socket_folder(self) -> Path:
        """Return the data folder, or a short way to it where the kernel would find the socket's path too long."""
        data = self._cluster.data
        if len(os.fsencode(data / f".s.PGSQL.{_PORT}")) <= _SOCKET_PATH_LIMIT:
            return data
        if self._short_path is None:
            self._short_path = Path(tempfile.mkdtemp(prefix="bottega-"), "data")
            self._short_path.symlink_to(data.absolute())
        return self._short_path

    def _url(self) -> str:
        host = quote(str(self._socket_folder()), safe="/")
        return f"postgresql+asyncpg://{SUPERUSER}@/{DATABASE}?host={host}&port={_PORT}"


async def _to_the_end(work: Coroutine[None, None, None]) -> None:
    """Wait for a thread even when cancelled: our turn must not pass to another process while initdb still writes."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
