"""What is told of a run to whoever watches the installation: its ids in every line of the log, spans, and counts.

Every step that was begun is told once: `run.step.done` when it is journaled, `run.step.set_aside` when it could not be
done. One that ends otherwise, with its lease lost or its process stopping, is told as its run is.
"""

import contextlib
from collections.abc import Iterator
from decimal import Decimal

import structlog

from bottega.core.clock import Clock
from bottega.core.log import bound
from bottega.orchestration.decide import Do
from bottega.orchestration.journal import Claim
from bottega.orchestration.setbacks import Setback
from bottega.orchestration.state import RunState
from bottega.telemetry import metrics, names, tracing
from bottega.telemetry.tracing import Span

log = structlog.get_logger()


@contextlib.contextmanager
def of_claim(held: Claim) -> Iterator[None]:
    """Let every line say whose project it is about, and every span belong to this claim of the run."""
    spanned = tracing.run_span(run_id=held.run_id, project_id=held.project_id, workflow=held.run_kind)
    with bound(project_id=str(held.project_id)), spanned:
        yield


@contextlib.contextmanager
def of_step(step: Do, *, step_no: int, clock: Clock) -> Iterator["StepTelling"]:
    """Let every line and span say which step it is about, and lend what tells how the step ended."""
    spanned = tracing.step_span(kind=step.kind, step_no=step_no, task_key=step.task_key)
    with bound(step_no=step_no, step=step.kind.value, task=step.task_key), spanned as span:
        metrics.step_begun(kind=step.kind)
        yield StepTelling(step, clock=clock, span=span)


class StepTelling:
    def __init__(self, step: Do, *, clock: Clock, span: Span) -> None:
        self._kind = step.kind.value
        self._clock = clock
        self._began = clock.monotonic()
        self._span = span

    def done(self, *, outcome: str, credits: Decimal) -> None:
        elapsed_ms = self._ended(outcome)
        metrics.charged(credits=credits)
        self._span.note({names.CREDITS: float(credits)})
        log.info("run.step.done", outcome=outcome, credits=f"{credits:f}", elapsed_ms=elapsed_ms)

    def set_aside(self, setback: Setback) -> None:
        outcome = str(setback.stop_code or ("retry" if setback.failures else setback.state))
        elapsed_ms = self._ended(outcome)
        if setback.state in {RunState.ATTENTION, RunState.READY}:  # a pause or a want of credits is no failure
            self._span.fail(outcome)
        log.info("run.step.set_aside", outcome=outcome, credits="0", elapsed_ms=elapsed_ms)

    def _ended(self, outcome: str) -> int:
        seconds = self._clock.monotonic() - self._began
        metrics.step_ended(kind=self._kind, outcome=outcome, seconds=seconds)
        self._span.note({names.OUTCOME: outcome})
        return round(seconds * 1000)
