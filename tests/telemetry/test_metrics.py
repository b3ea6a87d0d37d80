"""Counting is quick, and nothing is claimed that nobody has looked at."""

import time
import uuid
from decimal import Decimal

from bottega.telemetry import metrics, tracing

STEP_MICROSECONDS = 500  # ten times what it takes: a busy machine is no fault


def a_step_and_its_call() -> None:
    with (
        tracing.step_span(kind="implement", step_no=1, task_key="T1") as step,
        tracing.call_span(provider="acme", model="sage", agent="implementer", attempt=1, project_id=uuid.UUID(int=1)),
    ):
        metrics.step_begun(kind="implement")
        metrics.call_answered(provider="acme", model="sage", seconds=1.0, input_tokens=10, output_tokens=10)
        metrics.step_ended(kind="implement", outcome="proposed", seconds=1.0)
        metrics.charged(credits=Decimal("1.5"))
        step.note({"a": 1})


def test_what_a_step_counts_costs_microseconds() -> None:
    a_step_and_its_call()
    best = min(_seconds(times=200) for _ in range(5))
    assert best / 200 * 1e6 < STEP_MICROSECONDS


def _seconds(*, times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        a_step_and_its_call()
    return time.perf_counter() - began


def test_no_drift_and_no_database_is_claimed_before_anybody_looked() -> None:
    names = {family.name for family in metrics._Looked().collect()}
    assert names == set()


def test_an_audit_that_found_something_is_told_until_the_next() -> None:
    metrics.ledger_audited(findings=3, at_seconds=100.0)
    assert metrics.value("bottega_ledger_drift") == 3
    metrics.ledger_audited(findings=0, at_seconds=200.0)
    assert metrics.value("bottega_ledger_drift") == 0
    assert metrics.value("bottega_ledger_audited_timestamp_seconds") == 200
