"""What of a project fits into a prompt: a hard budget in bytes, spent on what matters first, and honest about the rest.

Files come without line numbers (models copy them into SEARCH blocks); an excerpt's tag says which lines it is.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from bottega.agents.types import CommandResult, ContextFile

CONTEXT_BYTES = 24 * 1024
DOCUMENTATION_BYTES = 12 * 1024
DIFF_BYTES = 48 * 1024
OUTPUT_BYTES = 6 * 1024
REPLY_BYTES = 32 * 1024
_TREE_PATHS = 300
_LEAST_EXCERPT_BYTES = 400  # a smaller piece of a file says nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """`omitted` names what was left out or cut, with sizes, in words for a model."""

    files: tuple[ContextFile, ...]
    omitted: tuple[str, ...] = ()


def fit_context(
    files: Sequence[ContextFile], *, first: Collection[str] = (), budget_bytes: int = CONTEXT_BYTES
) -> Context:
    """Choose what to show: the files named in `first`, then whole files, then excerpts, each in the caller's order."""
    shown: list[ContextFile] = []
    omitted: list[str] = []
    left = budget_bytes
    for file in sorted(files, key=lambda file: (file.path not in first, not file.whole)):
        piece = _cut(file, left)
        if piece is None:
            omitted.append(f"{file.path} ({_size(file.text)} bytes)")
            continue
        shown.append(piece)
        left -= _size(piece.text)
        if piece is not file:
            last = piece.first_line + len(piece.text.splitlines()) - 1
            omitted.append(f"{file.path} after line {last} ({_size(file.text) - _size(piece.text)} bytes)")
    return Context(files=tuple(shown), omitted=tuple(omitted))


def _cut(file: ContextFile, room: int) -> ContextFile | None:
    if _size(file.text) <= room:
        return file
    if room < _LEAST_EXCERPT_BYTES:
        return None
    text = file.text.encode()[:room].decode(errors="ignore")
    whole_lines = text[: text.rfind("\n") + 1]
    return replace(file, text=whole_lines, whole=False) if whole_lines else None


def clip(text: str, *, limit_bytes: int) -> str:
    """Return `text`, or its beginning and its longer end around a note of what is missing."""
    size = _size(text)
    if size <= limit_bytes:
        return text
    encoded = text.encode()
    head = encoded[: limit_bytes // 3].decode(errors="ignore")
    tail = encoded[size - (limit_bytes - limit_bytes // 3) :].decode(errors="ignore")
    return f"{head}\n[... {size - limit_bytes} bytes left out here ...]\n{tail}"


def clip_results(results: Sequence[CommandResult]) -> tuple[CommandResult, ...]:
    return tuple(replace(result, output=clip(result.output, limit_bytes=OUTPUT_BYTES)) for result in results)


def tree_text(paths: Sequence[str]) -> str:
    shown = list(paths[:_TREE_PATHS])
    more = len(paths) - len(shown)
    return "\n".join([*shown, f"[... and {more} more]"] if more else shown)


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))
