import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.billing.scene import MODEL, RATES, TERMS, Scene, set_scene

from bottega.agents.prompting import Prompts
from bottega.billing import ledger
from bottega.billing.ledger import InsufficientCredits
from bottega.billing.metering import MeteredLLM, Metering
from bottega.billing.prices import PriceBook, UnpricedModel, set_price
from bottega.billing.pricing import Rates, charge_credits, worst_case_usd
from bottega.billing.receipt import receipt
from bottega.billing.types import CallStatus, Cause, TransactionType
from bottega.db.transaction import Database, transaction_open
from bottega.llm.errors import Overloaded, ProviderError, RateLimited, RequestRejected
from bottega.llm.types import (
    CallObserver,
    Completion,
    CompletionRequest,
    FinishReason,
    Gateway,
    Message,
    ModelName,
    PriceCap,
    Purpose,
    Usage,
)

REQUEST = CompletionRequest(
    model=MODEL,
    system="You are careful.",
    messages=(Message(role="user", content="Write it."),),
    max_output_tokens=4_000,
    purpose=Purpose.IMPLEMENT,
    subject="T1",
)
REPLY = Completion(
    text="Done.", finish=FinishReason.STOP, usage=Usage(input_tokens=30, output_tokens=1_000), model=MODEL
)
Turn = Completion | BaseException | Callable[[], None]


@dataclass(kw_only=True)
class Provider:
    """Plays its turns in order and keeps its own books: what it billed, and the requests it saw."""

    turns: Sequence[Turn] = (REPLY,)
    billed_usd: Decimal = Decimal(0)
    seen: list[CompletionRequest] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        assert not transaction_open()
        del observer  # this provider says nothing before it is done
        turn = self.turns[len(self.seen)]
        self.seen.append(request)
        self.reached.set()
        if callable(turn):
            turn()
            await asyncio.Event().wait()
        if isinstance(turn, ProviderError):
            self.billed_usd += turn.cost_usd or Decimal(0)
        if isinstance(turn, BaseException):
            raise turn
        assert isinstance(turn, Completion)
        usd = turn.usage.input_tokens * RATES.input + turn.usage.output_tokens * RATES.output
        self.billed_usd += turn.cost_usd or usd / 1_000_000
        return turn


@dataclass(kw_only=True)
class StillClock:
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return datetime(2026, 11, 20, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def retry_thrice(error: ProviderError, *, attempt: int) -> float | None:
    return float(attempt) if error.retryable and attempt < 3 else None


def meter(scene: Scene, provider: Gateway, *, clock: StillClock | None = None) -> Metering:
    return Metering(
        database=scene.database,
        llm=provider,
        retry=retry_thrice,
        terms=TERMS,
        clock=clock or StillClock(),
        prices=PriceBook(),
    )


def account(scene: Scene, provider: Gateway, *, lease_token: int = 1) -> MeteredLLM:
    return meter(scene, provider).account(
        user_id=scene.user_id, project_id=scene.project_id, operation_key="run:1", lease_token=lease_token
    )


async def settle(scene: Scene, llm: MeteredLLM) -> Decimal:
    async with scene.database.transaction() as session:
        return await llm.settle(session)


async def test_a_reply_is_owed_until_it_is_settled_in_the_callers_transaction(database: Database) -> None:
    scene = await set_scene(database)
    llm = account(scene, Provider())
    assert await llm.complete(REQUEST) == REPLY
    worst = charge_credits(worst_case_usd(scene.price, REQUEST), terms=TERMS)
    assert await scene.money() == (Decimal(100), worst)
    assert await settle(scene, llm) == Decimal("1.505625")
    assert await settle(scene, llm) == Decimal("1.505625")
    assert await scene.money() == (Decimal("98.494375"), Decimal(0))
    [call] = await scene.calls()
    assert (call.call_key, call.operation_key, call.task_key) == ("run:1:1:1", "run:1", "T1")
    assert await scene.faults() == []


async def test_a_hold_and_a_started_call_are_on_record_before_the_provider_is_asked(database: Database) -> None:
    scene = await set_scene(database)
    provider = Provider(turns=[lambda: None])
    asked = asyncio.create_task(account(scene, provider).complete(REQUEST))
    await provider.reached.wait()
    assert ([call.status for call in await scene.calls()], await scene.hold_states()) == (["started"], ["open"])
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    [call] = await scene.calls()
    assert (call.status, call.error_code, await scene.hold_states()) == ("orphan", "cancelled", ["voided"])
    assert await scene.money() == (Decimal(100), Decimal(0))
    assert await scene.faults() == []


async def test_an_unpriced_model_is_refused_before_anything_is_sent(database: Database) -> None:
    scene = await set_scene(database)
    provider = Provider()
    with pytest.raises(UnpricedModel):
        await account(scene, provider).complete(replace(REQUEST, model=ModelName.parse("acme/unheard-of")))
    assert (provider.seen, await scene.calls()) == ([], [])


async def test_too_few_credits_are_refused_before_anything_is_sent(database: Database) -> None:
    scene = await set_scene(database, credits="1")
    provider = Provider()
    with pytest.raises(InsufficientCredits):
        await account(scene, provider).complete(REQUEST)
    assert (provider.seen, await scene.calls()) == ([], [])


@pytest.mark.parametrize(("credits", "most"), [("6.1", 4_000), ("3", 1_994), ("1.6", 1_061)])
async def test_with_few_credits_a_shorter_reply_is_asked_for(database: Database, credits: str, most: int) -> None:
    scene = await set_scene(database, credits=credits)
    provider = Provider()
    llm = account(scene, provider)
    await llm.complete(REQUEST)
    assert [request.max_output_tokens for request in provider.seen] == [most]
    await settle(scene, llm)
    assert await scene.faults() == []


async def test_a_price_replaced_while_remembered_is_read_again(database: Database) -> None:
    scene = await set_scene(database)
    metering = meter(scene, Provider(turns=[REPLY, REPLY]))
    async with metering.standalone(user_id=scene.user_id, project_id=scene.project_id, operation_key="a") as llm:
        await llm.complete(REQUEST)
    async with database.transaction() as session:
        doubled = await set_price(session, model=MODEL, rates=Rates(input=Decimal("2.5"), output=Decimal(20)))
    async with metering.standalone(user_id=scene.user_id, project_id=scene.project_id, operation_key="b") as llm:
        await llm.complete(REQUEST)
    old, new = await scene.calls()
    assert (new.pricing_id, new.credits_charged) == (doubled.id, 2 * old.credits_charged)
    assert await scene.faults() == []


async def test_failed_attempts_are_tried_again_as_the_policy_says_and_never_charged(database: Database) -> None:
    scene = await set_scene(database)
    billed = Overloaded("cut", provider="acme", usage=Usage(input_tokens=30, output_tokens=2), request_id="r-1")
    clock, provider = StillClock(), Provider(turns=[RateLimited("slow down", provider="acme"), billed, REPLY])
    metering = meter(scene, provider, clock=clock)
    async with metering.standalone(user_id=scene.user_id, project_id=scene.project_id, operation_key="a") as llm:
        await llm.complete(REQUEST)
    limited, cut, answered = await scene.calls()
    assert clock.slept == [1.0, 2.0]
    assert [call.status for call in (limited, cut, answered)] == ["failed", "failed", "settled"]
    assert [limited.error_code, cut.error_code, answered.error_code] == ["rate_limited", "overloaded", None]
    assert (cut.actual_cost_usd, cut.output_tokens_used) == (Decimal("0.0000575"), 2)
    assert (cut.provider_request_id, cut.credits_charged) == ("r-1", Decimal(0))
    assert await scene.money() == (Decimal("98.494375"), Decimal(0))
    assert await scene.faults() == []


async def test_an_error_the_policy_gives_up_on_is_raised(database: Database) -> None:
    scene = await set_scene(database)
    provider = Provider(turns=[RequestRejected("no", provider="acme")])
    with pytest.raises(RequestRejected):
        await account(scene, provider).complete(REQUEST)
    assert (len(provider.seen), await scene.money()) == (1, (Decimal(100), Decimal(0)))


async def test_a_defect_below_leaves_no_hold_open(database: Database) -> None:
    scene = await set_scene(database)
    with pytest.raises(KeyError):
        await account(scene, Provider(turns=[KeyError("oops")])).complete(REQUEST)
    [call] = await scene.calls()
    assert (call.status, call.error_code, await scene.hold_states()) == ("orphan", "defect", ["voided"])


async def test_a_fenced_step_is_not_charged(database: Database) -> None:
    scene = await set_scene(database)
    llm = account(scene, Provider())
    await llm.complete(REQUEST)
    await llm.abandon()
    await llm.abandon()
    [call] = await scene.calls()
    assert (call.status, call.credits_charged, call.actual_cost_usd) == ("fenced", Decimal(0), Decimal("0.0100375"))
    assert await settle(scene, llm) == 0
    assert await scene.money() == (Decimal(100), Decimal(0))
    assert await scene.faults() == []


async def test_a_later_claim_of_the_same_step_has_calls_of_its_own(database: Database) -> None:
    scene = await set_scene(database)
    await account(scene, Provider(), lease_token=1).complete(REQUEST)
    async with database.transaction() as session:
        await ledger.orphan_started(session, operation_key="run:1")
    later = account(scene, Provider(), lease_token=2)
    await later.complete(REQUEST)
    await settle(scene, later)
    assert [(call.call_key, call.status) for call in await scene.calls()] == [
        ("run:1:1:1", "orphan"),
        ("run:1:2:1", "settled"),
    ]
    assert await scene.faults() == []


async def test_work_without_a_journal_that_comes_to_nothing_is_not_charged(database: Database) -> None:
    scene = await set_scene(database)
    metering = meter(scene, Provider())
    lent = metering.standalone(user_id=scene.user_id, project_id=None, operation_key="gather")
    with pytest.raises(TimeoutError):  # noqa: PT012 -- the call itself succeeds
        async with lent as llm:
            await llm.complete(REQUEST)
            raise TimeoutError
    assert [call.status for call in await scene.calls()] == [CallStatus.FAILED]
    assert await scene.money() == (Decimal(100), Decimal(0))


replies = st.builds(
    replace,
    st.just(REPLY),
    usage=st.builds(Usage, input_tokens=st.integers(0, 200), output_tokens=st.integers(1, 4_000)),
    cost_usd=st.none() | st.decimals("0.0000000001", "0.02", places=10),
)
faults = st.builds(
    Overloaded,
    st.just("down"),
    provider=st.just("acme"),
    cost_usd=st.none() | st.decimals("0.0000000001", "0.02", places=10),
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=st.lists(st.tuples(st.lists(faults, max_size=2), replies), min_size=1, max_size=6))
async def test_the_providers_own_books_equal_the_ledgers_to_the_last_decimal(
    database: Database, turns: list[tuple[list[Overloaded], Completion]]
) -> None:
    scene = await set_scene(database, credits="1000")
    before = len(await scene.calls())
    played: list[Turn] = []
    for errors, reply in turns:
        played += [*errors, reply]
    provider = Provider(turns=played)
    for number in range(len(turns)):
        llm = account(scene, provider, lease_token=before + number)
        await llm.complete(REQUEST)
        await settle(scene, llm)
    calls = (await scene.calls())[before:]
    assert sum(call.actual_cost_usd for call in calls) == provider.billed_usd
    async with database.transaction() as session:
        bill = await receipt(session, project_id=scene.project_id)
        assert await scene.faults() == []
    assert bill.credits == -sum(e.credits_amount for e in await scene.entries() if e.project_id == scene.project_id)
    assert sum(line.cost_usd for line in bill.lines) + bill.failed_cost_usd == provider.billed_usd
    assert (bill.calls, bill.failed_calls) == (len(turns), len(provider.turns) - len(turns))


async def test_a_reply_cut_for_want_of_credits_is_not_charged_and_says_what_it_would_take(database: Database) -> None:
    scene = await set_scene(database, credits="3")
    provider = Provider(turns=[replace(REPLY, finish=FinishReason.LENGTH)])
    llm = account(scene, provider)
    with pytest.raises(InsufficientCredits) as short:
        await llm.complete(REQUEST)
    assert short.value.needed == charge_credits(worst_case_usd(scene.price, REQUEST), terms=TERMS)
    assert short.value.available == Decimal(3)
    assert await settle(scene, llm) == Decimal(0)
    assert await scene.money() == (Decimal(3), Decimal(0))
    [call] = await scene.calls()
    assert (call.status, call.credits_charged, call.actual_cost_usd) == ("failed", Decimal(0), provider.billed_usd)
    assert await scene.faults() == []


async def test_without_a_markup_an_account_in_debt_is_told_so(database: Database) -> None:
    scene = await set_scene(database, credits="1")
    async with database.transaction() as session:
        await ledger.claw_back(
            session,
            user_id=scene.user_id,
            credits=Decimal(2),
            cause=Cause(type=TransactionType.REFUND_CLAWBACK, idempotency_key="debt"),
        )
    free = replace(meter(scene, Provider()), terms=replace(TERMS, markup=Decimal(0)))
    llm = free.account(user_id=scene.user_id, project_id=scene.project_id, operation_key="run:1", lease_token=1)
    with pytest.raises(InsufficientCredits):
        await llm.complete(REQUEST)


async def test_a_call_carries_the_dearest_price_its_hold_covers(database: Database) -> None:
    scene = await set_scene(database, credits="3")
    provider = Provider(turns=[Overloaded("down", provider="acme"), REPLY])
    await account(scene, provider).complete(REQUEST)
    cap = PriceCap(input_usd_per_million=RATES.input, output_usd_per_million=RATES.output)
    assert [request.price_cap for request in provider.seen] == [cap, cap]
    assert provider.seen[0].max_output_tokens < REQUEST.max_output_tokens  # the shortened request carries it too


async def test_tokens_written_to_a_cache_are_charged_and_on_record(database: Database) -> None:
    scene = await set_scene(database, rates=replace(RATES, cache_write=Decimal("1.5625")))
    wrote = replace(REPLY, usage=Usage(input_tokens=30, cached_tokens=10, cache_write_tokens=16, output_tokens=1_000))
    llm = account(scene, Provider(turns=[wrote]))
    await llm.complete(REQUEST)
    await settle(scene, llm)
    [call] = await scene.calls()
    assert (call.cache_write_tokens_used, call.actual_cost_usd) == (16, Decimal("0.01003125"))
    assert await scene.faults() == []


async def test_what_was_written_to_a_cache_in_vain_is_on_record_too(database: Database) -> None:
    scene = await set_scene(database)
    cut = Overloaded("cut", provider="acme", usage=Usage(input_tokens=30, cache_write_tokens=16))
    with pytest.raises(Overloaded):
        await account(scene, Provider(turns=[cut, cut, cut])).complete(REQUEST)
    assert {call.cache_write_tokens_used for call in await scene.calls()} == {16}
    assert await scene.faults() == []


@pytest.mark.parametrize(("reported", "told"), [("0.02", False), ("0.2", True), ("0.0001", True)])
async def test_an_implausible_cost_is_billed_as_reported_and_logged(
    database: Database,
    reported: str,
    told: bool,  # noqa: FBT001
) -> None:
    scene = await set_scene(database)
    llm = account(scene, Provider(turns=[replace(REPLY, cost_usd=Decimal(reported))]))
    with capture_logs() as said:
        await llm.complete(REQUEST)
    log = [entry for entry in said if entry["log_level"] == "warning"]
    charged = await settle(scene, llm)
    assert charged == charge_credits(Decimal(reported), terms=TERMS)
    assert [entry["event"] for entry in log] == ["billing.cost.implausible"] * told
    if told:
        costs = (Decimal(log[0]["reported_usd"]), Decimal(log[0]["computed_usd"]))
        assert costs == (Decimal(reported), Decimal("0.0100375"))


@pytest.mark.parametrize("purpose", list(Purpose))
async def test_the_floor_is_a_quarter_of_what_each_purpose_asks_for_and_not_a_token_less(
    database: Database, purpose: Purpose
) -> None:
    asked = replace(REQUEST, purpose=purpose, max_output_tokens={Purpose.PLAN: 12_000}.get(purpose, 6_000))
    quarter = replace(asked, max_output_tokens=asked.max_output_tokens // 4)
    scene = await set_scene(database, credits="0.00000001")
    enough = charge_credits(worst_case_usd(scene.price, quarter), terms=TERMS)
    async with database.transaction() as session:
        short = enough - Decimal("0.00000002")
        cause = Cause(type=TransactionType.ADJUSTMENT, idempotency_key="just too few")
        await ledger.grant(session, user_id=scene.user_id, credits=short, cause=cause)
    provider = Provider(turns=[replace(REPLY, usage=Usage(output_tokens=10))])
    with pytest.raises(InsufficientCredits) as refused:
        await account(scene, provider).complete(asked)
    assert refused.value.needed == charge_credits(worst_case_usd(scene.price, asked), terms=TERMS)
    assert provider.seen == []
    async with database.transaction() as session:
        cause = Cause(type=TransactionType.ADJUSTMENT, idempotency_key="just enough")
        await ledger.grant(session, user_id=scene.user_id, credits=Decimal("0.00000001"), cause=cause)
    llm = account(scene, provider, lease_token=2)
    await llm.complete(asked)
    assert [request.max_output_tokens for request in provider.seen] == [quarter.max_output_tokens]
    await settle(scene, llm)
    assert await scene.faults() == []


@pytest.mark.parametrize("credits", ["3", "4.9", "5.999"])
async def test_a_shortened_request_says_so_within_what_the_credits_allow(database: Database, credits: str) -> None:
    scene = await set_scene(database, credits=credits)
    provider = Provider()
    told = replace(meter(scene, provider), shorten=Prompts().shortened)
    ids = {"user_id": scene.user_id, "project_id": scene.project_id}
    llm = told.account(**ids, operation_key="run:1", lease_token=1)  # type: ignore[arg-type]
    await llm.complete(REQUEST)
    [sent] = provider.seen
    assert f"room for {sent.max_output_tokens} tokens" in sent.system
    assert charge_credits(worst_case_usd(scene.price, sent), terms=TERMS) <= Decimal(credits)
    assert sent.max_output_tokens < REQUEST.max_output_tokens
    await settle(scene, llm)
    assert await scene.faults() == []
