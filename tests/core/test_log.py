"""Logs are events with facts, on stderr, so that stdout stays the command's answer; libraries' words among them."""

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


LIBRARIES = """
import asyncio, logging, warnings
from bottega.core.log import bound, configure_logging
configure_logging(level="{level}", json=True)
configure_logging(level="{level}", json=True)
library = logging.getLogger("a.library")

class Odd:
    def __str__(self):
        raise RuntimeError("sk-or-v1-" + "0a1b" * 16)

async def work(name):
    with bound(run_id=name):
        for _ in range(3):
            await asyncio.sleep(0)
            library.warning("of %s", name)

async def main():
    await asyncio.gather(*(work(f"run-{{number}}") for number in range(20)))

asyncio.run(main())
with bound(request_id="r1"):
    library.error("it failed\\nand more")
library.info("GET /v1/chat with a prompt")
library.warning("%d of %s", "none")
library.warning("%s", Odd())
warnings.warn("old ways")
try:
    raise ValueError("why")
except ValueError:
    library.critical("it broke", exc_info=True)
"""


def said(level: str, program: str = SAY) -> tuple[str, list[dict[str, object]]]:
    script = program.format(level=level)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
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


def test_what_libraries_say_takes_the_same_form_with_what_is_bound() -> None:
    _, events = said("DEBUG", LIBRARIES)
    assert {event["event"] for event in events} == {"library"}
    concurrent, rest = events[:60], events[60:]
    assert len({event["run_id"] for event in concurrent}) == 20
    assert all(event["message"] == f"of {event['run_id']}" for event in concurrent)
    assert [(event["level"], event["logger"]) for event in rest] == [
        ("error", "a.library"),
        ("warning", "a.library"),
        ("warning", "a.library"),
        ("warning", "py.warnings"),
        ("critical", "a.library"),
    ]
    assert (rest[0]["request_id"], rest[0]["message"]) == ("r1", "it failed\nand more")
    assert all("request_id" not in event and "run_id" not in event for event in rest[1:])
    for odd in rest[1:3]:
        assert "cannot be formatted" in str(odd["message"])
    assert "sk-or-v1" not in json.dumps(rest)
    assert "old ways" in str(rest[3]["message"])
    assert "ValueError: why" in str(rest[4]["exception"])


def test_libraries_are_not_louder_than_the_level() -> None:
    _, events = said("ERROR", LIBRARIES)
    assert [event["level"] for event in events] == ["error", "critical"]
