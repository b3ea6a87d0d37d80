"""What the command line says, sentence by sentence."""

from decimal import Decimal

import pytest

from bottega.entrypoints.cli import words
from bottega.orchestration.events import PlanReady, ReplyUnusable
from bottega.orchestration.state import StopCode


def quote(*, available: str) -> str:
    return words.quote(low=Decimal(40), high=Decimal(150), available=Decimal(available))


def test_a_complaint_that_is_a_sentence_ends_without_two_marks() -> None:
    told = words.line(ReplyUnusable(kind="plan", task_key=None, complaint="The JSON object ends too early."))
    assert told == "[yellow]reply unusable[/]  The JSON object ends too early; asked again"


def test_the_plan_says_its_price_and_leaves_the_balance_to_the_quote() -> None:
    event = PlanReady(title="Notes", tasks=("T1 Keep",), low_credits="40.00", high_credits="150.00")
    assert words.line(event) == "[green]planned[/]  1 task; quote 40.00 to 150.00 credits"


@pytest.mark.parametrize(("available", "warned"), [("5.62", True), ("39.99", True), ("40", False), ("200", False)])
def test_a_quote_above_the_balance_says_what_will_happen(available: str, warned: bool) -> None:  # noqa: FBT001
    assert ("not be enough" in quote(available=available)) is warned


def test_out_of_credits_says_how_to_add_some() -> None:
    told = words.stopped(project_id="P", reason="None left.", choices=(), stop_code=StopCode.OUT_OF_CREDITS)
    assert told.splitlines()[1:] == [
        "Buy credits with: bottega credits packages, then bottega credits buy PACKAGE",
        "On your own installation: bottega credits grant 100",
        "Go on with: bottega resume P",
    ]


def test_questions_nobody_answered_are_told_with_their_options() -> None:
    told = words.unanswered(project_id="P", questions=[("Who may delete?", ["Anyone", "[only] me"])])
    assert told.splitlines()[1:] == [
        "  1. Who may delete?",
        "     - Anyone",
        "     - \\[only] me",
        "Answer with: bottega resume P --answers FILE (a JSON list, in this order)",
        "Or take the first of each: bottega resume P --yes",
    ]


def test_a_stuck_task_says_how_to_explain() -> None:
    told = words.stopped(project_id="P", reason="T2 failed.", choices=(), stop_code=StopCode.TASK_STUCK)
    assert 'bottega say P "..."' in told
