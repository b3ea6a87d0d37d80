"""Files cut into chunks along their symbols: a function, a method, a class without its methods, the code between.

Every line that is not blank is in exactly one chunk, and chunks are in the order of the file. Python, JavaScript,
TypeScript and TSX are parsed with tree-sitter; any other file, and one that does not parse, is cut into windows.
Long symbols are cut into windows too, which keep the symbol's name. Pure: text in, values out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from bottega.indexing.symbols import Symbol, symbols
from bottega.indexing.words import identifiers

_WINDOW = 40  # lines
_LONGEST_SYMBOL = 80  # lines; a longer one is cut into windows
_MAX_INDEXED_CHARACTERS = 1_000_000
_DECLARING = {"module", "class"}  # where an assignment introduces a name for others
_ASSIGNED = re.compile(r"^ *(?:export +)?(?:(?:const|let|var) +)?([^\W\d]\w*)(?: *:[^=\n]*)? *=(?!=)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """`symbol` is qualified (`Ledger.settle`), empty for code outside symbols; lines are 1-based and inclusive.

    `defines` and `uses` count identifiers as they are written: the names the chunk introduces, and all its words.
    """

    symbol: str
    kind: str  # function | class | method | interface | ... | module | window
    start_line: int
    end_line: int
    defines: Mapping[str, int]
    uses: Mapping[str, int]


def chunk_file(*, text: str, language: str) -> tuple[Chunk, ...]:
    """Cut a file into chunks."""
    text = text[:_MAX_INDEXED_CHARACTERS]
    lines = text.split("\n")
    found = symbols(text=text, language=language)
    if found is None:
        return tuple(_windows(lines, owner=None, kind="window", numbers=range(1, len(lines) + 1)))
    return tuple(
        chunk
        for owner, numbers in _runs(found, count=len(lines))
        for chunk in _pieces(lines, owner=owner, numbers=numbers)
    )


def _runs(found: Sequence[Symbol], *, count: int) -> Iterator[tuple[Symbol | None, range]]:
    """Give every line to the innermost symbol it is in, and yield the runs of lines of one owner."""
    owners: list[Symbol | None] = [None] * (count + 1)
    for symbol in found:  # outer symbols come before those inside them
        for number in range(symbol.start_line, min(symbol.end_line, count) + 1):
            owners[number] = symbol
    for owner, run in groupby(range(1, count + 1), key=lambda number: owners[number]):
        numbers = list(run)
        yield owner, range(numbers[0], numbers[-1] + 1)


def _pieces(lines: Sequence[str], *, owner: Symbol | None, numbers: range) -> Iterator[Chunk]:
    kind = owner.kind if owner else "module"
    if len(numbers) > _LONGEST_SYMBOL:
        yield from _windows(lines, owner=owner, kind=kind, numbers=numbers)
    elif chunk := _chunk(lines, owner=owner, kind=kind, numbers=numbers):
        yield chunk


def _windows(lines: Sequence[str], *, owner: Symbol | None, kind: str, numbers: range) -> Iterator[Chunk]:
    for at in range(0, len(numbers), _WINDOW):
        if chunk := _chunk(lines, owner=owner, kind=kind, numbers=numbers[at : at + _WINDOW]):
            yield chunk


def _chunk(lines: Sequence[str], *, owner: Symbol | None, kind: str, numbers: range) -> Chunk | None:
    """Return the chunk of these lines, without blank ones around it; None when all are blank."""
    full = [number for number in numbers if lines[number - 1].strip()]
    if not full:
        return None
    start, end = full[0], full[-1]
    name = owner.name if owner else ""
    text = "\n".join(lines[start - 1 : end])
    names = [name, *_ASSIGNED.findall(text)] if kind in _DECLARING else [name]
    return Chunk(
        symbol=name,
        kind=kind,
        start_line=start,
        end_line=end,
        defines=identifiers(" ".join(names)),
        uses=identifiers(text),
    )
