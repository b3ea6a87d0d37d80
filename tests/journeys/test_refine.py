"""A delivered project is refined: one more task, checked and judged like any other, and another delivery."""

import asyncio
import io
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from bottega.billing.ledger import adjust
from bottega.billing.types import Cause, TransactionType
from bottega.bootstrap import Pace
from bottega.llm.scripted import ScriptedProvider, stem_of
from bottega.llm.types import CallObserver, Completion, CompletionRequest
from bottega.orchestration import events
from bottega.orchestration.orchestrator import NothingToDo
from bottega.orchestration.refining import (
    MAX_INSTRUCTION_CHARACTERS,
    EmptyInstruction,
    InstructionTooLong,
    NotDelivered,
    TooFewCredits,
    UnknownFile,
)
from bottega.orchestration.state import RunState
from bottega.orchestration.tables import Run, Task
from bottega.orchestration.views.standing import Status
from bottega.projects.paths import UnsafePath
from bottega.projects.service import UnknownProject
from tests.journeys import scripts
from tests.journeys.conftest import OpenWorkshop, Workshop

FILE = "words/count.py"
WISH = "Count a word with a hyphen as two."


async def refine(workshop: Workshop, project_id: uuid.UUID, *, path: str = FILE, instruction: str = WISH) -> None:
    person = {"user_id": workshop.user_id, "channel": "test"}
    await workshop.app.orchestrator.refine(**person, project_id=project_id, path=path, instruction=instruction)  # type: ignore[arg-type]


async def refined(workshop: Workshop, status: Status) -> Status:
    await refine(workshop, status.project_id)
    return await workshop.run(status.project_id)


async def archived(workshop: Workshop, status: Status) -> dict[str, str]:
    assert status.archive_key is not None
    archive = zipfile.ZipFile(io.BytesIO(await workshop.app.storage.get(key=status.archive_key)))
    return {
        name.removeprefix("word-counter/"): archive.read(name).decode(errors="replace") for name in archive.namelist()
    }


def kinds(workshop: Workshop) -> list[str]:
    return [event.kind for event in workshop.told(events.StepStarted) if isinstance(event, events.StepStarted)]


async def left_as_it_was(workshop: Workshop, before: Status, *, dropped: bool = True) -> None:
    """Assert that a refinement which came to nothing left the delivery alone, and says so."""
    now = await workshop.status(before.project_id)
    assert (now.status, now.archive_key) == ("completed", before.archive_key)
    files = await archived(workshop, now)
    assert files[FILE] == scripts.COUNT
    if dropped:
        assert [task.status for task in await workshop.tasks(before.project_id)] == ["done", "done", "dropped"]
        assert "- [-] **T3** Refine words/count.py" in now.todo_markdown
    packed = await workshop.app.orchestrator.archive(user_id=workshop.user_id, project_id=before.project_id)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.read(f"word-counter/{FILE}").decode() == scripts.COUNT
        assert "T3" not in archive.read("word-counter/TESTS.md").decode()
    await workshop.audit()


async def test_a_delivered_project_is_refined_and_delivered_again(open_workshop: OpenWorkshop, tmp_path: Path) -> None:
    workshop = await open_workshop(scripts.REFINED)
    first = await workshop.build(scripts.BRIEF)
    before = await archived(workshop, first)
    workshop.events.clear()

    second = await refined(workshop, first)

    assert (second.state, second.status) == (RunState.DONE, "completed")
    assert second.run_id != first.run_id
    assert second.archive_key != first.archive_key
    assert kinds(workshop) == ["implement", "check", "verify", "commit", "package"]
    assert await archived(workshop, first) == before, "the first delivery stays what it was"
    after = await archived(workshop, second)
    assert after["README.md"] == before["README.md"]
    assert "- [x] **T3** Refine words/count.py: Count a word with a hyphen as two." in after["TODO.md"]
    assert "T3 Refine words/count.py" in after["RECEIPT.md"]
    assert "| T3 | `set -ex`<br>`echo one two | python -m words`" in after["TESTS.md"].replace("\\|", "|")
    assert second.credits_charged > first.credits_charged
    assert second.archive_key is not None
    await asyncio.to_thread(_use, await workshop.app.storage.get(key=second.archive_key), tmp_path)
    await workshop.audit()


def _use(archive: bytes, tmp_path: Path) -> None:
    zipfile.ZipFile(io.BytesIO(archive)).extractall(tmp_path / "out")
    folder = tmp_path / "out" / "word-counter"
    subprocess.run([sys.executable, "-m", "unittest", "discover", "-s", "tests"], cwd=folder, check=True)
    subprocess.run(["git", "clone", "-q", "word-counter.bundle", "clone"], cwd=folder, check=True)
    log = subprocess.run(
        ["git", "log", "-1", "--format=%s"], cwd=folder / "clone", check=True, capture_output=True, text=True
    )
    assert log.stdout == "T3: Refine words/count.py: Count a word with a hyphen as two.\n"


@pytest.mark.slow
async def test_every_step_is_told_in_order(open_workshop: OpenWorkshop) -> None:
    workshop = await open_workshop(scripts.REFINED)
    first = await workshop.build(scripts.BRIEF)
    workshop.events.clear()
    await refined(workshop, first)
    told = [event.type for event in workshop.events if not isinstance(event, events.StepStarted)]
    assert told == ["task_implemented", "checks_passed", "task_approved", "task_done", "delivered"]


@pytest.mark.slow
async def test_statuses_stay_a_rendering_of_a_refinement(open_workshop: OpenWorkshop) -> None:
    seen: list[str] = []
    workshop = await open_workshop(scripts.REFINED)
    first = await workshop.build(scripts.BRIEF)
    await refine(workshop, first.project_id)
    seen.append((await workshop.status(first.project_id)).status)
    await workshop.app.orchestrator.pause(user_id=workshop.user_id, project_id=first.project_id)
    seen.append((await workshop.status(first.project_id)).status)
    await workshop.app.orchestrator.resume(user_id=workshop.user_id, project_id=first.project_id)
    seen.append((await workshop.status(first.project_id)).status)
    seen.append((await workshop.run(first.project_id)).status)
    assert seen == ["implementing", "paused", "implementing", "completed"]


@pytest.mark.slow
async def test_twice_in_a_row(open_workshop: OpenWorkshop) -> None:
    louder = scripts.edit({"words/__main__.py": scripts.MAIN.replace("print(", "print(+")})
    again = {"implement-T4-1.md": louder, "verify-T4-1.md": scripts.verdict(criteria=2)}
    workshop = await open_workshop({**scripts.REFINED, **again})
    second = await refined(workshop, await workshop.build(scripts.BRIEF))
    await refine(workshop, second.project_id, path="./words/__main__.py ", instruction="Be sure that it is a number.")
    third = await workshop.run(second.project_id)
    assert third.state is RunState.DONE
    assert [task.key for task in await workshop.tasks(third.project_id)] == ["T1", "T2", "T3", "T4"]
    files = await archived(workshop, third)
    assert (files[FILE], "print(+" in files["words/__main__.py"]) == (scripts.HYPHENS, True)
    await workshop.audit()


@pytest.mark.parametrize(
    "repaired",
    [
        "rejected",
        pytest.param("checks failed", marks=pytest.mark.slow),
        pytest.param("the README is no longer true", marks=pytest.mark.slow),
    ],
)
async def test_what_fails_is_repaired(repaired: str, open_workshop: OpenWorkshop) -> None:
    good, breaks = scripts.REFINED["implement-T3-1.md"], scripts.edit({FILE: scripts.COUNT_WRONG})
    fussy = scripts.MAIN.replace("print(", "assert (text := sys.stdin.read()) != 'one two\\n'\nprint(").replace(
        "sys.stdin.read()))", "text))"
    )
    untrue = good + "\n\n" + scripts.edit({"words/__main__.py": fussy})
    mended = scripts.edit({"words/__main__.py": scripts.MAIN})
    script: Mapping[str, str] = {
        "rejected": {"verify-T3-1.md": scripts.verdict(met=False, criteria=2, feedback="Handle the dash.")}
        | {"implement-T3-2.md": good.replace("A hyphen", "The hyphen"), "verify-T3-2.md": scripts.verdict(criteria=2)},
        "checks failed": {"implement-T3-1.md": breaks, "implement-T3-2.md": good},
        "the README is no longer true": {"implement-T3-1.md": untrue, "implement-T3-2.md": mended},
    }[repaired]
    workshop = await open_workshop({**scripts.REFINED, **script})
    first = await workshop.build(scripts.BRIEF)
    second = await refined(workshop, first)
    assert second.state is RunState.DONE
    assert [task.attempts for task in await workshop.tasks(first.project_id)] == [1, 1, 2]
    await workshop.audit()
    if repaired == "the README is no longer true":
        failed = [
            event.command for event in workshop.told(events.ChecksFailed) if isinstance(event, events.ChecksFailed)
        ]
        assert failed == ["the README's commands"]


class Waiting(ScriptedProvider):
    """Thinks about one request until somebody loses patience."""

    def __init__(self, about: str = "", **more: str) -> None:
        super().__init__(script={**scripts.REFINED, **more})
        self.about = about
        self.asked = asyncio.Event()
        self.requests: list[CompletionRequest] = []

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        self.requests.append(request)
        if stem_of(request) == self.about:
            self.asked.set()
            await asyncio.sleep(60)
        return await super().complete(request, observer=observer)


@pytest.mark.slow
async def test_cancelled_midway_it_leaves_the_delivery_alone(open_workshop: OpenWorkshop) -> None:
    model = Waiting("verify-T3-1")
    workshop = await open_workshop(llm=model, pace=Pace(heartbeat_seconds=0.02))
    first = await workshop.build(scripts.BRIEF)
    await refine(workshop, first.project_id)
    running = asyncio.create_task(workshop.run(first.project_id))
    await model.asked.wait()
    await workshop.app.orchestrator.cancel(user_id=workshop.user_id, project_id=first.project_id)
    assert (await running).state is RunState.CANCELLED
    await left_as_it_was(workshop, first)


@pytest.mark.slow
async def test_what_was_given_up_is_no_remark_about_the_next(open_workshop: OpenWorkshop) -> None:
    again = {"implement-T4-1.md": scripts.REFINED["implement-T3-1.md"], "verify-T4-1.md": scripts.verdict(criteria=2)}
    model = Waiting(**again)
    workshop = await open_workshop(llm=model)
    first = await workshop.build(scripts.BRIEF)
    await refine(workshop, first.project_id, instruction="Count in Latin.")
    await workshop.app.orchestrator.cancel(user_id=workshop.user_id, project_id=first.project_id)
    await left_as_it_was(workshop, first)

    assert (await refined(workshop, first)).state is RunState.DONE
    assert [task.status for task in await workshop.tasks(first.project_id)] == ["done", "done", "dropped", "done"]
    prompts = [request.messages[0].content for request in model.requests if stem_of(request).startswith("implement-T4")]
    assert "Latin" not in prompts[0]
    assert WISH in prompts[0]
    await workshop.audit()


@pytest.mark.slow
async def test_two_at_once_are_one_run_and_a_remark(open_workshop: OpenWorkshop) -> None:
    model = Waiting()
    workshop = await open_workshop(llm=model)
    first = await workshop.build(scripts.BRIEF)
    asked = [refine(workshop, first.project_id), refine(workshop, first.project_id, instruction="Mind the dash.")]
    await asyncio.gather(*asked)
    async with workshop.app.database.transaction() as session:
        runs = select(func.count()).select_from(Run).where(Run.project_id == first.project_id)
        tasks = select(func.count()).select_from(Task).where(Task.project_id == first.project_id)
        assert ((await session.execute(runs)).scalar_one(), (await session.execute(tasks)).scalar_one()) == (2, 3)
    assert (await workshop.run(first.project_id)).state is RunState.DONE
    prompt = next(request.messages[0].content for request in model.requests if stem_of(request) == "implement-T3-1")
    assert WISH in prompt
    assert "Mind the dash." in prompt
    await workshop.audit()


@pytest.mark.slow
async def test_a_project_that_is_stuck_takes_the_instruction_as_a_remark_and_goes_on(
    open_workshop: OpenWorkshop,
) -> None:
    no = scripts.verdict(met=False, feedback="Count words.")
    wrong = {f"implement-T1-{n}.md": scripts.edit(scripts.FIRST_FILES | {"x.py": f"x = {n}\n"}) for n in range(1, 6)}
    verdicts = {f"verify-T1-{n}.md": no for n in range(1, 5)} | {"verify-T1-5.md": scripts.verdict()}
    model = Waiting(**wrong, **verdicts)
    workshop = await open_workshop(llm=model)
    stuck = await workshop.build(scripts.BRIEF)
    assert stuck.status == "awaiting_refinement"
    with pytest.raises(UnknownFile):
        await refine(workshop, stuck.project_id, path="words/counting.py")
    assert (await workshop.status(stuck.project_id)).status == "awaiting_refinement"
    await refine(workshop, stuck.project_id)
    assert (await workshop.status(stuck.project_id)).status == "implementing"
    assert (await workshop.run(stuck.project_id)).state is RunState.DONE
    last = next(request for request in model.requests if stem_of(request) == "implement-T1-5")
    assert f"Refine {FILE}: {WISH}" in last.messages[0].content
    await workshop.audit()


async def test_while_something_else_is_asked_nothing_is_refined(open_workshop: OpenWorkshop) -> None:
    workshop = await open_workshop(scripts.REFINED)
    project_id = await workshop.start(scripts.BRIEF)
    run_id = (await workshop.status(project_id)).run_id
    assert run_id is not None
    assert await workshop.app.runner.run(run_id=run_id) is RunState.WAITING
    with pytest.raises(NothingToDo, match="waits for a go for its plan"):
        await refine(workshop, project_id)
    assert (await workshop.status(project_id)).status == "awaiting_approval"
    await workshop.app.orchestrator.cancel(user_id=workshop.user_id, project_id=project_id)
    with pytest.raises(NotDelivered, match="is cancelled"):
        await refine(workshop, project_id)


@pytest.mark.slow
async def test_what_cannot_be_refined_is_refused_in_words_and_changes_nothing(open_workshop: OpenWorkshop) -> None:
    workshop = await open_workshop(scripts.REFINED)
    first = await workshop.build(scripts.BRIEF)
    refused: list[tuple[dict[str, str], type[Exception], str]] = [
        ({"path": "count.py"}, UnknownFile, "Did you mean words/count.py"),
        ({"path": "words/Count.py"}, UnknownFile, r"Did you mean words/count\.py\?$"),
        ({"path": "words/coumt.py"}, UnknownFile, "Did you mean words/count.py or "),
        ({"path": "a" * 300}, UnsafePath, "longer than 255"),
        ({"path": "zzz"}, UnknownFile, r"no file zzz\.$"),
        ({"path": ""}, UnsafePath, "empty"),
        ({"path": "../outside.py"}, UnsafePath, "'..' part"),
        ({"path": "/etc/passwd"}, UnsafePath, "not relative"),
        ({"path": ".git/config"}, UnsafePath, "git"),
        ({"path": "words/\udcff.py"}, UnsafePath, "Unicode"),
        ({"instruction": " \n\0"}, EmptyInstruction, "Say in a sentence"),
        ({"instruction": "x" * (MAX_INSTRUCTION_CHARACTERS + 1)}, InstructionTooLong, "4,001"),
    ]
    for asked, error, words in refused:
        with pytest.raises(error, match=words):
            await refine(workshop, first.project_id, **asked)
    stranger = await workshop.app.local_user("mallory")
    for project in (first.project_id, uuid.uuid4()):
        with pytest.raises(UnknownProject):
            await workshop.app.orchestrator.refine(
                user_id=stranger, project_id=project, channel="test", path=FILE, instruction=WISH
            )
    assert (await workshop.status(first.project_id)) == first
    await left_as_it_was(workshop, first, dropped=False)


@pytest.mark.slow
async def test_without_credits_nothing_starts_and_the_sentence_says_how_to_add_some(
    open_workshop: OpenWorkshop,
) -> None:
    workshop = await open_workshop(scripts.REFINED)
    first = await workshop.build(scripts.BRIEF)
    available = await workshop.app.available_credits(workshop.user_id)
    async with workshop.app.database.transaction() as session:
        cause = Cause(type=TransactionType.ADJUSTMENT, idempotency_key="spent-elsewhere")
        await adjust(session, user_id=workshop.user_id, credits=Decimal("0.99") - available, cause=cause)
    with pytest.raises(TooFewCredits, match=r"at least 1\.00 credits and 0\.99 are available.*Add credits"):
        await refine(workshop, first.project_id)
    await left_as_it_was(workshop, first, dropped=False)


@pytest.mark.slow
async def test_the_chat_form(open_workshop: OpenWorkshop) -> None:
    workshop = await open_workshop(scripts.REFINED)
    first = await workshop.build(scripts.BRIEF)
    text = f"`Refine file words/count.py in project {first.project_id} with instruction: {WISH}`"
    chat = {"user_id": workshop.user_id, "channel": "test", "text": text}
    assert await workshop.app.orchestrator.handle_message(**chat) == first.project_id  # type: ignore[arg-type]
    assert (await workshop.run(first.project_id)).state is RunState.DONE
    assert (await workshop.tasks(first.project_id))[-1].criteria[0] == f"Done as asked: {WISH}"
