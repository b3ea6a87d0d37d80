"""What lost calls cost: asked of a provider over real HTTP, and of one that never tells."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from tests.billing.scene import MODEL, RATES, Scene, set_scene
from tests.fakes.providers import FakeProviders, Reply
from tests.llm.requests import OPENROUTER, a_request, gateway

from bottega.billing import ledger
from bottega.billing.prices import set_price
from bottega.billing.pricing import Price, Rates, Tier, cost_usd, estimated_usage, worst_case_usd
from bottega.billing.reconcile import Bills, Findings, NoBills, Persistence, Reconciler
from bottega.billing.tables import ApiKeyUsage
from bottega.billing.types import CallStatus, Cost, CostSource, Outcome
from bottega.db.transaction import Database, transaction_open
from bottega.llm.client import LLMClient, UnknownProvider
from bottega.llm.dialect import Bill
from bottega.llm.errors import Overloaded
from bottega.llm.types import CompletionRequest, Message, ModelName, Purpose, Usage
from bottega.telemetry import metrics

USAGE = Usage(input_tokens=30, cached_tokens=10, output_tokens=20, reasoning_tokens=5)
BILL = Bill(cost_usd=Decimal("0.00012345678901"), usage=USAGE)


@dataclass(kw_only=True)
class Books:
    """A provider's books, and how often each call was asked for."""

    bills: dict[str, Bill] = field(default_factory=lambda: {"gen-1": BILL})
    tells: bool = True
    closed: Exception | None = None
    asked: list[str] = field(default_factory=list)

    def tells_bills(self, *, provider: str, request_id: str) -> bool:
        del provider, request_id
        if isinstance(self.closed, UnknownProvider):
            raise self.closed
        return self.tells

    async def bill(self, *, provider: str, request_id: str, own_keys_of: int | None = None) -> Bill | None:
        assert (provider, own_keys_of) == (MODEL.provider, None)
        assert not transaction_open()
        self.asked.append(request_id)
        await asyncio.sleep(0.002)
        if self.closed is not None:
            raise self.closed
        return self.bills.get(request_id)


async def lose(scene: Scene, *names: str | None, input_tokens: int = 40) -> None:
    """Start calls that nobody ends: named by the provider, or not yet; their holds expire at once."""
    for name in names:
        held = await scene.hold("10", ttl_seconds=0, call=scene.call(input_tokens_estimated=input_tokens))
        if name is not None:
            async with scene.database.transaction() as session:
                await ledger.identify(session, usage_id=held.usage_id, request_id=name)


def reconciler(scene: Scene, bills: Bills, **persistence: float) -> Reconciler:
    return Reconciler(database=scene.database, bills=bills, persistence=Persistence(**persistence))


async def age(scene: Scene, *, hours: float) -> None:
    """Let time pass for every call."""
    passed = (
        "UPDATE api_key_usage SET created_at = created_at - make_interval(secs => :s),"
        " cost_due_at = cost_due_at - make_interval(secs => :s)"
    )
    async with scene.database.transaction() as session:
        await session.execute(text(passed), {"s": hours * 3600})
        await session.execute(
            text("UPDATE credit_holds SET created_at = created_at - make_interval(secs => :s)"), {"s": hours * 3600}
        )


async def only_call(scene: Scene) -> ApiKeyUsage:
    [call] = await scene.calls()
    return call


async def test_a_killed_calls_cost_is_asked_for_and_charged_to_nobody(database: Database) -> None:
    scene = await set_scene(database)
    await lose(scene, "gen-1")
    books = Books()
    orphans, usd = metrics.value("bottega_orphan_calls_total"), metrics.value("bottega_orphan_cost_usd_total")
    found = await reconciler(scene, books).run()
    assert metrics.value("bottega_orphan_calls_total") - orphans == 1
    assert metrics.value("bottega_orphan_cost_usd_total") - usd == pytest.approx(0.0001234568)
    assert found == Findings(swept=1, reconciled=1, reconciled_usd=Decimal("0.0001234568"))
    call = await only_call(scene)
    assert (call.status, call.cost_source, call.actual_cost_usd) == ("orphan", "reconciled", Decimal("0.0001234568"))
    tokens = (call.input_tokens_used, call.cached_tokens_used, call.output_tokens_used, call.reasoning_tokens_used)
    assert tokens == (30, 10, 20, 5)
    assert (call.credits_charged, call.credits_unbilled) == (Decimal(0), Decimal(0))
    assert call.cost_due_at is None
    assert await scene.money() == (Decimal(100), Decimal(0))
    assert await reconciler(scene, books).run() == Findings()
    assert books.asked == ["gen-1"]
    assert await scene.faults() == []


async def test_a_call_under_way_is_not_asked_for(database: Database) -> None:
    scene = await set_scene(database)
    held = await scene.hold("10")
    async with database.transaction() as session:
        await ledger.identify(session, usage_id=held.usage_id, request_id="gen-1")
    books = Books()
    assert await reconciler(scene, books).run() == Findings()
    assert books.asked == []


@pytest.mark.parametrize("status", [CallStatus.FAILED, CallStatus.FENCED, CallStatus.ORPHAN])
async def test_every_uncharged_end_with_a_name_and_no_cost_is_asked_for(database: Database, status: CallStatus) -> None:
    scene = await set_scene(database)
    held, known, nameless = await scene.hold("10"), await scene.hold("10"), await scene.hold("10")
    cost = Cost(usage=USAGE, exact_usd=Decimal("0.5"), source=CostSource.REPORTED)
    async with database.transaction() as session:
        await ledger.void(session, usage_id=held.usage_id, status=status, outcome=Outcome(request_id="gen-1"))
        await ledger.void(
            session, usage_id=known.usage_id, status=status, outcome=Outcome(request_id="gen-2", cost=cost)
        )
        await ledger.void(session, usage_id=nameless.usage_id, status=status, outcome=Outcome())
    books = Books()
    assert (await reconciler(scene, books).run()).reconciled == 1
    assert books.asked == ["gen-1"]
    assert await scene.faults() == []


async def test_what_a_provider_does_not_know_yet_is_asked_again_with_longer_pauses(database: Database) -> None:
    scene = await set_scene(database)
    await lose(scene, "gen-2")
    books = Books()
    pauses = []
    for _ in range(8):
        assert (await reconciler(scene, books).run()).waiting == 1
        assert await reconciler(scene, books).run() == Findings()
        async with database.transaction() as session:
            due = text("SELECT extract(epoch FROM cost_due_at - now()) FROM api_key_usage")
            pauses.append(round(float((await session.execute(due)).scalar_one())))
            await session.execute(text("UPDATE api_key_usage SET cost_due_at = now()"))
    assert pauses == pytest.approx([60, 240, 960, 3840, 15360, 21600, 21600, 21600], abs=5)
    assert len(books.asked) == 8
    books.bills["gen-2"] = BILL
    assert (await reconciler(scene, books).run()).reconciled == 1


@pytest.mark.parametrize(("hours", "unknown"), [(23.5, 0), (24.5, 1)])
async def test_what_a_provider_has_not_known_for_a_day_is_unknown_for_good(
    database: Database, hours: float, unknown: int
) -> None:
    scene = await set_scene(database)
    await lose(scene, "gen-2")
    await scene.sweep()
    await age(scene, hours=hours)
    books = Books()
    assert (await reconciler(scene, books).run()).unknown == unknown
    call = await only_call(scene)
    assert (call.cost_source, call.provider_request_id) == ("unknown" if unknown else None, "gen-2")
    await age(scene, hours=1)
    assert (await reconciler(scene, books).run()).unknown == 1 - unknown
    assert await scene.faults() == []


@pytest.mark.parametrize("closed", [Overloaded("down", provider="acme"), UnknownProvider("acme", known=[])])
async def test_a_provider_that_cannot_be_asked_is_asked_once_a_round_and_not_given_up_for_a_week(
    database: Database, closed: Exception
) -> None:
    scene = await set_scene(database)
    await lose(scene, *(f"gen-{n}" for n in range(9)), None)
    books = Books(closed=closed)
    rounds = []
    for hours in (0, 48, 24 * 6):
        await scene.sweep()
        await age(scene, hours=hours)
        found = await reconciler(scene, books).run()
        rounds.append((found.waiting, found.unknown))
    assert (rounds, len(books.asked) <= 8 * 3) == ([(10, 0), (10, 0), (0, 10)], True)
    assert await scene.faults() == []


async def test_a_call_its_provider_never_named_is_unknown(database: Database) -> None:
    scene = await set_scene(database)
    await lose(scene, None)
    books = Books()
    assert await reconciler(scene, books).run() == Findings(swept=1, unknown=1)
    assert books.asked == []
    assert (await only_call(scene)).cost_source == "unknown"
    assert await scene.faults() == []


@pytest.mark.parametrize("name", ["gen-1", None])
async def test_where_nobody_tells_the_loss_is_the_price_of_the_input(database: Database, name: str | None) -> None:
    scene = await set_scene(database)
    await lose(scene, name, input_tokens=40)
    found = await reconciler(scene, NoBills()).run()
    assert found == Findings(swept=1, estimated=1, estimated_usd=Decimal("0.00005"))
    call = await only_call(scene)
    assert (call.cost_source, call.input_tokens_used, call.actual_cost_usd) == ("estimated", 40, Decimal("0.00005"))
    assert await scene.faults() == []


rates = st.decimals("0", "100", places=4)


@given(
    characters=st.integers(0, 2_000),
    base=st.builds(Rates, input=rates, output=rates, cached=st.none() | rates),
    tier=st.builds(Rates, input=rates, output=rates),
    above=st.integers(0, 300),
)
def test_an_estimated_loss_is_never_more_than_was_held(characters: int, base: Rates, tier: Rates, above: int) -> None:
    price = Price(id=1, base=base, tiers=(Tier(above_tokens=above, rates=tier),), per_request=Decimal("0.01"))
    request = CompletionRequest(
        model=MODEL,
        system="",
        messages=(Message(role="user", content="ä" * characters),),
        max_output_tokens=1,
        purpose=Purpose.PLAN,
    )
    usage = Usage(input_tokens=estimated_usage(request, text="").input_tokens)
    assert cost_usd(price, usage) <= worst_case_usd(price, request)


@pytest.mark.parametrize(
    ("bill", "source", "usd"),
    [
        (Bill(cost_usd=Decimal(0), usage=Usage(input_tokens=30)), "reconciled", "0"),
        (Bill(cost_usd=Decimal(0), usage=Usage(input_tokens=30, output_tokens=20)), "computed", "0.0002375"),
    ],
)
async def test_a_bill_of_nothing_is_believed_for_a_reply_of_nothing_only(
    database: Database, bill: Bill, source: str, usd: str
) -> None:
    scene = await set_scene(database)
    await lose(scene, "gen-1")
    await reconciler(scene, Books(bills={"gen-1": bill})).run()
    call = await only_call(scene)
    assert (call.cost_source, call.actual_cost_usd) == (source, Decimal(usd))
    assert await scene.faults() == []


async def test_two_reconcilers_never_ask_for_the_same_call(database: Database) -> None:
    scene = await set_scene(database, credits="1000")
    names = [f"gen-{n}" for n in range(60)]
    await lose(scene, *names)
    books = Books(bills=dict.fromkeys(names, BILL))
    found = await asyncio.gather(*(reconciler(scene, books).run() for _ in range(4)))
    assert sorted(books.asked) == sorted(names)
    assert sum(one.reconciled for one in found) == 60
    assert await scene.faults() == []


async def test_a_round_ends_only_when_nothing_is_left(database: Database) -> None:
    scene = await set_scene(database)
    names = [f"gen-{n}" for n in range(7)]
    await lose(scene, *names)
    few_at_once = Reconciler(database=database, bills=Books(bills=dict.fromkeys(names, BILL)), batch=2)
    found = await few_at_once.run()
    assert (found.swept, found.reconciled) == (7, 7)


async def test_a_reconciler_that_dies_asking_leaves_the_question_for_later(database: Database) -> None:
    scene = await set_scene(database)
    await lose(scene, "gen-1")
    with pytest.raises(KeyError):
        await reconciler(scene, Books(closed=KeyError("died")), first_pause_seconds=0.0).run()
    assert (await reconciler(scene, Books(), first_pause_seconds=0.0).run()).reconciled == 1
    assert await scene.faults() == []


async def test_a_reply_that_comes_after_all_outweighs_what_was_asked_or_estimated(database: Database) -> None:
    scene = await set_scene(database)
    held = await scene.hold("10", ttl_seconds=0, call=scene.call(input_tokens_estimated=40))
    await reconciler(scene, NoBills()).run()
    assert (await scene.settle(held, USAGE)).charged > 0
    call = await only_call(scene)
    assert (call.status, call.cost_source, call.cost_due_at) == ("settled", "computed", None)
    assert call.actual_cost_usd == (20 * RATES.input + 10 * Decimal("0.125") + 20 * RATES.output) / 1_000_000
    assert await scene.faults() == []


async def test_an_answer_that_comes_after_the_reply_changes_nothing(database: Database) -> None:
    scene = await set_scene(database)
    held = await scene.hold("10", ttl_seconds=0)
    async with database.transaction() as session:
        await ledger.identify(session, usage_id=held.usage_id, request_id="gen-1")

    class Slow(Books):
        async def bill(self, *, provider: str, request_id: str, own_keys_of: int | None = None) -> Bill | None:
            await scene.settle(held, USAGE)
            return await super().bill(provider=provider, request_id=request_id, own_keys_of=own_keys_of)

    assert await reconciler(scene, Slow()).run() == Findings(swept=1)
    assert (await only_call(scene)).status == "settled"
    assert await scene.faults() == []


@pytest.fixture
async def fake() -> AsyncIterator[FakeProviders]:
    async with FakeProviders() as fake:
        yield fake


@pytest.fixture
async def client(fake: FakeProviders) -> AsyncIterator[LLMClient]:
    async with gateway(fake) as client:
        yield client


async def test_over_real_http_the_loss_is_what_the_provider_billed(
    database: Database, fake: FakeProviders, client: LLMClient
) -> None:
    scene = await set_scene(database)
    async with database.transaction() as session:
        scene.price = await set_price(session, model=ModelName.parse(OPENROUTER), rates=RATES)
    fake.enqueue(Reply(text="x" * 4321, cached_tokens=1))
    await client.complete(a_request(OPENROUTER))
    await lose(scene, fake.charged[0].id, "gen-never")
    found = await reconciler(scene, client).run()
    assert (found.reconciled_usd, found.waiting) == (fake.charged[0].cost_usd, 1)
    assert await scene.faults() == []
