"""Nobody at a terminal: a patrol goes on with whatever is due, and a top-up from anywhere sets a waiting run going."""

import asyncio
import contextlib
import multiprocessing
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from bottega.billing import ledger
from bottega.billing.types import Cause, TransactionType
from bottega.bootstrap import Pace
from bottega.entrypoints.cli.app import main
from bottega.orchestration import events, funding
from bottega.orchestration.doorbell import Lane
from bottega.orchestration.running.advance import Shift
from bottega.orchestration.running.runner import InProcessRunner
from bottega.orchestration.state import RunState, StopCode
from bottega.orchestration.tables import Run, RunEvent, Step
from bottega.orchestration.views.standing import Status
from bottega.projects.tables import Project
from tests.journeys import patrolling, scripts
from tests.journeys.conftest import OpenWorkshop, Workshop
from tests.journeys.test_takeover import ThoughtfulModel

OFTEN = 0.05
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([patrolling.__name__])


@contextlib.asynccontextmanager
async def patrol(runner: InProcessRunner, *, at_once: int = 4) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(runner.patrol(every_seconds=OFTEN, at_once=at_once, grace_seconds=0.2))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(workshop: Workshop, project_id: uuid.UUID, state: RunState, *, seconds: float = 60) -> Status:
    async with asyncio.timeout(seconds):
        while True:
            status = await workshop.status(project_id)
            if status.state is state:
                return status
            await asyncio.sleep(OFTEN)


async def spend(workshop: Workshop, credits: str, *, key: str = "spent") -> None:
    """Let credits go elsewhere."""
    async with workshop.app.database.transaction() as session:
        cause = Cause(type=TransactionType.ADJUSTMENT, idempotency_key=key)
        await ledger.adjust(session, user_id=workshop.user_id, credits=-Decimal(credits), cause=cause)


async def journal(workshop: Workshop, status: Status) -> list[tuple[int, str, str]]:
    statement = select(Step).where(Step.run_id == status.run_id).order_by(Step.step_no)
    async with workshop.app.database.transaction() as session:
        return [(step.step_no, step.kind, step.outcome) for step in (await session.scalars(statement)).all()]


async def told(workshop: Workshop, project_id: uuid.UUID, kind: type[events.Event]) -> int:
    statement = select(RunEvent.id).where(RunEvent.project_id == project_id, RunEvent.type == kind.type)
    async with workshop.app.database.transaction() as session:
        return len((await session.scalars(statement)).all())


async def approved(workshop: Workshop) -> uuid.UUID:
    """Start a project, drive it to its plan, and say go; nobody drives it from there."""
    project_id = await workshop.start(scripts.BRIEF)
    run_id = (await workshop.status(project_id)).run_id
    assert run_id is not None
    assert await workshop.app.runner.run(run_id=run_id) is RunState.WAITING
    await workshop.app.orchestrator.approve(user_id=workshop.user_id, project_id=project_id)
    return project_id


@pytest.mark.slow
async def test_a_top_up_by_another_process_sets_a_run_going_at_its_step_and_the_patrol_delivers(
    open_workshop: OpenWorkshop, database_url: str
) -> None:
    workshop = await open_workshop(scripts.GOOD, credits=Decimal(100))
    project_id = await approved(workshop)
    spent = (await workshop.status(project_id)).credits_charged
    await spend(workshop, str(Decimal("99.5") - spent))
    async with patrol(workshop.app.runner):
        broke = await until(workshop, project_id, RunState.CREDITS)
        assert (broke.stop_code, broke.credits_needed) == (StopCode.OUT_OF_CREDITS, Decimal(1))
        before = await journal(workshop, broke)
        async with asyncio.timeout(30):
            home = workshop.app.settings.platform.bottega_home
            command = patrolling.grant_command("200", username="ada")
            process = await asyncio.create_subprocess_exec(
                *command, env=patrolling.variables(database_url, home), stdout=asyncio.subprocess.PIPE
            )
            said, _ = await process.communicate()
        assert process.returncode == 0
        assert said.decode().splitlines()[1:] == [
            "This project goes on by itself where a server runs (bottega serve); otherwise with:",
            f"  bottega resume {project_id}",
        ]
        done = await until(workshop, project_id, RunState.DONE)
    assert (await journal(workshop, done))[: len(before)] == before
    assert len({step for step, _, _ in await journal(workshop, done)}) == len(await journal(workshop, done))
    assert await told(workshop, project_id, events.RunResumed) == 1
    await workshop.audit()


async def test_a_patrol_of_one_lane_leaves_the_other_alone(open_workshop: OpenWorkshop) -> None:
    workshop = await open_workshop(scripts.GOOD)
    mine, others = [await workshop.start(scripts.BRIEF) for _ in range(2)]
    async with workshop.app.database.transaction() as session:
        await session.execute(update(Run).where(Run.project_id == others).values(lane=Lane.SANDBOX))
    only_steps = asyncio.create_task(workshop.app.runner.patrol(every_seconds=OFTEN, shift=Shift(lane=Lane.STEPS)))
    await until(workshop, mine, RunState.WAITING)
    only_steps.cancel()
    await asyncio.gather(only_steps, return_exceptions=True)
    async with workshop.app.database.transaction() as session:
        rows = (await session.execute(select(Run.project_id, Run.lease_token))).all()
        tokens = {row.project_id: row.lease_token for row in rows}
    assert tokens == {mine: 1, others: 0}


async def test_of_one_person_only_so_many_runs_are_under_way(open_workshop: OpenWorkshop) -> None:
    workshop = await open_workshop(llm=ThoughtfulModel(about="gather-1"))
    projects = [await workshop.start(scripts.BRIEF) for _ in range(5)]
    async with patrol(workshop.app.runner):
        await asyncio.sleep(20 * OFTEN)
        leased = select(Run.project_id).where(Run.lease_owner.is_not(None))
        async with workshop.app.database.transaction() as session:
            under_way = set((await session.scalars(leased)).all())
    assert under_way == set(projects[:3]), "the first three, by the setting's default"


@pytest.mark.slow
async def test_two_patrols_of_two_processes_never_do_a_step_twice(
    open_workshop: OpenWorkshop, database_url: str
) -> None:
    workshop = await open_workshop(scripts.GOOD)
    projects = [await approved(workshop) for _ in range(2)]
    home = workshop.app.settings.platform.bottega_home
    other = PROCESSES.Process(target=patrolling.work, kwargs={"database_url": database_url, "home": home})
    other.start()
    try:
        async with patrol(workshop.app.runner, at_once=1):
            finished = [await until(workshop, project_id, RunState.DONE) for project_id in projects]
    finally:
        other.terminate()
        await asyncio.to_thread(other.join)
    alone = await workshop.build(scripts.BRIEF)
    for status in finished:
        assert await journal(workshop, status) == await journal(workshop, alone)
        assert status.credits_charged == alone.credits_charged
    assert set(await workshop.calls()) == {"settled"}
    await workshop.audit()


@pytest.mark.slow
async def test_a_build_at_a_terminal_and_a_patrol_beside_it_share_nothing(open_workshop: OpenWorkshop) -> None:
    model = ThoughtfulModel(about="plan-1")
    terminal, server = await open_workshop(llm=model), await open_workshop(scripts.GOOD)
    project_id = await terminal.start(scripts.BRIEF)
    building = asyncio.create_task(terminal.run(project_id))
    await model.asked.wait()
    async with patrol(server.app.runner):
        await asyncio.sleep(4 * OFTEN)
        assert server.told(events.StepStarted) == []
        model.may_answer.set()
        assert (await building).state is RunState.DONE
    assert set(await terminal.calls()) == {"settled"}
    await terminal.audit()


@pytest.mark.slow
async def test_a_patrol_that_is_shut_down_gives_its_leases_and_holds_back_at_once(
    open_workshop: OpenWorkshop,
) -> None:
    model = ThoughtfulModel(about="plan-1")
    workshop = await open_workshop(llm=model, pace=Pace(heartbeat_seconds=60))
    project_id = await workshop.start(scripts.BRIEF)
    async with patrol(workshop.app.runner):
        await asyncio.wait_for(model.asked.wait(), timeout=20)
    async with workshop.app.database.transaction() as session:
        run = (await session.scalars(select(Run).where(Run.project_id == project_id))).one()
    assert (run.state, run.lease_owner, run.lease_until) == (RunState.READY, None, None)
    await workshop.audit()
    model.may_answer.set()
    assert (await workshop.run(project_id)).state is RunState.DONE


async def test_a_patrol_drives_no_more_runs_at_once_than_it_may(open_workshop: OpenWorkshop) -> None:
    model = ThoughtfulModel(about="gather-1")
    workshop = await open_workshop(llm=model)
    projects = [await workshop.start(scripts.BRIEF) for _ in range(3)]
    async with patrol(workshop.app.runner, at_once=2):
        await model.asked.wait()
        await asyncio.sleep(6 * OFTEN)
        async with workshop.app.database.transaction() as session:
            leased = (await session.scalars(select(Run.id).where(Run.lease_owner.is_not(None)))).all()
        assert len(leased) == 2
        model.may_answer.set()
        for project_id in projects:
            await until(workshop, project_id, RunState.WAITING)


async def test_a_run_short_of_what_another_held_goes_on_when_that_comes_back(open_workshop: OpenWorkshop) -> None:
    workshop = await open_workshop(scripts.GOOD, credits=Decimal(40))
    project_id = await workshop.start(scripts.BRIEF)
    async with workshop.app.database.transaction() as session:
        values = {"state": "credits", "stop_code": "out_of_credits", "credits_needed": Decimal(40)}
        await session.execute(update(Run).where(Run.project_id == project_id).values(values))
        await session.execute(update(Project).where(Project.id == project_id).values(status="awaiting_credits"))
    async with patrol(workshop.app.runner):
        await until(workshop, project_id, RunState.WAITING)


async def test_a_payment_taken_back_stops_a_ready_run_at_its_next_step(open_workshop: OpenWorkshop) -> None:
    workshop = await open_workshop(scripts.GOOD, credits=Decimal(100))
    project_id = await approved(workshop)
    before = await journal(workshop, await workshop.status(project_id))
    async with workshop.app.database.transaction() as session:
        cause = Cause(type=TransactionType.DISPUTE_CLAWBACK, idempotency_key="dispute")
        available = await ledger.available(session, user_id=workshop.user_id)
        await ledger.claw_back(session, user_id=workshop.user_id, credits=available + 5, cause=cause)
    stopped = await workshop.run(project_id)
    assert (stopped.state, stopped.stop_code) == (RunState.CREDITS, StopCode.OUT_OF_CREDITS)
    assert stopped.reason == (
        "A task is started with 1.00 credits or more, and the account is 5.00 in debt. Everything so far is kept."
    )
    assert await journal(workshop, stopped) == before
    await workshop.audit()


@pytest.mark.slow
async def test_a_limit_stops_with_its_own_sentence_and_raising_it_goes_on(
    open_workshop: OpenWorkshop, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = await open_workshop(scripts.GOOD)
    project_id = await approved(workshop)
    ids = {"user_id": workshop.user_id, "project_id": project_id}
    limit = workshop.app.orchestrator.limit_project
    assert await limit(**ids, credits=Decimal("0.01")) == ()  # type: ignore[arg-type]
    stopped = await workshop.run(project_id)
    assert (stopped.state, stopped.stop_code, stopped.status) == (
        RunState.CREDITS,
        StopCode.PROJECT_LIMIT,
        "awaiting_credits",
    )
    assert stopped.reason is not None
    assert "this project's limit leaves 0.00" in stopped.reason
    [told_stop] = [event for event in workshop.told(events.RunStopped) if isinstance(event, events.RunStopped)][-1:]
    assert told_stop.choices[0].startswith("raise the project's limit")

    environment = patrolling.variables(database_url, workshop.app.settings.platform.bottega_home)
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    runner = CliRunner(env=environment)
    said = await asyncio.to_thread(runner.invoke, main, ["limit", str(project_id), "none"])
    assert said.output.splitlines()[0] == f"The project has no limit; {stopped.credits_charged:.2f} credits are spent."
    assert f"  bottega resume {project_id}" in said.output
    assert (await workshop.run(project_id)).state is RunState.DONE
    await workshop.audit()


@pytest.mark.parametrize(("wish", "state"), [("pause", RunState.PAUSED), ("cancel", RunState.CANCELLED)])
async def test_a_wish_is_stronger_than_a_top_up_that_comes_at_the_same_moment(
    wish: str, state: RunState, open_workshop: OpenWorkshop
) -> None:
    workshop = await open_workshop(scripts.GOOD, credits=Decimal("0.001"))
    project_id = await workshop.start(scripts.BRIEF)
    assert (await workshop.run(project_id)).state is RunState.CREDITS

    async def top_up() -> None:
        async with workshop.app.database.transaction() as session:
            cause = Cause(type=TransactionType.PURCHASE, idempotency_key="at the same moment")
            await ledger.grant(session, user_id=workshop.user_id, credits=Decimal(500), cause=cause)
            await funding.wake_for_credits(session, workshop.user_id)

    ask = getattr(workshop.app.orchestrator, wish)
    await asyncio.gather(ask(user_id=workshop.user_id, project_id=project_id), top_up())
    assert (await workshop.status(project_id)).state is state
    assert (await workshop.run(project_id)).state is state
    await workshop.audit()
