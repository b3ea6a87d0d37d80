"""The real Aider refines a file of the delivered demo: `make test-aider` installs it and runs this.

The providers are fakes on loopback that answer in Aider's own SEARCH/REPLACE text; all between is real, the relay too.
"""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from bottega.billing.prices import set_price
from bottega.billing.pricing import Rates
from bottega.config import ModelSettings, Settings
from bottega.entrypoints.cli.demo import SCRIPT, scripted
from bottega.entrypoints.relay.host import LocalRelay
from bottega.llm.scripted import ScriptedProvider
from bottega.llm.types import ModelName
from bottega.orchestration.state import RunState
from bottega.orchestration.views.standing import Status
from tests.fakes.providers import Ask, FakeProviders, Reply
from tests.journeys.conftest import OpenWorkshop, Workshop
from tests.journeys.scripts import BRIEF, verdict

AIDER = Path(__file__).parents[2] / ".tools" / "bin" / "aider"
pytestmark = [pytest.mark.aider, pytest.mark.timeout(300)]
ARCHITECT, IMPLEMENTER = "google/gemini-of-the-test", "openrouter/fake/small"
PATH = "fairshare/money.py"
BEFORE = "LARGEST_CENTS = 100_000_000  # more than a million is a slip of the finger"
AFTER = "LARGEST_CENTS = 100_000_000  # a million: what is more was a slip of the finger"
EDIT = f"{PATH}\n```python\n<<<<<<< SEARCH\n{BEFORE}\n=======\n{AFTER}\n>>>>>>> REPLACE\n```\n"
MISSES = EDIT.replace(BEFORE, "LARGEST_CENTS = 1")
OUTSIDE = "../../../outside.py\n```python\n<<<<<<< SEARCH\n=======\nx = 1\n>>>>>>> REPLACE\n```\n"


@pytest.fixture
async def fake() -> AsyncIterator[FakeProviders]:
    async with FakeProviders() as providers:
        yield providers


@pytest.fixture
async def relay() -> AsyncIterator[LocalRelay]:
    async with LocalRelay(models=[ModelName.parse(ARCHITECT), ModelName.parse(IMPLEMENTER)]) as relay:
        yield relay


@pytest.fixture
async def workshop(fake: FakeProviders, relay: LocalRelay, open_workshop: OpenWorkshop) -> Workshop:
    """Return a workshop with the real Aider and faked providers, on the database of a delivered demo."""
    demo = scripted(Settings.load()).models
    built = await (await open_workshop(models=demo, llm=ScriptedProvider(script=SCRIPT))).build(BRIEF)
    assert built.state is RunState.DONE
    models = ModelSettings(
        google_api_key="key-of-google",  # type: ignore[arg-type]
        gemini_base_url=fake.gemini_url,
        openrouter_api_key="key-of-openrouter",  # type: ignore[arg-type]
        openrouter_base_url=fake.openrouter_url,
        architect_model=ARCHITECT,
        implementer_models=(IMPLEMENTER,),
    )
    workshop = await open_workshop(models=models, aider=AIDER, model_server=relay)
    rates = Rates(input=Decimal("0.50"), cached=Decimal("0.05"), output=Decimal("2.00"))
    async with workshop.app.database.transaction() as session:
        for name in (ARCHITECT, IMPLEMENTER):
            await set_price(session, model=ModelName.parse(name), rates=rates)
    return workshop


async def refined(workshop: Workshop) -> Status:
    (project,) = await workshop.app.orchestrator.projects(user_id=workshop.user_id)
    await workshop.app.orchestrator.refine(
        user_id=workshop.user_id,
        project_id=project.id,
        channel="test",
        path=PATH,
        instruction="Say in the comment that it is a million.",
    )
    return await workshop.run(project.id)


async def test_aider_refines_a_delivered_project(workshop: Workshop, fake: FakeProviders) -> None:
    fake.answer = lambda ask: Reply(text=EDIT if ask.provider == "openrouter" else verdict(criteria=2))
    status = await refined(workshop)

    assert (status.state, status.status) == (RunState.DONE, "completed")
    assert status.archive_key is not None
    with zipfile.ZipFile(io.BytesIO(await workshop.app.storage.get(key=status.archive_key))) as archive:
        assert AFTER in archive.read(f"fairshare/{PATH}").decode()
        assert "T5 Refine fairshare/money.py" in archive.read("fairshare/RECEIPT.md").decode()
        assert not [name for name in archive.namelist() if ".aider" in name]
    receipt = await workshop.app.orchestrator.receipt(user_id=workshop.user_id, project_id=status.project_id)
    (line,) = [line for line in receipt if line.task_key == "T5"]
    assert (line.calls, line.calls_not_charged) == (2, 0)
    assert line.credits > 0
    assert [ask.provider for ask in fake.asks] == ["openrouter", "google"]
    await workshop.audit()


async def test_what_aider_cannot_do_falls_to_the_implementer_and_every_call_is_on_the_receipt(
    workshop: Workshop, fake: FakeProviders
) -> None:
    """Aider corrects itself three times over an edit that does not fit, and ends with 0: nothing was changed."""
    fake.answer = lambda ask: Reply(text=_stumbling(ask) if ask.provider == "openrouter" else verdict(criteria=2))
    status = await refined(workshop)

    assert status.state is RunState.DONE
    receipt = await workshop.app.orchestrator.receipt(user_id=workshop.user_id, project_id=status.project_id)
    (line,) = [line for line in receipt if line.task_key == "T5"]
    assert line.calls == len(fake.asks) > 3
    await workshop.audit()


def _stumbling(ask: Ask) -> str:
    return EDIT if "Reply with the edits for T5" in ask.turns[0][1] else MISSES


async def test_aider_cannot_write_outside_the_project(workshop: Workshop, fake: FakeProviders, tmp_path: Path) -> None:
    """Without its fence it would: nothing of Aider's own keeps a path inside."""
    fake.answer = lambda ask: Reply(text=_straying(ask) if ask.provider == "openrouter" else verdict(criteria=2))
    assert (await refined(workshop)).state is RunState.DONE
    assert not await asyncio.to_thread(lambda: list(tmp_path.rglob("outside.py")))


def _straying(ask: Ask) -> str:
    return EDIT if "Reply with the edits for T5" in ask.turns[0][1] else OUTSIDE
