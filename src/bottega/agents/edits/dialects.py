"""The inside of a block: SEARCH/REPLACE, the apply_patch envelope (V4A) and unified diffs, as edits.

Line numbers in diffs are never believed; a hunk is its context and removed lines, to be found exactly once.
"""

import re
from collections.abc import Sequence

from bottega.agents.edits.types import DeleteFile, Edit, EditFault, ReplaceBlock, WriteFile

SEARCH = re.compile(r"^[<-]{5,9} ?SEARCH>?\s*$")
REPLACE = re.compile(r"^[>+]{5,9} ?REPLACE\s*$")
DELETE = re.compile(r"^\*\*\* Delete File:\s*(\S.*?)\s*$")
BEGIN_PATCH, END_PATCH = "*** Begin Patch", "*** End Patch"
_CLOSING = ">>>>>>> REPLACE"
_DIVIDER = re.compile(r"^={5,9}\s*$")
_PATCH_FILE = re.compile(r"^\*\*\* (Add|Update|Delete) File:\s*(\S.*?)\s*$")
_GIT_NOISE = re.compile(r"^(?:diff |index |new file|deleted file|old mode|new mode|similarity )")


def text_of(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def read_blocks(path: str, lines: Sequence[str]) -> list[Edit]:
    """Read one or more SEARCH/REPLACE blocks; only blank lines may stand between them."""
    edits: list[Edit] = []
    at = 0
    while at < len(lines):
        if SEARCH.match(lines[at]):
            end = _end_of_block(path, lines, at)
            edits.append(_block(path, lines[at + 1 : end]))
            at = end
        elif lines[at].strip():
            raise EditFault(f"{path}: {lines[at].strip()[:80]!r} stands between SEARCH/REPLACE blocks")
        at += 1
    return edits


def _end_of_block(path: str, lines: Sequence[str], start: int) -> int:
    for at in range(start + 1, len(lines)):
        if REPLACE.match(lines[at]):
            return at
        if SEARCH.match(lines[at]):
            break
    if any(line.rstrip().endswith(_CLOSING) for line in lines[start + 1 :]):
        raise EditFault(f"{path}: '=======' and '{_CLOSING}' must each stand alone on a line, at its beginning")
    raise EditFault(f"{path}: a SEARCH block has no '{_CLOSING}' line; it seems cut short", truncated=True)


def _block(path: str, body: Sequence[str]) -> ReplaceBlock:
    dividers = [n for n, line in enumerate(body) if _DIVIDER.match(line)]
    exact = [n for n in dividers if body[n] == "======="]
    if len(exact or dividers) != 1:
        count = len(exact or dividers)
        raise EditFault(
            f"{path}: a SEARCH/REPLACE block has {count} lines that could be its '=======' divider, where exactly one "
            "is needed; write the whole file instead"
        )
    middle = (exact or dividers)[0]
    return ReplaceBlock(path=path, search=text_of(body[:middle]), replace=text_of(body[middle + 1 :]))


def read_envelope(lines: Sequence[str]) -> list[Edit]:
    """Read what stands between `*** Begin Patch` and `*** End Patch`."""
    edits: list[Edit] = []
    sections = [n for n, line in enumerate(lines) if _PATCH_FILE.match(line)]
    if not sections or any(line.strip() for line in lines[: sections[0]]):
        raise EditFault(
            "a '*** Begin Patch' envelope must start with '*** Add File:', 'Update File:' or 'Delete File:'"
        )
    for start, end in zip(sections, [*sections[1:], len(lines)], strict=True):
        header = _PATCH_FILE.match(lines[start])
        if header:
            edits.extend(_section(header[1], header[2], lines[start + 1 : end]))
    return edits


def _section(action: str, path: str, body: Sequence[str]) -> list[Edit]:
    if action == "Delete":
        return [DeleteFile(path=path)]
    if action == "Add":
        stray = next((line for line in body if line.strip() and not line.startswith("+")), None)
        if stray is not None:
            raise EditFault(f"{path}: every line of an added file starts with '+', but one is {stray[:80]!r}")
        return [WriteFile(path=path, content=text_of([line[1:] for line in body if line.startswith("+")]))]
    if any(line.startswith("*** Move to:") for line in body):
        raise EditFault(f"{path}: moving is not supported; write the file at its new path and delete the old one")
    return _hunks(path, [line for line in body if line.strip() != "*** End of File"])


def read_diff(label: str | None, lines: Sequence[str]) -> list[Edit]:
    """Read a unified diff of one or more files; `label` names the file of a diff without headers."""
    headers = [n for n in range(len(lines) - 1) if lines[n].startswith("--- ") and lines[n + 1].startswith("+++ ")]
    if not headers:
        if label is None:
            raise EditFault("a diff block says no path: begin it with '--- a/PATH' and '+++ b/PATH'")
        return _hunks(label, lines)
    edits: list[Edit] = []
    for start, end in zip(headers, [*headers[1:], len(lines)], strict=True):
        edits.extend(_file_diff(lines[start][4:], lines[start + 1][4:], lines[start + 2 : end]))
    return edits


def _file_diff(old: str, new: str, body: Sequence[str]) -> list[Edit]:
    old, new = _diff_path(old, "a/"), _diff_path(new, "b/")
    if new == "/dev/null":
        return [DeleteFile(path=old)]
    if old == "/dev/null":
        return [WriteFile(path=new, content=text_of([line[1:] for line in body if line.startswith("+")]))]
    if old != new:
        raise EditFault(f"{old}: renaming is not supported; write {new} and delete the old file")
    return _hunks(new, body)


def _diff_path(text: str, prefix: str) -> str:
    return text.partition("\t")[0].strip().removeprefix(prefix)


def _hunks(path: str, lines: Sequence[str]) -> list[Edit]:
    hunks: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("@@"):
            hunks.append([])
        elif not (_GIT_NOISE.match(line) or line.startswith("\\ No newline")):
            hunks[-1].append(line)
    edits: list[Edit] = [_hunk(path, hunk) for hunk in hunks if any(line.strip() for line in hunk)]
    if not edits:
        raise EditFault(f"{path}: the patch changes nothing")
    return edits


def _hunk(path: str, lines: list[str]) -> ReplaceBlock:
    while lines and not lines[-1]:
        lines.pop()
    stray = next((line for line in lines if line and line[0] not in " +-"), None)
    if stray is not None:
        raise EditFault(f"{path}: every line of a hunk starts with ' ', '+' or '-', but one is {stray[:80]!r}")
    search = [line[1:] for line in lines if line[:1] != "+"]
    if not search:
        raise EditFault(f"{path}: a hunk that only adds lines needs unchanged lines around them to say where")
    return ReplaceBlock(path=path, search=text_of(search), replace=text_of([n[1:] for n in lines if n[:1] != "-"]))
