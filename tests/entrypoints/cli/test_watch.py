"""`bottega watch`, and `resume` beside another process: what a person sees of work that is done elsewhere."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest
from click.testing import Result

from bottega.config import Settings
from bottega.orchestration.views.standing import Status
from tests.entrypoints.cli.conftest import Environment, Run
from tests.journeys import scripts
from tests.journeys.conftest import Workshop, opened, settings_for
from tests.journeys.test_takeover import ThoughtfulModel

Cli = Callable[..., Coroutine[None, None, Result]]


@pytest.fixture
def cli(bottega: Run, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setattr("getpass.getuser", lambda: "ada")

    async def run(*arguments: str) -> Result:
        return await asyncio.to_thread(bottega, *arguments)

    return run


@pytest.fixture
def model() -> ThoughtfulModel:
    return ThoughtfulModel(about="implement-T2-1")


@pytest.fixture
async def elsewhere(environment: Environment, model: ThoughtfulModel) -> AsyncIterator[Workshop]:
    """Open another process's workshop, of the same installation, whose model stops to think in the second task."""
    settings: Settings = settings_for(home=environment.home, database_url=environment.database_url)
    async with opened(settings, llm=model) as workshop:
        yield workshop


async def begun(elsewhere: Workshop, model: ThoughtfulModel) -> tuple[uuid.UUID, "asyncio.Task[Status]"]:
    project_id = await elsewhere.start(scripts.BRIEF)
    building = asyncio.create_task(elsewhere.run(project_id))
    await model.asked.wait()
    return project_id, building


def told(output: str) -> list[str]:
    """Return the beginning of each event's line, without what is measured."""
    verbs = "wrote|passed|approved|done|the brief|2 tasks|the plan"
    return re.findall(rf"^(?:\[\d/\d\] )?((?:T\d|README|planned|clear|go) +(?:{verbs}))\b", output, re.MULTILINE)


def squeezed(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines]


EVERYTHING = [
    *("clear the brief", "planned 2 tasks", "go the plan"),
    *(f"T{n} {what}" for n in (1, 2) for what in ("wrote", "passed", "approved", "done")),
    *("README wrote", "README done"),
]
FROM_THE_SECOND_TASK = EVERYTHING[7:]


async def test_a_watcher_sees_everything_another_process_does(
    cli: Cli, elsewhere: Workshop, model: ThoughtfulModel
) -> None:
    project_id, building = await begun(elsewhere, model)
    watching = asyncio.create_task(cli("watch", str(project_id)))
    await asyncio.sleep(0.5)
    model.may_answer.set()
    await building
    seen = await asyncio.wait_for(watching, timeout=20)
    assert seen.exit_code == 0, seen.output
    assert squeezed(told(seen.output)) == EVERYTHING, seen.output
    assert f"bottega download {project_id}" in seen.output
    assert not list(Path.cwd().iterdir()), "watching leaves nothing behind"


async def test_who_resumes_a_project_that_is_driven_elsewhere_sees_what_is_done_there(
    cli: Cli, elsewhere: Workshop, model: ThoughtfulModel
) -> None:
    project_id, building = await begun(elsewhere, model)
    resuming = asyncio.create_task(cli("resume", str(project_id), "--yes"))
    await asyncio.sleep(1.0)
    model.may_answer.set()
    await building
    seen = await asyncio.wait_for(resuming, timeout=20)
    assert seen.exit_code == 0, seen.output
    assert "another process is working on this project" in seen.output
    assert squeezed(told(seen.output)) == FROM_THE_SECOND_TASK, seen.output
    assert list(Path.cwd().glob("*.zip"))


async def test_a_project_that_waits_is_shown_and_why(cli: Cli, elsewhere: Workshop) -> None:
    project_id = await elsewhere.start(scripts.BRIEF)
    status = await elsewhere.status(project_id)
    assert status.run_id is not None
    await elsewhere.app.runner.run(run_id=status.run_id)
    seen = await cli("watch", str(project_id))
    assert (seen.exit_code, "planned" in seen.output) == (3, True), seen.output
    assert f"bottega resume {project_id}" in seen.output


async def test_another_persons_project_and_one_that_is_none_are_refused(cli: Cli, elsewhere: Workshop) -> None:
    del elsewhere
    unknown = str(uuid.uuid4())
    assert (await cli("watch", unknown)).stderr.strip() == f"You have no project {unknown}."
    refused = await cli("watch", "not-an-id")
    assert (refused.exit_code, "is not a project id" in refused.stderr) == (2, True)
