"""The difference between two states of a project, as people and models read it: a unified diff under a size cap."""

import difflib
import re
from collections.abc import Iterator, Mapping

_MAX_LINES = 5_000  # difflib is quadratic at worst; nobody reads a diff of more
_NOTICE_BYTES = 500
_NO_NEWLINE = "\\ No newline at end of file"


def diff(*, before: Mapping[str, str], after: Mapping[str, str], max_bytes: int = 64 * 1024) -> str:
    """Return a unified diff of at most `max_bytes` UTF-8 bytes; what is left out is named, file by file."""
    shown: list[str] = []
    omitted: list[str] = []
    room = max_bytes - _NOTICE_BYTES
    for path in sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path)):
        part = _file_diff(path, before.get(path), after.get(path))
        size = len(part.encode())
        if size > room:
            omitted.append(path)
            continue
        shown.append(part)
        room -= size
    return "".join(shown) + _notice(omitted)


def _notice(omitted: list[str]) -> str:
    if not omitted:
        return ""
    files = "1 changed file" if len(omitted) == 1 else f"{len(omitted)} changed files"
    named = f"Left out for size: {files}: {', '.join(omitted)}\n"
    return named if len(named.encode()) <= _NOTICE_BYTES else f"Left out for size: {files}.\n"


def _file_diff(path: str, old: str | None, new: str | None) -> str:
    a, b = _lines(old), _lines(new)
    if max(len(a), len(b)) > _MAX_LINES:
        return f"--- {path}: changed, {len(a)} lines before and {len(b)} after (too long to show)\n"
    header = (f"a/{path}" if old is not None else "/dev/null", f"b/{path}" if new is not None else "/dev/null")
    return "".join(_terminated(difflib.unified_diff(a, b, *header))) or f"--- {header[0]}\n+++ {header[1]}\n"


def _lines(text: str | None) -> list[str]:
    """Split at line feeds only, as git does: str.splitlines would also split at form feeds and the like."""
    return re.findall(r"[^\n]*\n|[^\n]+", text or "")


def _terminated(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}\n"
