"""Every rung that holds on this machine, so that one table of attacks is run against each of them."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from bottega.sandbox.bubblewrap import Bubblewrap
from bottega.sandbox.kit import Kit, find_kit
from bottega.sandbox.landlock import Landlock
from bottega.sandbox.probe import Finding, candidates, probe

RUNGS = ("bubblewrap", "landlock", "landlock without namespaces")
_REQUIRED = os.environ.get("BOTTEGA_TEST_REQUIRE_BUBBLEWRAP") == "1"  # noqa: TID251 - a switch of the test run

Rung = Bubblewrap | Landlock


def kit_anyone_can_reach() -> Kit:
    """Return a kit whose Python any user may start without mounts: the system's, when ours is root's alone."""
    kit = find_kit()
    if os.geteuid() != 0 or not _private(kit.python):
        return kit
    folders = tuple(path for path in kit.folders if not _private(path))
    programs = {**kit.programs, "python": "/usr/bin/python3", "python3": "/usr/bin/python3"}
    return replace(kit, python="/usr/bin/python3", programs=programs, folders=folders, masked=())


def _private(path: str) -> bool:
    return any(not parent.stat().st_mode & 0o001 for parent in Path(path).parents)


@cache
def findings() -> Mapping[str, Finding]:
    """Attack each candidate once per test process."""
    found: dict[str, Finding] = {}
    for rung in candidates(kit=find_kit()):
        if isinstance(rung, Landlock) and not rung.own_room:
            bare = Landlock(kit=kit_anyone_can_reach(), own_room=False)
            found[RUNGS[2]] = asyncio.run(probe(bare))
        elif rung.isolation not in found or not (found[rung.isolation].works or found[rung.isolation].layers):
            found[rung.isolation] = asyncio.run(probe(rung))
    return found


@pytest.fixture(params=RUNGS)
def rung(request: pytest.FixtureRequest) -> Rung:
    finding = findings().get(request.param)
    if finding is None or not finding.works:
        why = finding.why if finding else "bwrap is not installed"
        assert "could reach" not in why, why  # it was built and leaks: that is a defect, not a missing rung
        if _REQUIRED and request.param == "bubblewrap":
            pytest.fail(f"bubblewrap is required here: {why}")
        pytest.skip(f"{request.param} does not hold on this machine: {why}")
    return finding.sandbox


@pytest.fixture
def strongest() -> Rung:
    for finding in findings().values():
        if finding.works:
            return finding.sandbox
    pytest.skip("no sandbox holds on this machine")
