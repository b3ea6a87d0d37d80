"""What a button under a message means, in the 64 bytes that Telegram gives back when it is pressed.

- `decode(encode(press)) == press`; data is ASCII and never longer than 64 bytes.
- What comes back may be forged: anything that `encode` would not have written is None. Whose project or question an id
  names is for the engine to ask; a press proves nothing but that somebody pressed.
"""

import base64
import dataclasses
import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

MOST_BYTES = 64
_NUMBER = re.compile(r"0|[1-9][0-9]{0,5}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_-]{1,50}", re.ASCII)
_PACKED_ID = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """`code` names the kind in two characters. Fields are ids, numbers below a million and short words."""

    code: ClassVar[str]


def encode(press: Press) -> str:
    """Return a button's data. Raise ValueError for a word or number that does not fit."""
    values = (getattr(press, field.name) for field in dataclasses.fields(press))
    data = ".".join([press.code, *map(_written, values)])
    if len(data) > MOST_BYTES:
        raise ValueError(f"{type(press).__name__} needs {len(data)} bytes, {MOST_BYTES} fit")
    return data


def decode(data: str) -> Press | None:
    """Return what a button's data means, or None where no button of ours has such data."""
    code, *parts = data.split(".")
    kind = _kinds().get(code)
    if kind is None:
        return None
    fields = dataclasses.fields(kind)
    if len(parts) != len(fields) or len(data) > MOST_BYTES:
        return None
    values = {field.name: _read(part, as_type=field.type) for field, part in zip(fields, parts, strict=True)}
    return None if None in values.values() else kind(**values)


def paths_mark(paths: Sequence[str]) -> str:
    """Return what tells one list of files from another, for `ChangeFile`."""
    return hashlib.sha256("\n".join(paths).encode(errors="replace")).hexdigest()[:12]


@cache
def _kinds() -> Mapping[str, type[Press]]:
    """Return the kinds by code. A class that slots replaced may still be among the subclasses, before its successor."""
    return {kind.code: kind for kind in Press.__subclasses__()}


def _written(value: object) -> str:
    match value:
        case uuid.UUID():
            return base64.urlsafe_b64encode(value.bytes).decode().rstrip("=")
        case int() if _NUMBER.fullmatch(str(value)):
            return str(value)
        case str() if _WORD.fullmatch(value):
            return value
        case _:
            raise ValueError(f"{value!r:.80} cannot stand in a button")


def _read(part: str, *, as_type: object) -> uuid.UUID | int | str | None:
    if as_type is uuid.UUID:
        return _read_id(part)
    if as_type is int:
        return int(part) if _NUMBER.fullmatch(part) else None
    return part if _WORD.fullmatch(part) else None


def _read_id(part: str) -> uuid.UUID | None:
    """Read an id that is written in the one way we write it: 22 characters could say each id in sixteen."""
    if not _PACKED_ID.fullmatch(part):
        return None
    found = uuid.UUID(bytes=base64.urlsafe_b64decode(part + "=="))
    return found if _written(found) == part else None


# ---- beginning ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class UseExample(Press):
    """Begin with one of the three example briefs, by its number from 1."""

    code: ClassVar[str] = "ex"
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginAnyway(Press):
    """Begin with what was said, although it is short; the chat remembers what that was."""

    code: ClassVar[str] = "bg"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverMind(Press):
    """Leave what the chat is in the middle of."""

    code: ClassVar[str] = "nm"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProject(Press):
    """What is said next is a brief."""

    code: ClassVar[str] = "nw"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeantFor(Press):
    """The text that the chat remembers is about this project."""

    code: ClassVar[str] = "mf"
    project_id: uuid.UUID


# ---- requirements and plan ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOption(Press):
    """`index` counts in the question's own options, from 0, in whatever order they are shown."""

    code: ClassVar[str] = "ao"
    question_id: uuid.UUID
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideForMe(Press):
    """Take the recommended option of this question."""

    code: ClassVar[str] = "dm"
    question_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideAllForMe(Press):
    """Take the recommended option of every question that is open."""

    code: ClassVar[str] = "da"
    project_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Approve(Press):
    code: ClassVar[str] = "ok"
    project_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePlan(Press):
    """What is said next is what to change about the plan."""

    code: ClassVar[str] = "ch"
    project_id: uuid.UUID


# ---- work under way -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(Press):
    code: ClassVar[str] = "pa"
    project_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(Press):
    """Go on from where it stopped, whatever it stopped for."""

    code: ClassVar[str] = "re"
    project_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Press):
    """Ask whether to stop for good; nothing is stopped yet."""

    code: ClassVar[str] = "ca"
    project_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelForGood(Press):
    code: ClassVar[str] = "cg"
    project_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowDetails(Press):
    code: ClassVar[str] = "de"
    project_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowStatus(Press):
    code: ClassVar[str] = "st"
    project_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class TryAgain(Press):
    code: ClassVar[str] = "ta"
    project_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class StrongerModel(Press):
    code: ClassVar[str] = "sm"
    project_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Explain(Press):
    """What is said next is a remark to whoever works on the task."""

    code: ClassVar[str] = "xp"
    project_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class DropTask(Press):
    code: ClassVar[str] = "dr"
    project_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RaiseLimit(Press):
    """What is said next is what the project may cost."""

    code: ClassVar[str] = "rl"
    project_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftLimit(Press):
    """The project needs no limit of its own any more."""

    code: ClassVar[str] = "ll"
    project_id: uuid.UUID


# ---- what was made ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Download(Press):
    code: ClassVar[str] = "dl"
    project_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowReceipt(Press):
    code: ClassVar[str] = "rc"
    project_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeIt(Press):
    """Choose a file of a delivered project to be changed; pages count from 0."""

    code: ClassVar[str] = "ci"
    project_id: uuid.UUID
    page: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeFile(Press):
    """What is said next is what to change in this file, by its place among the project's sorted paths, from 0.

    `mark` is `paths_mark` of those paths: the press means nothing once they are others.
    """

    code: ClassVar[str] = "cf"
    project_id: uuid.UUID
    index: int
    mark: str


# ---- the account --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowProjects(Press):
    """Pages count from 0."""

    code: ClassVar[str] = "pr"
    page: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenProject(Press):
    """Make it the project that this chat speaks of."""

    code: ClassVar[str] = "op"
    project_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowCredits(Press):
    code: ClassVar[str] = "cr"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowHistory(Press):
    code: ClassVar[str] = "hi"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowPackages(Press):
    code: ClassVar[str] = "pk"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuyWithStars(Press):
    code: ClassVar[str] = "bs"
    package: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuyWithCard(Press):
    code: ClassVar[str] = "bc"
    package: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowHelp(Press):
    code: ClassVar[str] = "he"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowSettings(Press):
    code: ClassVar[str] = "se"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowLanguages(Press):
    code: ClassVar[str] = "la"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChooseLanguage(Press):
    code: ClassVar[str] = "lc"
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteMyData(Press):
    """Ask whether to delete everything; nothing is deleted yet."""

    code: ClassVar[str] = "dd"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteForGood(Press):
    code: ClassVar[str] = "dg"
