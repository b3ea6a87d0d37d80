"""The three things a reply can do to a file, and how to write them down in the format we ask models for.

Text of an edit has LF line ends, and every line of a SEARCH/REPLACE block ends with one.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bottega.agents.types import UnusableReply

SEARCH_MARK, DIVIDER, REPLACE_MARK = "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE"
DELETE_MARK = "*** Delete File: "


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFile:
    """Create the file, or replace all of it."""

    path: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceBlock:
    """Replace the one place where `search` stands. An empty `search` creates the file."""

    path: str
    search: str
    replace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteFile:
    path: str


Edit = WriteFile | ReplaceBlock | DeleteFile


class EditRefused(UnusableReply):
    """The edits of a reply cannot be used, and none of them was."""

    code = "edit_refused"


class EditFault(ValueError):
    """What is wrong with one edit, written for the model; `truncated` when the reply seems to end too early."""

    def __init__(self, complaint: str, *, truncated: bool = False) -> None:
        super().__init__(complaint)
        self.complaint = complaint
        self.truncated = truncated


def render_edits(edits: Iterable[Edit]) -> str:
    """Write edits as a model should have written them; `parse_edits` reads them back."""
    return "\n".join(_render(edit) for edit in edits)


def _render(edit: Edit) -> str:
    match edit:
        case WriteFile(path=path, content=content):
            return _fenced(path, content)
        case ReplaceBlock(path=path, search=search, replace=replace):
            return _fenced(path, f"{SEARCH_MARK}\n{search}{DIVIDER}\n{replace}{REPLACE_MARK}\n")
        case DeleteFile(path=path):
            return f"{DELETE_MARK}{path}\n"


def _fenced(path: str, body: str) -> str:
    longest = max((len(run) for run in re.findall(r"`{3,}", body)), default=2)
    fence = "`" * (longest + 1)
    end = "" if body.endswith("\n") or not body else "\n"
    return f"{path}\n{fence}\n{body}{end}{fence}\n"
