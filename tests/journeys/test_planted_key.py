"""A key is nowhere but in its request: a planted one is searched for in everything a build leaves behind.

The providers do what they can to spread it: a refusal that repeats it, a reply that does, a reply that is broken off in
the middle of it. A defect raises with the whole request in its message. What is searched: the log and both streams,
every row of every table, the checks' environment, the repository, the archive, and all of BOTTEGA_HOME.
"""

import io
import json
import subprocess
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import structlog
from sqlalchemy import text

from bottega.billing.prices import set_price
from bottega.billing.pricing import Rates
from bottega.bootstrap import open_gateway
from bottega.config import ModelSettings
from bottega.core.log import configure_logging
from bottega.db.migrate import declared_schema
from bottega.db.transaction import Database
from bottega.keys import store
from bottega.keys.store import NewKey
from bottega.llm.types import CallObserver, Completion, CompletionRequest, Gateway, ModelName, Purpose
from bottega.orchestration.state import RunState
from tests.fakes.providers import Ask, FakeProviders, Reply, rate_limited
from tests.journeys import scripts
from tests.journeys.conftest import OpenWorkshop, Workshop, settings_for
from tests.journeys.test_wire import ARCHITECT, FIRST_RUNG, SECOND_RUNG, Models

PLANTED = "planted-Zq7xV2mK9w-Rt4Yb8Nc6-Lp3Hs5Jd1"  # no provider's form: only knowledge of it can hide it
SPARE = "spare-key-that-may-be-seen-nowhere-either"
PRINT_ENVIRONMENT = "import os\n\nprint('the environment', sorted(os.environ.items()))\n"


class Faulty:
    """The real gateway, which once fails as a defect would: with the request in the exception."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._is_due = True

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        if self._is_due and request.purpose is Purpose.VERIFY:
            self._is_due = False
            raise RuntimeError(f"POST /v1 Authorization: Bearer {PLANTED} x-goog-api-key: {PLANTED}")
        return await self._gateway.complete(request, observer=observer)


@pytest.fixture
async def fake() -> AsyncIterator[FakeProviders]:
    async with FakeProviders() as providers:
        yield providers


def spreading() -> Models:
    """Answer well in the end, after every way to repeat the key; a test of the project prints its environment."""
    header = f"Authorization: Bearer {PLANTED}"
    first = scripts.edit({**scripts.FIRST_FILES, "tests/test_count.py": f"{PRINT_ENVIRONMENT}{scripts.COUNT_TEST}"})
    return Models(
        gather=[rate_limited(retry_after_seconds=0.1), Reply(text=f"{header}, said {PLANTED}", piece_characters=7)],
        plan=[Reply(text=f'{{"title": "{header}', piece_characters=5), Reply(text=f"{header} {header}", fail_after=40)],
        implement_T1=[
            Reply(text=f"words/count.py\n```python\n# {header}\n"),
            Reply(text=f"{header} x", cut_after=30),
            Reply(text=first),
        ],
        verify_T1=[Reply(text=f'{{"approved": "{PLANTED}"}}')],
    )


class Once:
    """Refuse the planted key once it has been used for an edit, repeating it; whoever has the spare one is served."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self.refused = 0

    def __call__(self, ask: Ask) -> Reply:
        if ask.key == PLANTED and self._models.asked["implement-T1-1.md"] >= 2:
            self.refused += 1
            error = {"code": 401, "message": f"Invalid key {PLANTED} {'x' * 240} {PLANTED}"}
            headers = {"content-type": "application/json", "x-echo": PLANTED}
            return Reply(status=401, raw=json.dumps({"error": error}).encode(), headers=headers)
        reply = self._models(ask)
        return replace(reply, text=reply.text.replace(PLANTED, ask.key))  # nobody repeats a key they were not sent


@pytest.mark.parametrize(
    "where", [pytest.param("environment", marks=pytest.mark.slow), "pool", pytest.param("own", marks=pytest.mark.slow)]
)
async def test_a_planted_key_is_found_nowhere(
    fake: FakeProviders,
    open_workshop: OpenWorkshop,
    tmp_path: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    where: str,
) -> None:
    for name in ("GOOGLE_API_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
        if where == "environment":
            monkeypatch.setenv(name, PLANTED)
            monkeypatch.setenv(f"{name}_POOL", SPARE)
    answers = Once(spreading())
    fake.answer = answers
    models = models_of(fake)
    settings = settings_for(home=tmp_path / "home", database_url=database_url, models=models)
    (tmp_path / "home").mkdir()
    database = Database(url=database_url)
    try:
        async with open_gateway(settings, database=database) as gateway:
            workshop = await open_workshop(llm=Faulty(gateway), models=models)
            configure_logging(level="DEBUG", json=True)
            await plant(workshop, where=where)
            await build(workshop)
    finally:
        await database.close()
        structlog.reset_defaults()
    assert PLANTED in {ask.key for ask in fake.asks}, "the build did not use the key it is about"
    assert answers.refused
    said = capfd.readouterr()
    assert "run.step.failed" in said.err, "the defect was not logged: there was nothing to hide"
    tables = await dump(workshop)
    assert "the environment" in "\n".join(tables["evidence"]), "the check did not print its environment"
    found = [
        *found_in_tables(tables),
        *found_in_files(tmp_path),
        *found_in("streams", said.out + said.err),
    ]
    assert found == []
    await workshop.audit()


def models_of(fake: FakeProviders) -> ModelSettings:
    return ModelSettings(
        gemini_base_url=fake.gemini_url,
        openrouter_base_url=fake.openrouter_url,
        architect_model=ARCHITECT,
        implementer_models=(FIRST_RUNG, SECOND_RUNG),
    )


async def plant(workshop: Workshop, *, where: str) -> None:
    rates = Rates(input=Decimal("0.50"), cached=Decimal("0.05"), output=Decimal("2.00"))
    app = workshop.app
    async with app.database.transaction() as session:
        for name in (ARCHITECT, FIRST_RUNG, SECOND_RUNG):
            await set_price(session, model=ModelName.parse(name), rates=rates)
        if where == "environment":
            return
        owner = workshop.user_id if where == "own" else None
        for provider in ("google", "openrouter"):
            for secret in (PLANTED, SPARE):
                key = NewKey(provider=provider, secret=secret, user_id=owner, label="a label")
                await store.add(session, vault=app.vault, key=key)


async def build(workshop: Workshop) -> None:
    """Build to the end, resuming whenever a fault stopped the run."""
    status = await workshop.build(scripts.BRIEF)
    assert status.project_id is not None
    for _ in range(8):
        if status.state is RunState.DONE:
            return
        assert PLANTED not in f"{status}"
        await workshop.app.orchestrator.resume(user_id=workshop.user_id, project_id=status.project_id)
        status = await workshop.run(status.project_id)
    raise AssertionError(status)


async def dump(workshop: Workshop) -> dict[str, list[str]]:
    """Return every row of every table as text; bytes as the escapes that show letters as they are."""
    rows: dict[str, list[str]] = {}
    async with workshop.app.database.transaction() as session:
        await session.execute(text("SET LOCAL bytea_output = 'escape'"))
        for table in declared_schema().sorted_tables:
            statement = text(f"SELECT t::text FROM {table.name} t")  # noqa: S608 -- names of our own tables
            rows[table.name] = list((await session.scalars(statement)).all())
    return rows


def found_in_tables(tables: dict[str, list[str]]) -> list[str]:
    assert len(tables["api_key_usage"]) > 10
    return [hit for name, rows in tables.items() for hit in found_in(name, "\n".join(rows))]


def found_in_files(folder: Path) -> list[str]:
    """Search every file, what git keeps compressed and what archives do."""
    hits: list[str] = []
    for path in (path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        hits += found_in(str(path), content.decode("latin-1"))
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for name in archive.namelist():
                    hits += found_in(f"{path}:{name}", archive.read(name).decode("latin-1"))
    for repository in folder.rglob("*.git"):
        objects = subprocess.run(
            ["git", "cat-file", "--batch", "--batch-all-objects"], cwd=repository, capture_output=True, check=True
        )
        assert len(objects.stdout) > 1000
        hits += found_in(str(repository), objects.stdout.decode("latin-1"))
    return hits


def found_in(place: str, content: str) -> list[str]:
    return [
        f"{place}: {content[max(0, at - 60) : at + 60]!r}"
        for at in (content.find(PLANTED), content.find(SPARE))
        if at >= 0
    ]
