"""Spans of what happens: a root for each claim of a run, a child for each step, a client's span for each model call.

Where nobody traces, which is the rule, a span is nothing and costs next to nothing. A run's id is its trace's id: the
claims of one run, by whatever processes, meet in one trace, and nothing need be stored or passed for it. A span holds
facts, never words of people or models.
"""

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from bottega.telemetry import names

Attributes = Mapping[str, str | int | float | tuple[str, ...]]


class Span(Protocol):
    def note(self, attributes: Attributes) -> None:
        """Add facts that are known by now."""
        ...

    def fail(self, code: str) -> None:
        """Mark what the span is of as failed."""
        ...


class Tracer(Protocol):
    def span(
        self, name: str, *, attributes: Attributes, trace: uuid.UUID | None = None, is_client: bool = False
    ) -> AbstractContextManager[Span]:
        """Return a span that is current while the block runs. With `trace` it is a root of that trace."""
        ...


class _Nothing:
    def note(self, attributes: Attributes) -> None: ...

    def fail(self, code: str) -> None: ...


class _NoTracer:
    _span = contextlib.nullcontext(_Nothing())

    def span(
        self,
        name: str,  # noqa: ARG002
        *,
        attributes: Attributes,  # noqa: ARG002
        trace: uuid.UUID | None = None,  # noqa: ARG002
        is_client: bool = False,  # noqa: ARG002
    ) -> AbstractContextManager[Span]:
        return self._span


class _Tracing:
    """Whoever traces in this process; as with its log there is one for all."""

    tracer: Tracer = _NoTracer()


@contextlib.contextmanager
def traced_by(tracer: Tracer) -> Iterator[None]:
    """Send the spans of this process to a tracer while the block runs."""
    before, _Tracing.tracer = _Tracing.tracer, tracer
    try:
        yield
    finally:
        _Tracing.tracer = before


def run_span(*, run_id: uuid.UUID, project_id: uuid.UUID, workflow: str) -> AbstractContextManager[Span]:
    """Return the span of one claim of a run; `workflow` is the run's kind."""
    attributes = {
        names.OPERATION: names.INVOKE_WORKFLOW,
        names.WORKFLOW: workflow,
        names.CONVERSATION: str(project_id),
        names.RUN: str(run_id),
    }
    return _Tracing.tracer.span(f"{names.INVOKE_WORKFLOW} {workflow}", attributes=attributes, trace=run_id)


def step_span(*, kind: str, step_no: int, task_key: str | None) -> AbstractContextManager[Span]:
    attributes: dict[str, str | int] = {names.STEP: kind, names.STEP_NUMBER: step_no}
    if task_key is not None:
        attributes[names.TASK] = task_key
    return _Tracing.tracer.span(f"step {kind}", attributes=attributes)


def call_span(
    *, provider: str, model: str, agent: str, attempt: int, project_id: uuid.UUID | None
) -> AbstractContextManager[Span]:
    """Return the span of one attempt at a model; `agent` is on whose behalf it is asked."""
    attributes: dict[str, str | int] = {
        names.OPERATION: names.CHAT,
        names.PROVIDER: names.PROVIDERS.get(provider, provider),
        names.REQUEST_MODEL: model,
        names.AGENT: agent,
        names.ATTEMPT: attempt,
    }
    if project_id is not None:
        attributes[names.CONVERSATION] = str(project_id)
    return _Tracing.tracer.span(f"{names.CHAT} {model}", attributes=attributes, is_client=True)
