"""Alerts to an operator's webhook, over HTTP: what is taken, what is tried again, what is given up."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import func, select
from tests.database import MakeProject, MakeUser
from tests.fakes.http_server import HangUp, HttpRequest, HttpResponse, HttpServer

from bottega.billing.audit import Finding
from bottega.billing.auditor import Auditor
from bottega.core.clock import SystemClock
from bottega.core.ids import new_id
from bottega.db.transaction import Database
from bottega.orchestration import journal, progress
from bottega.orchestration.events import RunStopped
from bottega.orchestration.post import alerts, outbox
from bottega.orchestration.post.alerts import MoneyWatch
from bottega.orchestration.post.outbox import Postman
from bottega.orchestration.post.webhook import AlertWebhook
from bottega.orchestration.state import Phase, RunState, RunView, StopCode
from bottega.orchestration.tables import Outbox, Run
from bottega.projects.tables import Project
from bottega.users.tables import User

STOPPED = RunStopped(stop_code=StopCode.CRASHES, reason="It ended its worker too often.", choices=("resume",))


class Hook:
    """An operator's webhook. `answer` may be changed, and may hang or hang up."""

    def __init__(self) -> None:
        self.asked: list[HttpRequest] = []
        self.answer: Callable[[], HttpResponse] = HttpResponse
        self.hangs = False

    async def handle(self, request: HttpRequest) -> HttpResponse:
        self.asked.append(request)
        if self.hangs:
            await asyncio.Event().wait()
        return self.answer()


@pytest.fixture
async def hook() -> AsyncIterator[tuple[Hook, str]]:
    fake = Hook()
    async with HttpServer(fake.handle) as server:
        yield fake, f"{server.url}/hooks/s3cret-token"


@pytest.fixture
async def run(database: Database, make_user: MakeUser, make_project: MakeProject) -> Run:
    project = await make_project(await make_user())
    run = Run(id=new_id(), project_id=project.id, user_id=project.user_id)
    async with database.transaction() as session:
        session.add(run)
    return run


def postman(database: Database, url: str, *, timeout_seconds: float = 10.0) -> Postman:
    sender = AlertWebhook(url=url, clock=SystemClock(), timeout_seconds=timeout_seconds)
    return Postman(database=database, senders={alerts.TARGET: sender}, clock=SystemClock())


async def stop(database: Database, run: Run, *, state: RunState = RunState.ATTENTION) -> None:
    """Report a stop as a runner does."""
    async with database.transaction() as session:
        project = await session.get_one(Project, run.project_id)
        view = RunView(phase=Phase.GATHER, state=state)
        await progress.report(
            session, project=project, run_id=run.id, view=view, stop_code=StopCode.CRASHES, events=(STOPPED,)
        )


async def row(database: Database) -> Outbox:
    async with database.transaction() as session:
        return (await session.scalars(select(Outbox))).one()


async def test_a_run_that_needs_attention_reaches_the_operator_once(
    database: Database, run: Run, hook: tuple[Hook, str]
) -> None:
    fake, url = hook
    await stop(database, run)
    assert await postman(database, url).deliver_due() == 1
    assert await postman(database, url).deliver_due() == 0
    [request] = fake.asked
    assert (request.method, request.path) == ("POST", "/hooks/s3cret-token")
    assert request.headers["idempotency-key"] == f"attention:{run.id}:0"
    assert (request.headers["content-type"], request.headers["bottega-attempt"]) == ("application/json", "1")
    body = json.loads(request.body)
    assert body.pop("at").startswith("20")
    assert body == {
        "type": "run.attention",
        "text": f"A run of project {run.project_id} needs attention (crashes): {STOPPED.reason}",
        "project_id": str(run.project_id),
        "run_id": str(run.id),
        "stop_code": "crashes",
        "reason": STOPPED.reason,
    }


async def test_every_stop_is_an_alert_of_its_own_and_a_pause_is_none(database: Database, run: Run) -> None:
    await stop(database, run)
    await stop(database, run, state=RunState.PAUSED)
    await stop(database, run)
    async with database.transaction() as session:
        kept = (await session.scalars(select(Outbox.dedupe_key).order_by(Outbox.id))).all()
    assert kept == [f"attention:{run.id}:0", f"attention:{run.id}:2"]


@pytest.mark.parametrize(
    ("answer", "fault", "at_least_seconds"),
    [
        (HttpResponse(status=500), "HTTP 500", 0.5),
        (HttpResponse(status=503, headers={"retry-after": "90"}), "HTTP 503", 89),
        (HttpResponse(status=429, headers={"retry-after": "120"}), "HTTP 429", 119),
        (HttpResponse(status=429, headers={"retry-after": "soon"}), "HTTP 429", 0.5),
        (HttpResponse(status=408), "HTTP 408", 0.5),
    ],
)
async def test_what_may_pass_is_tried_again_when_the_hook_says(
    answer: HttpResponse, fault: str, at_least_seconds: float, database: Database, run: Run, hook: tuple[Hook, str]
) -> None:
    fake, url = hook
    fake.answer = lambda: answer
    await stop(database, run)
    assert await postman(database, url).deliver_due() == 0
    kept = await row(database)
    assert (kept.sent_at, kept.refused_at, kept.last_fault) == (None, None, f"The alert webhook answered with {fault}.")
    async with database.transaction() as session:
        wait = func.extract("epoch", Outbox.wake_at - func.clock_timestamp())
        assert float((await session.execute(select(wait))).scalar_one()) >= at_least_seconds


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (302, "a redirect, which is not followed: set ALERT_WEBHOOK_URL to where it leads."),
        (308, "a redirect, which is not followed: set ALERT_WEBHOOK_URL to where it leads."),
        (404, "check ALERT_WEBHOOK_URL."),
        (401, "check ALERT_WEBHOOK_URL."),
    ],
)
async def test_what_will_not_pass_is_set_aside_with_advice(
    status: int, advice: str, database: Database, run: Run, hook: tuple[Hook, str]
) -> None:
    fake, url = hook
    fake.answer = lambda: HttpResponse(status=status, headers={"location": url})
    await stop(database, run)
    await postman(database, url).deliver_due()
    kept = await row(database)
    assert kept.refusal is not None
    assert kept.refusal.endswith(advice)
    assert len(fake.asked) == 1, "a redirect was followed"


async def test_a_hook_that_hangs_or_hangs_up_or_is_not_there_is_tried_again_and_not_named(
    database: Database, run: Run, hook: tuple[Hook, str]
) -> None:
    fake, url = hook

    def hang_up() -> HttpResponse:
        raise HangUp

    await stop(database, run)
    for change in ({"hangs": True}, {"hangs": False, "answer": hang_up}):
        for name, value in change.items():
            setattr(fake, name, value)
        await _attempt(database, url)
    await _attempt(database, "http://127.0.0.1:1/hooks/s3cret-token")


async def _attempt(database: Database, url: str) -> None:
    async with database.transaction() as session:
        for message in (await session.scalars(select(Outbox))).all():
            message.wake_at = (await session.execute(select(func.now()))).scalar_one()
    assert await postman(database, url, timeout_seconds=0.3).deliver_due() == 0
    kept = await row(database)
    assert kept.last_fault is not None
    assert kept.last_fault.startswith("The alert webhook did not answer (")
    assert "s3cret" not in kept.last_fault


async def test_a_huge_answer_is_not_read(database: Database, run: Run, hook: tuple[Hook, str]) -> None:
    fake, url = hook
    fake.answer = lambda: HttpResponse(status=200, headers={"content-length": str(10**12)})
    await stop(database, run)
    assert await postman(database, url).deliver_due() == 1


async def test_who_is_killed_between_sending_and_noting_it_sends_it_again_under_the_same_key(
    database: Database, run: Run, hook: tuple[Hook, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, url = hook
    await stop(database, run)
    monkeypatch.setattr(outbox, "LEASE_SECONDS", 0.05)

    async def die(*_: object, **__: object) -> None:
        raise asyncio.CancelledError

    dying = postman(database, url)
    monkeypatch.setattr(dying._rows, "done", die)
    with pytest.raises(asyncio.CancelledError):
        await dying.deliver_due()
    await asyncio.sleep(0.06)
    assert await postman(database, url).deliver_due() == 1
    assert [request.headers["bottega-attempt"] for request in fake.asked] == ["1", "2"]
    assert len({request.headers["idempotency-key"] for request in fake.asked}) == 1


async def test_a_truth_of_the_money_that_fails_is_told_once_for_each_way_it_fails(
    database: Database, make_user: MakeUser, hook: tuple[Hook, str]
) -> None:
    fake, url = hook
    user, watch = await make_user(), MoneyWatch(database=database, auditor=Auditor(database=database))
    assert await watch.look() == 0
    async with database.transaction() as session:
        (await session.get_one(User, user.id)).credit_balance += 1
    assert (await watch.look(), await watch.look()) == (1, 1)
    assert await postman(database, url).deliver_due() == 1
    body = json.loads(fake.asked[0].body)
    assert (body["type"], body["count"]) == ("ledger.untrue", 1)
    assert body["findings"][0].startswith(f"M1: account {user.id}, balance:")


async def test_thousands_of_findings_are_one_message_of_twenty(database: Database) -> None:
    found = [Finding(truth="M1", user_id=n, subject="balance", expected="1", actual="2") for n in range(3000)]
    async with database.transaction() as session:
        await alerts.post_findings(session, findings=found)
    kept = await row(database)
    assert (kept.payload["count"], len(kept.payload["findings"])) == (3000, 20)


async def test_a_runner_that_lost_its_lease_alerts_nobody(database: Database, run: Run) -> None:
    async with database.transaction() as session:
        claim = await journal.claim(session, run_id=run.id, owner="first")
    assert claim is not None

    async def stop_too_late() -> None:
        async with database.transaction() as session:
            project = await session.get_one(Project, run.project_id)
            view = RunView(phase=Phase.GATHER, state=RunState.ATTENTION)
            await progress.report(
                session, project=project, run_id=run.id, view=view, stop_code=StopCode.CRASHES, events=(STOPPED,)
            )
            raise journal.LeaseLost

    with pytest.raises(journal.LeaseLost):
        await stop_too_late()
    async with database.transaction() as session:
        assert (await session.execute(select(func.count()).select_from(Outbox))).scalar_one() == 0
