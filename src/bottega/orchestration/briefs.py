"""What a brief must be before anybody works on it."""

from dataclasses import dataclass

from bottega.core.errors import AppError

MAX_BRIEF_BYTES = 50_000
_TITLE_LENGTH = 80


class EmptyBrief(AppError):
    code = "empty_brief"
    http_status = 422

    def __init__(self) -> None:
        super().__init__("The brief is empty. Say in a few sentences what you want built.")


class BriefTooLong(AppError):
    code = "brief_too_long"
    http_status = 413

    def __init__(self, *, size_bytes: int) -> None:
        super().__init__(
            f"The brief has {size_bytes:,} bytes; at most {MAX_BRIEF_BYTES:,} fit. Keep what the software must do and"
            " leave out examples of data."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanBrief:
    """`title` stands until the Architect finds a better one."""

    text: str
    title: str


def clean_brief(said: str) -> CleanBrief:
    """Return the brief without what no database keeps, or raise EmptyBrief or BriefTooLong."""
    text = storable(said)
    size = len(text.encode())
    if not text:
        raise EmptyBrief
    if size > MAX_BRIEF_BYTES:
        raise BriefTooLong(size_bytes=size)
    title = text.splitlines()[0].lstrip("# ").strip()[:_TITLE_LENGTH]
    return CleanBrief(text=text, title=title or "Untitled Project")


def storable(text: str) -> str:
    """Return what a person said without what no database keeps: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "").encode(errors="replace").decode().strip()
