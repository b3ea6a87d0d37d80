"""Read edits out of a model's reply.

Prose between blocks is fine, and so are blocks that only illustrate (shell, console). Everything else that looks like
code must say which file it is, or the reply is refused: a block we overlook is a file the project lacks.
A block ends at a fence no more indented and no shorter than the one that opened it; a fence with a language inside a
block opens a nested one, so that markdown within markdown survives where it can, and is refused where it cannot.
"""

import re
from collections.abc import Callable, Sequence

from bottega.agents.edits.dialects import (
    BEGIN_PATCH,
    DELETE,
    END_PATCH,
    REPLACE,
    SEARCH,
    read_blocks,
    read_diff,
    read_envelope,
    text_of,
)
from bottega.agents.edits.labels import info_path, label_path, mentioned_path
from bottega.agents.edits.types import DeleteFile, Edit, EditFault, EditRefused, WriteFile

_FENCE = re.compile(r"^(?P<indent> {0,3})(?P<ticks>`{3,}|~{3,})(?P<info>[^`]*)$")
_THOUGHT = re.compile(r"^\s*<(think|thinking|reasoning)>", re.IGNORECASE)
_THOUGHT_END = re.compile(r"</(?:think|thinking|reasoning)>", re.IGNORECASE)
_SHELLS = {"sh", "bash", "shell", "zsh", "console", "text", "txt", "output", "powershell", "shell-session", "mermaid"}
_DIFFS = {"diff", "patch", "udiff"}
_Read = Callable[[Sequence[str]], list[Edit]]
_LABEL_REACH = 2  # lines of prose a path may stand above its block

_NO_EDITS = (
    "No edit was found in your reply. Write each file's path alone on a line, then a fenced block with the whole file "
    "or with SEARCH/REPLACE blocks."
)


def parse_edits(text: str) -> tuple[Edit, ...]:
    """Return the edits of a reply in their order, or raise EditRefused with everything that is wrong with it."""
    reader = _Reader(text)
    try:
        reader.read()
    except EditFault as fault:
        reader.faults.append(fault)
    if any(fault.truncated for fault in reader.faults):
        raise EditRefused(_complaint(reader), reply=text, truncated=True)
    if reader.faults:
        raise EditRefused(_complaint(reader), reply=text)
    if not reader.edits:
        raise EditRefused(_NO_EDITS, reply=text)
    return tuple(reader.edits)


def _complaint(reader: "_Reader") -> str:
    wrong = "\n".join(f"- {fault.complaint}" for fault in reader.faults)
    paths = ", ".join(dict.fromkeys(edit.path for edit in reader.edits))
    fine = f"\nThe rest could be read: {paths}." if paths else ""
    return f"Your reply could not be read, so nothing was changed:\n{wrong}{fine}\nSend the complete reply again."


class _Reader:
    """Walks the reply line by line; `label` is the file the next block belongs to, while one is in reach."""

    def __init__(self, text: str) -> None:
        self.lines = text.replace("\r\n", "\n").split("\n")
        self.at = 0
        self.edits: list[Edit] = []
        self.faults: list[EditFault] = []
        self.label: str | None = None
        self.label_age = 0
        self.prose = ""
        self.last_path: str | None = None  # of the last SEARCH/REPLACE block, which may be followed by more

    def read(self) -> None:
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if _THOUGHT.match(line):
                self._skip_thoughts()
            elif line.strip().lower() in {"</think>", "</thinking>"}:
                self._forget()  # some servers strip the opening tag: all above was thinking
            elif line.strip() == BEGIN_PATCH:
                self._envelope()
            elif deleted := DELETE.match(line):
                self.edits.append(DeleteFile(path=deleted[1].strip("`")))
                self.at += 1
            elif SEARCH.match(line):
                self._bare_block()
            elif opening := _FENCE.match(line):
                self._fenced(opening)
            else:
                self._read_prose(line)

    def _skip_thoughts(self) -> None:
        for at in range(self.at, len(self.lines)):
            if end := _THOUGHT_END.search(self.lines[at]):
                self.lines[at] = self.lines[at][end.end() :]
                self.at = at
                return
        raise EditFault("the reply ends inside your thinking; it was cut short", truncated=True)

    def _forget(self) -> None:
        self.edits, self.faults, self.label, self.last_path = [], [], None, None
        self.at += 1

    def _read_prose(self, line: str) -> None:
        self.at += 1
        if not line.strip():
            return
        self.prose = line
        if path := label_path(line) or mentioned_path(line):
            self.label, self.label_age = path, 0
        else:
            self.label_age += 1
            if self.label_age > _LABEL_REACH:
                self.label = None

    def _envelope(self) -> None:
        end = next((n for n in range(self.at, len(self.lines)) if self.lines[n].strip() == END_PATCH), None)
        if end is None:
            raise EditFault("'*** Begin Patch' has no '*** End Patch'; the reply seems cut short", truncated=True)
        self._collect(read_envelope, self.lines[self.at + 1 : end])
        self.at = end + 1

    def _bare_block(self) -> None:
        end = next((n for n in range(self.at, len(self.lines)) if REPLACE.match(self.lines[n])), len(self.lines))
        path, lines = self.label or self.last_path, self.lines[self.at : end + 1]
        number, self.at, self.label = self.at + 1, end + 1, None
        self._blocks(path, lines, number)

    def _fenced(self, opening: re.Match[str]) -> None:
        number = self.at + 1
        body = self._body(opening)
        label, self.label = info_path(opening["info"]) or self.label, None
        try:
            self._read_block(label, opening["info"].strip().partition(" ")[0].lower(), body, number)
        except EditFault as fault:
            self.faults.append(fault)

    def _body(self, opening: re.Match[str]) -> list[str]:
        """Return the block's lines and step behind its closing fence. Inside SEARCH/REPLACE, fences are content."""
        start, depth, within, markers = self.at + 1, 0, False, False
        for at in range(start, len(self.lines)):
            line = self.lines[at]
            markers = markers or (SEARCH.match(line) is not None and _starts_with_marker(self.lines[start : at + 1]))
            if markers and (SEARCH.match(line) or within):
                within = not REPLACE.match(line)
                continue
            fence = _FENCE.match(line)
            if fence is None or not _pairs(opening, fence):
                continue
            if fence["info"].strip():
                depth += 1
            elif depth:
                depth -= 1
            else:
                self.at = at + 1
                return self.lines[start:at]
        raise EditFault(
            f"line {self.at + 1}: the block opened with {self.lines[self.at].strip()[:40]!r} is never closed. Either "
            "the reply was cut short, or the content has fences of its own: then open and close the block with more "
            "backticks than any inside it",
            truncated=True,
        )

    def _read_block(self, label: str | None, language: str, body: list[str], number: int) -> None:
        first, rest = _first_line(body)
        if BEGIN_PATCH in (first.strip(), _first_line(rest)[0].strip()):
            self._collect(read_envelope, _inside_envelope(body))
        elif first and all(DELETE.match(line) for line in body if line.strip()):
            self.edits.extend(DeleteFile(path=found[1].strip("`")) for line in body if (found := DELETE.match(line)))
        elif SEARCH.match(first):
            self._blocks(label or self.last_path, body, number)
        elif SEARCH.match(_first_line(rest)[0]) and (inner := label_path(first)):
            self._blocks(inner, rest, number)
        elif language in _DIFFS and not (label or "").endswith((".diff", ".patch")):
            self._collect(lambda lines: read_diff(label, lines), body)
        elif label is not None and not (language in _SHELLS and self.label_age):
            self.edits.append(WriteFile(path=label, content=text_of(body)))
        else:
            self._without_label(language, body, number)

    def _without_label(self, language: str, body: list[str], number: int) -> None:
        first, rest = _first_line(body)
        if language in _SHELLS or (not language and self.prose.rstrip().endswith(":")):
            return
        if language and (path := label_path(first)):
            self.edits.append(WriteFile(path=path, content=text_of(rest)))
            return
        raise EditFault(
            f"line {number}: the block has no path on the line above it. If it is part of a file that has fences of "
            "its own, open and close that file's block with more backticks than any inside it"
        )

    def _blocks(self, path: str | None, lines: list[str], number: int) -> None:
        if path is None:
            self.faults.append(EditFault(f"line {number}: the SEARCH/REPLACE block has no path on the line above it"))
            return
        self.last_path = path
        self._collect(lambda body: read_blocks(path, body), lines)

    def _collect(self, read: _Read, lines: list[str]) -> None:
        try:
            self.edits.extend(read(lines))
        except EditFault as fault:
            self.faults.append(fault)


def _pairs(opening: re.Match[str], fence: re.Match[str]) -> bool:
    long_enough = fence["ticks"].startswith(opening["ticks"])
    return long_enough and len(fence["indent"]) <= len(opening["indent"]) and " " not in fence["info"].strip()


def _first_line(lines: list[str]) -> tuple[str, list[str]]:
    """Return the first line that is not blank, and the lines after it."""
    at = next((n for n, line in enumerate(lines) if line.strip()), None)
    return ("", []) if at is None else (lines[at], lines[at + 1 :])


def _starts_with_marker(lines: list[str]) -> bool:
    """Say whether a block begins with SEARCH, perhaps below its path; elsewhere the marker is a file's content."""
    first, rest = _first_line(lines)
    return bool(SEARCH.match(first)) or bool(SEARCH.match(_first_line(rest)[0]) and label_path(first))


def _inside_envelope(body: list[str]) -> list[str]:
    start = next(n for n, line in enumerate(body) if line.strip() == BEGIN_PATCH)
    end = next((n for n, line in enumerate(body) if line.strip() == END_PATCH), None)
    if end is None:
        raise EditFault("'*** Begin Patch' has no '*** End Patch'; the reply seems cut short", truncated=True)
    return body[start + 1 : end]
