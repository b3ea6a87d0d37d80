"""`bottega worker` and `bottega runner`: what they refuse, and that they end when told to."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bottega.entrypoints.cli.app import main
from tests.journeys.patrolling import variables
from tests.waiting import when_there


def test_a_worker_without_redis_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDIS_URL", raising=False)
    said = CliRunner().invoke(main, ["worker"])
    assert (said.exit_code, said.stdout) == (2, "")
    assert "set REDIS_URL" in said.stderr


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (("--queue", "nothing"), "'nothing' is not one of 'steps', 'sandbox'"),
        (("--concurrency", "0"), "0 is not in the range"),
        (("--concurrency", "many"), "'many' is not a valid integer"),
    ],
)
def test_what_makes_no_sense_is_refused(given: tuple[str, ...], complaint: str) -> None:
    said = CliRunner().invoke(main, ["worker", *given])
    assert said.exit_code == 2
    assert complaint in said.stderr


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost:6379", "redis://", "amqp://localhost"])
def test_a_redis_url_that_is_none_is_refused(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_URL", url)
    said = CliRunner().invoke(main, ["worker"])
    assert said.exit_code == 2
    assert "REDIS_URL: write redis://" in said.stderr


@pytest.mark.parametrize("redis", [None, "redis://127.0.0.1:9/0"], ids=["runner", "worker without its broker"])
async def test_it_ends_when_told_to(redis: str | None, database_url: str, tmp_path: Path) -> None:
    environment = variables(database_url, tmp_path / "home") | {"HEARTBEAT_FILE": str(tmp_path / "heartbeat")}
    command, more = ("worker", {"REDIS_URL": redis}) if redis else ("runner", {})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bottega", command),
        env=environment | more,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        await when_there(tmp_path / "heartbeat")
        await asyncio.sleep(1)
        os.kill(process.pid, signal.SIGTERM)
        _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
