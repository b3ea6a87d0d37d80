"""What operators see of whole runs: whose each line is, what was counted, and the spans."""

import asyncio
import json
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import select, update
from structlog.testing import capture_logs

from bottega.billing.tables import ApiKeyUsage
from bottega.llm.errors import RequestRejected
from bottega.llm.types import CallObserver, Completion, CompletionRequest
from bottega.orchestration.state import RunState
from bottega.orchestration.tables import Run, Step
from bottega.telemetry import metrics
from bottega.telemetry.exporting import OpenTelemetryTracer
from bottega.telemetry.tracing import traced_by
from tests.journeys import scripts
from tests.journeys.conftest import OpenWorkshop, Workshop, scripted
from tests.journeys.test_patrol import patrol, until
from tests.journeys.test_takeover import ThoughtfulModel, drive, start, take_the_lease

AT_ONCE = 8
log = structlog.get_logger()


class Talkative:
    """A scripted model that pauses and speaks in the log as a gateway does, of the project it is asked about."""

    def __init__(self) -> None:
        self._script = scripted(scripts.GOOD)

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        for _ in range(5):
            await asyncio.sleep(0.002)
            await asyncio.create_task(self._speak(request))
        return await self._script.complete(request, observer=observer)

    async def _speak(self, request: CompletionRequest) -> None:
        log.info("gateway.spoke", about=request.session, doing=request.purpose.value)


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    kept = InMemorySpanExporter()
    tracer = OpenTelemetryTracer(processor=SimpleSpanProcessor(kept), service_name="test")
    with traced_by(tracer):
        yield kept
    tracer.close()


def lines() -> Any:
    return capture_logs(processors=[structlog.contextvars.merge_contextvars])


async def waiting(workshop: Workshop, *, projects: int) -> dict[str, str]:
    """Let runs gather and plan side by side until each waits for a go; return their projects by run."""
    ids = [await workshop.start(f"{scripts.BRIEF} ({number})") for number in range(projects)]
    async with patrol(workshop.app.runner, at_once=projects):
        ended = await asyncio.gather(*(until(workshop, project, RunState.WAITING) for project in ids))
    return {str(status.run_id): str(project) for status, project in zip(ended, ids, strict=True)}


@pytest.mark.slow
async def test_every_line_of_runs_side_by_side_says_whose_it_is(open_workshop: OpenWorkshop) -> None:
    workshop = await open_workshop(llm=Talkative())
    with lines() as said:
        projects = await waiting(workshop, projects=AT_ONCE)
    spoke = [line for line in said if line["event"] == "gateway.spoke"]
    assert len(spoke) == AT_ONCE * 2 * 5
    for line in said:
        if line["event"] == "gateway.spoke":
            assert line["about"] == line["project_id"]
            assert line["step"] == line["doing"]
            assert line["step_no"] == {"gather": 0, "plan": 1}[line["step"]]
        if "run_id" in line:
            assert projects[line["run_id"]] == line["project_id"]
    for event in ("billing.call.done", "run.step.done"):
        told = sorted((line["run_id"], line["step"], line["step_no"]) for line in said if line["event"] == event)
        assert told == sorted((run, step, no) for run in projects for no, step in enumerate(("gather", "plan")))
    assert structlog.contextvars.get_contextvars() == {}


async def test_a_whole_build_is_told_in_lines_counts_and_spans(
    open_workshop: OpenWorkshop, spans: InMemorySpanExporter
) -> None:
    workshop = await open_workshop(scripts.GOOD)
    before = counts()
    with lines() as said:
        status = await workshop.build(scripts.BRIEF)
    assert status.state is RunState.DONE
    assert status.run_id is not None
    counted = {name: number - before[name] for name, number in counts().items()}
    async with workshop.app.database.transaction() as session:
        steps = (await session.scalars(select(Step).order_by(Step.step_no))).all()
        calls = (await session.scalars(select(ApiKeyUsage).order_by(ApiKeyUsage.id))).all()
    each_has_its_line(said, steps, calls)
    assert counted.pop("credits") == pytest.approx(float(sum(step.credits_charged for step in steps)))
    assert counted == {"claims": 2, "begun": 2, "proposed": 2, "packed": 1}
    one_tree_for_each_claim(spans.get_finished_spans(), status.run_id, status.project_id, steps)
    for told in (json.dumps(said, default=str), *(span.to_json() for span in spans.get_finished_spans())):
        assert "words" not in told.lower(), "nothing of the brief or of a reply"


COUNTED: dict[str, tuple[str, dict[str, str]]] = {
    "credits": ("bottega_credits_charged_total", {}),
    "claims": ("bottega_claims_total", {"result": "ok"}),  # until the plan, and after the go
    "begun": ("bottega_step_attempts_total", {"kind": "implement"}),
    "proposed": ("bottega_step_duration_seconds_count", {"kind": "implement", "outcome": "proposed"}),
    "packed": ("bottega_step_duration_seconds_count", {"kind": "package", "outcome": "packed"}),
}


def counts() -> dict[str, float]:
    return {name: metrics.value(sample, **labels) for name, (sample, labels) in COUNTED.items()}


def each_has_its_line(said: list[Any], steps: Sequence[Step], calls: Sequence[ApiKeyUsage]) -> None:
    """Steps and calls have one line each, with what they cost."""
    done = [line for line in said if line["event"] == "run.step.done"]
    assert [(line["step_no"], line["step"], line["task"], line["outcome"]) for line in done] == [
        (step.step_no, step.kind, step.task_key, step.outcome) for step in steps
    ]
    assert [Decimal(line["credits"]) for line in done] == [step.credits_charged for step in steps]
    told = [line for line in said if line["event"] == "billing.call.done"]
    assert [(line["usage_id"], line["input_tokens"], line["output_tokens"]) for line in told] == [
        (call.id, call.input_tokens_used, call.output_tokens_used) for call in calls
    ]
    assert [Decimal(line["cost_usd"]) for line in told] == [call.actual_cost_usd for call in calls]


def one_tree_for_each_claim(
    finished: Sequence[ReadableSpan], run_id: uuid.UUID, project_id: uuid.UUID, journal: Sequence[Step]
) -> None:
    """All spans are in the trace of the run: a root for each claim, below it steps, below them calls."""
    assert {span.context.trace_id for span in finished if span.context} == {run_id.int}
    children: dict[int | None, list[ReadableSpan]] = defaultdict(list)
    for span in finished:
        children[span.parent.span_id if span.parent else None].append(span)
    roots = children[None]
    assert [span.name for span in roots] == ["invoke_workflow build"] * 2
    steps = [span for root in roots for span in children[root.context.span_id if root.context else None]]
    assert [(span.name, (span.attributes or {})["bottega.step.outcome"]) for span in steps] == [
        (f"step {step.kind}", step.outcome) for step in journal
    ]
    calls = [span for step in steps for span in children[step.context.span_id if step.context else None]]
    assert {span.kind for span in calls} == {SpanKind.CLIENT}
    assert len(calls) + len(steps) + len(roots) == len(finished)
    assert calls[0].name == "chat architect"
    first = dict(calls[0].attributes or {})
    assert first["gen_ai.operation.name"] == "chat"
    assert first["gen_ai.provider.name"] == "scripted"
    assert first["gen_ai.request.model"] == "architect"
    assert first["gen_ai.agent.name"] == "architect"
    assert first["gen_ai.conversation.id"] == str(project_id)


async def test_a_run_that_was_taken_over_is_counted_with_what_it_lost(open_workshop: OpenWorkshop) -> None:
    lost, fenced = metrics.value("bottega_lease_lost_total"), metrics.value("bottega_claims_total", result="fenced")
    orphans = metrics.value("bottega_orphan_calls_total")
    model = ThoughtfulModel(about="gather-1")
    first = await open_workshop(llm=model)
    status = await start(first)
    driven = drive(first, status)
    await model.asked.wait()
    await take_the_lease(first, status)
    async with first.app.database.transaction() as session:
        await session.execute(update(Run).values(lease_until=None, lease_owner=None))
    second = await open_workshop(scripts.GOOD)
    assert status.run_id is not None
    await second.app.runner.run(run_id=status.run_id)
    assert metrics.value("bottega_orphan_calls_total") - orphans == 1
    model.may_answer.set()
    await driven
    assert metrics.value("bottega_claims_total", result="fenced") - fenced == 1
    assert metrics.value("bottega_lease_lost_total") - lost == 1


class Down:
    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        del observer
        raise RequestRejected(f"the words {request.messages[0].content}", provider="scripted")


async def test_a_provider_that_fails_is_counted_and_its_words_are_in_no_span(
    open_workshop: OpenWorkshop, spans: InMemorySpanExporter
) -> None:
    workshop = await open_workshop(llm=Down())
    errors = metrics.value("bottega_provider_errors_total", provider="scripted", code="request_rejected")
    run_id = (await workshop.status(await workshop.start(scripts.BRIEF))).run_id
    assert run_id is not None
    with lines() as said:
        await workshop.app.runner.run(run_id=run_id)
    [attempt] = [line for line in said if line["event"] == "billing.call.failed"]
    assert (attempt["attempt"], attempt["status"], attempt["error"]) == (1, "failed", "request_rejected")
    counted = metrics.value("bottega_provider_errors_total", provider="scripted", code="request_rejected")
    assert counted - errors == 1
    [aside] = [line for line in said if line["event"] == "run.step.set_aside"]
    assert (aside["step"], aside["outcome"]) == ("gather", "provider")
    failed = [span for span in spans.get_finished_spans() if span.status.status_code is StatusCode.ERROR]
    assert {(span.attributes or {})["error.type"] for span in failed} == {"request_rejected", "provider"}
    assert "the words" not in "".join(span.to_json() for span in spans.get_finished_spans())
