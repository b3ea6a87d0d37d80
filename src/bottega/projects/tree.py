"""Git trees from memory: the id of a set of files, and the objects that make it up.

`tree_hash` names exactly one content: evidence gathered on a tree counts for that tree and no other. It needs no
repository, and equals what git itself would say of the same files, all of them regular and not executable (0644).
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from bottega.core.errors import AppError


class PathConflict(AppError):
    code = "path_conflict"
    http_status = 422

    def __init__(self, path: str) -> None:
        super().__init__(f"{path!r} is both a file and a folder; one of the two needs another name.")
        self.path = path


@dataclass(frozen=True, slots=True, kw_only=True)
class GitObject:
    kind: Literal["blob", "tree"]
    content: bytes
    id: str


def tree_hash(files: Mapping[str, bytes]) -> str:
    """Return the git tree id of `files`, which maps relative POSIX paths to contents."""
    *_, root = tree_objects(files)
    return root.id


def tree_objects(files: Mapping[str, bytes]) -> Iterator[GitObject]:
    """Yield every blob and tree of `files`, children before parents: the last one is the root tree."""
    folders: dict[str, list[tuple[bytes, bytes]]] = {"": []}  # folder -> (name to sort by, entry)
    for path, content in files.items():
        blob = _object("blob", content)
        yield blob
        folder, _, name = path.rpartition("/")
        _open_folder(folders, folder)
        folders[folder].append((name.encode(), _entry(b"100644", name, blob.id)))
    for folder in sorted(folders, key=lambda path: (-path.count("/"), path)):
        if not folder:
            continue  # the root has as many slashes as a folder in it, and must come last
        tree = _tree(folder, folders[folder])
        yield tree
        parent, _, name = folder.rpartition("/")
        # git sorts a folder as if its name ended with a slash
        folders[parent].append((f"{name}/".encode(), _entry(b"40000", name, tree.id)))
    yield _tree("", folders[""])


def _open_folder(folders: dict[str, list[tuple[bytes, bytes]]], folder: str) -> None:
    while folder not in folders:
        folders[folder] = []
        folder = folder.rpartition("/")[0]


def _tree(folder: str, entries: list[tuple[bytes, bytes]]) -> GitObject:
    names = [sort_name.removesuffix(b"/") for sort_name, _ in entries]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1).decode()
        raise PathConflict(f"{folder}/{twice}" if folder else twice)
    return _object("tree", b"".join(entry for _, entry in sorted(entries)))


def _entry(mode: bytes, name: str, object_id: str) -> bytes:
    return b"%s %s\0%s" % (mode, name.encode(), bytes.fromhex(object_id))


def _object(kind: Literal["blob", "tree"], content: bytes) -> GitObject:
    digest = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(content)), usedforsecurity=False)
    digest.update(content)
    return GitObject(kind=kind, content=content, id=digest.hexdigest())
