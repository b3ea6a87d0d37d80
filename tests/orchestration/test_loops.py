"""Circles are found as soon as they are closed, slow progress is none, and no ladder lets one waste more than four."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.orchestration import evidence, loops
from bottega.orchestration.loops import Attempt, Past
from bottega.orchestration.state import TaskView
from bottega.orchestration.transitions import failed

PERIODS = range(1, loops.LONGEST_PERIOD + 1)


def attempt(substance: object, failure: object = "f", *, model: str = "m", tree: str | None = None) -> Attempt:
    return Attempt(model=model, substance=str(substance), tree=tree).failed(failure=str(failure), said=str(failure))


@given(head=st.lists(st.integers()), circle=st.lists(st.integers(), min_size=1, max_size=loops.LONGEST_PERIOD))
def test_whatever_came_before_a_repeated_end_is_found(head: list[int], circle: list[int]) -> None:
    found = loops.period([*head, *circle, *circle])
    assert found is not None
    assert found <= len(circle)


@given(items=st.lists(st.integers(), unique=True), at_least=st.integers(2, 8))
def test_what_never_comes_again_is_no_circle(items: list[int], at_least: int) -> None:
    assert loops.period(items, at_least=at_least) is None


@given(items=st.lists(st.integers(0, 3), max_size=12))
def test_a_period_that_is_found_is_truly_there_and_the_shortest(items: list[int]) -> None:
    found = loops.period(items)
    there = [
        length for length in PERIODS if len(items) >= 2 * length and items[-length:] == items[-2 * length : -length]
    ]
    assert found == (there[0] if there else None)


@pytest.mark.parametrize("items", ["A", "AB", "ABA", "ABC", "ABCAB", "ABCDABC", "ABCDEABCDE", ""])
def test_a_circle_that_is_not_closed_yet_or_is_longer_than_four_is_none(items: str) -> None:
    assert loops.period(items) is None


@pytest.mark.parametrize(
    ("items", "at_least", "period"), [("AAA", 4, None), ("AAAA", 4, 1), ("ABAB", 4, 2), ("XABCABC", 4, 3)]
)
def test_failures_alone_must_come_more_often(items: str, at_least: int, period: int | None) -> None:
    assert loops.period(items, at_least=at_least) == period


def until_stuck(deeds: Sequence[Attempt], *, rungs: int) -> tuple[list[Attempt], list[int]]:
    """Let a ladder try, one deed after the other, again and again; return what was tried and on which rungs."""
    task, tried, on = TaskView(key="T1"), list[Attempt](), list[int]()
    while True:
        tried.append(deeds[len(tried) % len(deeds)])
        on.append(task.rung)
        after = failed(task, rungs=rungs, circle=loops.circle(tried))
        if after.stuck:
            return tried, on
        task = after.task


@given(period=st.integers(1, 4), rungs=st.integers(1, 12))
def test_no_ladder_wastes_more_than_four_replies_on_the_same_deeds(period: int, rungs: int) -> None:
    tried, _ = until_stuck([attempt(n, n) for n in range(period)], rungs=rungs)
    wasted = len(tried) - len(set(tried))
    assert wasted <= loops.WASTED_CALLS, f"{wasted} wasted calls with period {period} on {rungs} rungs"


@given(period=st.integers(1, 4), rungs=st.integers(1, 12))
def test_no_ladder_wastes_more_than_four_replies_on_the_same_failures(period: int, rungs: int) -> None:
    tried, _ = until_stuck([attempt(n, n % period) for n in range(4 * 7)], rungs=rungs)
    wasted = len(tried) - period
    assert wasted <= loops.WASTED_CALLS, f"{wasted} wasted calls with period {period} on {rungs} rungs"


@given(period=st.integers(1, 4), rungs=st.integers(1, 12))
def test_the_strongest_model_is_asked_before_the_person(period: int, rungs: int) -> None:
    _, on = until_stuck([attempt(n, n) for n in range(period)], rungs=rungs)
    assert on[-1] == rungs - 1


@given(failures=st.lists(st.integers(), unique=True, min_size=1), rungs=st.integers(1, 5))
def test_whoever_gets_anywhere_gets_every_try(failures: list[int], rungs: int) -> None:
    deeds = [attempt(n, n) for n in failures]
    assert loops.circle(deeds) == loops.Circle()
    tried, _ = until_stuck([attempt(n, n) for n in range(2 * rungs)], rungs=rungs)
    assert len(tried) == 2 * rungs


def test_different_changes_may_fail_alike_three_times() -> None:
    alike = [attempt(n, "the same") for n in range(4)]
    assert loops.circle(alike[:3]) == loops.Circle()
    assert loops.circle(alike) == loops.Circle(period=1, wasted=3)


def test_attempts_are_read_from_the_journal_and_judged_by_the_step_after() -> None:
    proposal = {"model": "m", "substance": "s", "tree": "t", "failure": None, "said": ""}
    journal = [
        Past(
            kind="implement", outcome="unusable", output=proposal | {"tree": None, "failure": "f0", "said": "no edit"}
        ),
        Past(kind="implement", outcome="proposed", output=proposal),
        Past(kind="check", outcome="passed", output={"tree": "t", "model": None}),
        Past(kind="verify", outcome="unusable", output={}),
        Past(kind="verify", outcome="rejected", output={"tree": "t", "failure": "f1", "said": "rejected"}),
        Past(kind="implement", outcome="proposed", output=proposal | {"tree": "u"}),
    ]
    assert [(a.tree, a.failure) for a in loops.attempts(journal)] == [(None, "f0"), ("t", "f1"), ("u", None)]


def test_a_judgement_without_its_proposal_stands_for_itself() -> None:
    """The proposal was made before the person said to go on."""
    (alone,) = loops.attempts([Past(kind="check", outcome="failed", output={"tree": "t", "failure": "f", "said": "x"})])
    assert (alone.tree, alone.failure, alone.model) == ("t", "f", "")


def test_a_tree_is_known_to_fail_only_when_it_did() -> None:
    tried = (attempt("a", tree="t1"), Attempt(model="m", substance="b", tree="t2"))
    assert loops.known_failure(tried, tree="t1") == tried[0]
    assert loops.known_failure(tried, tree="t2") is None


FIRST_RUN = """FAIL: test_counts (tests.test_count.CountTest.test_counts)
AssertionError: <object at 0x7f3a5c2e4d90> at /tmp/tmpab12cd34/box on 127.0.0.1:41233
in run 8c7f0e1a-1111-4222-8333-0123456789ab
Ran 3 tests in 0.004s, 2026-11-21T10:00:01.123Z
sh: 1: nosuch: not found"""
SECOND_RUN = """FAIL: test_counts (tests.test_count.CountTest.test_counts)
AssertionError: <object at 0x7f11aa2e0000> at /tmp/tmpzz98yx76/box on 127.0.0.1:50001
in run 00000000-1111-4222-8333-0123456789ab
Ran 3 tests in 1.2s, 2026-11-22T23:59:59.9Z
sh: line 7: nosuch: not found"""


def test_what_varies_by_itself_is_no_difference() -> None:
    assert loops.normalised(FIRST_RUN) == loops.normalised(SECOND_RUN)
    assert loops.signature("make", FIRST_RUN) == loops.signature("make", SECOND_RUN)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("5 of 8 tests failed", "3 of 8 tests failed"),
        ("AssertionError: 9 != 3", "AssertionError: 4 != 3"),
        ("NameError: name 'count' is not defined", "NameError: name 'counts' is not defined"),
        ("FAIL: test_a", "FAIL: test_b"),
        ("words/count.py:12: error", "words/count.py:14: error"),
        ("2026-01-31 != 2026-02-28", "2026-01-31 != 2026-03-03"),
        ("KeyError: 'decade'", "KeyError: 'facade'"),
    ],
)
def test_what_the_code_did_differently_is_a_difference(one: str, other: str) -> None:
    assert loops.signature(one) != loops.signature(other)


@given(st.lists(st.text(max_size=40)))
def test_a_signature_takes_any_text_and_tells_its_parts_apart(parts: list[str]) -> None:
    assert loops.signature(*parts) == loops.signature(*parts)
    assert loops.signature(*parts, "x", "y") != loops.signature(*parts, "xy")


def test_a_large_hostile_output_is_read_quickly() -> None:
    for hostile in ("0" * 50_000, "a" * 50_000, "1.1." * 20_000, "[0::" * 20_000, "[:" * 20_000, "1:" * 20_000):
        assert len(loops.signature(hostile)) == 32
    assert len(evidence.failing_lines("FAIL: x\n" * 100_000)) == evidence.KEPT_LINES


@pytest.mark.parametrize(
    ("path", "one", "other"),
    [("a.py", "x = 1\n", "# tried again\nx = 1  \n\n"), ("a.js", "x = 1\n", "// again\nx = 1\n")],
)
def test_comments_and_blank_lines_do_nothing(path: str, one: str, other: str) -> None:
    assert loops.substance_of({path: one}) == loops.substance_of({path: other})


@pytest.mark.parametrize(
    ("path", "one", "other"),
    [
        ("a.py", "x = 1\n", "x = 2\n"),
        ("a.py", "if y:\n    x = 1\n", "if y:\n  x = 1\n"),
        ("README.md", "text\n", "# Title\ntext\n"),
        ("a.c", "int x;\n", "#include <a.h>\nint x;\n"),
    ],
)
def test_all_else_does_something(path: str, one: str, other: str) -> None:
    assert loops.substance_of({path: one}) != loops.substance_of({path: other})


def test_a_deleted_file_differs_from_an_empty_one_and_a_moved_text_from_one_that_stayed() -> None:
    told = {
        loops.substance_of(c) for c in ({"a": None}, {"a": ""}, {"b": ""}, {"a": "x", "b": ""}, {"a": "", "b": "x"})
    }
    assert len(told) == 5


def test_the_summary_names_who_tried_what_failed_and_how_often() -> None:
    tried = [attempt("a", "`make`: 2 of 3 tests failed", model="small"), *[attempt("a", "no edit", model="large")] * 2]
    assert loops.summary("T1", tried) == (
        "T1 goes in circles (small once, large twice). 1 of the 3 replies brought nothing new."
        " What failed: no edit (twice); `make`: 2 of 3 tests failed (once)."
    )


def test_the_summary_of_a_great_many_failures_stays_short() -> None:
    tried = [attempt(n, f"failure {n} " * 500) for n in range(30)]
    assert len(loops.summary("T1", tried)) < 1000
    assert "and 27 more" in loops.summary("T1", tried)
