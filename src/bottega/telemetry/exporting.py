"""OpenTelemetry behind our spans. Imported only where tracing is wanted; its SDK is the extra `otel`.

The process' global tracer is left alone: a library that would trace requests, headers and bodies finds none. Standard
OTEL_* variables (headers, sampler, limits) are the SDK's to read.
"""

import contextlib
import uuid
from collections.abc import Iterator
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanKind, StatusCode, use_span

from bottega.core.errors import AppError
from bottega.telemetry import names
from bottega.telemetry.tracing import Attributes, Span

EXPORT_SECONDS = 5  # for one batch: stopping waits for the last

_trace: ContextVar[uuid.UUID | None] = ContextVar("trace_id", default=None)


class _Ids(RandomIdGenerator):
    """Gives a run's root the run's own id, so that a sampler decides alike on each of its claims."""

    def generate_trace_id(self) -> int:
        wanted = _trace.get()
        return super().generate_trace_id() if wanted is None else wanted.int


def otlp_processor(*, endpoint: str | None) -> SpanProcessor:
    """Return what sends spans in batches over OTLP/HTTP; without an endpoint to where the SDK is told, or localhost."""
    traces = None if endpoint is None else f"{endpoint}/v1/traces"
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=traces, timeout=EXPORT_SECONDS))


class OpenTelemetryTracer:
    def __init__(self, *, processor: SpanProcessor, service_name: str) -> None:
        resource = Resource.create({SERVICE_NAME: service_name})
        self._provider = TracerProvider(resource=resource, id_generator=_Ids(), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("bottega")

    @contextlib.contextmanager
    def span(
        self, name: str, *, attributes: Attributes, trace: uuid.UUID | None = None, is_client: bool = False
    ) -> Iterator[Span]:
        span = self._begun(name, attributes=attributes, trace=trace, is_client=is_client)
        with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            told = _Told(span)
            try:
                yield told
            except BaseException as error:  # by its kind alone: its words may be a person's or a model's
                told.fail(error.code if isinstance(error, AppError) else type(error).__name__)
                raise

    def _begun(self, name: str, *, attributes: Attributes, trace: uuid.UUID | None, is_client: bool) -> OtelSpan:
        mark = _trace.set(trace)
        try:
            return self._tracer.start_span(
                name,
                context=None if trace is None else Context(),
                kind=SpanKind.CLIENT if is_client else SpanKind.INTERNAL,
                attributes=attributes,
            )
        finally:
            _trace.reset(mark)

    def close(self) -> None:
        """Send what is left; takes no longer than a batch may."""
        self._provider.shutdown()


class _Told:
    def __init__(self, span: OtelSpan) -> None:
        self._span = span

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def fail(self, code: str) -> None:
        self._span.set_status(StatusCode.ERROR)
        self._span.set_attribute(names.ERROR, code)
