"""The demo's script, played with the real agents and commands (though outside a sandbox): what it shows must be so."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path

import pytest

from bottega.agents.architect import ArchitectAgent
from bottega.agents.edits import apply_edits
from bottega.agents.implementer import ImplementerAgent
from bottega.agents.prompting import Prompts
from bottega.agents.types import Assignment, Brief, Gathered, Plan, PlannedTask, Readme, ReadmeRequest, Review, Verdict
from bottega.llm.scripted import ScriptedProvider
from bottega.llm.types import ModelName

SCRIPT = Path(str(resources.files("bottega.entrypoints.cli"))) / "demo_script"
MOST_ATTEMPTS = 4
SEARCH_PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"

Files = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    reply: str  # the name of its file, without suffix
    outcome: str  # of an implementation: its checks; of a review: the verdict
    files: Files  # as they are after it
    output: str = ""


@dataclass(kw_only=True)
class Play:
    """One run through the script. `steps` holds every implementation and every review in order."""

    folder: Path
    steps: list[Step] = field(default_factory=list)

    @cached_property
    def brief(self) -> Brief:
        return Brief(text=(SCRIPT / "brief.md").read_text(encoding="utf-8"))

    @cached_property
    def architect(self) -> ArchitectAgent:
        return ArchitectAgent(llm=ScriptedProvider(script=SCRIPT), model=model("architect"), prompts=Prompts())

    @cached_property
    def gathered(self) -> Gathered:
        return asyncio.run(self.architect.gather(brief=self.brief, session="s", attempt=1))

    @cached_property
    def plan(self) -> Plan:
        return asyncio.run(self.architect.plan(brief=self.brief, session="s", attempt=1))

    @cached_property
    def readme(self) -> Readme:
        request = ReadmeRequest(
            brief=self.brief, title="", documentation="", tech_stack={}, tree=(), context=(), commands=()
        )
        return asyncio.run(self.architect.write_readme(request=request))

    @property
    def delivered(self) -> Files:
        return self.steps[-1].files

    def step(self, reply: str) -> Step:
        return next(step for step in self.steps if step.reply == reply)

    def build(self) -> None:
        files: Files = {}
        for task in self.plan.tasks:
            files = self._do(task, files)

    def _do(self, task: PlannedTask, files: Files) -> Files:
        reviews = 0
        for attempt in range(1, MOST_ATTEMPTS + 1):
            files = self._implement(task, attempt, files)
            if self.steps[-1].outcome == "passed":
                reviews += 1
                if self._review(task, reviews, files).approved:
                    return files
        pytest.fail(f"{task.key} is never accepted")

    def _implement(self, task: PlannedTask, attempt: int, files: Files) -> Files:
        agent = ImplementerAgent(llm=ScriptedProvider(script=SCRIPT), model=model("apprentice"), prompts=Prompts())
        assignment = Assignment(
            project_title="", documentation="", task=task, tree=(), context=(), attempt=attempt, session="s"
        )
        edits = asyncio.run(agent.implement(assignment=assignment))
        changed = apply_edits(files=files, edits=edits).files
        files = {path: text for path, text in {**files, **changed}.items() if text is not None}
        failed = [done for command in task.commands if (done := self.run(command, files)).returncode != 0]
        self._note(
            f"implement-{task.key}-{attempt}",
            "failed" if failed else "passed",
            files,
            "".join(done.stdout for done in failed),
        )
        return files

    def _review(self, task: PlannedTask, attempt: int, files: Files) -> Verdict:
        review = Review(
            brief=self.brief, documentation="", task=task, diff="", context=(), results=(), attempt=attempt, session="s"
        )
        verdict = asyncio.run(self.architect.verify(review=review))
        outcome = "approved" if verdict.approved else "rejected"
        self._note(f"verify-{task.key}-{attempt}", outcome, files, verdict.feedback)
        return verdict

    def _note(self, reply: str, outcome: str, files: Files, output: str) -> None:
        self.steps.append(Step(reply=reply, outcome=outcome, files=files, output=output))

    def run(self, command: str, files: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a command in a clean copy of the files."""
        copy = self.folder / str(len(list(self.folder.iterdir())))
        copy.mkdir()
        for path, text in files.items():
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            (copy / path).write_text(text, encoding="utf-8")
        return subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=copy,
            env={"PATH": SEARCH_PATH, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=60,
            check=False,
        )


def model(name: str) -> ModelName:
    return ModelName(provider="scripted", name=name)


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Play:
    play = Play(folder=tmp_path_factory.mktemp("demo"))
    play.build()
    return play


def names_of_tests(files: Files) -> set[str]:
    return {
        f"{path}: {name}"
        for path, text in files.items()
        for name in re.findall(r"^ +def (test_\w+)", text, re.MULTILINE)
    }


def test_the_brief_is_short_and_needs_no_question(play: Play) -> None:
    assert 140 <= len(play.brief.text.split()) <= 180
    assert play.gathered == Gathered(title="Fairshare", questions=())


def test_the_plan_is_short_and_worth_reading(play: Play) -> None:
    assert [task.key for task in play.plan.tasks] == ["T1", "T2", "T3", "T4"]
    assert 300 <= len(play.plan.documentation.split()) <= 800


def test_one_task_fails_its_checks_and_another_is_rejected(play: Play) -> None:
    assert [(step.reply, step.outcome) for step in play.steps] == [
        ("implement-T1-1", "passed"),
        ("verify-T1-1", "approved"),
        ("implement-T2-1", "failed"),
        ("implement-T2-2", "passed"),
        ("verify-T2-1", "approved"),
        ("implement-T3-1", "passed"),
        ("verify-T3-1", "rejected"),
        ("implement-T3-2", "passed"),
        ("verify-T3-2", "approved"),
        ("implement-T4-1", "passed"),
        ("verify-T4-1", "approved"),
    ]


def test_the_failure_is_the_one_that_the_repair_explains(play: Play) -> None:
    assert "AssertionError: 5 != 3 : 3 cents by {'Ana': 1, 'Ben': 1}" in play.step("implement-T2-1").output


def test_the_rejection_is_true_and_its_example_is_mended(play: Play) -> None:
    assert "four payments where three do" in play.step("verify-T3-1").output
    owed = {"Ana": 600, "Ben": 500, "Carla": -300, "Dan": -300, "Eva": -500}
    count = f'python -c "from fairshare.settle import settle; print(len(settle({owed})))"'
    assert play.run(count, play.step("implement-T3-1").files).stdout == "4\n"
    assert play.run(count, play.step("implement-T3-2").files).stdout == "3\n"


def test_the_tests_of_a_mended_task_would_have_caught_the_first_attempt(play: Play) -> None:
    first, second = play.step("implement-T3-1").files, play.step("implement-T3-2").files
    greedy = first["fairshare/settle.py"] + "\n\nMOST_EXACT = 15\n"
    run = play.run("python -m unittest discover -s tests", {**second, "fairshare/settle.py": greedy})
    assert run.returncode == 1
    assert "test_no_other_way_needs_fewer_payments" in run.stdout


def test_every_task_changes_what_it_planned_and_no_test_ever_disappears(play: Play) -> None:
    before: Files = {}
    planned = {task.key: set(task.files) for task in play.plan.tasks}
    for step in play.steps:
        changed = {path for path, text in step.files.items() if before.get(path) != text}
        assert changed <= planned[step.reply.split("-")[1]]
        assert names_of_tests(before) <= names_of_tests(step.files)
        before = step.files
    assert len(names_of_tests(play.delivered)) > 40


def test_a_task_cannot_be_passed_by_the_tree_before_it(play: Play) -> None:
    before: Files = {}
    for task in play.plan.tasks:
        assert play.run(task.commands[-1], before).returncode != 0, task.key
        before = next(step.files for step in reversed(play.steps) if f"-{task.key}-" in step.reply)


def test_the_readme_keeps_its_promises_in_one_clean_copy(play: Play) -> None:
    script = "\n".join(["set -ex", *play.readme.commands, "cat trip.csv"])
    run = play.run(script, {**play.delivered, "README.md": play.readme.text})
    assert run.returncode == 0, run.stdout
    assert any("unittest" in command for command in play.readme.commands)
    shown = re.findall(r"```text\n(.*?)```", play.readme.text, re.DOTALL)
    assert shown
    assert [text for text in shown if text not in run.stdout.replace("\ufeff", "")] == []


def test_the_code_is_small_and_every_reply_is_used(play: Play) -> None:
    assert max(len(text.splitlines()) for text in play.delivered.values()) < 200
    used = {step.reply for step in play.steps} | {"brief", "gather-1", "plan-1", "readme-1"}
    assert used == {path.stem for path in SCRIPT.iterdir()}
