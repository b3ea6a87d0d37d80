"""Apply the edits of one reply to a project's files, in memory: all of them or none.

No path leaves the project, no two paths differ only by case or Unicode form, no file stands where a folder does.
A file keeps its line ends, its byte order mark and whether its last line ends.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from bottega.agents.edits.matching import line_end, replace_block
from bottega.agents.edits.syntax import syntax_fault
from bottega.agents.edits.types import DeleteFile, Edit, EditFault, EditRefused, ReplaceBlock, WriteFile, render_edits
from bottega.projects.paths import UnsafePath, safe_path

MAX_FILE_BYTES = 1024 * 1024
_LAZY = re.compile(
    r"rest of|existing code|unchanged|^[ \t]*(?:#|//|/\*|<!--|--)?[ \t]*(?:\.\.\.|…)[ \t]*(?:\*/|-->)?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """`files` holds what changed and nothing else: the new text by path, None for a deleted file."""

    files: Mapping[str, str | None]


def apply_edits(files: Mapping[str, str], edits: Sequence[Edit]) -> Applied:
    """Return what `edits` make of `files`, or raise EditRefused naming every fault; `files` is never changed."""
    draft = _Draft(files)
    faults: list[str] = []
    fine: dict[str, None] = {}
    for edit in edits:
        try:
            fine[draft.apply(edit)] = None
        except UnsafePath as fault:
            faults.append(fault.message)
        except EditFault as fault:
            faults.append(f"{edit.path}: {fault.complaint}")
            draft.broken.add(edit.path)
    found = {**draft.syntax_faults(), **draft.path_faults()}
    faults.extend(f"{path}: {why}" for path, why in found.items())
    if faults:
        good = [path for path in fine if path not in found and path not in draft.broken]
        raise EditRefused(_complaint(faults, good), reply=render_edits(edits))
    return Applied(files=draft.changes())


def _complaint(faults: Sequence[str], fine: Sequence[str]) -> str:
    wrong = "\n".join(f"- {fault}" for fault in faults)
    rest = f"\nThe edits to these files were fine: {', '.join(fine)}." if fine else ""
    return (
        f"Nothing was changed, because {'this edit' if len(faults) == 1 else 'these edits'} cannot be applied:\n"
        f"{wrong}{rest}\nSend the complete reply again, with every edit of the task, "
        "against the files as you were shown them."
    )


class _Draft:
    """The project's files while the edits of one reply go in, one after the other."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.before = files
        self.files = dict(files)
        self.written: dict[str, str] = {}
        self.broken: set[str] = set()

    def apply(self, edit: Edit) -> str:
        """Apply one edit and return its path in normal form."""
        path = safe_path(edit.path)
        match edit:
            case WriteFile(content=content):
                self._write(path, content)
            case ReplaceBlock(search=search, replace=replace):
                self._replace(path, search, replace)
            case DeleteFile():
                self._existing(path)
                del self.files[path]
        return path

    def _write(self, path: str, content: str) -> None:
        _check_content(content)
        if self.written.setdefault(path, content) != content:
            raise EditFault("the reply writes this file twice, differently")
        old = self.files.get(path)
        if old is not None and len(content) * 2 < len(old) and (lazy := _LAZY.search(content)):
            raise EditFault(
                f"{lazy[0].strip()!r} stands for code that would be lost: write the whole file, or change parts of it "
                "with SEARCH/REPLACE blocks"
            )
        self.files[path] = content if old is None else _in_the_manner_of(old, content)

    def _replace(self, path: str, search: str, replace: str) -> None:
        _check_content(replace)
        if not search and not self.files.get(path):
            self.files[path] = replace
            return
        old = self._existing(path)
        if not search:
            raise EditFault("SEARCH is empty but the file is not: copy the lines to replace into it")
        if search != replace:
            new = replace_block(old, search=search, replace=replace)
            _check_content(new)
            self.files[path] = new

    def _existing(self, path: str) -> str:
        if path in self.files:
            return self.files[path]
        name = PurePosixPath(path).name
        namesakes = [known for known in self.files if PurePosixPath(known).name == name][:3]
        hint = f"; did you mean {' or '.join(namesakes)}?" if namesakes else ""
        raise EditFault(f"there is no such file{hint}")

    def changes(self) -> dict[str, str | None]:
        paths = [*self.before, *(path for path in self.files if path not in self.before)]
        return {path: self.files.get(path) for path in paths if self.files.get(path) != self.before.get(path)}

    def syntax_faults(self) -> dict[str, str]:
        changed = {path: text for path, text in self.changes().items() if text is not None and path not in self.broken}
        return {path: why for path, text in changed.items() if (why := syntax_fault(path, text))}

    def path_faults(self) -> dict[str, str]:
        """Return the new paths that cannot stand beside the others on every file system."""
        folders = {_folded(str(parent)) for path in self.files for parent in PurePosixPath(path).parents}
        twins = Counter(_folded(path) for path in self.files)
        names = set(twins)
        faults = {}
        for path in (path for path in self.files if path not in self.before):
            parents = {_folded(str(parent)) for parent in PurePosixPath(path).parents}
            if twins[_folded(path)] > 1:
                faults[path] = "another file has this path but for upper and lower case or accents"
            elif parents & names:
                faults[path] = "a file stands where this path needs a folder"
            elif _folded(path) in folders:
                faults[path] = "a folder of this name exists"
        return faults


def _check_content(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise EditFault("the content is not valid Unicode") from None
    if size > MAX_FILE_BYTES:
        raise EditFault("the file would be larger than 1 MiB; binary and generated files do not belong in a reply")
    if "\0" in text:
        raise EditFault("the content has NUL characters; files are text")


def _in_the_manner_of(old: str, new: str) -> str:
    """Give whole new content the old file's byte order mark, line ends and final newline."""
    if old and not old.endswith("\n"):
        new = new.removesuffix("\n")
    if line_end(old) == "\r\n":
        new = new.replace("\r\n", "\n").replace("\n", "\r\n")
    return _BOM + new if old.startswith(_BOM) and not new.startswith(_BOM) else new


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
