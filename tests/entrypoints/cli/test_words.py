from decimal import Decimal

import pytest
from rich.text import Text

from bottega.entrypoints.cli import words
from bottega.orchestration import events

WITH_BRACKETS = "Typing commands [no menus] or [/] a list"


def read(markup: str) -> str:
    """Return what a person reads of it."""
    return Text.from_markup(markup).plain


def test_what_people_and_models_write_in_brackets_is_shown_as_written() -> None:
    assert read(words.answered(question=WITH_BRACKETS, answer=WITH_BRACKETS)) == f"{WITH_BRACKETS} {WITH_BRACKETS}"
    asked = read(words.open_questions([(WITH_BRACKETS, [WITH_BRACKETS, "none"])]))
    assert asked.count(WITH_BRACKETS) == 2


def test_questions_nobody_answered_say_how_to_answer_them() -> None:
    told = read(words.open_questions([("How many?", ["one", "two"])]))
    assert told.splitlines() == [
        "",
        "How many?",
        "  1. one",
        "  2. two",
        "",
        "Answer at a terminal, with --answers FILE, or take every first option with --yes.",
    ]


@pytest.mark.parametrize(("available", "warnings"), [("5.00", 1), ("19.99", 1), ("20.00", 0)])
def test_a_quote_above_what_is_there_says_that_the_build_will_stop(available: str, warnings: int) -> None:
    told = read(words.quote(low=Decimal(20), high=Decimal(40), available=Decimal(available)))
    assert told.startswith(f"Quote: 20.00 to 40.00 credits; you have {available}.")
    assert told.count("it will stop on its way") == warnings


def test_only_who_is_out_of_credits_is_told_how_to_add_some() -> None:
    told = read(words.stopped(project_id="P", reason="Too little.", choices=("top up",), wants_credits=True))
    assert told.splitlines() == [
        "Stopped. Too little.",
        "You can:",
        "  - top up",
        "Add credits with: bottega ledger grant 100",
        "Go on with: bottega resume P",
    ]
    assert "grant" not in read(words.stopped(project_id="P", reason="Paused."))


def test_a_providers_sentence_goes_on_as_one() -> None:
    told = words.line(events.ProviderTrouble(message="It said nothing.", retry_seconds=2, next_model=None))
    assert read(told or "") == "provider It said nothing; again in 2 s"
