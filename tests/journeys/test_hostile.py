"""Replies that would harm: paths out of the project, bytes no file can hold, floods, commands that never end.

Each is refused with a complaint the model can act on; nothing of it is written; the person loses nothing.
"""

import json
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from bottega.bootstrap import Pace
from bottega.config import ModelSettings
from bottega.orchestration import events
from bottega.orchestration.state import RunState, StopCode
from bottega.orchestration.views.standing import Status
from bottega.projects.repository import ProjectRepository
from bottega.sandbox.types import Limits
from tests.journeys import scripts
from tests.journeys.conftest import OpenWorkshop, Workshop

ONE_TASK = {name: text for name, text in scripts.GOOD.items() if "T2" not in name} | {
    "plan-1.md": scripts.planned(scripts.FIRST)
}
ONE_RUNG = ModelSettings(architect_model="scripted/architect", implementer_models=("scripted/apprentice",))
PLENTY = Decimal(1_000_000)  # whoever lets a model say five megabytes pays for them
NULLS = "x = '\0'\n"


def complaints(workshop: Workshop) -> list[str]:
    return [event.complaint for event in workshop.events if isinstance(event, events.ReplyUnusable)]


async def build_despite(open_workshop: OpenWorkshop, replies: Mapping[str, str]) -> tuple[Workshop, Status]:
    """Build one task without executing it, with these replies instead of the good ones, and expect a delivery."""
    workshop = await open_workshop({**ONE_TASK, **replies}, sandbox="none", credits=PLENTY)
    status = await workshop.build(scripts.BRIEF)
    assert status.state is RunState.DONE, status.reason
    await workshop.audit()
    return workshop, status


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../outside.py", "'..'"),
        ("words/../../outside.py", "'..'"),
        ("/etc/cron.d/words", "not relative"),
        ("~/.ssh/authorized_keys", "not relative"),
        ("C:/words.py", "not relative"),
        (".git/hooks/post-commit", "git"),
        ("words/.GIT/config", "git"),
        (".gitmodules", "git"),
        ("words/..\\outside.py", "backslash"),
        ("words/\u202eyp.py", "invisible"),
        ("words/caf\udce9.py", "broken Unicode"),
        ("words/nul.py", "Windows"),
    ],
)
async def test_a_path_that_leads_astray_is_refused(path: str, why: str, open_workshop: OpenWorkshop) -> None:
    astray = scripts.edit(scripts.FIRST_FILES | {path: "x = 1\n"})
    good = {"implement-T1-2.md": scripts.GOOD["implement-T1-1.md"]}
    workshop, status = await build_despite(open_workshop, good | {"implement-T1-1.md": astray})
    (complaint,) = complaints(workshop)
    assert why in complaint
    written = await workshop.app.orchestrator.file_paths(user_id=workshop.user_id, project_id=status.project_id)
    assert set(written) == {*scripts.FIRST_FILES, "README.md"}


async def test_a_link_in_a_patch_becomes_a_file_like_any_other(open_workshop: OpenWorkshop, tmp_path: Path) -> None:
    patch = (
        "```diff\ndiff --git a/link b/link\nnew file mode 120000\n--- /dev/null\n+++ b/link\n@@ -0,0 +1 @@\n"
        "+/etc/passwd\n\\ No newline at end of file\n```\n"
    )
    reply = f"{scripts.edit(scripts.FIRST_FILES)}\n\n{patch}"
    _, status = await build_despite(open_workshop, {"implement-T1-1.md": reply})
    repository = ProjectRepository(tmp_path / "home" / "repositories" / f"{status.project_id}.git")
    files = repository.read(repository.log()[0].sha)
    assert files["link"].strip() == b"/etc/passwd"  # its words, not what they point at


@pytest.mark.parametrize(
    ("name", "reply", "why"),
    [
        ("implement-T1", scripts.edit(scripts.FIRST_FILES | {"words/count.py": NULLS}), "NUL"),
        ("gather", f"{{\0{scripts.gathered()}", "NUL"),
        ("verify-T1", "\0", "NUL"),
        ("readme", "# Words \udc80\n", "broken Unicode"),
        ("implement-T1", "I had rather talk about it. " * 200_000, "No edit was found"),
        ("plan", "{" * 5_000_000, "JSON"),
        ("plan", '{"tasks": ' + "[" * 100_000, "JSON"),
        (
            "plan",
            scripts.planned(*(scripts.task(f"T{n}", "Task", [f"f{n}.py"]) for n in range(1, 41))),
            "the plan has 40 tasks; it must have 1 to 15",
        ),
    ],
    ids=[
        "NUL in a file",
        "NUL in JSON",
        "only a NUL",
        "half a character",
        "5 MB of prose",
        "5 MB of braces",
        "a deep well",
        "40 tasks",
    ],
)
async def test_a_reply_that_cannot_be_used_is_asked_for_again(
    name: str, reply: str, why: str, open_workshop: OpenWorkshop
) -> None:
    begun = time.monotonic()
    workshop, _ = await build_despite(open_workshop, {f"{name}-1.md": reply, f"{name}-2.md": ONE_TASK[f"{name}-1.md"]})
    (complaint,) = complaints(workshop)
    assert why in complaint
    assert len(complaint) < 2_000
    assert time.monotonic() - begun < 10


async def test_escaped_nuls_in_json_do_not_reach_the_database(open_workshop: OpenWorkshop) -> None:
    plan = json.loads(ONE_TASK["plan-1.md"])
    plan["title"] = "Word\0 counter\ud800"
    plan["documentation"] = "Counts\0 words."
    workshop, status = await build_despite(open_workshop, {"plan-1.md": json.dumps(plan)})
    assert status.title == "Word counter"
    assert complaints(workshop) == []


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ('python -c "import os; [os.fork() for _ in iter(int, 1)]"', ""),
        ("yes", "printing more than"),
        ("sleep 1000", "ended after 1 s"),
        ("cat /dev/zero > zeros", ""),
    ],
    ids=["a fork bomb", "endless output", "sleep", "a full disk"],
)
async def test_a_command_that_would_never_end_is_ended_and_fails(
    command: str, why: str, open_workshop: OpenWorkshop
) -> None:
    plan = scripts.planned(scripts.task("T1", "Counting", list(scripts.FIRST_FILES), commands=[command]))
    again = scripts.edit({"words/note.py": "AGAIN = True\n"})
    workshop = await open_workshop(
        ONE_TASK | {"plan-1.md": plan, "implement-T1-2.md": again},
        models=ONE_RUNG,
        pace=Pace(limits=Limits(wall_seconds=1.0)),
    )
    status = await workshop.build(scripts.BRIEF)
    assert (status.state, status.stop_code) == (RunState.REFINEMENT, StopCode.TASK_STUCK)
    assert [task.status for task in await workshop.tasks(status.project_id)] == ["todo"]
    failures = [event.reason for event in workshop.events if isinstance(event, events.ChecksFailed)]
    assert len(failures) == 2
    assert all(why in reason for reason in failures), failures
    await workshop.audit()
