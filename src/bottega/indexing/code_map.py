"""A map of a project for a prompt: every file with the signatures of its symbols, under a hard byte budget.

The map is drawn as finely as fits: all symbols, or the outer ones, or the paths alone, or as many paths as fit. It is
never cut within a line.
"""

from collections.abc import Iterator, Mapping

from bottega.indexing.symbols import symbols
from bottega.projects.languages import language_of

_INDENT = "  "


def code_map(*, files: Mapping[str, str], max_bytes: int) -> str:
    """Return the finest map of at most `max_bytes` UTF-8 bytes; `files` maps paths to texts."""
    entries = [
        (path, [(symbol.depth, symbol.signature) for symbol in symbols(text=text, language=language_of(path)) or ()])
        for path, text in sorted(files.items())
    ]
    for deepest in (9, 0, -1):
        drawn = "".join(f"{line}\n" for path, found in entries for line in _lines(path, found, deepest=deepest))
        if len(drawn.encode()) <= max_bytes:
            return drawn
    return _as_many_as_fit([path for path, _ in entries], max_bytes=max_bytes)


def _lines(path: str, found: list[tuple[int, str]], *, deepest: int) -> Iterator[str]:
    yield path
    for depth, signature in found:
        if depth <= deepest:
            yield f"{_INDENT * (depth + 1)}{signature}"


def _as_many_as_fit(paths: list[str], *, max_bytes: int) -> str:
    room = max_bytes - len(_more(len(paths)).encode())
    shown = ""
    for number, path in enumerate(paths):
        room -= len(path.encode()) + 1
        if room < 0:
            shown += _more(len(paths) - number)
            break
        shown += f"{path}\n"
    return shown if len(shown.encode()) <= max_bytes else ""


def _more(count: int) -> str:
    return f"... and {count} more files\n"
