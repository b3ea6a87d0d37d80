"""Two runners and one run; a person who says stop while a model thinks. The lease decides, and money follows it."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import func, text, update

from bottega.bootstrap import Pace
from bottega.llm.scripted import stem_of
from bottega.llm.types import CallObserver, Completion, CompletionRequest
from bottega.orchestration import journal
from bottega.orchestration.events import DrivenElsewhere
from bottega.orchestration.journal import LEASE
from bottega.orchestration.running.heartbeat import HEARTBEAT_SECONDS
from bottega.orchestration.state import RunState, StopCode
from bottega.orchestration.tables import Run
from bottega.orchestration.views.standing import Status
from tests.journeys import scripts
from tests.journeys.conftest import OpenWorkshop, Workshop, scripted

BRISK = Pace(heartbeat_seconds=0.02)
CALM = Pace(heartbeat_seconds=60.0)


class ThoughtfulModel:
    """Thinks about one request until it is told to answer."""

    def __init__(self, *, about: str) -> None:
        self._about = about
        self._script = scripted(scripts.GOOD)
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        if stem_of(request) == self._about:
            self.asked.set()
            await self.may_answer.wait()
        return await self._script.complete(request, observer=observer)


async def start(workshop: Workshop) -> Status:
    return await workshop.status(await workshop.start(scripts.BRIEF))


def drive(workshop: Workshop, status: Status) -> asyncio.Task[RunState]:
    assert status.run_id is not None
    return asyncio.create_task(workshop.app.runner.run(run_id=status.run_id))


async def take_the_lease(workshop: Workshop, status: Status) -> None:
    """Do what a second runner's claim does to the first, so that no heartbeat can come between."""
    async with workshop.app.database.transaction() as session:
        await journal.seize(session, run=await session.get_one(Run, status.run_id))


@pytest.mark.parametrize("pace", [BRISK, CALM], ids=["its heartbeat tells it", "its journal is refused"])
async def test_a_runner_that_lost_its_lease_changes_nothing(pace: Pace, open_workshop: OpenWorkshop) -> None:
    model = ThoughtfulModel(about="plan-1")
    slow, quick = await open_workshop(llm=model, pace=pace), await open_workshop(scripts.GOOD)
    status = await start(slow)
    stale = drive(slow, status)
    await model.asked.wait()
    await take_the_lease(slow, status)
    if pace is BRISK:
        model.may_answer.set()  # it hears of its loss at once, may be the next to claim the run, and then goes on
    done = await quick.run(status.project_id)
    model.may_answer.set()
    ends = (
        {RunState.DONE, RunState.WAITING} if pace is BRISK else {RunState.DONE}
    )  # whoever planned leaves with the plan
    assert await stale in ends
    assert done.state is RunState.DONE
    calls = await quick.calls()
    assert calls.total() - calls["settled"] == 1
    assert calls in [Counter(settled=7, fenced=1), *([Counter(settled=7, orphan=1)] if pace is BRISK else [])]
    await quick.audit()


@pytest.mark.parametrize(
    ("wish", "state", "status"),
    [("pause", RunState.PAUSED, "paused"), ("cancel", RunState.CANCELLED, "cancelled")],
)
async def test_a_wish_ends_a_call_under_way(
    wish: str, state: RunState, status: str, open_workshop: OpenWorkshop
) -> None:
    model = ThoughtfulModel(about="plan-1")
    workshop = await open_workshop(llm=model, pace=BRISK)
    begun = await start(workshop)
    running = drive(workshop, begun)
    await model.asked.wait()
    ask = getattr(workshop.app.orchestrator, wish)
    await ask(user_id=workshop.user_id, project_id=begun.project_id)
    assert await asyncio.wait_for(running, timeout=5) is state  # though the model never answers
    assert (await workshop.status(begun.project_id)).status == status
    assert await workshop.calls() == Counter(settled=1, orphan=1)
    await workshop.audit()


@pytest.mark.slow
async def test_a_paused_call_is_asked_again_after_resuming(open_workshop: OpenWorkshop) -> None:
    model = ThoughtfulModel(about="implement-T1-1")
    workshop = await open_workshop(llm=model, pace=BRISK)
    project_id = await workshop.start(scripts.BRIEF)
    building = asyncio.create_task(workshop.run(project_id))
    await model.asked.wait()
    ids = {"user_id": workshop.user_id, "project_id": project_id}
    await workshop.app.orchestrator.pause(**ids)  # type: ignore[arg-type]
    assert (await building).stop_code is StopCode.PAUSED
    model.may_answer.set()
    await workshop.app.orchestrator.resume(**ids)  # type: ignore[arg-type]
    assert (await workshop.run(project_id)).state is RunState.DONE
    assert await workshop.calls() == Counter(settled=7, orphan=1)
    await workshop.audit()


@pytest.mark.parametrize(("wish", "state"), [("pause", RunState.PAUSED), ("cancel", RunState.CANCELLED)])
async def test_a_wish_that_comes_while_the_last_step_ends_is_not_lost(
    wish: str, state: RunState, open_workshop: OpenWorkshop
) -> None:
    model = ThoughtfulModel(about="plan-1")
    workshop = await open_workshop(llm=model, pace=CALM)
    begun = await start(workshop)
    running = drive(workshop, begun)
    await model.asked.wait()
    ask = getattr(workshop.app.orchestrator, wish)
    await ask(user_id=workshop.user_id, project_id=begun.project_id)
    model.may_answer.set()
    assert await running is state
    assert await workshop.calls() == Counter(settled=2)  # the plan had been paid for, and is kept
    await workshop.audit()


@pytest.mark.parametrize(("wish", "state"), [("pause", RunState.PAUSED), ("cancel", RunState.CANCELLED)])
async def test_a_runner_whose_lease_ran_out_cannot_undo_a_wish(
    wish: str, state: RunState, open_workshop: OpenWorkshop
) -> None:
    model = ThoughtfulModel(about="plan-1")
    workshop = await open_workshop(llm=model, pace=CALM)
    begun = await start(workshop)
    stale = drive(workshop, begun)
    await model.asked.wait()
    async with workshop.app.database.transaction() as session:
        past = func.clock_timestamp() - timedelta(seconds=1)
        await session.execute(update(Run).where(Run.id == begun.run_id).values(lease_until=past))
    ask = getattr(workshop.app.orchestrator, wish)
    await ask(user_id=workshop.user_id, project_id=begun.project_id)
    model.may_answer.set()
    assert await stale is state
    assert await workshop.tasks(begun.project_id) == (), "a plan nobody paid for was written"
    assert await workshop.calls() == Counter(settled=1, fenced=1)
    await workshop.audit()


def test_a_wish_is_heard_within_fifteen_seconds_and_two_beats_may_be_missed() -> None:
    assert HEARTBEAT_SECONDS <= 15
    assert LEASE.total_seconds() >= 3 * HEARTBEAT_SECONDS


async def test_who_comes_second_is_told_that_another_process_is_at_work(open_workshop: OpenWorkshop) -> None:
    model = ThoughtfulModel(about="gather-1")
    first, second = await open_workshop(llm=model), await open_workshop(scripts.GOOD)
    status = await start(first)
    working = drive(first, status)
    await model.asked.wait()
    told = asyncio.Event()
    second.app.events.listen(lambda event: told.set() if isinstance(event, DrivenElsewhere) else None)
    watching = drive(second, status)
    await told.wait()
    model.may_answer.set()
    assert await working is RunState.WAITING
    assert await watching is RunState.WAITING
    assert len(second.told(DrivenElsewhere)) == 1


@pytest.mark.parametrize(
    "undone", [pytest.param(3, id="in time"), pytest.param(4, id="too often", marks=pytest.mark.slow)]
)
async def test_a_journal_that_the_database_undid_for_another_is_written_again(
    undone: int, open_workshop: OpenWorkshop
) -> None:
    workshop = await open_workshop(llm=scripted(scripts.GOOD))
    status = await start(workshop)
    assert status.run_id is not None
    await execute(workshop, *(statement.replace(":undone", str(undone)) for statement in _UNDONE))
    try:
        state = await workshop.app.runner.run(run_id=status.run_id)
    finally:
        await execute(workshop, "DROP FUNCTION undo() CASCADE", "DROP SEQUENCE undone")
    assert state is (RunState.WAITING if undone < 4 else RunState.ATTENTION)
    assert await workshop.calls() == (Counter(settled=2) if undone < 4 else Counter(failed=1))
    await workshop.audit()


async def execute(workshop: Workshop, *statements: str) -> None:
    async with workshop.app.database.transaction() as session:
        for statement in statements:
            await session.execute(text(statement))


# What PostgreSQL answers to one of two transactions that wait for each other, so many times.
_UNDONE = (
    "CREATE SEQUENCE undone",
    """
    CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('undone') <= :undone THEN RAISE EXCEPTION USING ERRCODE = 'deadlock_detected'; END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER undone BEFORE INSERT ON steps FOR EACH ROW EXECUTE FUNCTION undo()",
)
