"""Asking a person at a terminal: the Architect's questions, and the go for a plan."""

import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich.console import Console

from bottega.core.errors import AppError
from bottega.entrypoints.cli import words
from bottega.projects.tables import Question


class UnreadableAnswers(AppError):
    code = "unreadable_answers"

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"The answers in {path} cannot be used: {why}. Write a JSON list of answers in the order of the questions,"
            " or an object from question to answer; an answer may be an option's number."
        )


Answers = Mapping[str, str] | Sequence[str]


def read_answers(path: Path) -> Answers:
    """Read `--answers FILE`."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableAnswers(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise UnreadableAnswers(path, str(error)) from error
    if isinstance(value, dict):
        return {str(question): str(answer) for question, answer in value.items()}
    if isinstance(value, list):
        return [str(answer) for answer in value]
    raise UnreadableAnswers(path, "it is neither a list nor an object")


def given_answer(question: Question, *, position: int, answers: Answers) -> str | None:
    """Return the answer a file gives to this question, if any."""
    if isinstance(answers, Mapping):
        answer = answers.get(question.text)
    else:
        answer = answers[position] if position < len(answers) else None
    return None if answer is None else as_option(question, answer)


def as_option(question: Question, answer: str) -> str:
    """Read an option's number (from 1) as that option, anything else as said."""
    text = answer.strip()
    if text.isdigit() and 1 <= int(text) <= len(question.options):
        return question.options[int(text) - 1]
    return text or recommended(question)


def recommended(question: Question) -> str:
    return question.options[question.recommended]


def ask(question: Question, *, console: Console) -> str:
    """Ask at the terminal; Enter takes the recommended option."""
    console.print(f"\n[bold]{words.shown(question.text)}[/]")
    for number, option in enumerate(question.options, start=1):
        mark = " [green](recommended)[/]" if number - 1 == question.recommended else ""
        console.print(f"  {number}. {words.shown(option)}{mark}")
    said = _prompt("A number, or your own words", default=str(question.recommended + 1), suffix=": ", console=console)
    return as_option(question, said)


def ask_go(*, console: Console) -> str:
    """Ask for the go; returns 'go', 'stop', or what to change."""
    console.print("\nEnter [bold]go[/] to build it, [bold]stop[/] to leave it for later, or say what to change.")
    return _prompt("", default="go", suffix="> ", console=console)


def _prompt(text: str, *, default: str, suffix: str, console: Console) -> str:
    """Read a line. Ctrl-C ends it at once: asyncio's own handler would only note it until Enter is pressed.

    Raises:
        click.Abort: Ctrl-C, or the end of the input.
    """
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return str(click.prompt(text, default=default, prompt_suffix=suffix, err=console.stderr)).strip()
    finally:
        signal.signal(signal.SIGINT, handler)
