"""Every message as a golden file for each language, and what others wrote, harmless in all of them.

After a change that is meant, write the golden files anew: python -m tests.entrypoints.telegram.test_words
"""

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from fluent.syntax import FluentParser
from fluent.syntax import ast as fluent_ast
from fluent.syntax.visitor import Visitor
from hypothesis import given, settings
from hypothesis import strategies as st

import bottega.entrypoints.telegram
from bottega.entrypoints.telegram import buttons
from bottega.entrypoints.telegram.types import Button, Say
from bottega.entrypoints.telegram.words import Words, words_for
from bottega.entrypoints.telegram.words.catalogue import Catalogue, languages, source
from bottega.entrypoints.telegram.words.money import Invoice
from bottega.entrypoints.telegram.words.progress import percent_done
from bottega.entrypoints.telegram.words.values import ListedTask, shown_order
from bottega.orchestration import events
from bottega.orchestration.state import Phase, RunKind, RunState, StepKind, StopCode, TaskStatus
from tests.entrypoints.telegram.sayings import EVERYTHING, Example, Said
from tests.fakes import telegram_html

HERE = Path(__file__).parent
HOSTILE = '<b>x</i> &amp; & "q" </b><script> *m* [l](u) \x1b[31m\0 \ud83d \u202eevil\u2066\u2029 שלום'
LONG = "👩‍🚀 " * 3000
UNBROKEN = "🧵" * 9000
ATTACKS = {
    "hostile": HOSTILE,
    "long": LONG,
    "unbroken": UNBROKEN,
    "lines": "<p>\n" * 500,
    "empty": "",
    "blank": " \n\t ",
    "invisible": "\0\u200d\u202e",
    "unseen": "\u3164\u2800",
}
CAPTIONS = {"delivery.caption", "delivery.again", "delivery.so_far", "delivery.so_far:one"}


def golden(language: str) -> Path:
    return HERE / f"words.{language}.golden.txt"


def every_saying(language: str) -> str:
    words = words_for(language)
    parts = [f"== {name}\n{_readable(saying(words, str))}" for name, saying in EVERYTHING.items()]
    return "\n\n".join(parts) + "\n"


def _readable(said: Said) -> str:
    match said:
        case None:
            return "(nothing)"
        case Say():
            rows = [
                "  ".join(f"[{button.label} | {button.data or button.url}]" for button in row) for row in said.keyboard
            ]
            return "\n".join([said.html, *rows])
        case Invoice():
            return f"{said.title} | {said.description} | {said.label}"
        case tuple():
            return "\n".join(f"/{command.name} {command.description}" for command in said)
        case _:
            return str(said)


@pytest.mark.parametrize("language", languages())
def test_every_message_reads_as_it_did(language: str) -> None:
    assert every_saying(language) == golden(language).read_text(encoding="utf-8")


def test_every_method_has_an_example() -> None:
    subjects = {name: subject for name, subject in vars(words_for("en")).items() if name != "language"}
    methods = {
        f"{name}.{method}"
        for name, subject in subjects.items()
        for method, _ in inspect.getmembers(subject, inspect.ismethod)
        if not method.startswith("_")
    }
    assert methods - {"money.offered"} == {name.split(":")[0] for name in EVERYTHING}


def test_every_event_has_an_example() -> None:
    kinds = {kind.type for kind in vars(events).values() if isinstance(kind, type) and hasattr(kind, "type")}
    assert {event.type for event in Example(str).events().values()} == kinds - {"step_started"}


class Listening(Catalogue):
    """A catalogue that notes what it is asked for."""

    def __init__(self, language: str) -> None:
        super().__init__(language=language, source=source(language))
        self.asked: set[str] = set()

    def say(self, message: str, arguments: Mapping[str, str | int]) -> str:
        self.asked.add(message)
        return super().say(message, arguments)


@pytest.mark.parametrize("language", languages())
def test_no_message_is_missing_and_none_is_unused(language: str) -> None:
    """Without the English file behind it, so that nothing is said in English for want of a translation."""
    catalogue = Listening(language)
    words = Words(catalogue)
    for saying in EVERYTHING.values():
        saying(words, str)
    assert set(_messages(language)) - catalogue.asked - {"language-name"} == set()


@pytest.mark.parametrize("language", languages())
def test_every_language_says_every_message_with_the_same_arguments(language: str) -> None:
    assert _messages(language) == _messages("en")


class _Arguments(Visitor):
    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_VariableReference(self, node: fluent_ast.VariableReference) -> None:  # noqa: N802  # Fluent's own name
        self.names.add(node.id.name)


def _messages(language: str) -> dict[str, set[str]]:
    """Return the messages of a file with their arguments. Fails on what cannot be read and on what stands twice."""
    found: dict[str, set[str]] = {}
    for entry in FluentParser().parse(source(language)).body:
        assert not isinstance(entry, fluent_ast.Junk), entry.content
        if isinstance(entry, fluent_ast.Message):
            assert entry.id.name not in found, f"{entry.id.name} stands twice"
            arguments = _Arguments()
            arguments.visit(entry)
            found[entry.id.name] = arguments.names
    return found


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_others_wrote_never_breaks_a_message(attack: str) -> None:
    words, hostile = words_for("es"), ATTACKS[attack]
    for name, saying in EVERYTHING.items():
        _fits(name, saying(words, lambda _: hostile))


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(EVERYTHING)),
    text=st.text(alphabet=st.one_of(st.characters(), st.sampled_from("<>&;\"'/ \n\0\u202e\u2067\u200d👩🚀שא\ud83d"))),
    repeated=st.sampled_from([1, 1, 40, 2000]),
    language=st.sampled_from(languages()),
)
def test_no_text_whatever_breaks_a_message(name: str, text: str, repeated: int, language: str) -> None:
    _fits(name, EVERYTHING[name](words_for(language), lambda _: text * repeated))


def _fits(name: str, said: Said) -> None:
    """Telegram takes it, in one piece."""
    match said:
        case Say():
            parsed = telegram_html.parse(said.html)
            assert parsed.text.strip(), name
            assert telegram_html.utf16(parsed.text) <= (1024 if name in CAPTIONS else 4096), name
            assert _is_orderly(parsed.text), name
            for button in _buttons(said):
                _is_good(button)
        case Invoice():
            assert 1 <= telegram_html.utf16(said.title) <= 32
            assert 1 <= telegram_html.utf16(said.description) <= 255
        case tuple():
            assert all(1 <= len(command.description) <= 256 for command in said)
        case str() if name.startswith(("answers.", "faults.brief", "money.checkout_refused")):
            assert 1 <= telegram_html.utf16(said) <= 200, name
            assert _is_orderly(said), name


def _buttons(said: Say) -> Iterator[Button]:
    assert all(said.keyboard)
    return (button for row in said.keyboard for button in row)


def _is_good(button: Button) -> None:
    assert button.label.strip()
    assert telegram_html.utf16(button.label) <= 60
    assert _is_orderly(button.label)
    assert (button.data is None) != (button.url is None)
    if button.data is not None:
        assert len(button.data.encode()) <= 64
        assert buttons.decode(button.data) is not None


def _is_orderly(text: str) -> bool:
    """Nothing reorders what follows: no control of direction but our own pairs, each closed in its line."""
    if any(c in "\0\x1b\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u200e\u200f" for c in text):
        return False
    return all(line.count("\u2068") == line.count("\u2069") for line in text.splitlines())


@pytest.mark.parametrize("code", [code for code in StopCode if code not in {StopCode.QUESTIONS, StopCode.APPROVAL}])
def test_no_stop_is_a_dead_end(code: StopCode) -> None:
    """Whatever a run stops for, one button goes on and one gives up."""
    said = EVERYTHING[f"news.stopped:{code}"](words_for("en"), str)
    assert isinstance(said, Say)
    pressed = {type(buttons.decode(button.data or "")) for button in _buttons(said)}
    assert buttons.Cancel in pressed
    assert pressed & {buttons.TryAgain, buttons.Resume, buttons.RaiseLimit}


def test_the_bar_never_goes_back_while_a_project_is_built() -> None:
    example = Example(str)
    seen = [percent_done(replace(example.progress(of=0), phase=phase)) for phase in (Phase.GATHER, Phase.PLAN)]
    tasks = example.tasks(of=6)
    for finished in range(7):
        done = replaced(tasks[:finished], TaskStatus.DONE) + replaced(tasks[finished:], TaskStatus.TODO)
        seen += [percent_done(replace(example.progress(), tasks=done, step=example.step(kind))) for kind in StepKind]
    later = (Phase.README, Phase.PACKAGE, Phase.FINISHED)
    seen += [percent_done(replace(example.progress(), phase=phase)) for phase in later]
    assert seen == sorted(seen)
    assert (seen[0], max(seen)) == (0, 99)
    assert percent_done(replace(example.progress(), state=RunState.DONE)) == 100


def test_a_change_of_a_delivered_project_begins_at_the_beginning() -> None:
    tasks = (
        *replaced(Example(str).tasks(of=3), TaskStatus.DONE),
        ListedTask(key="T4", title="x", status=TaskStatus.TODO),
    )
    progress = replace(Example(str).progress(), tasks=tasks)
    assert percent_done(replace(progress, kind=RunKind.REFINE)) < 10 < percent_done(progress)


def replaced(tasks: tuple[ListedTask, ...], status: TaskStatus) -> tuple[ListedTask, ...]:
    return tuple(replace(task, status=status) for task in tasks)


def test_the_recommended_option_stands_first_and_keeps_its_own_index() -> None:
    question = Example(str).question(options=3)
    assert shown_order(question) == (1, 0, 2)
    assert shown_order(Example(str).question(options=0)) == ()
    said = words_for("en").projects.question(question)
    first = next(_buttons(said))
    assert first.label == "1. What is typed ✓"
    assert buttons.decode(first.data or "") == buttons.AnswerOption(question_id=question.question_id, index=1)


def test_a_title_from_right_to_left_does_not_turn_our_sentence() -> None:
    example = EVERYTHING["projects.going"](words_for("en"), lambda _: "מונה מילים")
    assert isinstance(example, Say)
    assert "<b>\u2068מונה מילים\u2069</b>: building it now" in example.html


def test_nobody_but_the_words_holds_a_sentence() -> None:
    """A sentence in a Python file of the bot is one that nobody can translate. Faults of the API are for operators."""
    folder = Path(bottega.entrypoints.telegram.__path__[0])
    found = [
        f"{path.relative_to(folder)}:{number}: {text[:60]!r}"
        for path in sorted(set(folder.rglob("*.py")) - {folder / "api.py", folder / "desk.py"})
        for number, text in _strings(ast.parse(path.read_text(encoding="utf-8")))
        if _is_sentence(text)
    ]
    assert found == []


def _strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Return the strings of a module, and their lines, that are not docstrings, logged or raised."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr | ast.Raise | ast.Assert):
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        yield from _strings(node)


def _is_sentence(text: str) -> bool:
    return text.count(" ") > 3 and text.strip()[:1].isupper()


if __name__ == "__main__":
    for language in languages():
        golden(language).write_text(every_saying(language), encoding="utf-8")
