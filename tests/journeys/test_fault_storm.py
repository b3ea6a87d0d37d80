"""A build in a storm: 35 of a hundred model calls fail, the waits are those that ship, and nothing is lost by it."""

import time
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from sqlalchemy import select

from bottega.billing.pricing import charge_credits
from bottega.billing.tables import ApiKeyUsage
from bottega.billing.types import Terms
from bottega.orchestration import events
from bottega.orchestration.state import RunState, TaskStatus
from bottega.users.tables import User
from tests.fakes.providers import FakeProviders
from tests.journeys import modules, storm
from tests.journeys.conftest import OpenWorkshop, Workshop
from tests.journeys.storm import Fault, Storm

SEED = 52  # 13 of 38 calls fail, up to three in a row, and every fault comes
CREDITS = Decimal(1000)


@pytest.fixture
async def fake() -> AsyncIterator[FakeProviders]:
    async with FakeProviders() as providers:
        yield providers


@pytest.mark.slow
async def test_a_build_of_eleven_tasks_is_delivered_whole_and_charged_for_its_answers_alone(
    fake: FakeProviders, open_workshop: OpenWorkshop
) -> None:
    fake.answer = weather = Storm(seed=SEED)
    workshop = await open_workshop(models=storm.models_on(fake), credits=CREDITS)
    await storm.price_models(workshop.app)
    project_id = await workshop.start(modules.brief(modules=storm.TASKS))
    began = time.monotonic()
    status = await workshop.run(project_id)
    print(f"{len(fake.asks)} calls, {weather.felt.total()} failed, {time.monotonic() - began:.1f} s")  # noqa: T201

    assert status.state is RunState.DONE, status
    done = [task.key for task in await workshop.tasks(project_id) if task.status == TaskStatus.DONE]
    assert done == [f"T{number}" for number in range(1, storm.TASKS + 1)]
    assert status.archive_key is not None
    assert await workshop.app.storage.get(key=status.archive_key)
    assert set(weather.felt) == set(Fault), "the seed leaves a fault out"
    assert workshop.told(events.ProviderTrouble)
    await assert_books_are_the_providers(workshop, fake, weather)


async def assert_books_are_the_providers(workshop: Workshop, fake: FakeProviders, weather: Storm) -> None:
    """Each call is a row: what was answered is charged once, by what it cost there, and what failed is not charged."""
    async with workshop.app.database.transaction() as session:
        rows = (await session.scalars(select(ApiKeyUsage))).all()
        balance = (await session.scalars(select(User.credit_balance).where(User.id == workshop.user_id))).one()
    settled = {row.provider_request_id: row for row in rows if row.status == "settled"}
    lost = [row for row in rows if row.status != "settled"]
    assert settled.keys() == {fake.name_calls(number) for number in weather.answered}
    assert (len(settled), len(lost)) == (len(weather.answered), weather.felt.total())

    costs = {charge.id: charge.cost_usd for charge in fake.charged}
    billing = workshop.app.settings.billing
    terms = Terms(markup=billing.markup_factor, credit_value_usd=billing.platform_credit_value_usd)
    for request_id, row in settled.items():
        assert row.actual_cost_usd == costs.pop(request_id or "")
        assert row.credits_charged == charge_credits(row.actual_cost_usd, terms=terms), row.call_key
    assert {row.status for row in lost} == {"failed"}
    assert {row.credits_charged for row in lost} == {Decimal(0)}
    assert sum(row.actual_cost_usd for row in lost) == sum(costs.values()), "what was cut is the platform's loss"
    assert balance == CREDITS - sum(row.credits_charged for row in rows)
    await workshop.audit()
