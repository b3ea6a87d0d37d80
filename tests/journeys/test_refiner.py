"""A refinement by a program of its own, in a real run: it is tried first, not believed, and the ladder goes on."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from bottega.agents.refiner import AiderRefiner
from bottega.bootstrap import Pace, RefinerUnavailable, choose_refiner
from bottega.config import PlatformSettings, RefinementSettings, Settings
from bottega.entrypoints.relay.host import LocalRelay
from bottega.llm.scripted import stem_of
from bottega.llm.types import ModelName
from bottega.orchestration.state import RunState, StopCode
from bottega.orchestration.tables import Step
from bottega.orchestration.views.standing import Status
from bottega.sandbox.fence import can_fence
from tests.fakes.aider import stand_in
from tests.journeys import scripts
from tests.journeys.conftest import OpenWorkshop, Workshop
from tests.journeys.test_refine import Waiting, left_as_it_was, refine, refined

pytestmark = [
    pytest.mark.skipif(not can_fence(), reason="this kernel has no Landlock"),
    pytest.mark.slow,  # each case is a build of its own
]

# The script's reply is two fenced files; the stand-in writes them as a client of the lent model would.
OBEYS = r"""
import re
for path, text in re.findall(r"^(\S+)\n````\n(.*?)````", ask("do it"), re.DOTALL | re.MULTILINE):
    Path(path).write_text(text)
print("Applied.")
"""


@pytest.fixture
async def relay() -> AsyncIterator[LocalRelay]:
    models = [ModelName.parse(name) for name in ("scripted/architect", "scripted/apprentice", "scripted/journeyman")]
    async with LocalRelay(models=models) as relay:
        yield relay


@pytest.fixture
def open_with(open_workshop: OpenWorkshop, relay: LocalRelay, tmp_path: Path) -> OpenWorkshop:
    async def open_one(*, does: str, **more: object) -> Workshop:
        command = await asyncio.to_thread(stand_in, tmp_path, does=does)
        return await open_workshop(aider=command, model_server=relay, **more)

    return open_one


async def implementing(workshop: Workshop, status: Status) -> list[tuple[str, object]]:
    statement = select(Step.outcome, Step.output).where(Step.run_id == status.run_id, Step.kind == "implement")
    async with workshop.app.database.transaction() as session:
        rows = (await session.execute(statement.order_by(Step.step_no))).all()
    return [(row.outcome, row.output.get("note", row.output.get("reply"))) for row in rows]


async def test_what_it_did_is_checked_judged_and_delivered_and_its_calls_are_charged(
    open_with: OpenWorkshop,
) -> None:
    workshop = await open_with(does=OBEYS, llm=Waiting())
    second = await refined(workshop, await workshop.build(scripts.BRIEF))
    assert second.state is RunState.DONE
    assert await implementing(workshop, second) == [("proposed", "Applied.")]
    receipt = await workshop.app.orchestrator.receipt(user_id=workshop.user_id, project_id=second.project_id)
    (line,) = [line for line in receipt if line.task_key == "T3"]
    assert (line.calls, line.calls_not_charged) == (2, 0)
    assert await workshop.calls() == Counter(settled=9)
    await workshop.audit()


@pytest.mark.slow
async def test_when_it_changes_nothing_the_implementer_takes_the_second_attempt(
    open_with: OpenWorkshop,
) -> None:
    script = {"implement-T3-2.md": scripts.REFINED["implement-T3-1.md"]}
    workshop = await open_with(does="ask('?'); print('Done!')", llm=Waiting(**script))
    second = await refined(workshop, await workshop.build(scripts.BRIEF))
    assert second.state is RunState.DONE
    assert await implementing(workshop, second) == [("failed", "Done!"), ("proposed", "")]
    await workshop.audit()


async def test_a_provider_that_fails_stops_the_run_as_for_any_step(open_with: OpenWorkshop) -> None:
    script = {"implement-T3-1.error.json": '{"error": "authentication_failed", "message": "The key was revoked."}'}
    workshop = await open_with(does=OBEYS + "time.sleep(60)", llm=Waiting(**script))
    second = await refined(workshop, await workshop.build(scripts.BRIEF))
    assert (second.state, second.stop_code) == (RunState.ATTENTION, StopCode.PROVIDER)
    assert "The key was revoked." in (second.reason or "")
    await workshop.audit()


async def test_cancelled_while_it_works_it_ends_within_seconds(open_with: OpenWorkshop, tmp_path: Path) -> None:
    model = Waiting("implement-T3-1")
    pace = Pace(heartbeat_seconds=0.02)
    workshop = await open_with(does=OBEYS, llm=model, pace=pace)
    first = await workshop.build(scripts.BRIEF)
    await refine(workshop, first.project_id)
    running = asyncio.create_task(workshop.run(first.project_id))
    await model.asked.wait()
    await workshop.app.orchestrator.cancel(user_id=workshop.user_id, project_id=first.project_id)
    assert (await asyncio.wait_for(running, 15)).state is RunState.CANCELLED
    assert stem_of(model.requests[-1]) == "implement-T3-1"
    await left_as_it_was(workshop, first)
    assert await asyncio.to_thread(lambda: list((tmp_path / "home" / "refinements").iterdir())) == []


def test_aider_is_used_where_it_is_installed_and_otherwise_done_without(tmp_path: Path) -> None:
    def chosen(refiner: str, command: Path) -> object:
        wish = RefinementSettings(refiner=refiner, aider_command=str(command))  # type: ignore[arg-type]
        platform = PlatformSettings(bottega_home=tmp_path)
        settings = replace(Settings.load(), platform=platform, refinement=wish)
        return choose_refiner(settings, server=LocalRelay(models=()))

    command = stand_in(tmp_path, does="pass")
    assert isinstance(chosen("auto", command), AiderRefiner)
    assert isinstance(chosen("aider", command), AiderRefiner)
    assert chosen("auto", tmp_path / "nothing") is None
    assert chosen("implementer", command) is None


async def test_aider_that_is_asked_for_and_not_there_is_a_fault_of_the_settings(
    open_workshop: OpenWorkshop, relay: LocalRelay, tmp_path: Path
) -> None:
    with pytest.raises(RefinerUnavailable, match="the command is not found"):
        await open_workshop(scripts.GOOD, aider=tmp_path / "nothing", model_server=relay)
    command = await asyncio.to_thread(stand_in, tmp_path, does="pass")
    with pytest.raises(RefinerUnavailable, match="nothing lends it a model"):
        await open_workshop(scripts.GOOD, aider=command)
