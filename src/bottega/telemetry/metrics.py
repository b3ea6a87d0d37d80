"""What this process counts, for Prometheus: one registry, and a small function for each thing that happens.

No label names a person, a project or a run: labels are few and known beforehand. Counting takes microseconds and never
waits. Counters are floats that begin at zero with the process; they are for watching, the rows are for accounting. What
only rows can tell (`Rows`) is read when somebody looks, and a truth that nobody has checked yet is not claimed. Every
metric has its line in docs/observability.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
_STEP_SECONDS = (0.05, 0.25, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200)
_CALL_SECONDS = (0.1, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1200)
_TOKENS = (16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each, which nothing reads
_registry = CollectorRegistry(auto_describe=False)
for _collector in (ProcessCollector, PlatformCollector, GCCollector):
    _collector(registry=_registry)

_claims = Counter(
    "bottega_claims", "Attempts to take a run's lease, by what came of them.", ["result"], registry=_registry
)
_leases_lost = Counter(
    "bottega_lease_lost", "Runs that another runner took over while this one worked.", registry=_registry
)
_attempts = Counter("bottega_step_attempts", "Steps begun.", ["kind"], registry=_registry)
_steps = Histogram(
    "bottega_step_duration_seconds",
    "Time from a step's beginning until it was journaled or set aside.",
    ["kind", "outcome"],
    buckets=_STEP_SECONDS,
    registry=_registry,
)
_charged = Counter("bottega_credits_charged", "Credits charged to people.", registry=_registry)
_orphans = Counter("bottega_orphan_calls", "Model calls written off: nobody heard how they ended.", registry=_registry)
_orphan_cost = Counter(
    "bottega_orphan_cost_usd", "What providers billed for orphan calls, as far as known.", registry=_registry
)
_provider_errors = Counter(
    "bottega_provider_errors",
    "Attempts at a model that failed at the provider.",
    ["provider", "code"],
    registry=_registry,
)
_call_seconds = Histogram(
    "bottega_gen_ai_client_operation_duration_seconds",
    "Time of one attempt at a model.",
    ["provider", "model", "outcome"],
    buckets=_CALL_SECONDS,
    registry=_registry,
)
_call_tokens = Histogram(
    "bottega_gen_ai_client_token_usage",
    "Tokens of one answered attempt at a model.",
    ["provider", "model", "type"],
    buckets=_TOKENS,
    registry=_registry,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What the database's rows say at one moment. Nothing that is due has an age of zero."""

    runs: Mapping[str, int]  # unfinished ones, by state
    due_unclaimed_age_seconds: float
    outbox_lag_seconds: float
    holds_open: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    findings: int
    at_seconds: float  # since the epoch


class _Looked(Collector):
    """Gauges that are worked out when somebody looks."""

    def __init__(self) -> None:
        self.loop_lag_seconds: float | None = None
        self.is_asked = False  # whether a database was looked at
        self.rows: Rows | None = None
        self.audit: Audit | None = None

    def collect(self) -> Iterator[Metric]:
        if self.loop_lag_seconds is not None:
            yield _gauge("bottega_loop_lag_seconds", "The longest the event loop was late.", self.loop_lag_seconds)
        if self.audit is not None:
            yield _gauge("bottega_ledger_drift", "Money truths found not to hold; 0: all hold.", self.audit.findings)
            at = self.audit.at_seconds
            yield _gauge("bottega_ledger_audited_timestamp_seconds", "When the ledger was last audited.", at)
        if self.is_asked:
            yield _gauge("bottega_database_up", "Whether the database answered in time.", int(self.rows is not None))
        if self.rows is not None:
            yield from _of_rows(self.rows)


def _of_rows(rows: Rows) -> Iterator[Metric]:
    runs = GaugeMetricFamily("bottega_runs", "Unfinished runs by state.", labels=["state"])
    for state, number in sorted(rows.runs.items()):
        runs.add_metric([state], number)
    yield runs
    age = rows.due_unclaimed_age_seconds
    yield _gauge("bottega_due_unclaimed_age_seconds", "How long the longest waiting due run has had no runner.", age)
    lag = rows.outbox_lag_seconds
    yield _gauge("bottega_outbox_lag_seconds", "How long the longest waiting due message has not been sent.", lag)
    yield _gauge("bottega_holds_open", "Open holds of credits.", rows.holds_open)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)


_looked = _Looked()
_registry.register(_looked)


def page(*, loop_lag_seconds: float | None = None, rows: Rows | None = None, is_asked: bool = False) -> bytes:
    """Return everything in Prometheus' format; `is_asked` with no rows says that the database does not answer.

    One caller at a time.
    """
    _looked.loop_lag_seconds, _looked.rows, _looked.is_asked = loop_lag_seconds, rows, is_asked
    return generate_latest(_registry)


# -- what happens ------------------------------------------------------------------------------------


def claimed(*, result: Literal["ok", "none", "fenced"]) -> None:
    """Count a claim that was had, that was not to be had, or whose write was refused: its lease was gone."""
    _claims.labels(result).inc()


def lease_lost() -> None:
    _leases_lost.inc()


def step_begun(*, kind: str) -> None:
    _attempts.labels(kind).inc()


def step_ended(*, kind: str, outcome: str, seconds: float) -> None:
    _steps.labels(kind, outcome).observe(seconds)


def charged(*, credits: Decimal) -> None:
    _charged.inc(float(credits))


def orphaned(*, calls: int = 0, cost_usd: Decimal = Decimal(0)) -> None:
    """Count calls that are written off, and what it turns out that they cost, which is often known later."""
    _orphans.inc(calls)
    _orphan_cost.inc(float(cost_usd))


def call_answered(*, provider: str, model: str, seconds: float, input_tokens: int, output_tokens: int) -> None:
    _call_seconds.labels(provider, model, "ok").observe(seconds)
    _call_tokens.labels(provider, model, "input").observe(input_tokens)
    _call_tokens.labels(provider, model, "output").observe(output_tokens)


def call_failed(*, provider: str, model: str, seconds: float, code: str) -> None:
    _call_seconds.labels(provider, model, code).observe(seconds)


def provider_failed(*, provider: str, code: str) -> None:
    _provider_errors.labels(provider, code).inc()


def ledger_audited(*, findings: int, at_seconds: float) -> None:
    _looked.audit = Audit(findings=findings, at_seconds=at_seconds)


def value(name: str, **labels: str) -> float:
    """Return what a sample stands at in this process; a thing that never happened stands at zero."""
    return _registry.get_sample_value(name, labels) or 0.0
