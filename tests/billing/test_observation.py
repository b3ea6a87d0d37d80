"""What becomes of a call that its caller, its provider or its process leaves, and what its observer hears."""

import asyncio
import types
from collections.abc import Coroutine, Generator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs
from tests.billing.scene import Scene, set_scene
from tests.billing.test_metering import REPLY, REQUEST, account, meter

from bottega.billing import ledger
from bottega.db.transaction import Database
from bottega.llm.client import NoProviderKey
from bottega.llm.errors import Interrupted, ProviderError, Stalled
from bottega.llm.types import CallObserver, Completion, CompletionRequest, FinishReason, Usage

SNAPSHOT = Usage(input_tokens=30, output_tokens=20)


@dataclass(kw_only=True)
class Talker:
    """A gateway that tells its observer what it is given to tell, then waits, fails or replies."""

    name: str = "gen-1"
    says: tuple[str, ...] = ("Do", "ne.")
    counts: Usage | None = SNAPSHOT
    cost_usd: Decimal | None = None
    ending: Completion | BaseException | None = REPLY  # None: it never ends
    asked: int = 0
    told: asyncio.Event = field(default_factory=asyncio.Event)

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        assert observer is not None
        del request
        self.asked += 1
        await asyncio.sleep(0)
        observer.identified(self.name)
        for piece in self.says:
            await asyncio.sleep(0)
            observer.received(piece)
        if self.counts is not None:
            observer.counted(self.counts, cost_usd=self.cost_usd)
        self.told.set()
        if self.ending is None:
            await asyncio.Event().wait()
        if isinstance(self.ending, BaseException):
            raise self.ending
        assert isinstance(self.ending, Completion)
        return self.ending


@dataclass(kw_only=True)
class Listener:
    heard: list[object] = field(default_factory=list)

    def identified(self, request_id: str) -> None:
        self.heard.append(request_id)

    def received(self, text: str) -> None:
        self.heard.append(text)

    def counted(self, usage: Usage, *, cost_usd: Decimal | None) -> None:
        self.heard.append((usage, cost_usd))


async def eventually_named(scene: Scene) -> str:
    async with asyncio.timeout(5):
        while not (names := [call.provider_request_id for call in await scene.calls() if call.provider_request_id]):
            pass  # the question itself takes long enough
    return names[0]


async def test_the_name_of_a_call_is_on_record_while_the_call_is_under_way(database: Database) -> None:
    scene = await set_scene(database)
    talker = Talker(ending=None)
    asked = asyncio.create_task(account(scene, talker).complete(REQUEST))
    assert await eventually_named(scene) == "gen-1"
    assert [call.status for call in await scene.calls()] == ["started"]
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked


@pytest.mark.parametrize(
    ("counts", "cost_usd", "source", "usd"),
    [
        (None, None, None, "0"),
        (SNAPSHOT, None, "computed", "0.0002375"),
        (SNAPSHOT, Decimal("0.0003"), "reported", "0.0003"),
    ],
)
async def test_a_cancelled_call_keeps_everything_that_was_known(
    database: Database, counts: Usage | None, cost_usd: Decimal | None, source: str | None, usd: str
) -> None:
    scene = await set_scene(database)
    talker = Talker(counts=counts, cost_usd=cost_usd, ending=None)
    asked = asyncio.create_task(account(scene, talker).complete(REQUEST))
    await talker.told.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    [call] = await scene.calls()
    assert (call.status, call.error_code, call.provider_request_id) == ("orphan", "cancelled", "gen-1")
    assert (call.cost_source, call.actual_cost_usd) == (source, Decimal(usd))
    assert (call.cost_due_at is not None) == (source is None)
    assert await scene.money() == (Decimal(100), Decimal(0))
    assert await scene.faults() == []


@pytest.mark.parametrize(
    ("error", "status", "due"),
    [
        (Interrupted("cut", provider="acme"), "failed", True),
        (Stalled("silent", provider="acme"), "failed", True),
        (NoProviderKey("acme"), "failed", False),
        (KeyError("oops"), "orphan", True),
    ],
)
async def test_a_cost_is_asked_for_only_where_there_may_be_one(
    database: Database, error: Exception, status: str, *, due: bool
) -> None:
    scene = await set_scene(database)

    class Silent:
        async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
            del request, observer
            raise error

    metering = replace(meter(scene, Talker()), llm=Silent(), retry=lambda _error, *, attempt: None if attempt else 0)
    llm = metering.account(user_id=scene.user_id, project_id=None, operation_key="run:1", lease_token=1)
    with pytest.raises(type(error)):
        await llm.complete(REQUEST)
    [call] = await scene.calls()
    assert (call.status, call.cost_due_at is not None, await scene.hold_states()) == (status, due, ["voided"])
    assert await scene.faults() == []


async def test_a_late_name_changes_nothing_of_a_call_that_has_ended(database: Database) -> None:
    scene = await set_scene(database)
    settled, voided = await scene.hold("10"), await scene.hold("10")
    await scene.settle(settled, Usage(output_tokens=20))
    await scene.void(voided)
    async with database.transaction() as session:
        await ledger.identify(session, usage_id=settled.usage_id, request_id="late")
        await ledger.identify(session, usage_id=voided.usage_id, request_id="late")
    assert [call.provider_request_id for call in await scene.calls()] == [None, None]


async def test_a_name_that_cannot_be_written_is_logged_and_harms_nothing(database: Database) -> None:
    scene = await set_scene(database)
    talker = Talker(name="x" * 201)  # longer than the column
    llm = account(scene, talker)
    with capture_logs() as logs:
        assert await llm.complete(REQUEST) == REPLY
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == ["billing.call.unnamed"]
    async with database.transaction() as session:
        assert await llm.settle(session) == Decimal("1.505625")
    assert await scene.faults() == []


async def test_a_worker_that_comes_back_after_it_was_written_off_tells_what_its_call_cost(database: Database) -> None:
    scene = await set_scene(database)
    llm = account(scene, Talker())
    await llm.complete(REQUEST)
    async with database.transaction() as session:
        assert await ledger.orphan_started(session, operation_key="run:1") == 1
    await llm.abandon()
    await llm.abandon(status="failed")
    [call] = await scene.calls()
    assert (call.status, call.cost_source, call.actual_cost_usd) == ("fenced", "computed", Decimal("0.0100375"))
    assert await scene.money() == (Decimal(100), Decimal(0))
    assert await scene.faults() == []


async def test_text_goes_to_an_observer_as_it_arrives(database: Database) -> None:
    scene = await set_scene(database)
    listener = Listener()
    await account(scene, Talker()).complete(REQUEST, observer=listener)
    assert listener.heard == ["gen-1", "Do", "ne.", (SNAPSHOT, None)]


@pytest.mark.parametrize(("says", "listened", "asked"), [(("Do",), True, 1), ((), True, 3), (("Do",), False, 3)])
async def test_a_reply_that_was_heard_in_part_is_not_begun_again(
    database: Database, says: tuple[str, ...], asked: int, *, listened: bool
) -> None:
    scene = await set_scene(database)
    talker = Talker(says=says, ending=Interrupted("cut", provider="acme", usage=SNAPSHOT))
    llm = account(scene, talker)
    with pytest.raises(Interrupted):
        await llm.complete(REQUEST, observer=Listener() if listened else None)
    assert talker.asked == asked
    assert {call.status for call in await scene.calls()} == {"failed"}
    assert await scene.money() == (Decimal(100), Decimal(0))
    assert await scene.faults() == []


@types.coroutine
def cancelled_from(work: Coroutine[Any, Any, None], *, place: int, again: bool) -> Generator[Any, Any, int]:
    """Run `work` in this task, cancel it where it waits for the nth time (and ever after); return how often it did."""
    task, waits = asyncio.current_task(), 0
    assert task is not None
    value: Any = None
    error: BaseException | None = None
    while True:
        try:
            future = work.throw(error) if error is not None else work.send(value)
        except StopIteration:
            return waits
        waits += 1
        if waits == place or (again and waits > place):
            task.cancel()
        value, error = None, None
        try:
            value = yield future
        except BaseException as raised:  # noqa: BLE001 -- handed on to the work
            error = raised


@pytest.mark.parametrize("again", [False, True], ids=["once", "again and again"])
@pytest.mark.parametrize("ending", [REPLY, Interrupted("cut", provider="acme", request_id="gen-1")], ids=["ok", "cut"])
async def test_the_books_are_right_wherever_a_caller_without_a_journal_is_cancelled(
    database: Database, ending: Completion | ProviderError, *, again: bool
) -> None:
    scene = await set_scene(database, credits="1000")
    metering = meter(scene, Talker(ending=ending))
    outcomes: list[str] = []

    async def borrow(place: int, ended: list[bool]) -> None:
        lent = metering.standalone(user_id=scene.user_id, project_id=None, operation_key=f"relay:{place}:{again}")
        async with lent as llm:
            await llm.complete(REQUEST, observer=Listener())
            await asyncio.sleep(0)  # what a caller does with the reply
            ended.append(True)

    for place in range(1, 100):
        ended: list[bool] = []
        task = asyncio.create_task(run_cancelled(borrow(place, ended), place=place, again=again))
        await asyncio.wait({task})
        calls = [call for call in await scene.calls() if call.operation_key == f"relay:{place}:{again}"]
        assert [call.status for call in calls].count("settled") == len(ended), f"cancelled at {place}"
        assert set(await scene.hold_states()) <= {"settled", "voided"}, f"cancelled at {place}"
        assert await scene.faults() == []
        outcomes.append("cancelled" if task.cancelled() else "ended")
        if not task.cancelled() and (task.exception() is not None or task.result() < place):
            break
    assert outcomes.count("cancelled") >= 5
    charged = [call for call in await scene.calls() if call.status == "settled"]
    assert (await scene.money())[0] == 1000 - sum(call.credits_charged for call in charged)


async def run_cancelled(work: Coroutine[Any, Any, None], *, place: int, again: bool) -> int:
    return await cancelled_from(work, place=place, again=again)


async def test_a_reply_given_up_for_want_of_credits_holds_nothing_when_its_caller_is_cancelled(
    database: Database,
) -> None:
    scene = await set_scene(database, credits="3")
    metering = meter(scene, Talker(ending=replace(REPLY, finish=FinishReason.LENGTH)))
    for place in range(1, 30):
        llm = metering.account(user_id=scene.user_id, project_id=None, operation_key=f"a:{place}", lease_token=0)
        task = asyncio.create_task(run_cancelled(_forget(llm.complete(REQUEST)), place=place, again=False))
        await asyncio.wait({task})
        await llm.abandon(status="orphan")
        assert await scene.money() == (Decimal(3), Decimal(0)), f"cancelled at {place}"
        if not task.cancelled():
            break
    assert place > 4
    assert await scene.faults() == []


async def _forget(work: Coroutine[Any, Any, Completion]) -> None:
    await work


async def test_a_hold_knows_what_its_call_is_estimated_to_read(database: Database) -> None:
    scene = await set_scene(database)
    await account(scene, Talker()).complete(REQUEST)
    async with database.transaction() as session:
        estimated = (await session.execute(text("SELECT input_tokens_estimated FROM api_key_usage"))).scalar_one()
    assert estimated == 25 // 4 + 2 * 16
