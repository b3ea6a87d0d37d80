"""A project's git history: a bare repository whose trees are built from memory.

- There is no worktree, no hook runs, and no configuration but the repository's own is read: nothing a tenant writes
  can configure git.
- A commit's id depends only on its arguments; making it again changes nothing.
- `main` moves only from the commit the caller believes it is at.
- The repository is a cache: the database says where `main` should be, and `rewind` puts it there.

Calls are short and synchronous; run them in a thread where the event loop matters. An instance holds no open handle,
so threads and processes may use the same path.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pygit2
from pygit2.enums import ConfigLevel, ObjectType, SortMode

from bottega.core.errors import AppError
from bottega.projects.paths import UnsafePath, safe_path
from bottega.projects.tree import tree_objects

_FULL_SHA = re.compile(r"[0-9a-f]{40}")
_MAIN = "refs/heads/main"
_ATTEMPTS, _PAUSE_SECONDS = 12, 0.02
_NAME, _EMAIL = "Bottega", "bottega@localhost"
_OBJECT_TYPES = {"blob": ObjectType.BLOB, "tree": ObjectType.TREE}


class HeadMoved(AppError):
    code = "head_moved"
    http_status = 409

    def __init__(self, *, expected: str | None, actual: str | None) -> None:
        super().__init__(
            f"The project's history is at {_short(actual)}, not at {_short(expected)} as expected: "
            "something else has written to it. Nothing was changed.",
        )
        self.expected = expected
        self.actual = actual


class UnknownCommit(AppError):
    code = "unknown_commit"
    http_status = 404

    def __init__(self, sha: str | None) -> None:
        super().__init__(f"The project's history has no commit {_short(sha)}.")
        self.sha = sha


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    sha: str
    tree_hash: str
    message: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file of a commit. `blob` names its content."""

    path: str
    blob: str
    size_bytes: int


class ProjectRepository:
    """The bare repository at `path`, created by the first commit."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def head(self) -> str | None:
        """Return the commit `main` is at, or None where there is none yet."""
        repo = self._open()
        return _head(repo) if repo else None

    def commit(self, *, files: Mapping[str, bytes], message: str, at: datetime, parent: str | None) -> str:
        """Commit exactly `files` on top of `parent` and return the commit's id.

        Raises HeadMoved where `main` is neither at `parent` nor at this very commit already.
        """
        for path in files:
            if safe_path(path) != path:
                raise UnsafePath(path, "it is not in Unicode normal form C")
        repo = self._open() or self._create()
        if parent is not None:
            _commit(repo, parent)
        tree = _write_tree(repo, files)
        who = pygit2.Signature(_NAME, _EMAIL, int(at.timestamp()), 0, "utf-8")
        sha = str(repo.create_commit(None, who, who, message, tree, [parent] if parent else []))
        _move_main(repo, expected=parent, to=sha)
        return sha

    def rewind(self, *, to: str | None) -> None:
        """Put `main` where the database says it is: a commit that was made but never journaled is forgotten."""
        repo = self._open() or self._create()
        if to is not None:
            _commit(repo, to)

        def put() -> None:
            if to is not None:
                repo.references.create(_MAIN, to, force=True)
            elif _MAIN in repo.references:
                repo.references.delete(_MAIN)

        _write_main(repo, put)

    def read(self, sha: str) -> dict[str, bytes]:
        """Return every file of a commit, by path."""
        repo = self._open()
        if repo is None:
            raise UnknownCommit(sha)
        return dict(sorted(_walk(_commit(repo, sha).tree)))

    def entries(self, sha: str) -> tuple[Entry, ...]:
        """Return what a commit holds, by path."""
        return tuple(sorted(_entries(self._tree(sha)), key=lambda entry: entry.path))

    def file(self, sha: str, path: str) -> bytes | None:
        """Return one file of a commit, or None where it has none there."""
        try:
            found = self._tree(sha)[path]
        except KeyError:
            return None
        return found.data if isinstance(found, pygit2.Blob) else None

    def changes(self, sha: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """Return the files that a commit changed, as they were before it and as it left them."""
        repo = self._open()
        if repo is None:
            raise UnknownCommit(sha)
        commit = _commit(repo, sha)
        after = {entry.path: entry for entry in _entries(commit.tree)}
        before = {entry.path: entry for entry in _entries(commit.parents[0].tree)} if commit.parents else {}
        changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        return _contents(repo, before, changed), _contents(repo, after, changed)

    def _tree(self, sha: str) -> pygit2.Tree:
        repo = self._open()
        if repo is None:
            raise UnknownCommit(sha)
        return _commit(repo, sha).tree

    def log(self) -> tuple[LogEntry, ...]:
        """Return the commits of `main`, newest first."""
        repo = self._open()
        return tuple(
            LogEntry(
                sha=str(commit.id),
                tree_hash=str(commit.tree_id),
                message=commit.message,
                at=datetime.fromtimestamp(commit.commit_time, tz=UTC),
            )
            for commit in (_history(repo) if repo else ())
        )

    def bundle(self) -> bytes:
        """Return `main` with its whole history as a git bundle, which `git clone` takes; same history, same bytes."""
        repo = self._open()
        sha = _head(repo) if repo else None
        if repo is None or sha is None:
            raise UnknownCommit(None)
        refs = f"# v2 git bundle\n{sha} HEAD\n{sha} {_MAIN}\n\n"  # HEAD, or a clone would check nothing out
        return refs.encode() + _pack(repo)

    def _open(self) -> pygit2.Repository | None:
        _forget_the_hosts_configuration()
        if not (self._path / "HEAD").exists():
            return None
        return pygit2.Repository(str(self._path), pygit2.enums.RepositoryOpenFlag.NO_SEARCH)

    def _create(self) -> pygit2.Repository:
        """Create it whole or not at all: what somebody leaves behind who is killed at it is in nobody's way."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self._path.parent, prefix=f".{self._path.name}-") as folder:
            new = Path(folder, "new")
            pygit2.init_repository(str(new), bare=True, initial_head="main")
            try:
                new.rename(self._path)
            except OSError:
                if not (self._path / "HEAD").exists():  # else a twin was first
                    raise
        created = self._open()
        assert created is not None  # noqa: S101  # it is there by now
        return created


def _forget_the_hosts_configuration() -> None:
    for level in (ConfigLevel.PROGRAMDATA, ConfigLevel.SYSTEM, ConfigLevel.XDG, ConfigLevel.GLOBAL):
        pygit2.settings.search_path[level] = ""


def _write_tree(repo: pygit2.Repository, files: Mapping[str, bytes]) -> pygit2.Oid:
    root = pygit2.Oid(hex="0" * 40)
    for item in tree_objects(files):
        root = pygit2.Oid(hex=item.id)
        if root not in repo.odb:
            repo.odb.write(_OBJECT_TYPES[item.kind], item.content)
    return root  # the last object is the root, and even no files make one


def _move_main(repo: pygit2.Repository, *, expected: str | None, to: str) -> None:
    """Compare and swap. Raise HeadMoved."""

    def swap() -> None:
        reference = repo.references.get(_MAIN)
        actual = str(reference.target) if reference else None
        if actual == to:
            return
        if actual != expected:
            raise HeadMoved(expected=expected, actual=actual)
        if reference:
            reference.set_target(to)
        else:
            repo.references.create(_MAIN, to)

    _write_main(repo, swap)


def _write_main(repo: pygit2.Repository, write: Callable[[], None]) -> None:
    """Write where `main` is, which libgit2 refuses while it is locked, or when it is no longer what was read.

    Whoever holds its lock for longer than any write takes was killed: it is removed.
    """
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            write()
        except (pygit2.GitError, OSError):
            if attempts_left == 0:
                raise
            if attempts_left == 1:
                Path(repo.path, f"{_MAIN}.lock").unlink(missing_ok=True)
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _head(repo: pygit2.Repository) -> str | None:
    reference = repo.references.get(_MAIN)
    return str(reference.target) if reference else None


def _commit(repo: pygit2.Repository, sha: str) -> pygit2.Commit:
    found: object = repo.get(sha) if _FULL_SHA.fullmatch(sha) else None
    if not isinstance(found, pygit2.Commit):
        raise UnknownCommit(sha)
    return found


def _history(repo: pygit2.Repository) -> Iterator[pygit2.Commit]:
    sha = _head(repo)
    return iter(repo.walk(sha, SortMode.TOPOLOGICAL)) if sha else iter(())


def _walk(tree: pygit2.Tree, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in tree:
        path = f"{prefix}{entry.name}"
        if isinstance(entry, pygit2.Tree):
            yield from _walk(entry, f"{path}/")
        elif isinstance(entry, pygit2.Blob):
            yield path, entry.data


def _entries(tree: pygit2.Tree, prefix: str = "") -> Iterator[Entry]:
    for entry in tree:
        path = f"{prefix}{entry.name}"
        if isinstance(entry, pygit2.Tree):
            yield from _entries(entry, f"{path}/")
        elif isinstance(entry, pygit2.Blob):
            yield Entry(path=path, blob=str(entry.id), size_bytes=entry.size)


def _contents(repo: pygit2.Repository, entries: Mapping[str, Entry], paths: AbstractSet[str]) -> dict[str, bytes]:
    found = {path: repo[entries[path].blob] for path in sorted(paths & entries.keys())}
    return {path: blob.data for path, blob in found.items() if isinstance(blob, pygit2.Blob)}


def _pack(repo: pygit2.Repository) -> bytes:
    builder = pygit2.PackBuilder(repo)
    builder.set_threads(1)  # more threads find other deltas each time
    for commit in _history(repo):
        builder.add_recur(commit.id)
    with TemporaryDirectory(dir=repo.path, prefix="bundle-") as folder:
        builder.write(folder)
        return next(Path(folder).glob("*.pack")).read_bytes()


def _short(sha: str | None) -> str:
    return sha[:12] if sha else "the very beginning"
