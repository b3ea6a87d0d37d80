import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from tests.billing.scene import MODEL, RATES, TERMS, Scene, set_scene, usage_costing

from bottega.billing import ledger
from bottega.billing.ledger import (
    AccountInactive,
    CallAlreadyHeld,
    InsufficientCredits,
    InvalidAmount,
    KeyReused,
    NotTheirProject,
    PriceWithdrawn,
    ProjectLimitReached,
)
from bottega.billing.prices import set_price
from bottega.billing.types import CallStatus, Cause, Cost, CostSource, Entry, Outcome, Terms, TransactionType
from bottega.core.ids import new_id
from bottega.db.transaction import Database
from bottega.llm.types import Usage
from bottega.projects.tables import Project
from bottega.users.tables import User

CREDIT = Decimal(1)
WAITING = text("SELECT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))")


async def grant(scene: Scene, *, credits: str, key: str, user_id: int | None = None) -> Entry:
    async with scene.database.transaction() as session:
        return await ledger.grant(
            session,
            user_id=user_id or scene.user_id,
            credits=Decimal(credits),
            cause=Cause(type=TransactionType.PURCHASE, idempotency_key=key),
        )


async def claw_back(scene: Scene, *, credits: str, key: str) -> Entry:
    async with scene.database.transaction() as session:
        return await ledger.claw_back(
            session,
            user_id=scene.user_id,
            credits=Decimal(credits),
            cause=Cause(type=TransactionType.REFUND_CLAWBACK, idempotency_key=key),
        )


@asynccontextmanager
async def blocking(database: Database, *, user_id: int) -> AsyncIterator[AsyncSession]:
    """Lend a transaction that commits only once another one waits for it."""
    async with database.transaction() as session:
        await session.execute(text("SELECT FROM users WHERE id = :id FOR UPDATE"), {"id": user_id})
        yield session
        while not (await session.scalars(WAITING)).all():  # noqa: ASYNC110 -- the event is in the server
            await asyncio.sleep(0.005)


async def test_a_balance_is_the_sum_of_its_transactions(database: Database) -> None:
    scene = await set_scene(database)
    await grant(scene, credits="25.5", key="order:1")
    await claw_back(scene, credits="5.5", key="refund:1")
    await scene.settle(await scene.hold("10"), usage_costing("6"))
    assert await scene.money() == (Decimal(114), Decimal(0))
    assert sum(entry.credits_amount for entry in await scene.entries()) == Decimal(114)
    assert [entry.balance_after for entry in await scene.entries()] == [100, Decimal("125.5"), 120, 114]
    assert await scene.faults() == []


async def test_a_repeated_grant_returns_the_first_result(database: Database) -> None:
    scene = await set_scene(database)
    first, second = await grant(scene, credits="5", key="order:1"), await grant(scene, credits="5", key="order:1")
    assert (first.repeated, second.repeated) == (False, True)
    assert (first.id, first.balance_after) == (second.id, second.balance_after)
    assert await scene.money() == (Decimal(105), Decimal(0))


async def test_a_grant_that_races_with_its_twin_returns_the_twins_result(database: Database) -> None:
    scene = await set_scene(database)
    async with blocking(database, user_id=scene.user_id) as session:
        first = await ledger.grant(
            session,
            user_id=scene.user_id,
            credits=Decimal(5),
            cause=Cause(type=TransactionType.PURCHASE, idempotency_key="order:1"),
        )
        twin = asyncio.create_task(grant(scene, credits="5", key="order:1"))
    assert (await twin).repeated
    assert (await twin).id == first.id
    assert await scene.money() == (Decimal(105), Decimal(0))


async def test_a_key_of_one_person_is_refused_to_another(database: Database) -> None:
    ada, bob = await set_scene(database), await set_scene(database, username="bob")
    await grant(ada, credits="5", key="order:1")
    with pytest.raises(KeyReused):
        await grant(bob, credits="5", key="order:1")
    assert await bob.money() == (Decimal(100), Decimal(0))


async def test_nobody_cannot_be_granted_credits(database: Database) -> None:
    scene = await set_scene(database)
    with pytest.raises(AccountInactive):
        await grant(scene, credits="5", key="order:1", user_id=4_000_000)


async def test_what_is_held_is_the_sum_of_the_open_holds(database: Database) -> None:
    scene = await set_scene(database)
    holds = [await scene.hold(credits) for credits in ("10", "20", "30")]
    assert [hold.available for hold in holds] == [90, 70, 40]
    await scene.void(holds[0])
    await scene.settle(holds[1], usage_costing("3"))
    assert await scene.money() == (Decimal(97), Decimal(30))
    assert await scene.hold_states() == ["open", "settled", "voided"]
    assert await scene.faults() == []


async def test_more_than_is_available_cannot_be_held(database: Database) -> None:
    scene = await set_scene(database)
    await scene.hold("60")
    with pytest.raises(InsufficientCredits, match=r"up to 40.01 credits and 40.00 are available") as refused:
        await scene.hold("40.00500001")
    assert (refused.value.needed, refused.value.available) == (Decimal("40.00500001"), Decimal(40))
    assert len(await scene.calls()) == 1
    await scene.hold("40")
    assert await scene.money() == (Decimal(100), Decimal(100))


async def test_a_debt_must_be_paid_before_anything_is_held(database: Database) -> None:
    scene = await set_scene(database)
    await claw_back(scene, credits="130", key="clawback:1")
    with pytest.raises(InsufficientCredits):
        await scene.hold("0")
    assert await scene.faults() == []


@pytest.mark.parametrize("way", ["in transactions", "at once", "both"])
async def test_800_charges_of_one_credit_on_100_over_16_connections_accept_exactly_100(
    database: Database, way: str
) -> None:
    scene = await set_scene(database, credits="100")
    many = Database(url=database.engine.url.render_as_string(hide_password=False), pool_size=16)
    crowd, even = replace(scene, database=many), Terms(markup=Decimal(1), credit_value_usd=Decimal("0.01"))
    cost = Cost(usage=Usage(output_tokens=1_000), exact_usd=Decimal("0.01"), source=CostSource.COMPUTED)

    async def charge() -> Decimal:
        try:
            held = await crowd.hold(CREDIT, call=crowd.call(terms=even))
        except InsufficientCredits:
            return Decimal(0)
        async with many.transaction() as session:
            settled = await ledger.settle(session, usage_id=held.usage_id, credits=CREDIT, outcome=Outcome(cost=cost))
        return settled.charged

    async def charge_at_once() -> Decimal:
        at, call = many.autocommit, crowd.call(terms=even)
        held = await ledger.hold_at_once(at, call=call, credits=CREDIT, ttl_seconds=60)
        if held is None:
            return Decimal(0)
        return (await ledger.settle(at, usage_id=held.usage_id, credits=CREDIT, outcome=Outcome(cost=cost))).charged

    ways = {"in transactions": (charge,), "at once": (charge_at_once,), "both": (charge, charge_at_once)}[way]
    charged = await asyncio.gather(*(ways[number % len(ways)]() for number in range(800)))
    await many.close()
    assert (charged.count(CREDIT), charged.count(Decimal(0))) == (100, 700)
    assert await scene.money() == (Decimal(0), Decimal(0))
    assert await scene.faults() == []


async def test_a_hold_at_once_is_a_hold(database: Database) -> None:
    scene = await set_scene(database)
    call = replace(scene.call(), own_key=True, input_tokens_estimated=7)
    held = await ledger.hold_at_once(database.autocommit, call=call, credits=Decimal("2.5"), ttl_seconds=60)
    assert held is not None
    assert held.available == Decimal("97.5")
    assert await scene.money() == (Decimal(100), Decimal("2.5"))
    [row] = await scene.calls()
    assert (row.id, row.hold_id, row.call_key, row.own_key) == (held.usage_id, held.id, call.call_key, True)
    assert (row.markup_factor, row.pricing_id, row.input_tokens_estimated) == (TERMS.markup, scene.price.id, 7)
    voided = await ledger.void(
        database.autocommit, usage_id=held.usage_id, status=CallStatus.FAILED, outcome=Outcome(error_code="overloaded")
    )
    assert voided
    assert await scene.money() == (Decimal(100), Decimal(0))
    assert await scene.faults() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"project_id": new_id()},
        {"user_id": 4_000_000},
        {"pricing_id": 4_000_000},
        {"credits": Decimal("100.00000001")},
        {"limit": "50"},
        {"held_before": True},
        {"suspended": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_hold_at_once_that_has_anything_in_its_way_leaves_no_trace(
    database: Database, changes: dict[str, Any]
) -> None:
    scene = await set_scene(database)
    of_call = {name: value for name, value in changes.items() if name in {"project_id", "user_id", "pricing_id"}}
    call, before = scene.call(**of_call), (Decimal(100), Decimal(0))
    if "limit" in changes:
        await scene.limit_project(changes["limit"])
    if "held_before" in changes:
        await scene.void(await scene.hold("1", call=call))
    if "suspended" in changes:
        async with database.transaction() as session:
            await session.execute(update(User).values(status="suspended"))
    calls = len(await scene.calls())
    credits = changes.get("credits", Decimal(1))
    assert await ledger.hold_at_once(database.autocommit, call=call, credits=credits, ttl_seconds=60) is None
    assert (await scene.money(), len(await scene.calls())) == (before, calls)
    assert await scene.faults() == []


async def test_a_statement_by_itself_survives_a_server_that_hung_up(database: Database) -> None:
    scene = await set_scene(database)
    end = text(  # this database's alone: the server is every test worker's
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    many = Database(url=database.engine.url.render_as_string(hide_password=False), pool_size=1)
    at = many.autocommit
    assert await ledger.hold_at_once(at, call=scene.call(), credits=Decimal(1), ttl_seconds=60)
    async with database.transaction() as session:
        await session.execute(end)
    with contextlib.suppress(DBAPIError):  # unless it was noticed in time, and another connection was taken
        await ledger.hold_at_once(at, call=scene.call(), credits=Decimal(1), ttl_seconds=60)
    assert await ledger.hold_at_once(at, call=scene.call(), credits=Decimal(1), ttl_seconds=60)
    await many.close()


NO_AMOUNTS = [*map(Decimal, ("NaN", "sNaN", "Infinity", "-Infinity", "-1", "-0.00000001", "0.000000001", "1E12"))]


@pytest.mark.parametrize("credits", NO_AMOUNTS, ids=str)
async def test_what_is_no_amount_of_credits_moves_nothing(database: Database, credits: Decimal) -> None:
    scene = await set_scene(database)
    held = await scene.hold("10")
    cause = Cause(type=TransactionType.ADJUSTMENT, idempotency_key="k")
    for attempt in (
        lambda session: ledger.hold(session, call=scene.call(), credits=credits, ttl_seconds=60),
        lambda session: ledger.settle(session, usage_id=held.usage_id, credits=credits, outcome=Outcome()),
        lambda session: ledger.grant(session, user_id=scene.user_id, credits=credits, cause=cause),
        lambda session: ledger.claw_back(session, user_id=scene.user_id, credits=credits, cause=cause),
    ):
        with pytest.raises(InvalidAmount):
            async with database.transaction() as session:
                await attempt(session)
    assert await scene.money() == (Decimal(100), Decimal(10))


@pytest.mark.parametrize("credits", [*map(Decimal, ("NaN", "0", "0.000000001", "-0.000000001", "-1E12"))], ids=str)
async def test_nothing_is_corrected_by_no_amount(database: Database, credits: Decimal) -> None:
    scene = await set_scene(database)
    with pytest.raises(InvalidAmount):
        async with database.transaction() as session:
            await ledger.adjust(
                session,
                user_id=scene.user_id,
                credits=credits,
                cause=Cause(type=TransactionType.ADJUSTMENT, idempotency_key="k"),
            )
    assert await scene.money() == (Decimal(100), Decimal(0))


@pytest.mark.parametrize("changes", [{"project_id": new_id()}, {"user_id": 4_000_000}, {"pricing_id": 4_000_000}])
async def test_a_call_that_may_not_be_made_leaves_no_trace(database: Database, changes: dict[str, object]) -> None:
    scene = await set_scene(database)
    with pytest.raises((NotTheirProject, AccountInactive, PriceWithdrawn)):
        await scene.hold("1", call=scene.call(**changes))
    assert await scene.money() == (Decimal(100), Decimal(0))
    assert (await scene.calls(), await scene.hold_states()) == ([], [])


async def test_nobody_spends_on_anothers_project(database: Database) -> None:
    ada, bob = await set_scene(database), await set_scene(database, username="bob")
    with pytest.raises(NotTheirProject):
        await bob.hold("1", call=ada.call(user_id=bob.user_id, pricing_id=bob.price.id))
    assert await ada.money() == await bob.money() == (Decimal(100), Decimal(0))


async def test_a_suspended_account_cannot_hold(database: Database) -> None:
    scene = await set_scene(database)
    async with database.transaction() as session:
        await session.execute(update(User).values(status="suspended"))
    with pytest.raises(AccountInactive):
        await scene.hold("1")


async def test_a_replaced_price_cannot_be_held_at(database: Database) -> None:
    scene = await set_scene(database)
    async with database.transaction() as session:
        await set_price(session, model=MODEL, rates=RATES)
    with pytest.raises(PriceWithdrawn):
        await scene.hold("1")


async def test_a_call_key_is_held_once(database: Database) -> None:
    scene = await set_scene(database)
    call = scene.call()
    await scene.hold("1", call=call)
    with pytest.raises(CallAlreadyHeld):
        await scene.hold("1", call=call)
    assert await scene.money() == (Decimal(100), Decimal(1))


async def test_a_project_holds_and_spends_no_more_than_its_limit(database: Database) -> None:
    scene = await set_scene(database)
    await scene.limit_project("10")
    await scene.settle(await scene.hold("6"), usage_costing("3"))
    await scene.hold("5")
    with pytest.raises(ProjectLimitReached, match=r"the project's limit leaves 2.00") as refused:
        await scene.hold("2.5")
    assert refused.value.available == Decimal(2)
    await scene.hold("2")
    assert await scene.faults() == []


async def test_holds_that_race_do_not_pass_a_projects_limit_together(database: Database) -> None:
    scene = await set_scene(database)
    await scene.limit_project("10")
    async with blocking(database, user_id=scene.user_id) as session:
        await ledger.hold(session, call=scene.call(), credits=Decimal(6), ttl_seconds=60)
        twin = asyncio.create_task(scene.hold("6"))
    with pytest.raises(ProjectLimitReached) as refused:
        await twin
    assert refused.value.available == Decimal(4)
    assert await scene.money() == (Decimal(100), Decimal(6))
    assert await scene.faults() == []


async def test_a_settled_call_says_what_it_used_and_what_it_cost(database: Database) -> None:
    scene = await set_scene(database)
    used = Usage(input_tokens=1000, cached_tokens=400, output_tokens=300, reasoning_tokens=100)
    settlement = await scene.settle(await scene.hold("10"), used)
    [call] = await scene.calls()
    [_, entry] = await scene.entries()
    assert (call.status, call.task_type, call.model_provider, call.model_name) == ("settled", "implement", *_model())
    assert (call.input_tokens_used, call.cached_tokens_used) == (1000, 400)
    assert (call.output_tokens_used, call.reasoning_tokens_used) == (300, 100)
    assert call.actual_cost_usd == entry.real_cost_associated_usd == Decimal("0.0038")
    assert call.credits_charged == settlement.charged == -entry.credits_amount == Decimal("0.57")
    assert (entry.transaction_type, entry.api_key_usage_id) == ("usage_deduction", call.id)
    async with database.transaction() as session:
        assert await session.scalar(select(Project.actual_credit_cost)) == Decimal("0.57")


async def test_a_repeated_settle_returns_the_first_result_and_changes_nothing(database: Database) -> None:
    scene = await set_scene(database)
    held = await scene.hold("10")
    first, second = await scene.settle(held, usage_costing("6")), await scene.settle(held, usage_costing("9"))
    assert (first.repeated, second.repeated) == (False, True)
    assert first.charged == second.charged == 6
    assert await scene.void(held) is False
    assert await scene.money() == (Decimal(94), Decimal(0))
    assert await scene.faults() == []


async def test_settles_that_race_charge_once(database: Database) -> None:
    scene = await set_scene(database)
    held = await scene.hold("10")
    settled = await asyncio.gather(*(scene.settle(held, usage_costing("6")) for _ in range(8)))
    assert {settlement.charged for settlement in settled} == {Decimal(6)}
    assert sorted(settlement.repeated for settlement in settled) == [False] + 7 * [True]
    assert await scene.money() == (Decimal(94), Decimal(0))


@pytest.mark.parametrize(("also_held", "charged", "unbilled"), [("0", 12, 0), ("89", 11, 1), ("90", 10, 2)])
async def test_more_than_the_hold_is_charged_as_far_as_the_balance_goes_and_the_rest_is_on_record(
    database: Database, also_held: str, charged: int, unbilled: int
) -> None:
    scene = await set_scene(database)
    held = await scene.hold("10")
    await scene.hold(also_held)
    settlement = await scene.settle(held, usage_costing("12"))
    assert [settlement.charged, settlement.unbilled] == [charged, unbilled]
    assert (await scene.calls())[0].credits_unbilled == unbilled
    assert await scene.money() == (Decimal(100 - charged), Decimal(also_held))
    assert await scene.faults() == []


async def test_a_free_call_is_settled_without_a_ledger_row(database: Database) -> None:
    scene = await set_scene(database)
    await scene.settle(await scene.hold("0"), Usage())
    assert [call.status for call in await scene.calls()] == ["settled"]
    assert len(await scene.entries()) == 1
    assert await scene.faults() == []


@pytest.mark.parametrize("status", [CallStatus.FAILED, CallStatus.ORPHAN, CallStatus.FENCED])
async def test_a_voided_call_charges_nothing_and_cannot_be_settled(database: Database, status: CallStatus) -> None:
    scene = await set_scene(database)
    held = await scene.hold("10")
    assert await scene.void(held, status=status) is True
    assert await scene.void(held, status=status) is False
    assert (await scene.settle(held, usage_costing("6"))).charged == 0
    assert [call.status for call in await scene.calls()] == [status]
    assert await scene.money() == (Decimal(100), Decimal(0))
    assert await scene.faults() == []


async def test_a_crash_between_hold_and_settle_gives_the_credits_back_at_the_deadline(database: Database) -> None:
    scene = await set_scene(database)
    await scene.hold("10", ttl_seconds=0)
    await scene.hold("20", ttl_seconds=0)
    await scene.hold("5", ttl_seconds=60)
    assert await scene.faults() == []
    assert (await scene.sweep(), await scene.sweep()) == (2, 0)
    assert await scene.money() == (Decimal(100), Decimal(5))
    assert [call.status for call in await scene.calls()] == ["orphan", "orphan", "started"]
    assert await scene.faults() == []


async def test_a_reply_that_arrives_after_its_hold_expired_is_charged_once(database: Database) -> None:
    scene = await set_scene(database)
    held = await scene.hold("10", ttl_seconds=0)
    await scene.sweep()
    late, again = await scene.settle(held, usage_costing("6")), await scene.settle(held, usage_costing("6"))
    assert (late.repeated, again.repeated) == (False, True)
    assert late.charged == again.charged == 6
    assert (await scene.hold_states(), await scene.money()) == (["expired"], (Decimal(94), Decimal(0)))
    assert await scene.faults() == []


async def test_sweeps_and_settles_that_race_end_every_hold_once(database: Database) -> None:
    scene = await set_scene(database)
    holds = [await scene.hold("3", ttl_seconds=0) for _ in range(12)]
    await asyncio.gather(
        *(scene.settle(held, usage_costing("3")) for held in holds), *(scene.sweep() for _ in range(4))
    )
    assert await scene.money() == (Decimal(64), Decimal(0))
    assert await scene.faults() == []


async def test_people_pay_while_others_write_rows_that_name_them(database: Database) -> None:
    scene = await set_scene(database, credits="1000")
    many = Database(url=database.engine.url.render_as_string(hide_password=False), pool_size=34)
    crowd, ended = replace(scene, database=many), asyncio.Event()
    even = Terms(markup=Decimal(1), credit_value_usd=Decimal("0.01"))
    cost = Cost(usage=Usage(output_tokens=1_000), exact_usd=Decimal("0.01"), source=CostSource.COMPUTED)
    said = text("INSERT INTO conversations (user_id, channel, role, content) VALUES (:user_id, 'cli', 'person', 'x')")

    async def speak() -> None:
        while not ended.is_set():
            async with many.transaction() as session:  # it keeps the person's row from being removed, and no more
                await session.execute(said, {"user_id": scene.user_id})
                await asyncio.sleep(0.003)

    async def pay() -> None:
        for _ in range(6):
            held = await ledger.hold_at_once(
                many.autocommit, call=crowd.call(terms=even), credits=CREDIT, ttl_seconds=60
            )
            assert held is not None
            async with many.transaction() as session:
                await ledger.settle(session, usage_id=held.usage_id, credits=CREDIT, outcome=Outcome(cost=cost))
                await asyncio.sleep(0.002)

    speakers = [asyncio.create_task(speak()) for _ in range(8)]
    await asyncio.gather(*(pay() for _ in range(25)))  # deadlocks are found after a second
    ended.set()
    await asyncio.gather(*speakers)
    await many.close()
    assert await scene.money() == (Decimal(1000 - 6 * 25), Decimal(0))
    assert await scene.faults() == []


async def test_a_new_claim_gives_up_the_calls_an_earlier_one_had_started(database: Database) -> None:
    scene = await set_scene(database)
    await scene.settle(await scene.hold("10"), usage_costing("6"))
    lost = await scene.hold("10")
    other = await scene.hold("7", call=scene.call(operation_key="run:other"))
    async with database.transaction() as session:
        assert await ledger.orphan_started(session, operation_key="run:step") == 1
        assert await ledger.orphan_started(session, operation_key="run:step") == 0
    assert [call.status for call in await scene.calls()] == ["settled", "orphan", "started"]
    assert (await scene.settle(lost, usage_costing("6"))).charged == 0
    assert await scene.money() == (Decimal(94), other.credits)
    assert await scene.faults() == []


async def test_what_a_rolled_back_transaction_settled_is_still_owed(database: Database) -> None:
    scene = await set_scene(database)
    held = await scene.hold("10")
    with pytest.raises(TimeoutError):  # noqa: PT012 -- the settle itself succeeds
        async with database.transaction() as session:
            await ledger.settle(session, usage_id=held.usage_id, credits=CREDIT, outcome=Outcome())
            raise TimeoutError
    assert await scene.money() == (Decimal(100), Decimal(10))
    assert (await scene.settle(held, usage_costing("6"))).repeated is False


@pytest.mark.parametrize(
    "statement", ["UPDATE credit_transactions SET credits_amount = 1", "DELETE FROM credit_transactions"]
)
async def test_ledger_rows_never_change(database: Database, statement: str) -> None:
    await set_scene(database)
    with pytest.raises(DBAPIError):
        async with database.transaction() as session:
            await session.execute(text(statement))


def _model() -> tuple[str, str]:
    return MODEL.provider, MODEL.name
