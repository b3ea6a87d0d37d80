"""The zip a person receives: the project as it is in git, our papers beside it, and the history as a bundle.

- The same input gives the same bytes, on any machine and at any time.
- Everything is in one folder, so that unpacking never litters.
- The project's files keep their paths. Our own (TODO.md, TESTS.md, RECEIPT.md, the bundle) go to the top; where the
  project has something of that name, ours gives way and goes to `bottega/`.
"""

import io
import re
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping
from itertools import chain, count

from bottega.projects.paths import UnsafePath, safe_path

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say
_REGULAR_0644 = 0o100644 << 16
_UNIX = 3
_LEVEL = 6
_MAX_SLUG = 60


def build_archive(
    *,
    name: str,
    files: Mapping[str, bytes],
    todo_md: str,
    tests_md: str,
    receipt_md: str,
    bundle: bytes,
) -> bytes:
    """Return the zip. `name` is a slug: it names the top folder and the bundle."""
    ours = {
        "TODO.md": todo_md.encode(),
        "TESTS.md": tests_md.encode(),
        "RECEIPT.md": receipt_md.encode(),
        f"{name}.bundle": bundle,
    }
    entries = {safe_path(path): content for path, content in files.items()}
    taken = _Taken(entries)
    entries |= {taken.place(path): content for path, content in ours.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(entries):
            archive.writestr(_info(f"{name}/{path}"), entries[path], compresslevel=_LEVEL)
    return buffer.getvalue()


def slug(title: str) -> str:
    """Return a name that is safe as a file, a folder and a part of a URL: lower-case ASCII, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain)[:_MAX_SLUG].strip("-")
    try:
        return safe_path(name)
    except UnsafePath:  # nothing is left of it, or it is a device on Windows
        return f"project-{name}".rstrip("-")


def _info(path: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, _EPOCH)
    info.create_system = _UNIX
    info.external_attr = _REGULAR_0644
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


class _Taken:
    """The project's names, compared as macOS and Windows compare them: without regard to case."""

    def __init__(self, paths: Mapping[str, bytes]) -> None:
        self._files = {path.casefold() for path in paths}
        self._folders = {folder for path in self._files for folder in _folders_of(path)}

    def place(self, path: str) -> str:
        folders = chain(("", "bottega/"), (f"bottega-{n}/" for n in count(2)))
        return next(folder + path for folder in folders if self._is_free(folder + path))

    def _is_free(self, path: str) -> bool:
        folded = path.casefold()
        return folded not in self._files | self._folders and self._files.isdisjoint(_folders_of(folded))


def _folders_of(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
