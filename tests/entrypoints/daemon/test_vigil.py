"""How a process shows that it lives, and how it ends."""

import asyncio
from pathlib import Path

import pytest

from bottega.core.errors import AppError
from bottega.entrypoints.daemon.vigil import beating, last_edge
from tests.waiting import when_there


async def test_the_heartbeat_file_is_touched_while_the_loop_turns_and_no_longer(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    async with beating(file, every_seconds=0.01):
        await when_there(file)
        file.unlink()
        await when_there(file)
    file.unlink()
    await asyncio.sleep(0.05)
    assert not file.exists()


async def test_a_heartbeat_that_cannot_be_written_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with beating(tmp_path / "no" / "folder", every_seconds=0.01):
        await asyncio.sleep(0.05)
    assert "worker.heartbeat.unwritable" in capsys.readouterr().out


def test_the_last_edge_says_one_sentence_and_lets_what_is_anticipated_pass(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AppError, match="as expected"), last_edge("worker.failed"):
        raise AppError("as expected")
    with pytest.raises(SystemExit) as ended, last_edge("worker.failed"):
        raise RuntimeError("a detail nobody should see")
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said.startswith("Something went wrong on our side (error ")
    assert "a detail" not in said
