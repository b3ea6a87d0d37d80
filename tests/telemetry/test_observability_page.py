"""The page for operators and the rules to alarm on name the metrics that there are."""

import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bottega.telemetry import metrics
from bottega.telemetry.metrics import Rows

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
ROWS = Rows(runs={"ready": 1}, due_unclaimed_age_seconds=0, outbox_lag_seconds=0, holds_open=0)
FAMILY = re.compile(r"^\| `(bottega_\w+)(?:\{([\w,]+)\})?` \| (\w+)", re.MULTILINE)


def served() -> dict[str, tuple[str, ...]]:
    """Return every metric by the name it is read under, with its labels, after all that can happen did."""
    metrics.ledger_audited(findings=0, at_seconds=1.0)
    metrics.claimed(result="ok")
    metrics.step_begun(kind="check")
    metrics.step_ended(kind="check", outcome="passed", seconds=1)
    metrics.call_answered(provider="acme", model="sage", seconds=1, input_tokens=1, output_tokens=1)
    metrics.provider_failed(provider="acme", code="overloaded")
    page = metrics.page(loop_lag_seconds=0.0, rows=ROWS, is_asked=True).decode()
    found: dict[str, tuple[str, ...]] = {}
    for family in text_string_to_metric_families(page):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if name.startswith("bottega_"):
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            found[name] = tuple(sorted(labels))
    return found


def test_the_page_has_every_metric_with_its_labels_and_no_other() -> None:
    described = {name: tuple(sorted(filter(None, labels.split(",")))) for name, labels, _ in FAMILY.findall(PAGE)}
    assert described == served()


def test_no_label_says_whose() -> None:
    labels = {label for names in served().values() for label in names}
    assert labels == {"state", "result", "kind", "outcome", "provider", "code", "model", "type"}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_asks_for_metrics_that_there_are_and_says_what_to_do(alert: dict[str, object]) -> None:
    known = set(served())
    named = set(re.findall(r"bottega_\w+", str(alert["expr"])))
    assert named
    assert {re.sub("_(count|sum|bucket)$", "", name) for name in named} <= known
    annotations = alert["annotations"]
    assert isinstance(annotations, dict)
    assert set(annotations) == {"summary", "action"}


def test_every_event_of_the_page_is_logged_somewhere() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src" / "bottega").rglob("*.py"))
    events = re.findall(r"^\| `([a-z]+\.[a-z_.]+)` \|", PAGE, re.MULTILINE)
    assert len(events) >= 8
    assert [event for event in events if f'"{event}"' not in sources] == []
