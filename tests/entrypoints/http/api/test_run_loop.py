"""POST /orchestrate/run-loop, word for word as it is specified, and what it does to the work."""

import asyncio
import contextlib
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text, update

from bottega.billing.audit import audit
from bottega.llm.scripted import ScriptedProvider
from bottega.llm.types import CallObserver, Completion, CompletionRequest
from bottega.orchestration.state import RunState
from bottega.users.tables import User
from tests.entrypoints.http.api.conftest import Installation, Person, installed
from tests.journeys import scripts
from tests.journeys.conftest import scripted

AT = "/orchestrate/run-loop"


@contextlib.asynccontextmanager
async def patrolled(here: Installation) -> AsyncIterator[None]:
    """Let a runner look for work while the block runs."""
    patrol = asyncio.create_task(here.app.runner.patrol(every_seconds=0.05))
    try:
        yield
    finally:
        patrol.cancel()
        await asyncio.gather(patrol, return_exceptions=True)


async def test_called_again_and_again_it_builds_the_project(here: Installation, ada: Person) -> None:
    project_id = str(await ada.begin())
    done: list[str] = []
    async with patrolled(here):
        while not done or (not done[-1].endswith("delivered") and len(done) < 12):
            told = await ada.post(AT, {"project_id": project_id})
            assert (told["status"], told["project_id"]) == ("success", project_id)
            assert set(told) == {"status", "project_id", "result"}
            assert set(told["result"]) == {"task", "message"}
            done.append(f"{told['result']['task']}, {told['result']['message']}")
    assert "T1: Counting, done: committed as" in " ".join(done)
    assert (await ada.get(f"/v1/projects/{project_id}"))["status"] == "completed"
    again = await ada.post(AT, {"project_id": project_id})
    assert again["result"] == {"task": "Delivery", "message": "completed: there is nothing left to do"}


async def test_without_a_runner_it_says_what_is_under_way_in_time(ada: Person) -> None:
    project_id = str(await ada.begin())
    answer = await ada.http.post(AT, json={"project_id": project_id}, headers={"Prefer": "wait=0"})
    assert answer.json()["result"] == {"task": "Reading the brief", "message": "under way: waiting for a runner"}
    assert answer.headers["preference-applied"] == "wait=0"
    answer = await ada.http.post(AT, json={"project_id": project_id}, headers={"Prefer": "respond-async, Wait=0"})
    assert answer.headers["preference-applied"] == "wait=0"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"project_id": None},
        {"project_id": "x"},
        {"project_id": 7},
        {"project_id": ["a"]},
        {"project_id": ""},
        {"project_id": "123e4567-e89b-12d3-a456-42661417400"},
        [],
        "text",
        None,
    ],
)
async def test_a_project_id_that_is_missing_or_none_is_400(ada: Person, body: object) -> None:
    answer = await ada.http.post(AT, json=body)
    assert (answer.status_code, answer.json()["status"]) == (400, 400)


async def test_a_body_that_is_none_is_400(ada: Person) -> None:
    for content in (b"", b"{", b"{'project_id'}", b"\xff\xfe", b"[" * 20_000, b'{"project_id": ' + b"9" * 5000 + b"}"):
        answer = await ada.http.post(AT, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, content[:20]


async def test_a_plan_that_waits_for_a_go_has_it(here: Installation, ada: Person) -> None:
    project_id = str(await here.planned(ada))
    await ada.post(AT, {"project_id": project_id}, headers={"Prefer": "wait=0"})
    assert (await ada.get(f"/v1/projects/{project_id}"))["phase"] == "implement"


async def test_what_is_to_pause_is_not_talked_over(here: Installation, ada: Person) -> None:
    project_id = str(await ada.begin())
    async with here.app.database.transaction() as session:
        await session.execute(text("UPDATE runs SET desired = 'pause'"))
    told = await ada.post(AT, {"project_id": project_id}, status=409)
    assert "about to pause" in told["detail"]


async def test_a_paused_project_goes_on_and_a_cancelled_one_does_not(ada: Person) -> None:
    project_id = str(await ada.begin())
    await ada.post(f"/v1/projects/{project_id}/pause")
    await ada.post(AT, {"project_id": project_id}, headers={"Prefer": "wait=0"})
    assert (await ada.get(f"/v1/projects/{project_id}"))["state"] == "ready"
    await ada.post(f"/v1/projects/{project_id}/cancel")
    assert (await ada.post(AT, {"project_id": project_id}, status=409))["code"] == "nothing_to_do"


async def test_without_credits_it_is_402_now_and_when_they_run_out(here: Installation, ada: Person) -> None:
    project_id = await ada.begin()
    async with here.app.database.transaction() as session:
        await session.execute(update(User).where(User.id == ada.id).values(credit_balance=Decimal("0.01")))
    async with patrolled(here):
        told = await ada.post(AT, {"project_id": str(project_id)}, status=402)
    assert told["code"] == "insufficient_credits"
    told = await ada.post(AT, {"project_id": str(project_id)}, status=402)
    assert "credits" in told["detail"]
    assert (await ada.get(f"/v1/projects/{project_id}"))["status"] == "awaiting_credits"


@dataclass(kw_only=True)
class Watched:
    """The scripted models, and how many calls of a project were under way at once."""

    models: ScriptedProvider = field(default_factory=lambda: scripted(scripts.REFINED))
    under_way: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    most_of_all: int = 0
    asked: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        project = request.session
        self.asked[project, request.purpose, request.subject, request.attempt] += 1
        self.under_way[project] += 1
        self.most[project] = max(self.most[project], self.under_way[project])
        self.most_of_all = max(self.most_of_all, self.under_way.total())
        try:
            await asyncio.sleep(0.03)  # so that a twin would be seen
            return await self.models.complete(request, observer=observer)
        finally:
            self.under_way[project] -= 1


async def test_calls_at_once_never_run_two_steps_at_once(tmp_path: Path, database_url: str) -> None:
    """Twenty calls over two servers with a runner each, for two projects side by side."""
    watched = Watched()
    async with contextlib.AsyncExitStack() as stack:
        both = [
            await stack.enter_async_context(
                installed(home=tmp_path / "home", database_url=database_url, llm=watched, credits=Decimal(1000))
            )
            for _ in range(2)
        ]
        persons = [await here.person("ada") for here in both]
        projects = [str(await persons[0].begin()) for _ in range(2)]
        for here in both:
            await stack.enter_async_context(patrolled(here))
        for _ in range(2):  # the reading of the brief, the plan
            calls = [person.post(AT, {"project_id": one}) for _ in range(5) for person in persons for one in projects]
            assert {told["status"] for told in await asyncio.gather(*calls)} == {"success"}
        async with both[0].app.database.reading() as session:
            steps = (await session.execute(text("SELECT run_id, step_no FROM steps ORDER BY run_id, step_no"))).all()
            faults = await audit(session)
    assert (set(watched.most.values()), len(watched.most)) == ({1}, 2)
    assert watched.most_of_all == 2, "the two projects did not go on side by side: nothing was shown"
    assert set(watched.asked.values()) == {1}, "something was asked twice"
    for run in {step.run_id for step in steps}:
        numbers = [step.step_no for step in steps if step.run_id == run]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= 2
    assert faults == ()


async def test_the_same_key_says_go_once(here: Installation, ada: Person) -> None:
    project_id = str(await here.planned(ada))
    key = {"Idempotency-Key": str(uuid.uuid4()), "Prefer": "wait=0"}
    await ada.post(AT, {"project_id": project_id}, headers=key)
    await ada.post(f"/v1/projects/{project_id}/pause")
    await ada.post(AT, {"project_id": project_id}, headers=key, status=409)
    assert (await ada.get(f"/v1/projects/{project_id}"))["status"] == "paused"
    other = await ada.begin()
    told = await ada.post(AT, {"project_id": str(other)}, headers=key, status=422)
    assert told["code"] == "idempotency_key_reused"


async def test_when_the_server_stops_whoever_waits_is_answered(here: Installation, ada: Person) -> None:
    project_id = str(await ada.begin())
    asked = asyncio.create_task(ada.post(AT, {"project_id": project_id}))
    await asyncio.sleep(0.1)
    here.streams.closing.set()
    assert (await asyncio.wait_for(asked, timeout=2))["result"]["message"].startswith("under way")


async def test_what_breaks_is_500_in_the_words_of_the_specification(here: Installation, ada: Person) -> None:
    project_id = str(await here.planned(ada))
    assert await here.drive(uuid.UUID(project_id), user_id=ada.id) is RunState.WAITING
    async with here.app.database.transaction() as session:
        await session.execute(text("ALTER TABLE runs RENAME COLUMN reason TO renamed"))
    try:
        told = await ada.post(AT, {"project_id": project_id}, status=500)
    finally:
        async with here.app.database.transaction() as session:
            await session.execute(text("ALTER TABLE runs RENAME COLUMN renamed TO reason"))
    assert (told["code"], told["detail"]) == ("run_loop_failed", "Failed to run autonomous loop")
