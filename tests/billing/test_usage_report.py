from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import update
from tests.billing.scene import TERMS, Scene, set_scene, usage_costing

from bottega.billing import ledger
from bottega.billing.pricing import charge_credits, cost_usd
from bottega.billing.tables import ApiKeyUsage
from bottega.billing.types import CallStatus, Cause, Cost, CostSource, Outcome, TransactionType
from bottega.billing.usage_report import Dimension, UsageReport, Window, usage_report
from bottega.db.transaction import Database
from bottega.llm.types import Usage

ALL = Window()
LOST = Usage(input_tokens=80, output_tokens=100)  # 0.0011 US dollars


async def report(scene: Scene, by: Dimension = Dimension.PROJECT, window: Window = ALL) -> UsageReport:
    async with scene.database.transaction() as session:
        return await usage_report(session, by=by, window=window)


async def lose(scene: Scene, status: CallStatus) -> None:
    hold = await scene.hold("5")
    cost = Cost(usage=LOST, exact_usd=cost_usd(scene.price, LOST), source=CostSource.COMPUTED)
    async with scene.database.transaction() as session:
        await ledger.void(session, usage_id=hold.usage_id, status=status, outcome=Outcome(cost=cost))


async def test_margin_is_what_was_charged_less_what_providers_billed_with_every_loss_named(database: Database) -> None:
    scene = await set_scene(database)
    await scene.settle(await scene.hold("5"), usage_costing("3"))
    for status in (CallStatus.FAILED, CallStatus.FAILED, CallStatus.ORPHAN, CallStatus.FENCED):
        await lose(scene, status)
    [line] = (await report(scene)).lines
    assert (line.calls, line.input_tokens, line.output_tokens) == (5, 320, 2_400)
    assert (line.credits, line.revenue_usd) == (Decimal(3), Decimal("0.03"))
    assert (line.failed_usd, line.orphan_usd, line.fenced_usd) == tuple(map(Decimal, ("0.0022", "0.0011", "0.0011")))
    assert (line.cost_usd, line.margin_usd) == (Decimal("0.0244"), Decimal("0.0056"))
    assert line.margin_percent is not None
    assert round(line.margin_percent, 4) == Decimal("18.6667")


async def test_unbilled_credits_are_revenue_that_was_not_to_be_had(database: Database) -> None:
    scene = await set_scene(database, credits="3")
    await scene.settle(await scene.hold("2"), usage_costing("6"))
    total = (await report(scene)).total
    assert (total.credits, total.unbilled_usd, total.cost_usd) == (Decimal(3), Decimal("0.03"), Decimal("0.04"))
    assert total.margin_usd == Decimal("-0.01")


async def test_a_persons_own_key_costs_the_platform_nothing(database: Database) -> None:
    scene = await set_scene(database)
    await scene.settle(await scene.hold("5"), usage_costing("3"))
    await scene.pay_with_own_key((await scene.calls())[0])
    [line] = (await report(scene)).lines
    assert (line.cost_usd, line.margin_usd, line.margin_percent) == (Decimal(0), Decimal("0.03"), Decimal(100))


async def test_the_window_includes_both_its_days_and_nothing_else(database: Database) -> None:
    scene = await set_scene(database)
    day = date(2026, 3, 1)
    first = datetime(2026, 3, 1, tzinfo=UTC)
    for at in (
        first - timedelta(microseconds=1),
        first,
        first + timedelta(days=1, microseconds=-1),
        first + timedelta(1),
    ):
        hold = await scene.hold("1")
        async with database.transaction() as session:
            call = update(ApiKeyUsage).where(ApiKeyUsage.id == hold.usage_id)
            await session.execute(call.values(created_at=at))
    assert (await report(scene, window=Window(since=day, until=day))).total.calls == 2
    assert (await report(scene, window=Window(since=day))).total.calls == 3
    assert (await report(scene, window=Window(until=day))).total.calls == 3
    days = [(line.label, line.calls) for line in (await report(scene, Dimension.DAY)).lines]
    assert days == [("2026-02-28", 1), ("2026-03-01", 2), ("2026-03-02", 1)]


async def test_the_largest_dates_are_only_a_wide_window(database: Database) -> None:
    scene = await set_scene(database)
    await scene.hold("1")
    assert (await report(scene, window=Window(since=date.min, until=date.max))).total.calls == 1


@pytest.mark.parametrize(
    ("by", "labels"),
    [
        (Dimension.USER, ["bob ({bob})", "ada ({ada})"]),
        (Dimension.PROJECT, ["t ({bobs})", "t ({adas})"]),
        (Dimension.MODEL, ["acme/sage"]),
        (Dimension.PURPOSE, ["implement"]),
    ],
)
async def test_every_dimension_has_its_lines_the_dearest_first_and_the_same_total(
    database: Database, by: Dimension, labels: list[str]
) -> None:
    ada, bob = await set_scene(database), await set_scene(database, username="bob")
    bob.numbers, ada.price = ada.numbers, bob.price
    await ada.settle(await ada.hold("5"), usage_costing("0.3"))
    await bob.settle(await bob.hold("5"), usage_costing("3"))
    made = await report(ada, by)
    ids = {"ada": ada.user_id, "bob": bob.user_id, "adas": ada.project_id, "bobs": bob.project_id}
    assert [line.label for line in made.lines] == [label.format(**ids) for label in labels]
    assert (made.total.calls, made.total.credits) == (2, Decimal("3.3"))
    assert made.total.credits == charge_credits(made.total.cost_usd, terms=TERMS)


async def test_credits_given_and_bought_are_told_apart(database: Database) -> None:
    scene = await set_scene(database, credits="10")
    moves = [
        ("50", TransactionType.PURCHASE),
        ("-20", TransactionType.REFUND_CLAWBACK),
        ("7", TransactionType.ADJUSTMENT),
        ("-2", TransactionType.ADJUSTMENT),
    ]
    async with database.transaction() as session:
        for number, (credits, kind) in enumerate(moves):
            cause = Cause(type=kind, idempotency_key=str(number))
            move = ledger.grant if Decimal(credits) > 0 else ledger.claw_back
            await move(session, user_id=scene.user_id, credits=abs(Decimal(credits)), cause=cause)
    made = await report(scene)
    assert (made.given_credits, made.bought_credits) == (Decimal(17), Decimal(30))
    assert (await report(scene, window=Window(since=date(9999, 1, 1)))).given_credits == 0


async def test_nothing_yet_is_an_empty_report(database: Database) -> None:
    scene = await set_scene(database)
    made = await report(scene, Dimension.MODEL)
    assert (made.lines, made.total.calls, made.total.margin_percent) == ((), 0, None)
    assert isinstance(made.total.credits, Decimal)
