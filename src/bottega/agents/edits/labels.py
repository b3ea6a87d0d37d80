"""Which file a line of a reply names, however the model decorated it.

Unsafe paths are recognised as paths too: they must be refused aloud, not overlooked.
"""

import re

_LEAD = re.compile(r"^(?:(?:#{1,6}\s+|[-*]\s+|\d+[.)]\s+|//\s*|<!--\s*|/\*\s*))+")
_KEY = re.compile(r"^(?:\*\*)?(?:file ?name|file ?path|file|path)\s*:\s*", re.IGNORECASE)
_NOTE = re.compile(r"\s+\((?:new|new file|updated|modified|edited|changed|complete)\)$", re.IGNORECASE)
_TAIL = re.compile(r"\s*(?:-->|\*/)$")
_SUFFIX = re.compile(r"[^\s/]\.[A-Za-z0-9_-]{1,12}$")
_QUOTED = re.compile(r"`([^`\s]+)`")  # with a space it would be a command
_MAX_LABEL = 600  # longer than any safe path with its decoration
_BARE_NAMES = {
    "Makefile",
    "Dockerfile",
    "LICENSE",
    "Procfile",
    "Justfile",
    "Rakefile",
    "Gemfile",
    "VERSION",
    "CHANGELOG",
}


def label_path(line: str) -> str | None:
    """Return the path when the line is nothing but a path: bare, `quoted`, **bold**, a heading, a comment."""
    if len(line) > _MAX_LABEL:
        return None
    text = _LEAD.sub("", line.strip())
    text = _NOTE.sub("", _TAIL.sub("", text)).removesuffix(":").strip()
    text = _KEY.sub("", text).strip()
    bare = text.strip("*").strip().removesuffix(":")
    quoted = _QUOTED.fullmatch(bare)
    name = quoted[1].strip() if quoted else bare
    return name if looks_like_path(name) and not re.search(r"\s", name) else None


def mentioned_path(line: str) -> str | None:
    """Return the only `quoted` path of a sentence that leads into a block: "Here is `src/app.py`:"."""
    if len(line) > _MAX_LABEL or not line.rstrip().rstrip("*").endswith(":"):
        return None
    paths = [name for name in _QUOTED.findall(line) if looks_like_path(name)]
    return paths[0] if len(paths) == 1 else None


def info_path(info: str) -> str | None:
    """Return the path of a fence's info string: ```python src/app.py, ```src/app.py, ```python:src/app.py."""
    words = re.split(r"[\s:=]+", info.strip())
    paths = [name for word in words if looks_like_path(name := word.strip("\"'{}"))]
    return paths[0] if len(paths) == 1 else None


def looks_like_path(name: str) -> bool:
    if not name or "://" in name or name.endswith((".", ",", ";", "(", ")")) or name.startswith(("-", "@", "<")):
        return name in {".", ".."}
    if name in _BARE_NAMES:
        return True
    return bool(re.search(r"[/\\]", name) or _SUFFIX.search(name) or re.fullmatch(r"\.[A-Za-z][\w.-]*", name))
