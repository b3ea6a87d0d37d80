"""A task that goes in circles wastes at most four replies, says what was tried, and goes on when its person says so."""

import json
from collections.abc import Callable
from decimal import Decimal

import pytest
from sqlalchemy import func, select, update

from bottega.billing.tables import ApiKeyUsage
from bottega.config import CeilingSettings, ModelSettings
from bottega.llm.scripted import ScriptedProvider
from bottega.llm.types import CompletionRequest, Purpose
from bottega.orchestration import events, loops
from bottega.orchestration.commands.dropping import CannotDrop
from bottega.orchestration.progress import history
from bottega.orchestration.state import RunState, StepKind, StopCode
from bottega.orchestration.steps.failing import STUCK_CHOICES
from bottega.orchestration.tables import Run, Step
from bottega.orchestration.views.standing import Status
from bottega.projects.service import UnknownProject
from tests.journeys import scripts
from tests.journeys.conftest import OpenWorkshop, Workshop, no_transaction_open

Reply = Callable[[int], str]
"""From the number of an attempt, counted from 1, to a reply."""
RUNGS = 6  # twice as many as are configured by default: the ladder alone would let a loop go on for twelve replies
FILES = {"words/__init__.py": "", "words/count.py": scripts.COUNT}
GOOD = scripts.edit(FILES)
ASSERTED = "python -c \"from words.count import count; n = count('one two  three'); assert n == 3, n\""
TASK = scripts.task("T1", "Counting", list(FILES), commands=[ASSERTED])  # no test runner: it is judged in one run
TESTED = scripts.task("T1", "Counting", list(FILES))
README = f"# Word counter\n\nCounts words.\n\n```sh\n{ASSERTED}\n```\n"


class Words:
    """What the models say: `implement` and `verify` may be changed under way, as models change their mind."""

    def __init__(
        self,
        implement: Reply,
        verify: Reply = lambda _: scripts.verdict(),
        *,
        task: dict[str, object] = TASK,
    ) -> None:
        self.task = task
        self.implement = implement
        self.verify = verify

    def __call__(self, request: CompletionRequest) -> str:
        match request.purpose:
            case Purpose.IMPLEMENT:
                return self.implement(request.attempt)
            case Purpose.VERIFY:
                return self.verify(request.attempt)
            case Purpose.PLAN:
                return scripts.planned(self.task)
            case Purpose.README:
                return README
            case _:
                return scripts.gathered()


def ladder(rungs: int) -> ModelSettings:
    names = tuple(f"scripted/rung-{n}" for n in range(1, rungs + 1))
    return ModelSettings(architect_model="scripted/architect", implementer_models=names)


async def open_with(open_workshop: OpenWorkshop, words: Words, *, rungs: int = RUNGS, **rest: object) -> Workshop:
    llm = ScriptedProvider(fallback=words, before_call=no_transaction_open)
    return await open_workshop(llm=llm, models=ladder(rungs), **rest)


async def calls(workshop: Workshop, purpose: Purpose = Purpose.IMPLEMENT) -> int:
    statement = select(func.count()).where(ApiKeyUsage.task_type == purpose)
    async with workshop.app.database.transaction() as session:
        return (await session.execute(statement)).scalar_one()


async def steps(workshop: Workshop, status: Status, kind: StepKind) -> int:
    statement = select(func.count()).where(Step.run_id == status.run_id, Step.kind == kind)
    async with workshop.app.database.transaction() as session:
        return (await session.execute(statement)).scalar_one()


async def say(workshop: Workshop, status: Status, text: str) -> Status:
    await workshop.app.orchestrator.handle_message(
        user_id=workshop.user_id, channel="cli", text=text, project_id=status.project_id
    )
    return await workshop.run(status.project_id)


def broken(wrong: object, **more: str) -> str:
    """Return a reply whose checks fail in a way of its own for every `wrong`."""
    code = f"def count(text: str) -> int:\n    return {wrong!r}\n"
    return scripts.edit({**FILES, "words/count.py": code, **more})


def assert_asked(workshop: Workshop, status: Status, *, code: StopCode = StopCode.GOING_IN_CIRCLES) -> None:
    assert (status.state, status.stop_code, status.status) == (RunState.REFINEMENT, code, "awaiting_refinement")
    stopped = workshop.told(events.RunStopped)[-1]
    assert isinstance(stopped, events.RunStopped)
    assert (stopped.reason, stopped.choices) == (status.reason, STUCK_CHOICES)


async def assert_goes_on(
    workshop: Workshop, words: Words, status: Status, text: str = "try again", *, good: str = GOOD
) -> None:
    """Assert that a person's word suffices once the model does better, whatever stopped the run."""
    words.implement, words.verify = lambda _: good, lambda _: scripts.verdict()
    done = await say(workshop, status, text)
    assert done.state is RunState.DONE, done.reason
    await workshop.audit()


@pytest.mark.parametrize(
    "period", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow), 4]
)
async def test_an_implementer_that_loops_wastes_at_most_four_calls(open_workshop: OpenWorkshop, period: int) -> None:
    words = Words(lambda attempt: broken(-(attempt % period)))
    workshop = await open_with(open_workshop, words)
    status = await workshop.build(scripts.BRIEF)
    wasted = await calls(workshop) - period
    assert wasted <= loops.WASTED_CALLS, f"period {period}: {wasted} calls after which nothing new could come"
    assert_asked(workshop, status)
    checked = await steps(workshop, status, StepKind.CHECK)
    assert checked == period, f"{checked} checks of {period} trees: the evidence was there"
    assert len(workshop.told(events.ProposalRepeated)) == wasted
    assert f"{wasted} of the {period + wasted} replies brought nothing new" in (status.reason or "")
    assert f"scripted/rung-{RUNGS}" in (status.reason or ""), "the strongest model was not asked"
    await assert_goes_on(workshop, words, status, "Count what lies between spaces.")


@pytest.mark.slow
async def test_after_a_word_of_the_persons_a_loop_wastes_no_more_than_before(open_workshop: OpenWorkshop) -> None:
    words = Words(lambda _: broken(7))
    workshop = await open_with(open_workshop, words, rungs=2)
    status = await workshop.build(scripts.BRIEF)
    first = await calls(workshop)
    assert first == 3  # it is repeated by the first model, then by the second, which was told
    again = await say(workshop, status, "try again")
    assert_asked(workshop, again)
    assert await calls(workshop) - first == 2
    assert await steps(workshop, again, StepKind.CHECK) == 2  # what the person mended may have changed the outcome
    await assert_goes_on(workshop, words, again)


@pytest.mark.slow
async def test_failures_that_alternate_are_a_circle_whatever_was_changed(open_workshop: OpenWorkshop) -> None:
    words = Words(lambda attempt: broken(attempt % 2, **{"words/note.py": f"ATTEMPT = {attempt}\n"}))
    workshop = await open_with(open_workshop, words)
    status = await workshop.build(scripts.BRIEF)
    wasted = await calls(workshop) - 2
    assert wasted <= loops.WASTED_CALLS, f"{wasted} calls after which nothing new could come"
    assert_asked(workshop, status)
    assert "(3 times)" in (status.reason or "")
    await assert_goes_on(workshop, words, status)


VOLATILE_TEST = """import datetime
import os
import tempfile
import time
import unittest
import uuid


class ClockTest(unittest.TestCase):
    def test_clock(self) -> None:
        now = datetime.datetime.now().isoformat()
        path = tempfile.mkdtemp()
        self.fail(f"{now} {time.time()} {uuid.uuid4()} {object()!r} {path} 127.0.0.1:{40000 + os.getpid() % 20000}")
"""


@pytest.mark.slow
async def test_a_failure_that_differs_only_in_times_and_places_is_the_same(open_workshop: OpenWorkshop) -> None:
    """And a change that only adds a comment is none."""
    files = FILES | {"tests/__init__.py": "", "tests/test_clock.py": VOLATILE_TEST}
    tried = lambda attempt: scripts.edit(files | {"words/count.py": f"# try {attempt}\n{scripts.COUNT}"})  # noqa: E731
    words = Words(tried, task=TESTED)
    workshop = await open_with(open_workshop, words, rungs=2)
    status = await workshop.build(scripts.BRIEF)
    assert_asked(workshop, status)
    assert await calls(workshop) == 3
    assert await steps(workshop, status, StepKind.CHECK) == 3  # each tree is another, and nothing is believed unseen
    cured = scripts.edit({"tests/test_clock.py": scripts.COUNT_TEST})
    await assert_goes_on(workshop, words, status, good=cured)


def failing_of_eight(failing: int) -> str:
    """Return a reply whose tests fail `failing` times of eight."""
    tests = "".join(f"\n    def test_{n}(self) -> None:\n        self.assertIn({n}, ABLE)\n" for n in range(8))
    files = {
        "able.py": f"ABLE = {list(range(8 - failing))}\n",
        "tests/__init__.py": "",
        "tests/test_able.py": f"import unittest\n\nfrom able import ABLE\n\n\nclass T(unittest.TestCase):{tests}",
    }
    return scripts.edit(files)


async def test_slow_progress_is_no_loop(open_workshop: OpenWorkshop) -> None:
    words = Words(lambda attempt: failing_of_eight({1: 5, 2: 3, 3: 1}.get(attempt, 0)), task=TESTED)
    workshop = await open_with(open_workshop, words, rungs=2)
    status = await workshop.build(scripts.BRIEF)
    assert await calls(workshop) == 4, status.reason
    assert await calls(workshop, Purpose.VERIFY) == 1
    assert not workshop.told(events.ProposalRepeated)
    assert len(workshop.told(events.ModelEscalated)) == 1


async def test_a_step_back_on_the_way_is_no_loop(open_workshop: OpenWorkshop) -> None:
    words = Words(lambda attempt: failing_of_eight({1: 5, 2: 3, 3: 5}.get(attempt, 0)), task=TESTED)
    workshop = await open_with(open_workshop, words, rungs=2)
    status = await workshop.build(scripts.BRIEF)
    assert await calls(workshop, Purpose.VERIFY) == 1, status.reason
    assert len(workshop.told(events.ProposalRepeated)) == 1


async def test_what_the_architect_rejected_is_not_reviewed_again(open_workshop: OpenWorkshop) -> None:
    words = Words(lambda _: GOOD, lambda _: scripts.verdict(met=False, feedback="Say what a word is."))
    workshop = await open_with(open_workshop, words)
    status = await workshop.build(scripts.BRIEF)
    assert_asked(workshop, status)
    wasted = await calls(workshop) - 1
    assert wasted <= loops.WASTED_CALLS, f"{wasted} calls after which nothing new could come"
    assert await calls(workshop, Purpose.VERIFY) == 1
    assert "rejected: Say what a word is." in (status.reason or "")
    await assert_goes_on(workshop, words, status)  # it is judged anew: the person may have changed what is wanted


@pytest.mark.slow
async def test_the_same_rejection_of_ever_new_changes_is_a_circle(open_workshop: OpenWorkshop) -> None:
    words = Words(
        lambda attempt: scripts.edit(FILES | {"words/note.py": f"ATTEMPT = {attempt}\n"}),
        lambda attempt: scripts.verdict(met=False, feedback=f"{'Say' if attempt % 2 else 'say'} what a word is."),
    )
    workshop = await open_with(open_workshop, words)
    status = await workshop.build(scripts.BRIEF)
    assert_asked(workshop, status)
    wasted = await calls(workshop, Purpose.VERIFY) - 1
    assert wasted <= loops.WASTED_CALLS, f"{wasted} reviews after which nothing new could come"
    await assert_goes_on(workshop, words, status)


@pytest.mark.slow
async def test_rejections_for_other_reasons_are_no_circle(open_workshop: OpenWorkshop) -> None:
    words = Words(
        lambda attempt: scripts.edit(FILES | {"words/note.py": f"ATTEMPT = {attempt}\n"}),
        lambda attempt: scripts.verdict(met=False, feedback=f"Name part {'abcdef'[attempt % 6]} of it."),
    )
    workshop = await open_with(open_workshop, words, rungs=2)
    status = await workshop.build(scripts.BRIEF)
    assert_asked(workshop, status, code=StopCode.TASK_STUCK)
    assert await calls(workshop) == 4
    assert "scripted/rung-1 twice, scripted/rung-2 twice" in (status.reason or "")
    await assert_goes_on(workshop, words, status)


@pytest.mark.parametrize("changes", [False, True], ids=["the same reply", "the same complaint"])
@pytest.mark.slow
async def test_unusable_replies_again_and_again(open_workshop: OpenWorkshop, *, changes: bool) -> None:
    words = Words(lambda attempt: f"I would rather not{'!' * attempt if changes else ''}")
    workshop = await open_with(open_workshop, words)
    status = await workshop.build(scripts.BRIEF)
    wasted = await calls(workshop) - 1
    assert wasted <= loops.WASTED_CALLS, f"{wasted} calls after which nothing new could come"
    assert_asked(workshop, status)
    await assert_goes_on(workshop, words, status)


@pytest.mark.slow
async def test_unusable_replies_that_come_in_turns_with_the_same_change(open_workshop: OpenWorkshop) -> None:
    words = Words(lambda attempt: broken(1) if attempt % 2 else "I would rather not.")
    workshop = await open_with(open_workshop, words)
    status = await workshop.build(scripts.BRIEF)
    wasted = await calls(workshop) - 2
    assert wasted <= loops.WASTED_CALLS, f"{wasted} calls after which nothing new could come"
    assert_asked(workshop, status)
    await assert_goes_on(workshop, words, status)


@pytest.mark.slow
async def test_a_stronger_model_at_the_end_of_the_ladder_is_the_next_to_try(open_workshop: OpenWorkshop) -> None:
    workshop = await open_with(open_workshop, Words(lambda _: broken(7)), rungs=1)
    status = await workshop.build(scripts.BRIEF)
    assert_asked(workshop, status)
    stronger = await open_with(open_workshop, Words(lambda _: GOOD), rungs=2)
    done = await say(stronger, status, "try again")
    assert done.state is RunState.DONE
    wrote = [
        event.model for event in stronger.told(events.TaskImplemented) if isinstance(event, events.TaskImplemented)
    ]
    assert wrote == ["scripted/rung-2"]


@pytest.mark.slow
async def test_cancelling_a_loop_keeps_what_was_accepted(open_workshop: OpenWorkshop) -> None:
    script = dict(scripts.GOOD) | {f"implement-T2-{n}.md": broken(7) for n in range(1, 8)}
    workshop = await open_workshop(script)
    status = await workshop.build(scripts.BRIEF)
    assert_asked(workshop, status)
    cancelled = await say(workshop, status, "cancel")
    assert cancelled.state is RunState.CANCELLED
    paths = await workshop.app.orchestrator.file_paths(user_id=workshop.user_id, project_id=status.project_id)
    assert "words/count.py" in paths


async def stuck_at_the_second(open_workshop: OpenWorkshop, *tasks: dict[str, object]) -> tuple[Workshop, Status]:
    script = dict(scripts.GOOD) | {f"implement-T2-{n}.md": broken(7) for n in range(1, 8)}
    workshop = await open_workshop(script | {"plan-1.md": scripts.planned(TASK, *tasks), "readme-1.md": README})
    status = await workshop.build(scripts.BRIEF)
    assert_asked(workshop, status)
    return workshop, status


@pytest.mark.slow
async def test_a_task_that_is_dropped_is_given_up_and_the_rest_delivered(open_workshop: OpenWorkshop) -> None:
    second = scripts.task("T2", "Command line", ["words/__main__.py"], commands=[ASSERTED])
    built_on_it = scripts.task("T3", "Colours", ["words/colour.py"], depends_on=["T2"])
    workshop, status = await stuck_at_the_second(open_workshop, second, built_on_it)
    done = await say(workshop, status, "drop the task")
    assert done.state is RunState.DONE, done.reason
    assert [task.status for task in await workshop.tasks(status.project_id)] == ["done", "dropped", "dropped"]
    assert "[-] T2" in done.todo_markdown.replace("*", "")
    paths = await workshop.app.orchestrator.file_paths(user_id=workshop.user_id, project_id=status.project_id)
    assert set(paths) == {"README.md", *scripts.FIRST_FILES}
    async with workshop.app.database.transaction() as session:
        told = await history(session, project_id=status.project_id)
    (dropped,) = [event.payload for event in told if event.type == events.TasksDropped.type]
    assert dropped == {"tasks": ["T2 Command line", "T3 Colours"]}
    await workshop.audit()


@pytest.mark.slow
async def test_after_a_dropped_task_the_next_that_does_not_need_it_is_built(open_workshop: OpenWorkshop) -> None:
    second = scripts.task("T2", "Command line", ["words/__main__.py"], commands=[ASSERTED])
    third = scripts.task("T3", "Notes", ["words/note.py"], commands=[ASSERTED])
    workshop, status = await stuck_at_the_second(open_workshop, second, third)
    stuck = await say(workshop, status, "skip it")  # the script has no third task: it is reached, which is the point
    assert [task.status for task in await workshop.tasks(status.project_id)] == ["done", "dropped", "todo"]
    assert "implement-T3-1.md" in (stuck.reason or "")


@pytest.mark.slow
async def test_the_only_task_cannot_be_dropped_and_nothing_is_lost(open_workshop: OpenWorkshop) -> None:
    words = Words(lambda _: broken(7))
    workshop = await open_with(open_workshop, words, rungs=1)
    project_id = await workshop.start(scripts.BRIEF)
    ids = {"user_id": workshop.user_id, "project_id": project_id}
    with pytest.raises(CannotDrop, match="pause it first"):
        await workshop.app.orchestrator.drop_task(**ids, channel="cli")  # type: ignore[arg-type]
    status = await workshop.run(project_id)
    with pytest.raises(CannotDrop, match="Nothing would be left"):
        await say(workshop, status, "drop it")
    stranger = await workshop.app.local_user("mallory")
    with pytest.raises(UnknownProject):
        await workshop.app.orchestrator.drop_task(user_id=stranger, project_id=project_id, channel="cli")
    assert await workshop.status(project_id) == status
    await assert_goes_on(workshop, words, status)


# -- ceilings ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_step_that_works_too_long_is_ended_and_nobody_pays_for_it(open_workshop: OpenWorkshop) -> None:
    words = Words(lambda _: GOOD)
    slow = ScriptedProvider(fallback=words, latency=lambda request: 60 if request.purpose is Purpose.PLAN else 0)
    short = CeilingSettings(max_working_hours=0.4 / 3600)
    workshop = await open_workshop(llm=slow, models=ladder(1), ceilings=short)
    status = await workshop.build(scripts.BRIEF)
    assert (status.state, status.stop_code) == (RunState.ATTENTION, StopCode.WORKING_TIME)
    assert "has worked for 0.4 seconds" in (status.reason or "")
    assert (await workshop.calls())["orphan"] == 1  # what a cut call cost is asked for, and is the platform's loss
    await workshop.audit()
    patient = await open_with(open_workshop, words, rungs=1)
    await assert_goes_on(patient, words, status, "go on")


@pytest.mark.slow
async def test_a_run_that_has_worked_too_long_stops_before_its_next_step(open_workshop: OpenWorkshop) -> None:
    words = Words(lambda _: GOOD)
    workshop = await open_with(open_workshop, words)
    project_id = await workshop.start(scripts.BRIEF)
    async with workshop.app.database.transaction() as session:
        day = 24 * 3600 * 1000
        await session.execute(update(Run).where(Run.project_id == project_id).values(working_ms=day))
    status = await workshop.run(project_id)
    assert (status.stop_code, await workshop.calls()) == (StopCode.WORKING_TIME, {})
    assert status.reason == ("The run has worked for 24 hours, as long as it may at once. Everything so far is kept.")
    again = await say(workshop, status, "go on")
    assert again.state is RunState.DONE
    async with workshop.app.database.transaction() as session:
        run = await session.get_one(Run, again.run_id)
        spent = select(func.sum(Step.duration_ms)).where(Step.run_id == again.run_id)
        assert run.working_ms == (await session.execute(spent)).scalar_one()


@pytest.mark.slow
async def test_a_ceiling_on_steps_grants_as_many_again(open_workshop: OpenWorkshop) -> None:
    workshop = await open_with(open_workshop, Words(lambda _: GOOD), ceilings=CeilingSettings(max_steps_per_run=4))
    status, allowances = await workshop.build(scripts.BRIEF), 1
    while status.state is not RunState.DONE:
        assert (status.state, status.stop_code) == (RunState.ATTENTION, StopCode.TOO_MANY_STEPS)
        status, allowances = await say(workshop, status, "go on"), allowances + 1
    assert allowances == 3  # ten steps
    await workshop.audit()


@pytest.mark.slow
async def test_a_ceiling_on_attempts_stops_a_task_and_a_project_limit_then_has_its_own_word(
    open_workshop: OpenWorkshop,
) -> None:
    words = Words(broken)
    once = CeilingSettings(max_attempts_per_task=1)
    workshop = await open_with(open_workshop, words, ceilings=once)
    status = await workshop.build(scripts.BRIEF)
    assert (status.state, status.stop_code) == (RunState.ATTENTION, StopCode.TOO_MANY_ATTEMPTS)
    assert (status.reason or "").startswith("T1 was tried 1 times")
    ids = {"user_id": workshop.user_id, "project_id": status.project_id}
    limit = workshop.app.orchestrator.limit_project
    await limit(**ids, credits=status.credits_charged + Decimal("0.01"))  # type: ignore[arg-type]
    broke = await say(workshop, status, "go on")
    assert (broke.state, broke.stop_code) == (RunState.CREDITS, StopCode.PROJECT_LIMIT)
    assert "this project's limit leaves 0.01" in (broke.reason or "")
    assert await calls(workshop) == 1
    assert await limit(**ids, credits=None) == (status.project_id,)  # type: ignore[arg-type]
    words.implement = lambda _: GOOD
    assert (await workshop.run(status.project_id)).state is RunState.DONE


@pytest.mark.slow
async def test_the_journal_keeps_no_more_of_a_failure_than_is_told(open_workshop: OpenWorkshop) -> None:
    words = Words(lambda _: broken("x" * 100_000))
    workshop = await open_with(open_workshop, words, rungs=1)
    status = await workshop.build(scripts.BRIEF)
    statement = select(Step.output).where(Step.run_id == status.run_id, Step.kind == StepKind.CHECK)
    async with workshop.app.database.transaction() as session:
        output = (await session.scalars(statement)).first()
    assert len(json.dumps(output)) < 4000
    assert len(status.reason or "") < 2000
