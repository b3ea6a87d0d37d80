"""The first page of `docs/api.md`, as a newcomer reads it: its commands, in a shell, against a server."""

import asyncio
import io
import re
import zipfile
from decimal import Decimal
from pathlib import Path

import pytest

from bottega.billing.prices import set_price
from bottega.billing.pricing import Rates
from bottega.db.transaction import Database
from bottega.llm.types import ModelName
from tests.entrypoints.cli.conftest import Environment, command, environment
from tests.fakes.providers import Ask, FakeProviders, Reply
from tests.journeys import scripts
from tests.journeys.test_http_api import ARCHITECT, IMPLEMENTER, models, served
from tests.journeys.test_wire import purpose

__all__ = ["environment"]

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
_SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def answer(ask: Ask) -> Reply:
    return Reply(text=scripts.GOOD[purpose(ask)])


def commands(url: str) -> str:
    """Return the page's commands, for this server: it runs already, and elsewhere."""
    shell: str
    shell, *_ = _SHELL.findall(PAGE.read_text(encoding="utf-8"))  # the next is for where there are questions
    assert shell.startswith("bottega serve &\n")
    bottega = f'bottega() {{ {" ".join(command())} "$@"; }}\n'
    return (
        "set -euo pipefail\n" + bottega + shell.removeprefix("bottega serve &\n").replace("http://127.0.0.1:8080", url)
    )


@pytest.mark.slow
async def test_its_commands_build_a_project(database: Database, environment: Environment, tmp_path: Path) -> None:
    async with database.transaction() as session:
        for name in (ARCHITECT, IMPLEMENTER):
            rates = Rates(input=Decimal("0.50"), cached=Decimal("0.05"), output=Decimal("2.00"))
            await set_price(session, model=ModelName.parse(name), rates=rates)
    async with FakeProviders() as fake:
        fake.answer = answer
        installation = Environment(
            database_url=environment.database_url,
            home=environment.home,
            settings=models(fake) | {"LOG_LEVEL": "ERROR"},
        )
        async with served(installation) as url:
            shell = await asyncio.create_subprocess_exec(
                *("bash", "-c", commands(url)),
                cwd=tmp_path,
                env=installation.variables(),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            told, complained = await shell.communicate()
    assert shell.returncode == 0, complained.decode()
    assert b"event: delivered" in told
    assert b"event: end" in told
    assert b'"credits"' in told.splitlines()[-1]
    names = zipfile.ZipFile(io.BytesIO((tmp_path / "project.zip").read_bytes())).namelist()
    assert any(name.endswith("words/count.py") for name in names)
