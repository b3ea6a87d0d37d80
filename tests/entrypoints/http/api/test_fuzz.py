"""The API against its own description, by a program that makes up requests: Schemathesis with every check it has.

Nothing it sends is 5xx, no answer is undeclared or of another shape, no token is ignored, and what it made with one
call is there for the next. A few examples of each route here; at length behind `make test-api-fuzz`.
"""

import asyncio
import os
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from bottega.access.types import Role
from bottega.core.clock import SystemClock
from bottega.entrypoints.http.api.streams import Streams
from tests.entrypoints.http.api.conftest import installed

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


async def explored(*options: str, home: Path, database_url: str) -> tuple[int, str]:
    """Let Schemathesis explore an installation as an admin; return how it ended and what it said."""
    streams = Streams(clock=SystemClock(), heartbeat_seconds=0.02, longest_seconds=0.05)
    async with installed(home=home / "home", database_url=database_url, streams=streams, credits=Decimal(10)) as here:
        person = await here.person("root", role=Role.ADMIN)
        await here.planned(person)
        command = (
            *(SCHEMATHESIS, "--config-file", str(CONFIGURATION), "run", f"{here.url}/openapi.json"),
            *("--header", f"Authorization:{person.http.headers['authorization']}", "--header", "Prefer:wait=0"),
            *("--checks", "all", "--no-color", "--warnings", "off", "--suppress-health-check", "all", *options),
        )
        process = await asyncio.create_subprocess_exec(
            *command, cwd=home, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()


async def test_a_few_requests_of_every_kind_find_no_fault(tmp_path: Path, database_url: str) -> None:
    code, said = await explored(
        *("--phases", "fuzzing,stateful", "--max-examples", "1", "--max-time", "6", "--generation-deterministic"),
        home=tmp_path,
        database_url=database_url,
    )
    assert code == 0, said


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_requests_at_length_find_no_fault(tmp_path: Path, database_url: str) -> None:
    most = os.environ.get("API_FUZZ_EXAMPLES", "50")  # noqa: TID251 -- tests have no Settings
    code, said = await explored(
        *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", most, "--continue-on-failure"),
        home=tmp_path,
        database_url=database_url,
    )
    assert code == 0, said
