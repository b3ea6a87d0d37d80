"""The demo as a newcomer may meet it: killed in the middle, taken up again, delivered, and paid for once."""

import asyncio
import re
import zipfile
from pathlib import Path

import pytest

from tests.entrypoints.cli.conftest import Environment, command


@pytest.mark.slow
async def test_a_demo_that_is_killed_is_taken_up_again(environment: Environment, tmp_path: Path) -> None:
    shown = await _run_until(environment, "T1 done", "demo", "--out", str(tmp_path / "out"))
    project = re.search(r"^project (\S+)$", shown, re.MULTILINE)
    assert project, shown

    rest = await _run(environment, "demo", "--resume", project[1], "--out", str(tmp_path / "out"))
    assert "resumed" in rest
    assert "T1 wrote" not in rest, "what was done is not done again"
    with zipfile.ZipFile(tmp_path / "out" / "fairshare.zip") as archive:
        assert "fairshare/RECEIPT.md" in archive.namelist()
    assert await _run(environment, "ledger", "check") == "All money truths hold.\n"


async def _run_until(environment: Environment, line: str, *arguments: str) -> str:
    """Run a command, kill -9 it when it has shown a line, and return what it showed."""
    process = await _started(environment, *arguments)
    assert process.stdout is not None
    shown = ""
    while line not in shown:
        piece = await process.stdout.readline()
        assert piece, shown
        shown += piece.decode()
    process.kill()
    await process.communicate()
    return shown


async def _run(environment: Environment, *arguments: str) -> str:
    process = await _started(environment, *arguments)
    stdout, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    return stdout.decode()


async def _started(environment: Environment, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command(*arguments),
        env=environment.variables(PYTHONUNBUFFERED="1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
