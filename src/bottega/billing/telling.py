"""What is told of a model call to whoever watches the installation: one line of the log, one span, and some counts.

Facts of the bill, never what was asked or answered. Every attempt at a provider is told once, when it has ended.
"""

import contextlib
import uuid
from collections.abc import Iterator
from decimal import Decimal

import structlog

from bottega.billing.attempt import Owed, Started
from bottega.billing.types import CallStatus, Cost, Outcome
from bottega.core.money import round_up_usd
from bottega.llm.errors import ProviderError
from bottega.llm.types import Completion, CompletionRequest, Purpose, Usage
from bottega.telemetry import metrics, names, tracing
from bottega.telemetry.tracing import Span

_log = structlog.get_logger()
_AGENTS = {Purpose.IMPLEMENT: "implementer", Purpose.RELAY: "relay"}


class Telling:
    """Tells of one attempt. `attempt` counts from 1: one less is how often it was tried again."""

    def __init__(self, started: Started, *, attempt: int, project_id: uuid.UUID | None, span: Span) -> None:
        self._request = started.request
        self._span = span
        self._facts = {
            "usage_id": started.hold.usage_id,
            "model": str(started.request.model),
            "purpose": started.request.purpose.value,
            "attempt": attempt,
            "project_id": None if project_id is None else str(project_id),
        }

    def answered(self, completion: Completion, owed: Owed) -> None:
        model, usage, elapsed_ms = self._request.model, completion.usage, completion.response_time_ms
        metrics.call_answered(
            provider=model.provider,
            model=model.name,
            seconds=elapsed_ms / 1000,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
        )
        self._span.note(_of_answer(completion) | _of_cost(owed.outcome.cost))
        finish = completion.finish.value
        _log.info("billing.call.done", **self._facts, **_bill(owed.outcome.cost), elapsed_ms=elapsed_ms, finish=finish)

    def failed(self, error: BaseException, *, status: CallStatus, outcome: Outcome) -> None:
        model, code, elapsed_ms = self._request.model, outcome.error_code or "unknown", outcome.response_time_ms or 0
        metrics.call_failed(provider=model.provider, model=model.name, seconds=elapsed_ms / 1000, code=code)
        if isinstance(error, ProviderError):
            metrics.provider_failed(provider=model.provider, code=code)
        self._span.note(_of_cost(outcome.cost))
        _log.info(
            "billing.call.failed",
            **self._facts,
            **_bill(outcome.cost),
            elapsed_ms=elapsed_ms,
            status=status.value,
            error=code,
        )


@contextlib.contextmanager
def telling(started: Started, *, attempt: int, project_id: uuid.UUID | None) -> Iterator[Telling]:
    """Open an attempt's span, and lend what tells how it ended."""
    request = started.request
    spanned = tracing.call_span(
        provider=request.model.provider,
        model=request.model.name,
        agent=agent_of(request),
        attempt=attempt,
        project_id=project_id,
    )
    with spanned as span:
        yield Telling(started, attempt=attempt, project_id=project_id, span=span)


def agent_of(request: CompletionRequest) -> str:
    return _AGENTS.get(request.purpose, "architect")


def tell_loss(*, status: CallStatus, cost: Cost | None) -> None:
    """Count an attempt that ended without a charge, if it is one that was written off."""
    if status is CallStatus.ORPHAN:
        metrics.orphaned(calls=1, cost_usd=cost.exact_usd if cost else Decimal(0))


def _bill(cost: Cost | None) -> dict[str, int | str | None]:
    usage = cost.usage if cost else Usage()
    return {
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "cost_usd": f"{round_up_usd(cost.exact_usd):f}" if cost else None,
    }


def _of_answer(completion: Completion) -> dict[str, str | int | float | tuple[str, ...]]:
    usage = completion.usage
    known: dict[str, str | int | float | tuple[str, ...]] = {
        names.RESPONSE_MODEL: completion.model.name,
        names.FINISH_REASONS: (completion.finish.value,),
        names.INPUT_TOKENS: usage.input_tokens,
        names.CACHED_TOKENS: usage.cached_tokens,
        names.CACHE_WRITE_TOKENS: usage.cache_write_tokens,
        names.OUTPUT_TOKENS: usage.output_tokens,
        names.REASONING_TOKENS: usage.reasoning_tokens,
    }
    return known if completion.request_id is None else known | {names.RESPONSE_ID: completion.request_id}


def _of_cost(cost: Cost | None) -> dict[str, str | int | float | tuple[str, ...]]:
    return {names.COST_USD: float(cost.exact_usd)} if cost else {}
