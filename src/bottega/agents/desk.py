"""The folder an outside program edits a project's files in, and what may be believed of it afterwards.

The program sees text files under paths we checked, and nothing that would configure it or git. What it leaves is read
without following a link; whatever could not be part of a project is a fault of the whole. A desk is locked while it is
in use, so that one whose process was killed is known by its open lock, and swept.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bottega.core.errors import AppError
from bottega.projects.paths import UnsafePath, safe_path

_CONFIGURES = (".aider", ".env", ".git")  # how the names begin of what a program like this obeys
_UNLOCKED = "."  # how the name of a desk begins before it is locked
_KEPT_BY_GIT = {".gitignore", ".gitkeep"}
MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES = 400_000, 2_000, 20_000_000


class DeskSpoiled(AppError):
    """Something on the desk cannot be part of a project; `complaint` is written for whoever tries next."""

    code = "desk_spoiled"
    http_status = 502

    def __init__(self, complaint: str) -> None:
        super().__init__(complaint)
        self.complaint = complaint


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """`project` holds the files; `home` is the program's own, and nothing of it is kept."""

    folder: Path

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def lay_out(self, files: Mapping[str, str]) -> None:
        for path, text in files.items():
            target = self.project / safe_path(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode())

    def collect(self) -> dict[str, str]:
        """Return the files as they are now, or raise DeskSpoiled."""
        found: dict[str, str] = {}
        total = 0
        for path, size in _walk(self.project, ""):
            total += size
            if len(found) >= MAX_FILES or total > MAX_TOTAL_BYTES:
                raise DeskSpoiled("The project became too large: do only what the task asks for.")
            found[path] = _text(self.project, path)
        return found


def is_shown(path: str) -> bool:
    """Tell whether a file may lie on a desk: nothing of a project may configure the program that edits it."""
    names = [name.casefold() for name in path.split("/")]
    return not any(name.startswith(_CONFIGURES) and name not in _KEPT_BY_GIT for name in names)


def _walk(root: Path, folder: str) -> Iterator[tuple[str, int]]:
    with os.scandir(root / folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if not is_shown(path):
                continue  # its own notes
            kind = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(kind.st_mode):
                yield from _walk(root, _checked(path))
            elif stat.S_ISREG(kind.st_mode) and kind.st_nlink == 1:
                if kind.st_size > MAX_FILE_BYTES:
                    raise DeskSpoiled(
                        f"{path!r} became {kind.st_size:,} bytes; at most {MAX_FILE_BYTES:,} are allowed."
                    )
                yield _checked(path), kind.st_size
            else:
                raise DeskSpoiled(f"{path!r} became something else than a file or a folder; no links are allowed.")


def _checked(path: str) -> str:
    try:
        normal = safe_path(path)
    except UnsafePath as error:
        raise DeskSpoiled(error.message) from error
    if normal != path:
        raise DeskSpoiled(f"The path {path!r} is not in Unicode normal form C.")
    return path


def _text(root: Path, path: str) -> str:
    with os.fdopen(os.open(root / path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        raw = file.read(MAX_FILE_BYTES + 1)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise DeskSpoiled(f"{path!r} became something that is not UTF-8 text.") from error
    if "\0" in text or len(raw) > MAX_FILE_BYTES:
        raise DeskSpoiled(f"{path!r} became something that is not a text file of a project.")
    return text


@contextmanager
def a_desk(folder: Path) -> Iterator[Desk]:
    """Lend a fresh desk below `folder`, and clear it and those that were left behind."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep(folder)
    fresh = Path(tempfile.mkdtemp(dir=folder, prefix=_UNLOCKED))
    lock = os.open(fresh, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    desk = Desk(folder=fresh.rename(folder / fresh.name.removeprefix(_UNLOCKED)))
    try:
        desk.project.mkdir()
        desk.home.mkdir()
        yield desk
    finally:
        shutil.rmtree(desk.folder, ignore_errors=True)
        os.close(lock)


def sweep(folder: Path) -> None:
    """Remove the desks nobody works at: the kernel opens the lock of a process that is gone."""
    for left in folder.iterdir():
        if left.name.startswith(_UNLOCKED):
            continue
        try:
            lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)
