"""Choosing a rung: the strongest that holds, or the one asked for, or nothing at all."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.sandbox.conftest import findings

from bottega.sandbox.kit import find_kit
from bottega.sandbox.landlock import Landlock
from bottega.sandbox.probe import SandboxUnavailable, choose_sandbox, probe
from bottega.sandbox.types import Isolation

pytestmark = pytest.mark.enable_socket


async def test_none_executes_nothing_and_says_so() -> None:
    sandbox = await choose_sandbox(preference="none")
    result = await sandbox.run(files={}, command="true")
    assert (result.executed, result.exit_code, result.isolation) == (False, None, Isolation.NONE)
    assert "SANDBOX=none" in result.reason


def test_auto_takes_the_strongest_rung_that_holds() -> None:
    works = [finding.sandbox.isolation for finding in findings().values() if finding.works]
    chosen = _chosen("auto")
    assert chosen == (works[0] if works else Isolation.NONE)


def _chosen(preference: str) -> Isolation:
    import asyncio  # noqa: PLC0415

    return asyncio.run(choose_sandbox(preference=preference)).isolation


async def test_the_choice_is_made_once() -> None:
    assert await choose_sandbox(preference="auto") is await choose_sandbox(preference="auto")


async def test_a_rung_that_is_asked_for_and_missing_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable) as refused:
        await choose_sandbox(preference="bubblewrap", search_path=str(tmp_path))
    assert refused.value.rung == Isolation.BUBBLEWRAP
    assert "bwrap is not installed" in refused.value.message
    assert "SANDBOX=auto" in refused.value.message


async def test_a_rung_that_lets_an_attack_through_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/var/tmp")  # noqa: S108
    kit = find_kit()
    finding = await probe(Landlock(kit=replace(kit, folders=(*kit.folders, "/var/tmp"))))  # noqa: S108
    if not finding.layers:
        pytest.skip(finding.why)
    assert not finding.works
    assert "a file of the host" in finding.why


async def test_a_rung_that_cannot_be_built_names_the_layer() -> None:
    kit = find_kit()
    finding = await probe(Landlock(kit=replace(kit, folders=(*kit.folders, "/no/such/folder"))))
    assert not finding.works
    assert "/no/such/folder" in finding.why or "namespaces" in finding.why
