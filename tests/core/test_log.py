"""Logs are events with facts, on stderr, so that stdout stays the command's answer."""

import json
import subprocess
import sys

SAY = """
import structlog
from bottega.core.log import configure_logging
configure_logging(level="{level}", json=True)
log = structlog.get_logger()
log.info("billing.hold.settled", credits="1.50")
log.warning("run.lease.lost", lease_token=3)
"""


def said(level: str) -> tuple[str, list[dict[str, object]]]:
    run = subprocess.run([sys.executable, "-c", SAY.format(level=level)], capture_output=True, text=True, check=True)
    return run.stdout, [json.loads(line) for line in run.stderr.splitlines()]


def test_an_event_carries_its_facts_its_level_and_its_instant() -> None:
    stdout, events = said("INFO")
    assert stdout == ""
    assert [(event["event"], event["level"]) for event in events] == [
        ("billing.hold.settled", "info"),
        ("run.lease.lost", "warning"),
    ]
    assert events[0]["credits"] == "1.50"
    assert str(events[0]["timestamp"]).endswith("Z")


def test_events_below_the_level_are_not_written() -> None:
    _, events = said("WARNING")
    assert [event["event"] for event in events] == ["run.lease.lost"]
