"""Calls of every kind, through every fault, over real HTTP; and the comparison of our books with the provider's.

A call's prompt is its number and its fault: that is how the fake knows what to do to it. The fault comes with the first
attempt; a retry is answered well. `work` is for a process of its own, which is killed while its calls are under way.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import func, select
from tests.billing.scene import TERMS, Scene, set_scene
from tests.fakes.providers import Ask, FakeProviders, Reply, failing, out_of_credit, rate_limited

from bottega.billing.ledger import InsufficientCredits
from bottega.billing.metering import MeteredLLM, Metering
from bottega.billing.prices import PriceBook, set_price
from bottega.billing.pricing import Rates, charge_credits
from bottega.billing.reconcile import Findings, Persistence, Reconciler
from bottega.billing.tables import ApiKeyUsage
from bottega.core.clock import SystemClock
from bottega.db.transaction import Database
from bottega.keys.manager import APIKeyManager, Rest
from bottega.llm.client import LLMClient, Patience
from bottega.llm.errors import Interrupted, PaymentRequired
from bottega.llm.gemini import Gemini
from bottega.llm.openrouter import OpenAIChat
from bottega.llm.retry import RetryPolicy
from bottega.llm.types import CallObserver, Completion, CompletionRequest, Gateway, Message, ModelName, Purpose, Usage

MODELS = {"google": ModelName.parse("google/fake"), "openrouter": ModelName.parse("openrouter/fake")}
RATES = Rates(input=Decimal("0.50"), cached=Decimal("0.05"), output=Decimal("2.00"))  # the fake's own
QUICK = Patience(bill_polls_seconds=(0.0, 0.02, 0.1))
IMPATIENT = Persistence(first_pause_seconds=0.05, longest_pause_seconds=0.3, unheard_of_seconds=1.0)
AT_ONCE = 16


class Fault(StrEnum):
    OK = "ok"
    CANCELLED = "cancelled"
    CUT = "cut"
    RATE_LIMITED = "429"
    NO_CREDIT = "402"
    OVERLOADED = "503"
    KILLED = "killed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One call: `is_streamed` to an outside observer, `is_standalone` or on a step's account."""

    number: int
    provider: str
    fault: Fault
    is_streamed: bool
    is_standalone: bool

    @property
    def prompt(self) -> str:
        return f"{self.number}:{self.fault}"


def cases(count: int) -> Iterator[Case]:
    """Yield every combination in turn, as often as it takes."""
    faults = [fault for fault in Fault if fault is not Fault.KILLED]
    for number in range(count):
        turn, fault = divmod(number, len(faults))
        yield Case(
            number=number,
            provider="openrouter" if turn & 1 else "google",
            fault=faults[fault],
            is_streamed=bool(turn & 2),
            is_standalone=bool(turn & 4),
        )


class Faults:
    """Answers for the fake: each prompt's fault once, then a good reply. No two texts in a row are equally long."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()

    def __call__(self, ask: Ask) -> Reply:
        number, _, fault = ask.prompt.partition(":")
        text = "w" * (101 + 37 * int(number) % 701)
        self._asked[ask.prompt] += 1
        if self._asked[ask.prompt] > 1:
            return Reply(text=text)
        match Fault(fault):
            case Fault.CUT:
                return Reply(text=text, piece_characters=40, cut_after=len(text) // 2)
            case Fault.CANCELLED | Fault.KILLED:
                pause = 0.004 if ask.provider == "openrouter" else 0.0
                return Reply(text=text, piece_characters=60, pause_seconds=pause, stall_after=len(text) - 1)
            case Fault.RATE_LIMITED:
                return rate_limited(retry_after_seconds=0.01)
            case Fault.NO_CREDIT:
                return out_of_credit()
            case Fault.OVERLOADED:
                return failing(503)
            case _:
                return Reply(text=text, cached_tokens=int(number) % 2)


@dataclass(kw_only=True)
class Listener:
    """Whoever a reply is streamed to."""

    pieces: list[str] = field(default_factory=list)

    def identified(self, request_id: str) -> None:
        assert request_id

    def received(self, text: str) -> None:
        self.pieces.append(text)

    def counted(self, usage: Usage, *, cost_usd: Decimal | None) -> None:
        assert usage.input_tokens
        del cost_usd


@dataclass(kw_only=True)
class Bell:
    """Listens in on one call and rings when it may be cancelled without anything being known to nobody.

    OpenRouter can be asked as soon as it has named the call. Gemini says what it counted only in the stream: the bell
    rings when everything that is sent has come.
    """

    inner: CallObserver
    provider: str
    pieces_wanted: int
    tokens_wanted: int
    rung: asyncio.Event = field(default_factory=asyncio.Event)

    def identified(self, request_id: str) -> None:
        self.inner.identified(request_id)
        if self.provider == "openrouter" and not self.pieces_wanted:
            self.rung.set()

    def received(self, text: str) -> None:
        self.inner.received(text)
        self.pieces_wanted -= 1
        if self.provider == "openrouter" and self.pieces_wanted <= 0:
            self.rung.set()

    def counted(self, usage: Usage, *, cost_usd: Decimal | None) -> None:
        self.inner.counted(usage, cost_usd=cost_usd)
        if usage.output_tokens >= self.tokens_wanted:
            self.rung.set()


@dataclass(kw_only=True)
class Belfry:
    """The real gateway, with a bell on the calls that are to be cancelled."""

    inner: Gateway
    bells: dict[str, asyncio.Event] = field(default_factory=dict)

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        prompt = request.messages[0].content
        rung = self.bells.get(prompt)
        if rung is not None and observer is not None:
            number = int(prompt.partition(":")[0])
            tokens = -(-(100 + 37 * number % 701) // 4)
            observer = Bell(
                inner=observer,
                provider=request.model.provider,
                pieces_wanted=number % 3,
                tokens_wanted=tokens,
                rung=rung,
            )
        return await self.inner.complete(request, observer=observer)


@asynccontextmanager
async def real_gateway(*, gemini_url: str, openrouter_url: str) -> AsyncIterator[LLMClient]:
    pools = {provider: [f"{provider}-key-{number}" for number in range(3)] for provider in MODELS}
    keys = APIKeyManager(pools=pools, fingerprint_key=b"pepper", rest=Rest(no_credit=0.0))
    dialects = [Gemini(base_url=gemini_url), OpenAIChat(base_url=openrouter_url, openrouter_extras=True)]
    client = LLMClient(dialects=dialects, keys=keys, patience=QUICK)
    try:
        yield client
    finally:
        await client.close()


def metering(database: Database, llm: Gateway, *, hold_ttl_seconds: float = 1800.0) -> Metering:
    policy = RetryPolicy(base_seconds=0.01)
    random = secrets.SystemRandom().random
    return Metering(
        database=database,
        llm=llm,
        retry=lambda error, *, attempt: policy.next_delay(error, attempt=attempt, random=random),
        terms=TERMS,
        clock=SystemClock(),
        prices=PriceBook(),
        hold_ttl_seconds=hold_ttl_seconds,
    )


async def priced_scene(database: Database, *, credits: str = "1000000", rates: Rates = RATES) -> Scene:
    scene = await set_scene(database, credits=credits)
    async with database.transaction() as session:
        for model in MODELS.values():
            await set_price(session, model=model, rates=rates)
    return scene


def request_of(case: Case, *, max_output_tokens: int = 400) -> CompletionRequest:
    return CompletionRequest(
        model=MODELS[case.provider],
        system="You are terse.",
        messages=(Message(role="user", content=case.prompt),),
        max_output_tokens=max_output_tokens,
        purpose=Purpose.IMPLEMENT,
        subject=f"T{case.number % 7}",
    )


# -- calls of this process ---------------------------------------------------------------------------


async def play(scene: Scene, client: LLMClient, given: Sequence[Case]) -> set[int]:
    """Make every call, some at once, and return the numbers of those that were answered."""
    belfry = Belfry(inner=client)
    meter = metering(scene.database, belfry)
    waiting, answered = iter(given), set[int]()

    async def player() -> None:
        for case in waiting:
            if await _ended_well(case, scene, meter, belfry):
                answered.add(case.number)

    async with asyncio.TaskGroup() as players:
        for _ in range(AT_ONCE):
            players.create_task(player())
    return answered


async def _ended_well(case: Case, scene: Scene, meter: Metering, belfry: Belfry) -> bool:
    call = asyncio.create_task(_lend(case, scene, meter) if case.is_standalone else _on_account(case, scene, meter))
    if case.fault is Fault.CANCELLED:
        rung = belfry.bells[case.prompt] = asyncio.Event()
        await rung.wait()
        call.cancel()
    with suppress(asyncio.CancelledError, PaymentRequired, Interrupted):
        await call
        return True
    return False


async def _lend(case: Case, scene: Scene, meter: Metering) -> None:
    async with meter.standalone(
        user_id=scene.user_id, project_id=scene.project_id, operation_key=f"lent:{case.number}"
    ) as llm:
        await _complete(case, llm)


async def _on_account(case: Case, scene: Scene, meter: Metering) -> None:
    llm = meter.account(
        user_id=scene.user_id, project_id=scene.project_id, operation_key=f"step:{case.number}", lease_token=1
    )
    await _complete(case, llm)
    async with scene.database.transaction() as session:
        await llm.settle(session)


async def _complete(case: Case, llm: MeteredLLM) -> None:
    listener = Listener() if case.is_streamed else None
    reply = await llm.complete(request_of(case), observer=listener)
    assert listener is None or "".join(listener.pieces) == reply.text


# -- calls of a process that is killed ---------------------------------------------------------------


def work(
    *, database_url: str, gemini_url: str, openrouter_url: str, user_id: int, provider: str, numbers: Sequence[int]
) -> None:
    """Have many calls under way, none of which ever ends."""
    urls = {"gemini_url": gemini_url, "openrouter_url": openrouter_url}
    asyncio.run(_work(database_url, urls=urls, user_id=user_id, provider=provider, numbers=numbers))


async def _work(
    database_url: str, *, urls: dict[str, str], user_id: int, provider: str, numbers: Sequence[int]
) -> None:
    database = Database(url=database_url)
    async with real_gateway(**urls) as client:
        meter = metering(database, client, hold_ttl_seconds=0.5)
        await asyncio.gather(*(_hang(number, provider, user_id, meter) for number in numbers))


async def _hang(number: int, provider: str, user_id: int, meter: Metering) -> None:
    case = Case(number=number, provider=provider, fault=Fault.KILLED, is_streamed=False, is_standalone=True)
    async with meter.standalone(user_id=user_id, project_id=None, operation_key=f"killed:{number}") as llm:
        await llm.complete(request_of(case))


async def named_and_under_way(database: Database) -> int:
    statement = select(func.count()).where(
        ApiKeyUsage.status == "started", ApiKeyUsage.provider_request_id.is_not(None)
    )
    async with database.transaction() as session:
        return (await session.execute(statement)).scalar_one()


# -- books -------------------------------------------------------------------------------------------


async def reconcile(database: Database, client: LLMClient) -> Findings:
    """Ask until every question has an answer; return all that was found."""
    total = Findings()
    reconciler = Reconciler(database=database, bills=client, persistence=IMPATIENT)
    while True:
        found = await reconciler.run()
        for name in ("swept", "reconciled", "reconciled_usd", "estimated", "estimated_usd", "unknown"):
            setattr(total, name, getattr(total, name) + getattr(found, name))
        async with database.transaction() as session:
            due = select(func.count()).where(ApiKeyUsage.cost_due_at.is_not(None))
            if (await session.execute(due)).scalar_one() == 0:
                return total
        await asyncio.sleep(0.05)


async def compare(scene: Scene, fake: FakeProviders) -> tuple[list[ApiKeyUsage], set[str]]:
    """Assert that our books are the provider's; return our rows, and the ids of charges that no row names.

    Row by row: each id once, at exactly what the provider billed for it, which is nothing for an id it never billed;
    nothing without an id, unless it says that it is an estimate. Then people: each settled row is charged for its cost.
    """
    rows, billed = await scene.calls(), {charge.id: charge.cost_usd for charge in fake.charged}
    named = Counter(row.provider_request_id for row in rows if row.provider_request_id)
    assert len(billed) == len(fake.charged)
    assert set(named.values()) <= {1}
    for row in rows:
        if row.cost_source != "estimated":
            assert row.actual_cost_usd == billed.get(row.provider_request_id or "", Decimal(0)), row.call_key
        cost = row.actual_cost_usd if row.status == "settled" else Decimal(0)
        assert row.credits_charged == charge_credits(cost, terms=TERMS), row.call_key
    balance, held = await scene.money()
    assert (balance, held) == (1_000_000 - sum(row.credits_charged for row in rows), Decimal(0))
    assert set(await scene.hold_states()) <= {"settled", "voided", "expired"}
    assert await scene.faults() == []
    return rows, billed.keys() - named.keys()


async def affordable(scene: Scene, client: LLMClient, *, count: int, max_output_tokens: int) -> int:
    """Make calls all at once and return how many there were credits for."""
    meter = metering(scene.database, client)

    async def one(number: int) -> bool:
        case = Case(number=number, provider="openrouter", fault=Fault.OK, is_streamed=False, is_standalone=True)
        lent = meter.standalone(user_id=scene.user_id, project_id=None, operation_key=f"poor:{number}")
        try:
            async with lent as llm:
                await llm.complete(request_of(case, max_output_tokens=max_output_tokens))
        except InsufficientCredits:
            return False
        return True

    return sum(await asyncio.gather(*(one(number) for number in range(count))))
