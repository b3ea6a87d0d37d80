"""A brief becomes a project that works, with its receipt."""

import asyncio
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bottega.llm.scripted import ScriptedProvider
from bottega.llm.types import CallObserver, Completion, CompletionRequest
from bottega.orchestration import events
from bottega.orchestration.state import RunState
from tests.journeys import scripts
from tests.journeys.conftest import OpenWorkshop


async def test_a_brief_becomes_a_project_that_works(open_workshop: OpenWorkshop, tmp_path: Path) -> None:
    workshop = await open_workshop(scripts.GOOD)
    status = await workshop.build(scripts.BRIEF)

    assert (status.state, status.status) == (RunState.DONE, "completed")
    assert [task.status for task in await workshop.tasks(status.project_id)] == ["done", "done"]
    assert status.archive_key is not None
    await asyncio.to_thread(_use, await workshop.app.storage.get(key=status.archive_key), tmp_path)
    await workshop.audit()


def _use(archive: bytes, tmp_path: Path) -> None:
    """Do with an archive what its receiver does: unpack it, run its tests, clone its history."""
    zipfile.ZipFile(io.BytesIO(archive)).extractall(tmp_path / "out")
    folder = tmp_path / "out" / "word-counter"
    names = {path.name for path in folder.iterdir()}
    assert {"README.md", "TODO.md", "TESTS.md", "RECEIPT.md", "word-counter.bundle", "words", "tests"} <= names
    subprocess.run([sys.executable, "-m", "unittest", "discover", "-s", "tests"], cwd=folder, check=True)
    subprocess.run(["git", "clone", "-q", "word-counter.bundle", "clone"], cwd=folder, check=True)
    log = subprocess.run(
        ["git", "log", "--format=%s"], cwd=folder / "clone", check=True, capture_output=True, text=True
    )
    assert log.stdout.splitlines() == ["Write the README", "T2: Command line", "T1: Counting"]


@pytest.mark.slow
async def test_every_step_is_told_in_order(open_workshop: OpenWorkshop) -> None:
    workshop = await open_workshop(scripts.GOOD)
    await workshop.build(scripts.BRIEF)
    told = [event.type for event in workshop.events if not isinstance(event, events.StepStarted)]
    one_task = ["task_implemented", "checks_passed", "task_approved", "task_done"]
    assert told == [
        "requirements_clear",
        "plan_ready",
        "run_stopped",
        *one_task,
        *one_task,
        "readme_written",
        "readme_committed",
        "delivered",
    ]


@pytest.mark.slow
async def test_a_readme_whose_commands_fail_is_mended(open_workshop: OpenWorkshop) -> None:
    wrong = scripts.README.replace("python -m words", "python -m wordz")
    asked: list[CompletionRequest] = []

    class Listening(ScriptedProvider):
        async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
            asked.append(request)
            return await super().complete(request, observer=observer)

    script = {**scripts.GOOD, "readme-1.md": wrong, "readme-2.md": scripts.README}
    workshop = await open_workshop(llm=Listening(script=script))
    status = await workshop.build(scripts.BRIEF)

    assert status.state is RunState.DONE
    assert wrong in asked[-1].messages[-1].content
    await workshop.audit()
