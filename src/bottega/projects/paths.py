"""Which paths a project may hold. One function, used wherever a path comes from a model, a person or an archive."""

import unicodedata

from bottega.core.errors import AppError

_RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"com{n}" for n in range(1, 10)),
    *(f"lpt{n}" for n in range(1, 10)),
}
_MAX_BYTES, _MAX_SEGMENT_BYTES, _MAX_DEPTH = 400, 255, 20


class UnsafePath(AppError):
    code = "unsafe_path"
    http_status = 422

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"The path {path[:200]!r} cannot be used: {why}.")


def safe_path(path: str) -> str:
    """Return `path` in normal form, or raise UnsafePath.

    A path is POSIX, relative, NFC, of at most 20 segments and 400 bytes, without empty, `.` or `..` segments,
    backslashes, control or bidirectional characters, drive letters, a leading `~`, Windows device names, or anything
    of git's.
    """
    normal = unicodedata.normalize("NFC", path)
    why = _whole_path_fault(normal) or next((w for s in normal.split("/") if (w := _segment_fault(s))), None)
    if why:
        raise UnsafePath(path, why)
    return normal


def _whole_path_fault(path: str) -> str | None:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if not path:
        return "it is empty"
    if size > _MAX_BYTES or path.count("/") >= _MAX_DEPTH:
        return f"it is longer than {_MAX_BYTES} bytes or {_MAX_DEPTH} folders"
    if path.startswith(("/", "~")) or path[1:2] == ":":
        return "it is not relative to the project"
    if "\\" in path:
        return "it has a backslash"
    if any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in path):
        return "it has control or invisible characters"
    return None


def _segment_fault(segment: str) -> str | None:
    if segment in {"", ".", ".."}:
        return "it has an empty, '.' or '..' part"
    if len(segment.encode()) > _MAX_SEGMENT_BYTES:
        return f"a part is longer than {_MAX_SEGMENT_BYTES} bytes"
    if segment != segment.strip() or segment.endswith("."):
        return "a part begins or ends with a space, or ends with a dot"
    folded = segment.casefold()
    if folded in {".git", ".gitmodules", ".gitattributes", "git~1"}:
        return "it belongs to git"
    if folded.split(".")[0] in _RESERVED:
        return "it is a device name on Windows"
    return None
