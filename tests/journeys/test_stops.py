"""Where a run stops, it says why and what to do, keeps everything, and goes on from the same step."""

from decimal import Decimal

import pytest
from sqlalchemy import select

from bottega.billing.ledger import adjust, grant
from bottega.billing.types import Cause, TransactionType
from bottega.orchestration import events
from bottega.orchestration.state import RunState, StopCode
from bottega.orchestration.tables import Step
from bottega.orchestration.views.standing import Status
from bottega.projects.service import UnknownProject
from tests.journeys import scripts
from tests.journeys.conftest import OpenWorkshop, Workshop


async def journal(workshop: Workshop, status: Status) -> list[tuple[object, ...]]:
    statement = select(Step.step_no, Step.kind, Step.task_key, Step.outcome).where(Step.run_id == status.run_id)
    async with workshop.app.database.transaction() as session:
        rows = await session.execute(statement.order_by(Step.step_no))
        return [(row.step_no, row.kind, row.task_key, row.outcome) for row in rows]


async def resume(workshop: Workshop, status: Status) -> Status:
    await workshop.app.orchestrator.resume(user_id=workshop.user_id, project_id=status.project_id)
    return await workshop.run(status.project_id)


async def top_up(workshop: Workshop, credits: Decimal) -> None:
    async with workshop.app.database.transaction() as session:
        await grant(
            session,
            user_id=workshop.user_id,
            credits=credits,
            cause=Cause(type=TransactionType.ADJUSTMENT, idempotency_key="top-up"),
        )


async def test_questions_wait_for_answers_and_then_planning_begins(open_workshop: OpenWorkshop) -> None:
    script = dict(scripts.GOOD) | {"gather-1.md": scripts.gathered("Should it count characters too?")}
    workshop = await open_workshop(script)
    project_id = await workshop.start(scripts.BRIEF)
    waiting = await workshop.status(project_id)
    assert waiting.run_id is not None
    assert await workshop.app.runner.run(run_id=waiting.run_id) is RunState.WAITING
    waiting = await workshop.status(project_id)
    assert (waiting.status, waiting.stop_code) == ("gathering_requirements", StopCode.QUESTIONS)
    assert (await workshop.run(project_id)).state is RunState.DONE


async def test_a_run_without_credits_waits_and_a_top_up_resumes_it_at_the_same_step(
    open_workshop: OpenWorkshop,
) -> None:
    workshop = await open_workshop(scripts.GOOD, credits=Decimal(20))
    async with workshop.app.database.transaction() as session:
        await adjust(
            session,
            user_id=workshop.user_id,
            credits=Decimal("-19.5"),
            cause=Cause(type=TransactionType.ADJUSTMENT, idempotency_key="spent-elsewhere"),
        )
    broke = await workshop.build(scripts.BRIEF)
    assert (broke.state, broke.status) == (RunState.CREDITS, "awaiting_credits")
    assert broke.reason is not None
    await workshop.audit()
    done = await journal(workshop, broke)

    await top_up(workshop, Decimal(100))
    status = await resume(workshop, broke)
    assert status.state is RunState.DONE
    assert (await journal(workshop, status))[: len(done)] == done
    await workshop.audit()


@pytest.mark.slow
async def test_a_provider_that_refuses_for_good_stops_the_run_with_its_words(open_workshop: OpenWorkshop) -> None:
    script = dict(scripts.GOOD) | {
        "plan-1.error.json": '{"error": "authentication_failed", "message": "The key was revoked."}'
    }
    workshop = await open_workshop(script)
    stopped = await workshop.build(scripts.BRIEF)
    assert (stopped.state, stopped.stop_code) == (RunState.ATTENTION, StopCode.PROVIDER)
    assert "The key was revoked." in (stopped.reason or "")
    assert (await resume(workshop, stopped)).state is RunState.DONE
    await workshop.audit()


@pytest.mark.slow
async def test_an_unusable_plan_is_sent_back_with_its_fault_and_the_third_asks_the_person(
    open_workshop: OpenWorkshop,
) -> None:
    circle = scripts.planned(
        scripts.task("T1", "One", ["one.py"], depends_on=["T2"]),
        scripts.task("T2", "Two", ["two.py"], depends_on=["T1"]),
    )
    unknown = scripts.planned(scripts.task("T1", "One", ["one.py"], depends_on=["T9"]))
    script = dict(scripts.GOOD) | {"plan-1.md": circle, "plan-2.md": unknown, "plan-3.md": "I would rather not."}
    workshop = await open_workshop(script | {"plan-4.md": scripts.GOOD["plan-1.md"]})
    stopped = await workshop.build(scripts.BRIEF)
    assert (stopped.state, stopped.stop_code) == (RunState.ATTENTION, StopCode.UNUSABLE_REPLIES)
    complaints = [e.complaint for e in workshop.told(events.ReplyUnusable) if isinstance(e, events.ReplyUnusable)]
    assert any("T9" in complaint for complaint in complaints)
    assert (await resume(workshop, stopped)).state is RunState.DONE


async def test_a_malformed_edit_is_repaired(open_workshop: OpenWorkshop) -> None:
    truncated = scripts.GOOD["implement-T1-1.md"].rstrip("`")
    script = dict(scripts.GOOD) | {
        "implement-T1-1.md": truncated,
        "implement-T1-2.md": scripts.edit({"../outside.py": "x = 1\n"}),
        "implement-T1-3.md": scripts.GOOD["implement-T1-1.md"],
    }
    workshop = await open_workshop(script)
    status = await workshop.build(scripts.BRIEF)
    assert status.state is RunState.DONE
    assert [task.attempts for task in await workshop.tasks(status.project_id)] == [1, 1]
    assert len(workshop.told(events.ReplyUnusable)) == 2


@pytest.mark.slow
async def test_a_readme_whose_commands_fail_is_written_again(open_workshop: OpenWorkshop) -> None:
    wrong = "# Word counter\n\n```sh\npython -m wordz\n```\n"
    script = dict(scripts.GOOD) | {"readme-1.md": wrong, "readme-2.md": scripts.README}
    workshop = await open_workshop(script)
    status = await workshop.build(scripts.BRIEF)
    assert status.state is RunState.DONE
    failed = [event for event in workshop.told(events.ChecksFailed) if isinstance(event, events.ChecksFailed)]
    assert [event.task_key for event in failed] == [None]


@pytest.mark.slow
async def test_a_readme_that_never_works_stops_and_the_project_can_still_be_taken(open_workshop: OpenWorkshop) -> None:
    wrong = {f"readme-{n}.md": f"# Word counter {n}\n\n```sh\npython -m wordz\n```\n" for n in (1, 2, 3)}
    workshop = await open_workshop(dict(scripts.GOOD) | wrong | {"readme-4.md": scripts.README})
    stopped = await workshop.build(scripts.BRIEF)
    assert (stopped.state, stopped.status) == (RunState.ATTENTION, "readme_failed")
    archive = await workshop.app.orchestrator.archive(user_id=workshop.user_id, project_id=stopped.project_id)
    assert archive.startswith(b"PK")
    assert (await resume(workshop, stopped)).status == "completed"


async def test_without_a_sandbox_nothing_is_executed_and_the_delivery_says_so(open_workshop: OpenWorkshop) -> None:
    workshop = await open_workshop(scripts.GOOD, sandbox="none")
    status = await workshop.build(scripts.BRIEF)
    assert status.state is RunState.DONE
    assert [task.status for task in await workshop.tasks(status.project_id)] == ["unchecked", "unchecked"]
    assert "[x]" not in status.todo_markdown.split("---")[0]
    assert not workshop.told(events.ChecksPassed)
    assert workshop.told(events.ChecksNotExecuted)


async def test_a_cancelled_project_stays_cancelled(open_workshop: OpenWorkshop) -> None:
    workshop = await open_workshop(scripts.GOOD)
    project_id = await workshop.start(scripts.BRIEF)
    await workshop.app.orchestrator.cancel(user_id=workshop.user_id, project_id=project_id)
    status = await workshop.status(project_id)
    assert (status.state, status.status) == (RunState.CANCELLED, "cancelled")


async def test_pausing_keeps_the_place(open_workshop: OpenWorkshop) -> None:
    workshop = await open_workshop(scripts.GOOD)
    project_id = await workshop.start(scripts.BRIEF)
    await workshop.app.orchestrator.pause(user_id=workshop.user_id, project_id=project_id)
    paused = await workshop.status(project_id)
    assert (paused.state, paused.status) == (RunState.PAUSED, "paused")
    assert (await resume(workshop, paused)).state is RunState.DONE


async def test_another_persons_project_does_not_exist(open_workshop: OpenWorkshop) -> None:
    workshop = await open_workshop(scripts.GOOD)
    project_id = await workshop.start(scripts.BRIEF)
    stranger = await workshop.app.local_user("mallory")
    calls = workshop.app.orchestrator
    for call in (calls.status, calls.tasks, calls.questions, calls.approve, calls.resume, calls.pause, calls.cancel):
        with pytest.raises(UnknownProject, match=f"You have no project {project_id}"):
            await call(user_id=stranger, project_id=project_id)
