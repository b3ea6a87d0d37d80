"""How a process is watched: its metrics on a port of their own, its spans to a collector."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError

from bottega.bootstrap.app import App
from bottega.config import TelemetrySettings
from bottega.core.errors import AppError
from bottega.db.transaction import Database
from bottega.orchestration.views.census import census
from bottega.telemetry.exposition import MetricsPage, serve_metrics
from bottega.telemetry.loop import LoopWatch
from bottega.telemetry.metrics import Rows
from bottega.telemetry.tracing import traced_by

STATEMENT_MS = 1000
LOOK_SECONDS = 2.0  # for a connection of the pool, and the statements

log = structlog.get_logger()


class TracingUnavailable(AppError):
    code = "tracing_unavailable"

    def __init__(self) -> None:
        super().__init__(
            "OTEL_ENABLED is set, but OpenTelemetry's SDK is not installed. Install the extra (`pip install"
            " 'bottega[otel]'`) or unset OTEL_ENABLED."
        )


@asynccontextmanager
async def serving_metrics(app: App) -> AsyncIterator[int | None]:
    """Serve `GET /metrics` of this process while the block runs, where METRICS_PORT is set; yield the port.

    Raises:
        MetricsUnavailable: the port cannot be had.
    """
    settings = app.settings.telemetry
    if settings.metrics_port is None:
        yield None
        return
    watch = LoopWatch()
    page = MetricsPage(look=lambda: look(app.database), watch=watch)
    async with watch.watching():
        with serve_metrics(page, host=settings.metrics_host, port=settings.metrics_port) as port:
            log.info("metrics.served", host=settings.metrics_host, port=port)
            yield port


async def look(database: Database) -> Rows | None:
    """Return what the rows say, or None where the database does not answer, or not in time."""
    try:
        async with asyncio.timeout(LOOK_SECONDS), database.transaction() as session:
            return await census(session, longest_ms=STATEMENT_MS)
    except (OSError, SQLAlchemyError) as error:
        log.warning("metrics.database.silent", reason=type(error).__name__)
        return None


@asynccontextmanager
async def tracing(settings: TelemetrySettings) -> AsyncIterator[None]:
    """Send this process' spans to a collector while the block runs, where that is wanted.

    A platform may set the endpoint for all it runs; only OTEL_ENABLED makes a missing SDK a fault.

    Raises:
        TracingUnavailable
    """
    endpoint = settings.otel_exporter_otlp_endpoint
    wanted = endpoint is not None if settings.otel_enabled is None else settings.otel_enabled
    if not wanted:
        yield
        return
    try:
        from bottega.telemetry.exporting import OpenTelemetryTracer, otlp_processor  # noqa: PLC0415 -- an extra
    except ImportError as error:
        if settings.otel_enabled:
            raise TracingUnavailable from error
        log.warning("tracing.unavailable", reason="the extra bottega[otel] is not installed")
        yield
        return
    tracer = OpenTelemetryTracer(processor=otlp_processor(endpoint=endpoint), service_name=settings.otel_service_name)
    try:
        with traced_by(tracer):
            yield
    finally:
        await asyncio.to_thread(tracer.close)
