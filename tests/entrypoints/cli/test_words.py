"""Every event's line, as a golden file; and what others wrote, harmless on a terminal.

After a change that is meant, write the golden file anew: python -m tests.entrypoints.cli.test_words
"""

import dataclasses
import io
import typing
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example as one_example
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bottega.entrypoints.cli import words
from bottega.orchestration import events
from bottega.orchestration.events import Event
from bottega.orchestration.state import StepKind, StopCode

GOLDEN = Path(__file__).with_name("words.golden.txt")
HOSTILE = "[red]x[/] [/] [link=https://evil.example]click[/link] :bug: \x1b[31m\x1b]0;owned\x07 \u202eevil"
HARMLESS = "[red]x[/] [/] [link=https://evil.example]click[/link] :bug: [31m]0;owned evil"
VALUES: dict[str, object] = {
    "kind": "implement",
    "task_key": "T2",
    "title": "Count words 👩‍🚀",
    "attempt": 2,
    "model": "openrouter/fake/small",
    "position": 1,
    "total": 3,
    "count": 2,
    "tasks": ("T1 Counting", "T2 Command line"),
    "low_credits": "14.93",
    "high_credits": "37.28",
    "available_credits": "1000.00",
    "files": ("words/count.py", "tests/test_count.py"),
    "said": "`make test`: 2 of 8 tests failed; AssertionError: 4 != 3",
    "complaint": "No edit was found\nin your reply. " + "Write it again. " * 20,
    "commands": 1,
    "tests": 4,
    "command": "python -m unittest discover -s tests -v",
    "reason": "exit code 1",
    "path": "words/count.py",
    "feedback": "Say in a docstring what the module is for.",
    "commit_sha": "0123456789abcdef0123456789abcdef01234567",
    "executed": True,
    "at_once": 3,
    "credits_charged": "1.23",
    "size_bytes": 12_345,
    "message": "Google is limiting requests",
    "retry_seconds": 30,
    "next_model": None,
    "stop_code": "approval",
    "choices": ("go: build it", "say what to change"),
}
VARIATIONS: dict[type[Event], list[dict[str, object]]] = {
    events.QuestionsAsked: [{"count": 1}],
    events.ReplyUnusable: [{"task_key": None}],
    events.ChecksPassed: [{"task_key": None, "tests": 0}],
    events.ChecksFailed: [{"task_key": None}],
    events.ChecksNotExecuted: [{"task_key": None}],
    events.TaskDone: [{"executed": False}],
    events.ReadmeCommitted: [{"executed": False}],
    events.ProviderTrouble: [{"next_model": "openrouter/fake/large"}],
}
KINDS: list[type[Event]] = [
    kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
]
TEXT_FIELDS = {"title", "path", "model", "complaint", "command", "reason", "feedback", "message", "next_model", "said"}


def example(kind: type[Event], /, **changes: object) -> Event:
    values = {**VALUES, **changes, **({"files": 7} if kind is events.Delivered else {})}
    wanted = {field.name: values[field.name] for field in dataclasses.fields(kind)}
    return kind(**wanted)


def printed(markup: str, *, width: int = 500) -> str:
    """Return what a terminal is sent for this markup, without colours."""
    console = Console(file=io.StringIO(), width=width, emoji=False, highlight=False, color_system=None)
    console.print(markup)
    return typing.cast("io.StringIO", console.file).getvalue().removesuffix("\n")


def every_line() -> str:
    told = []
    for kind in KINDS:
        for changes in ({}, *VARIATIONS.get(kind, ())):
            line = words.line(example(kind, **changes))
            told.append(f"{kind.type}: {'(only moves the bar)' if line is None else printed(line)}")
    doing = [f"{kind}: {printed(words.doing(started(kind)))}" for kind in StepKind]
    stopped = words.stopped(project_id="1b4e28ba", reason="Paused, as you asked.", choices=("resume", "cancel"))
    circles = StopCode.GOING_IN_CIRCLES
    stopped += "\n\n" + words.stopped(
        project_id="1b4e28ba", reason="T2 goes in circles.", choices=("try again", "cancel"), stop_code=circles
    )
    quote = words.quote(low=Decimal("14.925"), high=Decimal("37.275"), available=Decimal(1000))
    parts = ["\n".join(told), "\n".join(doing), printed(stopped), printed(quote), words.SCRIPTED, words.NO_MODELS]
    return "\n\n".join([*parts, words.AFTER_DEMO.strip()]) + "\n"


def started(kind: StepKind) -> events.StepStarted:
    of_task = kind in {StepKind.IMPLEMENT, StepKind.CHECK, StepKind.VERIFY, StepKind.COMMIT}
    asks = kind in {StepKind.GATHER, StepKind.PLAN, StepKind.IMPLEMENT, StepKind.VERIFY, StepKind.README}
    changes = {"kind": kind, "task_key": "T2" if of_task else None, "model": VALUES["model"] if asks else None}
    step = example(events.StepStarted, **changes)
    assert isinstance(step, events.StepStarted)
    return step


def test_every_event_has_the_line_it_had() -> None:
    assert every_line() == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.type)
def test_what_others_wrote_is_shown_as_it_is_and_obeyed_by_nothing(kind: type[Event]) -> None:
    hostile: dict[str, object] = dict.fromkeys(TEXT_FIELDS, HOSTILE)
    event = example(kind, **hostile, files=(HOSTILE,), tasks=(HOSTILE,), choices=(HOSTILE,))
    line = words.line(event)
    if line is None:
        return
    shown = printed(line)
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown
    if "[red]" in shown:
        assert HARMLESS in shown


def test_the_ending_and_the_plan_obey_nothing_either() -> None:
    ending = printed(words.stopped(project_id="1", reason=HOSTILE, choices=(HOSTILE,)))
    assert ending.count(HARMLESS) == 2
    plan = printed(words.shown_lines(f"# {HOSTILE}\n\n- [x] **T1** {HOSTILE}\n- [ ] **T2** two"))
    assert plan == f"# {HARMLESS}\n\n- [x] **T1** {HARMLESS}\n- [ ] **T2** two"


def test_long_text_is_cut_to_a_line() -> None:
    for kind in KINDS:
        line = words.line(example(kind, **dict.fromkeys(TEXT_FIELDS, "long " * 10_000), files=("file.py",) * 10_000))
        assert line is None or len(printed(line, width=10_000)) < 450, kind


def test_emoji_made_of_several_characters_stay_whole() -> None:
    assert printed(words.shown("👩‍🚀 é 漢字")) == "👩‍🚀 é 漢字"


def test_a_backslash_at_the_end_does_not_spoil_what_follows() -> None:
    folder = words.shown("C:\\")
    assert printed(f"[bold]{folder}[/] next") == "C:\\ next"


@settings(max_examples=50)
@one_example(before="", after="\\ ")
@given(st.text(), st.text())
def test_any_text_survives_being_shown(before: str, after: str) -> None:
    """Nothing raises, nothing becomes markup, whatever stands next to it."""
    shown = printed(f"[bold]{words.shown(before, limit=10_000)}[/] {words.shown(after, limit=10_000)}", width=100_000)
    plain = Console(file=io.StringIO(), width=100_000, emoji=False, highlight=False, color_system=None)
    plain.print(f"{_plain(before)} {_plain(after)}", markup=False)
    assert shown == typing.cast("io.StringIO", plain.file).getvalue().removesuffix("\n")


def _plain(text: str) -> str:
    """What is left of a text: what `shown` keeps, before it is escaped."""
    return " ".join(words.harmless(text).split())


if __name__ == "__main__":
    GOLDEN.write_text(every_line(), encoding="utf-8")
