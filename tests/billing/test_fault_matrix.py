"""Our ledger equals the provider's own record, to the last decimal, whatever becomes of the calls.

Real HTTP, real PostgreSQL, the real gateway, keys and retries; only the providers are fakes, and they keep books.
The small matrix is in the suite, ten thousand calls behind `make test-matrix`.
"""

import asyncio
import multiprocessing
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal

import pytest
from tests.billing import matrix
from tests.billing.matrix import Fault, cases, compare, play, reconcile
from tests.billing.scene import TERMS, Scene
from tests.fakes.providers import FakeProviders, Reply

from bottega.billing.pricing import Rates, charge_credits
from bottega.db.transaction import Database
from bottega.llm.client import LLMClient

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([matrix.__name__])


@pytest.fixture
async def fake() -> AsyncIterator[FakeProviders]:
    async with FakeProviders() as fake:
        fake.answer = matrix.Faults()
        yield fake


@pytest.fixture
async def client(fake: FakeProviders) -> AsyncIterator[LLMClient]:
    async with matrix.real_gateway(gemini_url=fake.gemini_url, openrouter_url=fake.openrouter_url) as client:
        yield client


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    database = Database(url=database_url, pool_size=16)
    yield await matrix.priced_scene(database)
    await database.close()


async def die(
    scene: Scene,
    fake: FakeProviders,
    *,
    database_url: str,
    numbers: Sequence[int],
    provider: str = "openrouter",
    wait_for_names: bool = True,
) -> None:
    """Let a process have all these calls under way, and kill it: when all are named, or as soon as half are asked."""
    asked = len(fake.asks)
    where = {"gemini_url": fake.gemini_url, "openrouter_url": fake.openrouter_url, "user_id": scene.user_id}
    process = PROCESSES.Process(
        target=matrix.work, kwargs={"database_url": database_url, "provider": provider, "numbers": numbers} | where
    )
    before = await matrix.named_and_under_way(scene.database)

    async def is_time() -> bool:
        if wait_for_names:
            return await matrix.named_and_under_way(scene.database) == before + len(numbers)
        return len(fake.asks) >= asked + len(numbers) // 2

    process.start()
    try:
        async with asyncio.timeout(100):
            while not await is_time():  # noqa: ASYNC110 -- it is another process that is waited for
                await asyncio.sleep(0.03 if wait_for_names else 0)
    finally:
        process.kill()
        await asyncio.to_thread(process.join)
    assert process.exitcode == -signal.SIGKILL


async def run_matrix(
    scene: Scene, fake: FakeProviders, client: LLMClient, *, database_url: str, calls: int, killed: int, at_once: int
) -> None:
    given = list(cases(calls))
    answered = await play(scene, client, given)
    for first in range(calls, calls + killed, at_once):
        await die(scene, fake, database_url=database_url, numbers=range(first, first + at_once))
    await asyncio.sleep(0.6)  # the holds of the last that were killed
    found = await reconcile(scene.database, client)
    rows, nameless = await compare(scene, fake)

    spoiled = {Fault.CANCELLED, Fault.NO_CREDIT}
    lost = {case.number for case in given if case.fault in spoiled or (case.fault is Fault.CUT and case.is_streamed)}
    assert answered == {case.number for case in given} - lost
    assert Counter(row.status for row in rows)["settled"] == len(answered)
    assert nameless == set()
    assert sum(row.actual_cost_usd for row in rows) == sum(charge.cost_usd for charge in fake.charged)
    assert (found.swept, found.estimated) == (killed, 0)
    assert found.reconciled > killed
    assert all(row.cost_source for row in rows if row.provider_request_id)


async def test_the_ledger_equals_the_providers_record_through_every_fault(
    scene: Scene, fake: FakeProviders, client: LLMClient, database_url: str
) -> None:
    await run_matrix(scene, fake, client, database_url=database_url, calls=96, killed=16, at_once=16)


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_ten_thousand_calls_through_every_fault(
    scene: Scene, fake: FakeProviders, client: LLMClient, database_url: str
) -> None:
    await run_matrix(scene, fake, client, database_url=database_url, calls=8_400, killed=1_600, at_once=100)


async def test_calls_killed_before_they_were_named_are_the_only_difference(
    scene: Scene, fake: FakeProviders, client: LLMClient, database_url: str
) -> None:
    await die(scene, fake, database_url=database_url, numbers=range(40), wait_for_names=False)
    await asyncio.sleep(0.6)
    found = await reconcile(scene.database, client)
    rows, nameless = await compare(scene, fake)
    unnamed = [row for row in rows if row.provider_request_id is None]
    assert {row.cost_source for row in unnamed} <= {"unknown"}
    assert found.swept == len(rows) == found.reconciled + found.unknown
    assert len(nameless) <= len(unnamed)
    missing = sum((charge.cost_usd for charge in fake.charged if charge.id in nameless), Decimal(0))
    ours = sum((row.actual_cost_usd for row in rows), Decimal(0))
    assert ours + missing == sum((charge.cost_usd for charge in fake.charged), Decimal(0))


async def test_a_killed_call_of_a_provider_that_never_tells_is_estimated_at_its_input(
    scene: Scene, fake: FakeProviders, client: LLMClient, database_url: str
) -> None:
    await die(scene, fake, database_url=database_url, numbers=range(12), provider="google")
    await asyncio.sleep(0.6)
    found = await reconcile(scene.database, client)
    rows, nameless = await compare(scene, fake)
    assert (found.swept, found.estimated, nameless) == (12, 12, set())
    assert {row.cost_source for row in rows} == {"estimated"}
    assert found.estimated_usd == sum(row.actual_cost_usd for row in rows)
    assert all(row.actual_cost_usd > 0 for row in rows)


async def test_of_two_hundred_calls_at_once_on_credits_for_ten_exactly_ten_are_made(
    database_url: str,
) -> None:
    tokens = 100
    cost = charge_credits(Decimal(tokens) * 2 / 1_000_000, terms=TERMS)
    async with FakeProviders(input_usd=Decimal(0), cached_usd=Decimal(0)) as fake:
        fake.answer = lambda _: Reply(text="w" * 4 * tokens, pause_seconds=0.01)
        database = Database(url=database_url, pool_size=16)
        scene = await matrix.priced_scene(
            database, credits=str(10 * cost), rates=Rates(input=Decimal(0), output=Decimal(2))
        )
        async with matrix.real_gateway(gemini_url=fake.gemini_url, openrouter_url=fake.openrouter_url) as client:
            made = await matrix.affordable(scene, client, count=200, max_output_tokens=tokens)
        assert (made, len(fake.charged), len(await scene.calls())) == (10, 10, 10)
        assert await scene.money() == (Decimal(0), Decimal(0))
        assert await scene.faults() == []
        await database.close()
