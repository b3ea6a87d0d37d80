"""A build over both providers' real wire formats, through every fault a provider has, exact to the last decimal."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from bottega.agents.architect import PLAN_OUTPUT_TOKENS
from bottega.billing.prices import set_price
from bottega.billing.pricing import Rates
from bottega.billing.tables import ApiKeyUsage, CreditHold
from bottega.bootstrap import PACE, Pace
from bottega.config import ModelSettings
from bottega.llm.client import Patience
from bottega.llm.types import ModelName
from bottega.orchestration import events
from bottega.orchestration.state import RunState, StopCode
from tests.fakes.providers import Ask, FakeProviders, Reply, blocked, failing, out_of_credit, rate_limited, silent
from tests.journeys import scripts
from tests.journeys.conftest import OpenWorkshop, Workshop

ARCHITECT, FIRST_RUNG, SECOND_RUNG = "google/gemini-of-the-test", "openrouter/fake/small", "openrouter/fake/large"
SIGNS = {
    "Which questions": "gather-1.md",
    "Plan this software": "plan-1.md",
    "Reply with the edits for T1": "implement-T1-1.md",
    "Reply with the edits for T2": "implement-T2-1.md",
    "T1: Counting": "verify-T1-1.md",
    "T2: Command line": "verify-T2-1.md",
}


def purpose(ask: Ask) -> str:
    """Tell what is asked, from the first words said, as a model would."""
    request = ask.turns[0][1]
    return next((name for sign, name in SIGNS.items() if sign in request), "readme-1.md")


class Models:
    """Both providers' models: `faults` are given first, then the good reply."""

    def __init__(self, **faults: list[Reply]) -> None:
        self._faults = {name.replace("_", "-") + "-1.md": deque(replies) for name, replies in faults.items()}
        self.asked: Counter[str] = Counter()

    def __call__(self, ask: Ask) -> Reply:
        name = purpose(ask)
        self.asked[name] += 1
        waiting = self._faults.get(name)
        return waiting.popleft() if waiting else Reply(text=scripts.GOOD[name])


@pytest.fixture
async def fake() -> AsyncIterator[FakeProviders]:
    async with FakeProviders() as providers:
        yield providers


async def open_on(
    fake: FakeProviders, open_workshop: OpenWorkshop, *, pace: Pace = PACE, second_key: str = ""
) -> Workshop:
    models = ModelSettings(
        google_api_key="key-of-google",  # type: ignore[arg-type]
        google_api_key_pool=second_key,  # type: ignore[arg-type]
        gemini_base_url=fake.gemini_url,
        openrouter_api_key_pool=second_key,  # type: ignore[arg-type]
        openrouter_api_key="key-of-openrouter",  # type: ignore[arg-type]
        openrouter_base_url=fake.openrouter_url,
        architect_model=ARCHITECT,
        implementer_models=(FIRST_RUNG, SECOND_RUNG),
    )
    workshop = await open_workshop(models=models, pace=pace)
    rates = Rates(input=Decimal("0.50"), cached=Decimal("0.05"), output=Decimal("2.00"))
    async with workshop.app.database.transaction() as session:
        for name in (ARCHITECT, FIRST_RUNG, SECOND_RUNG):
            await set_price(session, model=ModelName.parse(name), rates=rates)
    return workshop


async def assert_ledger_equals(workshop: Workshop, fake: FakeProviders) -> None:
    """Every answered call has a row, and our cost is theirs, to the last decimal."""
    async with workshop.app.database.transaction() as session:
        ours = (await session.execute(select(func.sum(ApiKeyUsage.actual_cost_usd)))).scalar_one()
        open_holds = select(func.count()).where(CreditHold.state == "open")
        assert (await session.execute(open_holds)).scalar_one() == 0
        ids = set((await session.scalars(select(ApiKeyUsage.provider_request_id))).all())
    assert ours == sum((charge.cost_usd for charge in fake.charged), Decimal(0))
    assert {charge.id for charge in fake.charged} <= ids
    await workshop.audit()


async def test_a_build_over_both_wire_formats(fake: FakeProviders, open_workshop: OpenWorkshop) -> None:
    fake.answer = Models()
    workshop = await open_on(fake, open_workshop)
    status = await workshop.build(scripts.BRIEF)
    assert status.state is RunState.DONE
    assert {ask.provider for ask in fake.asks} == {"google", "openrouter"}
    assert len(fake.asks) == 7
    await assert_ledger_equals(workshop, fake)


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(
            {"plan": [rate_limited(retry_after_seconds=0.2)], "implement_T1": [rate_limited(retry_after_seconds=0.2)]},
            id="429",
        ),
        pytest.param({"gather": [failing(503)], "implement_T1": [failing(503)]}, id="503", marks=pytest.mark.slow),
        pytest.param(
            {"plan": [Reply(text=scripts.GOOD["plan-1.md"], cut_after=100)]}, id="cut Gemini", marks=pytest.mark.slow
        ),
        pytest.param(
            {"implement_T2": [Reply(text=scripts.GOOD["implement-T2-1.md"], cut_after=100)]},
            id="cut OpenRouter",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {
                "plan": [Reply(text='{"title": "Word counter", "documentation": ')],
                "verify_T1": [Reply(text="Looks good!")],
            },
            id="malformed JSON",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"plan": [blocked()], "implement_T1": [blocked()], "verify_T2": [blocked()]},
            id="safety",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {
                "implement_T1": [
                    Reply(text="words/count.py\n```python\ndef count(text):\n    return"),
                    Reply(text="Done!"),
                ]
            },
            id="malformed edit",
        ),
        pytest.param(
            {"implement_T1": [Reply(text="words", garbage_after=2)], "verify_T1": [Reply(text="{}", fail_after=1)]},
            id="broken stream",
            marks=pytest.mark.slow,
        ),
    ],
)
async def test_a_build_is_delivered_after(
    fake: FakeProviders, open_workshop: OpenWorkshop, faults: dict[str, list[Reply]]
) -> None:
    models = Models(**{name: list(replies) for name, replies in faults.items()})
    fake.answer = models
    workshop = await open_on(fake, open_workshop)
    status = await workshop.build(scripts.BRIEF)
    assert status.state is RunState.DONE, status
    for name, replies in faults.items():
        assert models.asked[name.replace("_", "-") + "-1.md"] == len(replies) + 1
    await assert_ledger_equals(workshop, fake)


@pytest.mark.slow
async def test_a_provider_that_stays_down_for_the_first_model_is_left_for_the_next(
    fake: FakeProviders, open_workshop: OpenWorkshop
) -> None:
    good = Models()
    fake.answer = lambda ask: failing(503) if ask.model.endswith("small") else good(ask)
    workshop = await open_on(fake, open_workshop)
    status = await workshop.build(scripts.BRIEF)
    assert status.state is RunState.DONE
    await assert_ledger_equals(workshop, fake)


async def test_a_revoked_key_stops_the_run_and_says_so(fake: FakeProviders, open_workshop: OpenWorkshop) -> None:
    fake.answer = lambda _: Reply(status=401, message="No such key")
    workshop = await open_on(fake, open_workshop)
    status = await workshop.build(scripts.BRIEF)
    assert (status.state, status.stop_code) == (RunState.ATTENTION, StopCode.PROVIDER)
    assert "key-of-google" not in (status.reason or "")
    await assert_ledger_equals(workshop, fake)


async def test_a_provider_without_credit_stops_the_run_at_once_and_tells_the_operator(
    fake: FakeProviders, open_workshop: OpenWorkshop
) -> None:
    good = Models()
    fake.answer = lambda ask: out_of_credit() if purpose(ask) == "implement-T1-1.md" else good(ask)
    workshop = await open_on(fake, open_workshop)
    status = await workshop.build(scripts.BRIEF)
    assert (status.state, status.stop_code) == (RunState.ATTENTION, StopCode.PROVIDER)
    assert "the account has no credit left; top it up there" in (status.reason or "")
    assert [purpose(ask) for ask in fake.asks].count("implement-T1-1.md") == 1
    async with workshop.app.database.transaction() as session:
        written = select(ApiKeyUsage.status, ApiKeyUsage.credits_charged).where(ApiKeyUsage.task_type == "implement")
        assert (await session.execute(written)).all() == [("failed", Decimal(0))]
    await assert_ledger_equals(workshop, fake)


@pytest.mark.slow
async def test_a_limit_of_one_key_does_not_hold_up_the_build_while_another_is_ready(
    fake: FakeProviders, open_workshop: OpenWorkshop
) -> None:
    limited = rate_limited(retry_after_seconds=50)
    fake.answer = Models(plan=[limited], implement_T1=[limited])
    workshop = await open_on(fake, open_workshop, second_key="second-key")
    async with asyncio.timeout(40):
        status = await workshop.build(scripts.BRIEF)
    assert status.state is RunState.DONE
    assert {ask.key for ask in fake.asks} == {"key-of-google", "key-of-openrouter", "second-key"}
    await assert_ledger_equals(workshop, fake)


async def test_a_silent_provider_is_given_up_another_is_asked_and_the_person_told(
    fake: FakeProviders, open_workshop: OpenWorkshop
) -> None:
    good = Models()
    fake.answer = lambda ask: Reply(text="words", stall_after=2) if ask.model.endswith("small") else good(ask)
    workshop = await open_on(
        fake, open_workshop, pace=Pace(patience=Patience(first_word_seconds=5, progress_seconds=0.3))
    )
    status = await workshop.build(scripts.BRIEF)
    assert status.state is RunState.DONE
    told = [event for event in workshop.told(events.ProviderTrouble) if isinstance(event, events.ProviderTrouble)]
    assert [event.next_model for event in told] == [SECOND_RUNG, SECOND_RUNG]
    await assert_ledger_equals(workshop, fake)


@pytest.mark.slow
async def test_a_provider_of_either_kind_that_says_not_a_word_is_given_up_and_the_person_told(
    fake: FakeProviders, open_workshop: OpenWorkshop
) -> None:
    fake.answer = Models(gather=[silent()], implement_T1=[silent()])
    workshop = await open_on(fake, open_workshop, pace=Pace(patience=Patience(first_word_seconds=0.5)))
    async with asyncio.timeout(60):
        status = await workshop.build(scripts.BRIEF)
    assert status.state is RunState.DONE
    told = [event for event in workshop.told(events.ProviderTrouble) if isinstance(event, events.ProviderTrouble)]
    assert [(event.message, event.next_model) for event in told] == [
        (f"{ARCHITECT} said nothing for 0.5 s; the call was given up.", None),
        (f"{FIRST_RUNG} said nothing for 0.5 s; the call was given up.", SECOND_RUNG),
    ]
    async with workshop.app.database.transaction() as session:
        waited_ms = select(ApiKeyUsage.response_time_ms).where(ApiKeyUsage.error_code == "stalled")
        waits = (await session.scalars(waited_ms)).all()
    assert [500 <= (wait or 0) < 5000 for wait in waits] == [True, True]
    await assert_ledger_equals(workshop, fake)


@pytest.mark.slow
async def test_a_wait_for_a_provider_is_told_before_it_is_waited(
    fake: FakeProviders, open_workshop: OpenWorkshop
) -> None:
    fake.answer = Models(plan=[rate_limited(retry_after_seconds=0.2)])
    workshop = await open_on(fake, open_workshop)
    await workshop.build(scripts.BRIEF)
    (told,) = workshop.told(events.ProviderTrouble)
    assert isinstance(told, events.ProviderTrouble)
    assert "exhausted" in told.message


@pytest.mark.slow
async def test_after_a_reply_that_was_cut_at_its_limit_the_next_may_be_twice_as_long(
    fake: FakeProviders, open_workshop: OpenWorkshop
) -> None:
    fake.answer = Models(plan=[Reply(text='{"title": "Word', finish="length")])
    workshop = await open_on(fake, open_workshop)
    status = await workshop.build(scripts.BRIEF)
    assert status.state is RunState.DONE
    plans = [ask for ask in fake.asks if purpose(ask) == "plan-1.md"]
    limits = [ask.body["generationConfig"]["maxOutputTokens"] for ask in plans]
    assert limits == [PLAN_OUTPUT_TOKENS, 2 * PLAN_OUTPUT_TOKENS]
    await assert_ledger_equals(workshop, fake)
