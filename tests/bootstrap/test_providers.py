"""The gateway as an installation gets it."""

from pathlib import Path

import pytest

from bottega.bootstrap import open_gateway
from bottega.config import Settings


@pytest.mark.parametrize("runs", [64, 1000])
async def test_every_run_of_a_process_may_ask_its_model_at_once(
    runs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTTEGA_HOME", str(tmp_path))
    monkeypatch.setenv("RUNS_AT_ONCE", str(runs))
    async with open_gateway(Settings.load()) as client:
        assert client._wire._limits.connections > runs
