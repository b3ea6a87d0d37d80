"""kill -9 anywhere: the run goes on by itself from where it was, nothing is done or charged twice, nothing is lost.

A process of its own works on a run and dies at a place given to it; then a clean workshop on the same database and home
resumes. What comes out must equal what a run that nobody killed makes of the same brief.
"""

import asyncio
import io
import multiprocessing
import signal
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio
from _pytest.mark import ParameterSet
from sqlalchemy import func, select, update

from bottega.billing.tables import ApiKeyUsage, CreditHold
from bottega.orchestration import journal
from bottega.orchestration.journal import CLAIMS_WITHOUT_PROGRESS
from bottega.orchestration.state import RunState, StepKind, StopCode
from bottega.orchestration.tables import Run, Step
from bottega.orchestration.views.standing import Status
from bottega.projects.repository import ProjectRepository
from tests.journeys import dying, scripts
from tests.journeys.conftest import OpenWorkshop, Workshop, opened, scripted, settings_for

PROCESSES = multiprocessing.get_context("forkserver")  # a fresh process each, without a second of imports each
PROCESSES.set_forkserver_preload([dying.__name__])
BEFORE_APPROVAL = {"gather", "plan", "gather-1", "plan-1", "claimed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What must not depend on being killed."""

    journal: tuple[tuple[int, str, str | None, str], ...]
    charges: Counter[tuple[str, str | None, Decimal]]  # purpose, task, credits of every settled call
    total: Decimal
    trees: tuple[str, ...]
    archived: dict[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One installation: its workshop here, and what a process of its own needs to work beside it."""

    workshop: Workshop
    database_url: str
    home: Path

    async def start(self) -> Status:
        return await self.workshop.status(await self.workshop.start(scripts.BRIEF))

    async def resume(self, status: Status) -> None:
        person = self.workshop.user_id
        async with self.workshop.app.database.transaction() as session:  # as any runner does, which then waits a while
            run = await session.get_one(Run, status.run_id)
            await journal.take_back(session, owner=run.lease_owner or "nobody")
        await self.workshop.app.orchestrator.resume(user_id=person, project_id=status.project_id)

    async def die(self, status: Status, *, place: str) -> None:
        """Let a process work on the run until it kills itself at `place`."""
        where = {"database_url": self.database_url, "home": self.home, "run_id": status.run_id}
        process = PROCESSES.Process(target=dying.work, kwargs=where | {"place": place})
        process.start()
        await asyncio.to_thread(process.join)
        assert process.exitcode == -signal.SIGKILL, f"{place} was never reached"


@pytest.fixture
async def scene(open_workshop: OpenWorkshop, tmp_path: Path, database_url: str) -> Scene:
    return Scene(workshop=await open_workshop(scripts.GOOD), database_url=database_url, home=tmp_path / "home")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def undisturbed(worker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    home = tmp_path_factory.mktemp("undisturbed")
    settings = settings_for(home=home, database_url=worker_url)
    async with opened(settings, llm=scripted(scripts.GOOD), username="reference") as workshop:
        return await outcome(workshop, await workshop.build(scripts.BRIEF), home=home)


async def outcome(workshop: Workshop, status: Status, *, home: Path) -> Outcome:
    assert (status.state, status.status) == (RunState.DONE, "completed")
    assert status.archive_key is not None
    archive = zipfile.ZipFile(io.BytesIO(await workshop.app.storage.get(key=status.archive_key)))
    log = ProjectRepository(home / "repositories" / f"{status.project_id}.git").log()
    async with workshop.app.database.transaction() as session:
        steps = select(Step.step_no, Step.kind, Step.task_key, Step.outcome).where(Step.run_id == status.run_id)
        journal = (await session.execute(steps.order_by(Step.step_no))).all()
        calls = select(ApiKeyUsage.task_type, ApiKeyUsage.task_key, ApiKeyUsage.credits_charged)
        settled = calls.where(ApiKeyUsage.project_id == status.project_id, ApiKeyUsage.status == "settled")
        charges = (await session.execute(settled)).all()
    return Outcome(
        journal=tuple((row.step_no, row.kind, row.task_key, row.outcome) for row in journal),
        charges=Counter((row.task_type, row.task_key, row.credits_charged) for row in charges),
        total=status.credits_charged,
        trees=tuple(entry.tree_hash for entry in log),
        archived={name: archive.read(name) for name in archive.namelist() if not _differs_by_nature(name)},
    )


def _differs_by_nature(name: str) -> bool:
    """Tell of the bundle (commits carry times), and of the reports that count lost calls and milliseconds."""
    return name.endswith((".bundle", "RECEIPT.md", "TESTS.md"))


PLACES_WITHOUT_A_CALL = [
    "claimed",
    *(f"started:{kind}" for kind in StepKind),
    *(f"unwritten:{kind}" for kind in ("check", "commit", "check_readme", "commit_readme", "package")),
    "running:check",
    "running:check_readme",
    "told:plan_ready",
    "told:task_implemented",
    "told:task_done",
    "told:readme_committed",
    "told:delivered",
]
PLACES_IN_A_CALL = [
    "asking:gather-1",
    "asking:implement-T2-1",
    "answered:plan-1",
    "answered:verify-T1-1",
    "answered:readme-1",
    *(f"unwritten:{kind}" for kind in ("gather", "plan", "implement", "verify", "readme")),
]


# What every run of the suite looks at, one place of a kind; `make chaos` kills at all of them.
ALWAYS = {"asking:implement-T2-1"}


def swept(places: Sequence[str], *, always: set[str]) -> list[ParameterSet]:
    assert always <= set(places)
    return [pytest.param(place, marks=() if place in always else pytest.mark.slow) for place in places]


@pytest.mark.parametrize("place", swept([*PLACES_WITHOUT_A_CALL, *PLACES_IN_A_CALL], always=ALWAYS))
async def test_a_run_killed_at(place: str, scene: Scene, undisturbed: Outcome) -> None:
    workshop, status = scene.workshop, await scene.start()
    if place.partition(":")[2] not in BEFORE_APPROVAL and place not in {"claimed", "told:plan_ready"}:
        assert status.run_id is not None
        assert await workshop.app.runner.run(run_id=status.run_id) is RunState.WAITING
        await workshop.app.orchestrator.approve(user_id=workshop.user_id, project_id=status.project_id)
    await scene.die(status, place=place)

    status = await workshop.run(status.project_id)

    assert await outcome(workshop, status, home=scene.home) == undisturbed
    lost = {"orphan": 1} if place in PLACES_IN_A_CALL else {}
    assert await workshop.calls() == Counter({"settled": undisturbed.charges.total(), **lost})
    await workshop.audit()


@pytest.mark.slow
async def test_a_step_that_keeps_killing_its_process_is_stopped_and_says_so(scene: Scene) -> None:
    workshop, status = scene.workshop, await scene.start()
    for _ in range(CLAIMS_WITHOUT_PROGRESS):
        await scene.die(status, place="started:gather")
        await scene.resume(status)  # as `bottega resume` does; it is no reason to forget
    stopped = await workshop.run(status.project_id)
    assert (stopped.state, stopped.stop_code) == (RunState.ATTENTION, StopCode.CRASHES)
    assert "several times in a row" in (stopped.reason or "")
    await workshop.audit()

    await scene.resume(status)  # now the person has been told, and wants another try
    assert (await workshop.run(status.project_id)).state is RunState.DONE


@pytest.mark.parametrize(("wish", "state"), [("pause", RunState.PAUSED), ("cancel", RunState.CANCELLED)])
async def test_a_wish_needs_no_runner_when_the_runner_was_killed(wish: str, state: RunState, scene: Scene) -> None:
    workshop, status = scene.workshop, await scene.start()
    await scene.die(status, place="asking:plan-1")
    ask = getattr(workshop.app.orchestrator, wish)
    await ask(user_id=workshop.user_id, project_id=status.project_id)
    assert (await workshop.status(status.project_id)).state is state
    assert await workshop.calls() == Counter(settled=1, orphan=1)
    await workshop.audit()


async def test_what_a_killed_process_had_reserved_is_free_again_when_it_expires(
    scene: Scene, open_workshop: OpenWorkshop
) -> None:
    await scene.die(await scene.start(), place="asking:plan-1")
    async with scene.workshop.app.database.transaction() as session:
        await session.execute(update(CreditHold).values(expires_at=func.now() - timedelta(seconds=1)))
    await (await open_workshop(scripts.GOOD)).audit()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def undisturbed_refinement(worker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    home = tmp_path_factory.mktemp("refined")
    settings = settings_for(home=home, database_url=worker_url)
    async with opened(settings, llm=scripted(scripts.REFINED), username="refiner") as workshop:
        status = await workshop.build(scripts.BRIEF)
        await refine(workshop, status)
        return await outcome(workshop, await workshop.run(status.project_id), home=home)


async def refine(workshop: Workshop, status: Status) -> None:
    asked = {"path": "words/count.py", "instruction": "Count a word with a hyphen as two."}
    person = {"user_id": workshop.user_id, "project_id": status.project_id, "channel": "test"}
    await workshop.app.orchestrator.refine(**person, **asked)  # type: ignore[arg-type]


REFINING_WITHOUT_A_CALL = ["claimed", "started:implement", "unwritten:check", "started:commit", "unwritten:commit"]
REFINING_WITHOUT_A_CALL += ["told:task_done", "unwritten:package"]
REFINING_IN_A_CALL = ["asking:implement-T3-1", "unwritten:implement", "answered:verify-T3-1"]


REFINING_ALWAYS: set[str] = set()


@pytest.mark.parametrize("place", swept([*REFINING_WITHOUT_A_CALL, *REFINING_IN_A_CALL], always=REFINING_ALWAYS))
async def test_a_refinement_killed_at(
    place: str, open_workshop: OpenWorkshop, tmp_path: Path, database_url: str, undisturbed_refinement: Outcome
) -> None:
    workshop = await open_workshop(scripts.REFINED)
    scene = Scene(workshop=workshop, database_url=database_url, home=tmp_path / "home")
    first = await workshop.build(scripts.BRIEF)
    await refine(workshop, first)
    await scene.die(await workshop.status(first.project_id), place=place)

    status = await workshop.run(first.project_id)

    assert await outcome(workshop, status, home=scene.home) == undisturbed_refinement
    lost = {"orphan": 1} if place in REFINING_IN_A_CALL else {}
    assert await workshop.calls() == Counter({"settled": undisturbed_refinement.charges.total(), **lost})
    await workshop.audit()
