"""Nobody can talk a task into being done: not the Implementer, not the Architect, not the tests themselves."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from bottega.bootstrap import open_app
from bottega.orchestration import events
from bottega.orchestration.state import RunState, StopCode
from bottega.orchestration.tables import Run, Task
from bottega.orchestration.views.standing import Status
from bottega.projects.todo import TodoState, parse_todo
from bottega.sandbox.probe import choose_sandbox
from bottega.sandbox.types import LIMITS, Isolation, Limits, RunResult, Sandbox
from tests.journeys import scripts
from tests.journeys.conftest import OpenWorkshop, Workshop, scripted, settings_for

EVERY_ATTEMPT = range(1, 5)  # two rungs, two failures each


def always(reply: str, **rest: str) -> dict[str, str]:
    """Return a script whose first task always gets this reply, and whose Architect approves whatever it is shown."""
    attempts = {f"implement-T1-{n}.md": f"<!-- {n} -->\n{reply}" for n in EVERY_ATTEMPT}
    verdicts = {f"verify-T1-{n}.md": scripts.verdict() for n in EVERY_ATTEMPT}
    return {"gather-1.md": scripts.gathered(), "plan-1.md": scripts.planned(scripts.FIRST)} | attempts | verdicts | rest


async def build_stuck(workshop: Workshop) -> Status:
    status = await workshop.build(scripts.BRIEF)
    assert status.state is RunState.REFINEMENT
    assert status.stop_code in {StopCode.TASK_STUCK, StopCode.GOING_IN_CIRCLES}
    assert status.status == "awaiting_refinement"
    assert status.reason
    return status


async def assert_nothing_done(workshop: Workshop, status: Status) -> None:
    (task,) = await workshop.tasks(status.project_id)
    assert (task.status, task.commit_sha, task.evidence_tree_hash) == ("todo", None, None)
    assert [item.state for item in parse_todo(status.todo_markdown)] == [TodoState.TODO]
    assert not workshop.told(events.TaskDone)
    assert await workshop.app.orchestrator.file_paths(user_id=workshop.user_id, project_id=status.project_id) == ()
    await workshop.audit()


async def test_an_implementer_that_claims_success_is_not_believed(open_workshop: OpenWorkshop) -> None:
    files = dict(scripts.FIRST_FILES) | {"words/count.py": scripts.COUNT_WRONG}
    replies = {
        f"implement-T1-{n}.md": f"All tests pass, I ran them.\n\n{scripts.edit(files)}\n\n"
        + scripts.edit({"words/note.py": f"ATTEMPT = {n}\n"})
        for n in EVERY_ATTEMPT
    }
    workshop = await open_workshop(always("", **replies))
    status = await build_stuck(workshop)
    await assert_nothing_done(workshop, status)
    assert len(workshop.told(events.ChecksFailed)) == 4
    assert not workshop.told(events.TaskApproved)
    escalated = workshop.told(events.ModelEscalated)
    assert [event.model for event in escalated if isinstance(event, events.ModelEscalated)] == ["scripted/journeyman"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"tests/test_a.py": "import os\nos._exit(0)\n"}, "test"),
        ({"unittest/__init__.py": "", "unittest/__main__.py": "print('Ran 2 tests in 0.0s\\n\\nOK')\n"}, "test"),
        ({"tests/test_count.py": "import unittest\n"}, "test"),
        (
            {
                "tests/test_count.py": "import unittest\n\n\n@unittest.skip('later')\n"
                "class T(unittest.TestCase):\n    def test_it(self) -> None:\n        self.fail()\n"
            },
            "skip",
        ),
    ],
    ids=["exits with 0", "forges the runner", "has no test", "skips them all"],
)
async def test_a_suite_that_cannot_fail_is_no_evidence(
    open_workshop: OpenWorkshop, files: dict[str, str], reason: str
) -> None:
    wrong = dict(scripts.FIRST_FILES) | {"words/count.py": scripts.COUNT_WRONG} | files
    replies = {
        f"implement-T1-{n}.md": scripts.edit(wrong | {"words/note.py": f"ATTEMPT = {n}\n"}) for n in EVERY_ATTEMPT
    }
    workshop = await open_workshop(always("", **replies))
    status = await build_stuck(workshop)
    await assert_nothing_done(workshop, status)
    failures = [event for event in workshop.told(events.ChecksFailed) if isinstance(event, events.ChecksFailed)]
    assert all(reason in failure.reason.lower() for failure in failures), failures


async def test_tests_that_delete_themselves_are_missed(open_workshop: OpenWorkshop) -> None:
    notes = {f"implement-T2-{n}.md": scripts.edit({"words/note.py": f"ATTEMPT = {n}\n"}) for n in EVERY_ATTEMPT}
    deleting = {"implement-T2-1.md": f"{scripts.edit(scripts.SECOND_FILES)}\n\n*** Delete File: tests/test_count.py\n"}
    script = dict(scripts.GOOD) | notes | deleting
    workshop = await open_workshop(script)
    status = await build_stuck(workshop)
    first, second = await workshop.tasks(status.project_id)
    assert (first.status, second.status) == ("done", "todo")
    failures = [event for event in workshop.told(events.ChecksFailed) if isinstance(event, events.ChecksFailed)]
    assert len(failures) == len(EVERY_ATTEMPT)
    assert all("test_count" in failure.reason for failure in failures)


async def test_an_architect_cannot_approve_what_its_checks_failed(open_workshop: OpenWorkshop) -> None:
    """Even if something put the task before the commit step, the commit asks for the evidence again."""
    files = dict(scripts.FIRST_FILES) | {"words/count.py": scripts.COUNT_WRONG}
    workshop = await open_workshop(always(scripts.edit(files)))
    status = await build_stuck(workshop)
    async with workshop.app.database.transaction() as session:
        await session.execute(update(Task).where(Task.project_id == status.project_id).values(stage="commit"))
        ready = {"state": "ready", "stop_code": None}
        await session.execute(update(Run).where(Run.project_id == status.project_id).values(ready))
    status = await workshop.run(status.project_id)
    assert status.state is RunState.ATTENTION
    assert status.reason is not None
    assert "checks have not passed" in status.reason
    await assert_nothing_done(workshop, status)


async def test_the_database_itself_refuses_a_done_without_evidence(open_workshop: OpenWorkshop) -> None:
    workshop = await open_workshop(scripts.GOOD)
    status = await workshop.build(scripts.BRIEF)
    with pytest.raises(IntegrityError, match="done_has_evidence"):
        async with workshop.app.database.transaction() as session:
            await session.execute(
                update(Task).where(Task.project_id == status.project_id).values(evidence_tree_hash=None)
            )


async def test_an_architect_may_reject_what_its_checks_passed(open_workshop: OpenWorkshop) -> None:
    better = scripts.edit({"words/count.py": '"""Counting."""\n\n' + scripts.COUNT})
    script = dict(scripts.GOOD) | {
        "verify-T1-1.md": scripts.verdict(met=False, feedback="Say in a docstring what the module is for."),
        "implement-T1-2.md": better,
        "verify-T1-2.md": scripts.verdict(),
    }
    workshop = await open_workshop(script)
    status = await workshop.build(scripts.BRIEF)
    assert status.state is RunState.DONE
    (rejected,) = workshop.told(events.TaskRejected)
    assert isinstance(rejected, events.TaskRejected)
    assert "docstring" in rejected.feedback
    assert [task.attempts for task in await workshop.tasks(status.project_id)] == [2, 1]


class Moody:
    """Cannot run what only looks; runs the rest for real."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    @property
    def isolation(self) -> Isolation:
        return self._sandbox.isolation

    async def run(self, *, files: Mapping[str, bytes], command: str, limits: Limits = LIMITS) -> RunResult:
        if command == "ls":
            nothing = RunResult(executed=False, exit_code=None, output="", duration_ms=0, isolation=self.isolation)
            return replace(nothing, reason="no room")
        return await self._sandbox.run(files=files, command=command, limits=limits)


async def test_a_check_that_could_not_run_does_not_hide_one_that_failed(tmp_path: Path, database_url: str) -> None:
    first = scripts.FIRST | {"commands": ["ls", scripts.TEST]}
    wrong = scripts.edit(dict(scripts.FIRST_FILES) | {"words/count.py": scripts.COUNT_WRONG})
    script = always(scripts.GOOD["implement-T1-1.md"]) | {
        "plan-1.md": scripts.planned(first),
        "implement-T1-1.md": wrong,
        "readme-1.md": f"# Words\n\n```sh\n{scripts.TEST}\n```\n",
    }
    sandbox = Moody(await choose_sandbox(preference="auto"))
    settings = settings_for(home=tmp_path / "home", database_url=database_url)
    async with open_app(settings, llm=scripted(script), sandbox=sandbox) as app:
        workshop = Workshop(app=app, user_id=await app.local_user("ada"))
        app.events.listen(workshop.events.append)
        status = await workshop.build(scripts.BRIEF)
        (task,) = await workshop.tasks(status.project_id)
    assert len(workshop.told(events.ChecksFailed)) == 1
    assert (status.state, task.status, task.attempts) == (RunState.DONE, "unchecked", 2)
