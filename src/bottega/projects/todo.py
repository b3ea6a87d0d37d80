"""The TODO list people see: tasks rendered to markdown, and read back.

Rows are the truth and markdown is a rendering, so `parse_todo(render_todo(title=..., items=items)) == items` for any
items whose titles are one line (others are folded into one when rendered).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class TodoState(StrEnum):
    TODO = "todo"
    DONE = "done"
    UNCHECKED = "unchecked"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class TodoItem:
    key: str
    title: str
    state: TodoState


def render_todo(*, title: str, items: Iterable[TodoItem]) -> str:
    items = tuple(items)
    lines = [f"# {_one_line(title)}", ""]
    lines += [f"- [{_MARKS[item.state]}] **{item.key}** {_one_line(item.title)}".rstrip() for item in items]
    if any(item.state is TodoState.UNCHECKED for item in items):
        lines += ["", _LEGEND]
    if any(item.state is TodoState.DROPPED for item in items):
        lines += ["", _DROPPED_LEGEND]
    return "\n".join(lines) + "\n"


def parse_todo(markdown: str) -> tuple[TodoItem, ...]:
    """Return the items of a rendered list; lines that are not items are skipped."""
    return tuple(
        TodoItem(key=match["key"], title=match["title"] or "", state=_STATES[match["mark"]])
        for line in markdown.split("\n")
        if (match := _ITEM.fullmatch(line))
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


_MARKS = {TodoState.TODO: " ", TodoState.DONE: "x", TodoState.UNCHECKED: "~", TodoState.DROPPED: "-"}
_STATES = {mark: state for state, mark in _MARKS.items()}
_ITEM = re.compile(r"- \[(?P<mark>[ x~-])\] \*\*(?P<key>[A-Za-z0-9._-]+)\*\*(?: (?P<title>.+))?")
_LEGEND = "`[~]` written, but its checks could not be executed."
_DROPPED_LEGEND = "`[-]` given up; nothing of it is in the project."
