"""Somebody with the credits every account starts with, and an Architect at the default one's prices."""

from dataclasses import dataclass, field
from decimal import Decimal

from bottega.billing.prices import set_price
from bottega.billing.pricing import Rates
from bottega.llm.scripted import ScriptedProvider
from bottega.llm.types import CallObserver, Completion, CompletionRequest, ModelName, Purpose
from bottega.orchestration.state import RunState, StopCode
from tests.journeys import scripts
from tests.journeys.conftest import OpenWorkshop, Workshop, scripted

RATES = Rates(input=Decimal(2), output=Decimal(12))  # google/gemini-3.1-pro-preview, November 2026


@dataclass(kw_only=True)
class Listening:
    """Answers as the script does and keeps what it was asked."""

    script: ScriptedProvider = field(default_factory=lambda: scripted(scripts.GOOD))
    asked: list[CompletionRequest] = field(default_factory=list)

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        self.asked.append(request)
        return await self.script.complete(request, observer=observer)


async def plan(workshop: Workshop) -> RunState:
    async with workshop.app.database.transaction() as session:
        await set_price(session, model=ModelName.parse("scripted/architect"), rates=RATES)
    run_id = (await workshop.status(await workshop.start(scripts.BRIEF))).run_id
    assert run_id is not None
    return await workshop.app.runner.run(run_id=run_id)


async def test_ten_credits_carry_a_first_plan_whose_model_knows_its_room(open_workshop: OpenWorkshop) -> None:
    model = Listening()
    workshop = await open_workshop(llm=model, credits=Decimal(10))
    assert await plan(workshop) is RunState.WAITING
    by_purpose = {request.purpose: request for request in model.asked}
    for purpose, least in ((Purpose.GATHER, 4_000), (Purpose.PLAN, 4_000)):
        room = by_purpose[purpose].max_output_tokens
        assert least < room < 12_000
        assert f"room for {room} tokens" in by_purpose[purpose].system
    assert await workshop.app.credits_for_a_plan() == Decimal("21.6")
    await workshop.audit()


async def test_with_credits_enough_nothing_is_shortened(open_workshop: OpenWorkshop) -> None:
    model = Listening()
    workshop = await open_workshop(llm=model, credits=Decimal(100))
    assert await plan(workshop) is RunState.WAITING
    assert [request.max_output_tokens for request in model.asked] == [6_000, 12_000]
    assert not any("room for" in request.system for request in model.asked)


async def test_below_the_floor_the_run_waits_and_says_how_many_it_takes(open_workshop: OpenWorkshop) -> None:
    model = Listening()
    workshop = await open_workshop(llm=model, credits=Decimal(2))
    assert await plan(workshop) is RunState.CREDITS
    assert model.asked == []
    [project] = await workshop.app.orchestrator.projects(user_id=workshop.user_id)
    status = await workshop.status(project.id)
    assert status.stop_code is StopCode.OUT_OF_CREDITS
    assert status.credits_needed is not None
    assert Decimal(11) < status.credits_needed < Decimal(14)
