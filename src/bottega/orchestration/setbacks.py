"""What becomes of a run whose step could not be done: a pure reading of the error.

A provider that may recover is tried again later, by the same run, from the same step; what cannot mend itself stops the
run with a reason and the choices a person has. Nothing is journaled and nothing is charged.
"""

import uuid
from dataclasses import dataclass
from decimal import Decimal

from bottega.billing.ledger import InsufficientCredits, ProjectLimitReached
from bottega.core.backoff import backoff_seconds
from bottega.core.errors import AppError
from bottega.core.money import show_credits
from bottega.llm.errors import ProviderError
from bottega.llm.types import ModelName
from bottega.orchestration.events import Event, ProviderTrouble, RunCancelled, RunStopped
from bottega.orchestration.state import RunState, StopCode

PROVIDER_FAILURES = 6  # in a row, each after the gateway's own retries
BACKOFF_SECONDS, BACKOFF_CAP_SECONDS = 2.0, 600.0
_CONFIGURATION = {
    "no_provider_key",
    "no_own_key",
    "key_unreadable",
    "unknown_provider",
    "unpriced_model",
    "invalid_price",
    "sandbox_unavailable",
}
TOP_UP_CHOICES = ("add credits, then resume", "cancel: stop here; what was accepted stays")
LIMIT_CHOICES = ("raise the project's limit, then resume", "cancel: stop here; what was accepted stays")
RESUME_CHOICES = ("resume: try again from here", "cancel: stop here; what was accepted stays")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setback:
    state: RunState
    stop_code: StopCode | None = None
    reason: str | None = None
    events: tuple[Event, ...] = ()
    wake_in_seconds: float = 0.0
    failures: int = 0
    credits_needed: Decimal | None = None


class Interrupted(Exception):
    """The person wants the run paused or cancelled while a step was under way."""

    def __init__(self, desired: str) -> None:
        super().__init__(desired)
        self.desired = desired


def of_error(error: Exception, *, failures: int, stand_in: ModelName | None) -> Setback:
    """Return what to do about `error` after `failures` earlier provider failures of the same step.

    `stand_in` is the model that will be asked instead next time, if there is one.
    """
    match error:
        case Interrupted():
            return of_desire(error.desired)
        case ProjectLimitReached():
            return limit_reached(error)
        case InsufficientCredits():
            return out_of_credits(error)
        case ProviderError() if error.retryable and failures + 1 < PROVIDER_FAILURES:
            return _later(error, failures=failures, stand_in=stand_in)
        case ProviderError():
            return _stopped(StopCode.PROVIDER, f"The model provider failed: {error.message}")
        case AppError():
            known = error.code in _CONFIGURATION
            return _stopped(StopCode.CONFIGURATION if known else StopCode.DEFECT, error.message)
        case _:
            error_id = uuid.uuid4().hex[:12]
            reason = f"Something went wrong on our side (error {error_id}); nothing was charged for this step."
            return _stopped(StopCode.DEFECT, reason)


def of_desire(desired: str) -> Setback:
    """Return what a person's wish to pause or cancel makes of the run."""
    if desired == "cancel":
        return Setback(state=RunState.CANCELLED, events=(RunCancelled(),))
    stopped = RunStopped(stop_code=StopCode.PAUSED, reason="Paused, as you asked.", choices=RESUME_CHOICES)
    return Setback(state=RunState.PAUSED, stop_code=StopCode.PAUSED, reason=stopped.reason, events=(stopped,))


def out_of_credits(error: InsufficientCredits) -> Setback:
    reason = f"The next step may need up to {show_credits(error.needed)} credits and {_left(error.available)}."
    return _short(StopCode.OUT_OF_CREDITS, reason, needed=error.needed, choices=TOP_UP_CHOICES)


def too_few_to_start(*, needed: Decimal, available: Decimal) -> Setback:
    reason = f"A task is started with {show_credits(needed)} credits or more, and {_left(available)}."
    return _short(StopCode.OUT_OF_CREDITS, reason, needed=needed, choices=TOP_UP_CHOICES)


def limit_reached(error: ProjectLimitReached) -> Setback:
    reason = (
        f"The next step may need up to {show_credits(error.needed)} credits and this project's limit leaves"
        f" {show_credits(error.available)}."
    )
    return _short(StopCode.PROJECT_LIMIT, reason, needed=error.needed, choices=LIMIT_CHOICES)


def _left(available: Decimal) -> str:
    if available < 0:
        return f"the account is {show_credits(-available)} in debt"
    return f"{show_credits(available)} are available"


def _short(stop_code: StopCode, reason: str, *, needed: Decimal, choices: tuple[str, ...]) -> Setback:
    reason = f"{reason} Everything so far is kept."
    stopped = RunStopped(stop_code=stop_code, reason=reason, choices=choices)
    return Setback(state=RunState.CREDITS, stop_code=stop_code, reason=reason, events=(stopped,), credits_needed=needed)


def crashed_too_often() -> Setback:
    return _stopped(StopCode.CRASHES, "This step ended its worker several times in a row, so it was stopped.")


def _stopped(stop_code: StopCode, reason: str) -> Setback:
    stopped = RunStopped(stop_code=stop_code, reason=reason, choices=RESUME_CHOICES)
    return Setback(state=RunState.ATTENTION, stop_code=stop_code, reason=reason, events=(stopped,))


def _later(error: ProviderError, *, failures: int, stand_in: ModelName | None) -> Setback:
    jitter = backoff_seconds(failures + 1, first_seconds=BACKOFF_SECONDS, cap_seconds=BACKOFF_CAP_SECONDS)
    wait = jitter if error.retry_after_seconds is None else error.retry_after_seconds
    if stand_in is not None:
        wait = 0.0  # another model takes over at once
    told = ProviderTrouble(
        message=error.message, retry_seconds=round(wait), next_model=str(stand_in) if stand_in else None
    )
    return Setback(
        state=RunState.READY, reason=error.message, events=(told,), wake_in_seconds=wait, failures=failures + 1
    )
