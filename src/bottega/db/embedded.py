"""A PostgreSQL of one's own: started by the first process that needs it, found by the others, stopped by the last.

Every process that uses the server holds a shared lock on `clients.lock`; whoever can take it exclusively on leaving is
the last and stops the server. The kernel releases the locks of a killed process, so the next one finds the server
either running or truly gone. Two processes that start at the same time take turns at `start.lock`.
"""

import asyncio
import os
import shutil
import signal
import tempfile
from pathlib import Path
from urllib.parse import quote

import asyncpg

from bottega.core.clock import Clock
from bottega.core.errors import AppError
from bottega.db.cluster import SUPERUSER, Cluster, DataFolderUnusable
from bottega.db.filelock import hold_lock, is_held, try_lock
from bottega.db.programs import find_programs

DATABASE = "bottega"

_PORT = 5432  # of the socket's name only; nothing listens on the network
_SOCKET_PATH_LIMIT = 107  # bytes, by the kernel
_TURN_SECONDS = 60.0  # how long another process may take to start or stop the server
_START_SECONDS = 60.0  # a crashed server replays its log before it answers
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.005


class DatabaseInUse(AppError):
    code = "database.in_use"
    http_status = 503

    def __init__(self, *, folder: Path) -> None:
        super().__init__(
            f"Another PostgreSQL server holds {folder} and does not answer here. If it runs in another container, "
            "stop that one first; if it hangs, end it; or set BOTTEGA_HOME to another folder."
        )
        self.folder = folder


class EmbeddedPostgres:
    def __init__(self, *, home: Path, clock: Clock, durable: bool = True) -> None:
        """Keep the database under `home`/postgres; `durable=False` trades safety for speed, for tests."""
        self._cluster = Cluster(folder=home.absolute() / "postgres", durable=durable)
        self._clock = clock
        self._client_lock: int | None = None
        self._short_path: Path | None = None

    async def start(self) -> str:
        """Return the URL of the running server's database, starting and creating what is not there yet."""
        self._make_folder()
        folder = self._cluster.folder
        self._client_lock = await self._turn(folder / "clients.lock", exclusive=False)
        try:
            if not await self._answers():
                turn = await self._turn(folder / "start.lock", exclusive=True)
                try:
                    await self._start_unless_started()
                finally:
                    os.close(turn)
        except BaseException:
            await self.stop()
            raise
        return self._url()

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
            raise DataFolderUnusable(folder=folder, reason=(error.strerror or str(error)).lower()) from error

    async def _turn(self, path: Path, *, exclusive: bool) -> int:
        try:
            return await hold_lock(path=path, exclusive=exclusive, clock=self._clock, timeout_seconds=_TURN_SECONDS)
        except TimeoutError as error:
            raise DatabaseInUse(folder=self._cluster.folder) from error
        except OSError as error:
            raise DataFolderUnusable(folder=path.parent, reason=(error.strerror or str(error)).lower()) from error

    async def _start_unless_started(self) -> None:
        """Only one process at a time is in here. A lock still held by a server means: starting, or dying."""
        server_lock = await self._server_lock_unless_answered()
        if server_lock is None:
            return
        try:
            self._cluster.check()
            programs = await asyncio.to_thread(find_programs, for_anyone=os.geteuid() == 0)
            if not self._cluster.data.exists():
                await asyncio.to_thread(self._cluster.create, programs=programs)
            await asyncio.to_thread(self._cluster.launch, programs=programs, server_lock=server_lock)
        finally:
            os.close(server_lock)  # the server holds it from here on
        await self._wait_until_ready()

    async def _server_lock_unless_answered(self) -> int | None:
        deadline = self._clock.monotonic() + _START_SECONDS
        while not await self._answers():
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
        while not await self._answers():
            if not is_held(path=self._cluster.server_lock) or self._clock.monotonic() > deadline:
                raise self._cluster.failure()
            await self._clock.sleep(_POLL_SECONDS)

    async def _answers(self) -> bool:
        """Tell whether the server takes connections to our database, which the first connection creates."""
        if not (self._cluster.data / f".s.PGSQL.{_PORT}").is_socket():
            return False
        try:
            await self._visit(DATABASE)
        except asyncpg.InvalidCatalogNameError:
            await self._visit("postgres", f'CREATE DATABASE "{DATABASE}"')
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            return False
        return True

    async def _visit(self, database: str, statement: str | None = None) -> None:
        connection = await asyncpg.connect(host=str(self._socket_folder()), user=SUPERUSER, database=database)
        try:
            if statement is not None:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def _shut_down(self) -> None:
        pid = self._cluster.server_pid()
        if pid is None or not is_held(path=self._cluster.server_lock):
            return
        os.kill(pid, signal.SIGINT)  # PostgreSQL's "fast": roll back, disconnect, leave cleanly
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
