"""How far a run goes before its person is asked: working time, attempts at a task, steps. Pure.

All three count from the moment at which the person last said to go on, so that going on means as much again. They are
the last net: a run that gets anywhere ends, and one that goes in circles (`loops`) stops, long before. What a project
may cost is another matter, the ledger's.
"""

from dataclasses import dataclass

from bottega.orchestration.events import RunStopped
from bottega.orchestration.setbacks import Setback
from bottega.orchestration.state import RunState, StopCode

CHOICES = (
    "go on: as much again",
    "say what to do differently: it goes on with that",
    "cancel: stop here; what was accepted stays",
)


class WorkingTimeOver(Exception):
    """The step under way would work longer than the run may; it was ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """`working_hours` are those spent in steps: waiting for people, credits and providers does not count."""

    working_hours: float = 24.0
    attempts_per_task: int = 20  # replies of Implementers
    steps: int = 2000

    def seconds_left(self, *, working_ms: int) -> float:
        """Return how long the next step may work, at least nothing."""
        return max(0.0, self.working_hours * 3600 - working_ms / 1000)

    def reached(self, *, working_ms: int, steps: int, task_key: str | None, attempts: int) -> Setback | None:
        """Return why a run stops that has done so much since its person last said to go on, or None."""
        if self.seconds_left(working_ms=working_ms) <= 0:
            return self.of_time()
        if steps >= self.steps:
            return _stopped(StopCode.TOO_MANY_STEPS, f"The run has taken {steps:,} steps, as many as it may at once.")
        if attempts >= self.attempts_per_task:
            reason = f"{task_key} was tried {attempts} times, as often as a task may be at once."
            return _stopped(StopCode.TOO_MANY_ATTEMPTS, reason)
        return None

    def of_time(self) -> Setback:
        """Return what becomes of a run whose working time is over."""
        return _stopped(
            StopCode.WORKING_TIME, f"The run has worked for {_hours(self.working_hours)}, as long as it may at once."
        )


def _hours(hours: float) -> str:
    if hours * 60 < 1:
        return f"{hours * 3600:.3g} seconds"
    if hours < 1:
        return f"{hours * 60:.3g} minutes"
    return "one hour" if hours == 1 else f"{hours:,.6g} hours"


def _stopped(stop_code: StopCode, reason: str) -> Setback:
    reason = f"{reason} Everything so far is kept."
    stopped = RunStopped(stop_code=stop_code, reason=reason, choices=CHOICES)
    return Setback(state=RunState.ATTENTION, stop_code=stop_code, reason=reason, events=(stopped,))
