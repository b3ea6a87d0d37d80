"""One PostgreSQL data folder: made by initdb, served by one postgres process.

The socket lies in the data folder, so whoever answers there serves that folder. A server holds `server.lock` for as
long as one of its processes lives; the kernel lets go of it, so no stale file is ever believed.

PostgreSQL refuses to run as root. As root the server runs as SERVER_UID, which owns the data folder and nothing else,
and reaches it through an inherited directory handle: the folders above may stay closed to it, and keep their modes.
"""

import os
import pwd
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bottega.core.errors import AppError
from bottega.db.filelock import is_held
from bottega.db.programs import MAJOR_VERSION, NoEmbeddedPostgres, Programs

SUPERUSER = "bottega"
SERVER_UID = 61_032  # nobody's: between the ranges that systemd and useradd hand out

_PROC = Path("/proc")
_LOG_LIMIT_BYTES = 1_000_000
_INITDB = (
    f"--username={SUPERUSER}",
    "--auth=trust",  # the socket lies in a folder that only its owner can enter
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",  # sorts alike on every machine, whatever its libc
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "io_method": "sync",
    "jit": "off",
    "huge_pages": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
_EXPENDABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}


class DataFolderUnusable(AppError):
    code = "database.folder_unusable"

    def __init__(self, *, folder: Path, reason: str | None = None, error: OSError | None = None) -> None:
        why = reason or str(error)
        super().__init__(
            f"The database folder {folder} cannot be used: {why}. "
            "Set BOTTEGA_HOME to a folder of your own, or DATABASE_URL to a PostgreSQL server."
        )
        self.folder = folder


class DatabaseInUse(AppError):
    code = "database.in_use"
    http_status = 503

    def __init__(self, *, folder: Path) -> None:
        super().__init__(
            f"Another PostgreSQL server holds {folder} and does not answer here. If it runs in another container, "
            "stop that one first; if it hangs, end it; or set BOTTEGA_HOME to another folder."
        )
        self.folder = folder


class InitFailed(AppError):
    code = "database.init_failed"

    def __init__(self, *, folder: Path, output: str) -> None:
        super().__init__(f"PostgreSQL could not make its database in {folder}. It said:\n{output}")
        self.folder = folder
        self.output = output


class ServerFailed(AppError):
    code = "database.server_failed"

    def __init__(self, *, log: Path, output: str) -> None:
        super().__init__(f"PostgreSQL did not start. The end of {log}:\n{output}")
        self.log = log
        self.output = output


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """`folder` holds the data, the log and the locks; `durable` is False only where losing everything is fine."""

    folder: Path
    durable: bool

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def server_lock(self) -> Path:
        return self.folder / "server.lock"

    def check(self) -> None:
        """Raise DataFolderUnusable for data that this PostgreSQL or this account cannot serve."""
        made_by = self.data / "PG_VERSION"
        try:
            if not self.data.exists():
                return
            owner = self.data.stat().st_uid
            found = made_by.read_text(encoding="ascii").strip() if made_by.exists() else None
        except OSError as error:
            raise DataFolderUnusable(folder=self.folder, error=error) from error
        if owner != _server_uid():
            raise DataFolderUnusable(folder=self.data, reason=f"it belongs to {_name_of(owner)}")
        if found is None:
            raise DataFolderUnusable(folder=self.data, reason="it holds no PostgreSQL database; move it away")
        if found != MAJOR_VERSION:
            raise DataFolderUnusable(
                folder=self.data, reason=f"PostgreSQL {found} made it and this is PostgreSQL {MAJOR_VERSION}"
            )

    def create(self, *, programs: Programs) -> None:
        """Run initdb beside and rename, so that a data folder is whole or absent."""
        partial = self.folder / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        _give(partial, uid=_initdb_uid())
        handle = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
        try:
            durability = () if self.durable else ("--no-sync",)
            made = _run(
                [str(programs.initdb), "-D", _seen_by_server(partial, handle), *_INITDB, *durability],
                uid=_initdb_uid(),
                keep=(handle,),
                output=subprocess.PIPE,
            )
        finally:
            os.close(handle)
        if made.returncode != 0:
            raise InitFailed(folder=self.folder, output=_last_lines(made.stdout.decode(errors="replace")))
        _give(partial, uid=_server_uid())
        partial.rename(self.data)

    def launch(self, *, programs: Programs, server_lock: int) -> None:
        """Start a server that outlives us and inherits `server_lock`. It is not ready yet when this returns."""
        self._forget_dead_server()
        settings = _SETTINGS if self.durable else _SETTINGS | _EXPENDABLE
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        handle = os.open(self.data, os.O_RDONLY | os.O_DIRECTORY)
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | self._log_mode(), 0o600)
        server = [str(programs.postgres), "-D", _seen_by_server(self.data, handle), *options]
        try:
            # The shell returns at once and leaves the server to init: no child of ours to wait for or to warn about.
            _run(
                ["/bin/sh", "-c", '"$@" &', "sh", *server],
                uid=_server_uid(),
                keep=(handle, server_lock),
                output=log,
            )
        finally:
            os.close(handle)
            os.close(log)

    def signal_fast_shutdown(self) -> bool:
        """Ask the server to roll back, disconnect and leave cleanly; tell whether there was one to ask."""
        pid = self._server_pid()
        if pid is None or not is_held(path=self.server_lock):
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        return True

    def failure(self) -> ServerFailed:
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return ServerFailed(log=self.log, output=_last_lines(text))

    def _server_pid(self) -> int | None:
        """Return the pid of a live server on this data, never one that its number has passed on to."""
        try:
            pid = int((self.data / "postmaster.pid").read_text(encoding="ascii").split("\n", 1)[0])
            return pid if self._is_served_by(_PROC / str(pid)) else None
        except (OSError, ValueError):
            return None

    def _is_served_by(self, process: Path) -> bool:
        if not _PROC.is_dir():
            return True
        try:
            return (process / "cwd").samefile(self.data)
        except PermissionError:  # a container's root may not look into the processes of other accounts
            return (process / "comm").read_text(encoding="utf-8").strip() == "postgres"

    def _forget_dead_server(self) -> None:
        """Remove what a killed server left: its pid may by now be anyone's, and would keep PostgreSQL from starting."""
        if self._server_pid() is not None:
            raise DatabaseInUse(folder=self.folder)  # started by hand: it does not hold our lock
        for name in ("postmaster.pid", ".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
            (self.data / name).unlink(missing_ok=True)

    def _log_mode(self) -> int:
        full = self.log.exists() and self.log.stat().st_size > _LOG_LIMIT_BYTES
        return os.O_TRUNC if full else os.O_APPEND


def _run(command: list[str], *, uid: int, keep: tuple[int, ...], output: int) -> subprocess.CompletedProcess[bytes]:
    other = uid != os.geteuid()
    return subprocess.run(  # noqa: S603 -- our own programs, no shell expansion
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        user=uid if other else None,
        group=uid if other else None,
        extra_groups=() if other else None,
        pass_fds=keep,
        env={"LC_ALL": "C", "PATH": os.defpath},
        cwd="/",
        umask=0o077,
        start_new_session=True,
        check=False,
    )


def _server_uid() -> int:
    return SERVER_UID if os.geteuid() == 0 else os.geteuid()


def _initdb_uid() -> int:
    """Return whom initdb runs as: unlike the server, it insists on an account that has a name."""
    try:
        return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_uid
    except KeyError as error:
        raise NoEmbeddedPostgres(reason="PostgreSQL needs an account with a name, and /etc/passwd has none") from error


def _seen_by_server(folder: Path, handle: int) -> str:
    return f"/proc/self/fd/{handle}" if os.geteuid() == 0 else str(folder)


def _give(root: Path, *, uid: int) -> None:
    if uid == os.geteuid():
        return
    try:
        for folder, folders, files in os.walk(root, topdown=False):
            for name in (*folders, *files):
                os.chown(Path(folder, name), uid, uid, follow_symlinks=False)
        os.chown(root, uid, uid)
    except OSError as error:  # a container whose root is root in name only
        raise NoEmbeddedPostgres(reason="PostgreSQL refuses root, and this root may not use another account") from error


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-12:])
