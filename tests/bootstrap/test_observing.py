"""How a process is watched: what a scrape sees of a real database, and tracing for those who asked for it."""

import asyncio
import http.client
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from structlog.testing import capture_logs
from tests.database import connected
from tests.fakes.http_server import HttpRequest, HttpResponse, HttpServer
from tests.journeys.conftest import scripted, settings_for

from bottega.bootstrap import App, observing, open_app, serving_metrics
from bottega.config import TelemetrySettings
from bottega.db.transaction import Database
from bottega.telemetry import exporting
from bottega.telemetry.exposition import MetricsUnavailable
from bottega.telemetry.metrics import Rows
from bottega.telemetry.tracing import run_span

NOTHING = Rows(runs={}, due_unclaimed_age_seconds=0, outbox_lag_seconds=0, holds_open=0)
RUN, PROJECT = uuid.UUID(int=7), uuid.UUID(int=8)


@pytest.fixture
async def app(tmp_path: Path, database_url: str) -> AsyncIterator[App]:
    async with open_app(settings_for(home=tmp_path, database_url=database_url), llm=scripted({})) as made:
        yield made


def on_port(app: App, port: int | None) -> App:
    telemetry = TelemetrySettings(metrics_port=port)
    return replace(app, settings=replace(app.settings, telemetry=telemetry))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def scraped(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics")
    try:
        return connection.getresponse().read().decode()
    finally:
        connection.close()


async def test_without_a_port_nothing_is_served(app: App) -> None:
    async with serving_metrics(app) as port:
        assert port is None


async def test_a_process_serves_what_the_rows_say_while_it_runs(app: App) -> None:
    port = free_port()
    async with serving_metrics(on_port(app, port)) as served:
        page = await asyncio.to_thread(scraped, port)
        assert served == port
    assert "bottega_database_up 1.0" in page
    assert "bottega_due_unclaimed_age_seconds 0.0" in page
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(scraped, port)


def test_nobody_but_this_machine_reaches_it_unless_told_otherwise() -> None:
    assert (TelemetrySettings().metrics_host, TelemetrySettings().metrics_port) == ("127.0.0.1", None)


async def test_a_taken_port_stops_the_start_with_a_sentence(app: App) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(MetricsUnavailable):
        async with serving_metrics(on_port(app, taken.getsockname()[1])):
            pass


async def test_a_database_that_is_not_there_is_told_as_silent() -> None:
    database = Database(url=f"postgresql+asyncpg://nobody@127.0.0.1:{free_port()}/none")
    with capture_logs() as said:
        assert await observing.look(database) is None
    await database.close()
    assert [line["event"] for line in said] == ["metrics.database.silent"]


async def test_a_server_that_refuses_the_login_is_told_as_silent(database_url: str) -> None:
    database = Database(url=database_url.rpartition("/")[0] + "/there_is_no_such_database")
    assert await observing.look(database) is None
    await database.close()


async def test_a_look_does_not_wait_for_a_locked_table(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "STATEMENT_MS", 50)
    async with connected(database_url) as locking, locking.transaction():
        await locking.execute("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        assert await observing.look(database) is None
        assert time.monotonic() - began < 1, "the server ended the statement, not we the wait for it"
    assert await observing.look(database) == NOTHING


async def test_a_look_does_not_wait_for_a_connection_for_ever(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "LOOK_SECONDS", 0.2)
    database = Database(url=database_url, pool_size=1)
    async with database.transaction() as busy:
        await busy.connection()
        began = time.monotonic()
        assert await observing.look(database) is None
        assert time.monotonic() - began < 2
    assert await observing.look(database) == NOTHING
    await database.close()


# -- traces ------------------------------------------------------------------------------------------


async def test_spans_arrive_at_the_collector_before_the_process_is_gone() -> None:
    posted: list[HttpRequest] = []

    async def collect(request: HttpRequest) -> HttpResponse:
        posted.append(request)
        return HttpResponse()

    async with HttpServer(collect) as collector:
        settings = TelemetrySettings(otel_exporter_otlp_endpoint=collector.url, otel_service_name="workshop")
        async with observing.tracing(settings):
            with run_span(run_id=RUN, project_id=PROJECT, workflow="build"):
                pass
    [request] = posted
    assert request.path == "/v1/traces"
    sent = ExportTraceServiceRequest.FromString(request.body)
    [span] = sent.resource_spans[0].scope_spans[0].spans
    assert (span.name, span.trace_id) == ("invoke_workflow build", RUN.bytes)
    assert "workshop" in str(sent.resource_spans[0].resource)


async def test_a_collector_that_is_not_there_holds_a_stop_up_no_longer_than_a_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporting, "EXPORT_SECONDS", 0.3)
    settings = TelemetrySettings(otel_exporter_otlp_endpoint=f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()
    async with observing.tracing(settings):
        with run_span(run_id=RUN, project_id=PROJECT, workflow="build"):
            pass
    assert time.monotonic() - began < 3


WITHOUT_THE_EXTRA = """
import asyncio, sys, uuid
from bottega.bootstrap import observing, TracingUnavailable
from bottega.config import TelemetrySettings
from bottega.core.log import configure_logging
from bottega.telemetry.tracing import call_span, run_span, step_span
import bottega.entrypoints.cli.app, bottega.entrypoints.http.serve

async def work(**settings):
    async with observing.tracing(TelemetrySettings(**settings)):
        with run_span(run_id=uuid.uuid4(), project_id=uuid.uuid4(), workflow="build"):
            with step_span(kind="check", step_no=1, task_key=None), call_span(
                provider="acme", model="sage", agent="architect", attempt=1, project_id=None
            ) as call:
                call.note({"a": 1})
                call.fail("why")
    print("worked", any(name.startswith("opentelemetry.sdk") for name in sys.modules))

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

configure_logging(level="WARNING")
asyncio.run(work())
asyncio.run(work(otel_enabled=False, otel_exporter_otlp_endpoint="http://127.0.0.1:9"))
sys.meta_path.insert(0, Missing())
asyncio.run(work())
asyncio.run(work(otel_exporter_otlp_endpoint="http://127.0.0.1:9"))
try:
    asyncio.run(work(otel_enabled=True))
except TracingUnavailable as error:
    print(error.message)
"""


def test_without_the_extra_everything_works_and_who_asked_for_it_is_told() -> None:
    """The SDK is not imported unless wanted; an endpoint that a platform sets for all is a warning, no more."""
    run = subprocess.run([sys.executable, "-c", WITHOUT_THE_EXTRA], capture_output=True, text=True, check=True)
    *worked, told = run.stdout.splitlines()
    assert worked == ["worked False"] * 4
    assert told.startswith("OTEL_ENABLED is set, but OpenTelemetry's SDK is not installed. Install the extra")
    assert run.stderr.count("tracing.unavailable") == 1
