"""Each truth is broken by hand, past the ledger, and must be found."""

from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import text
from tests.billing.scene import MODEL, RATES, Scene, set_scene

from bottega.billing.audit import Finding, audit
from bottega.billing.prices import set_price
from bottega.billing.pricing import Rates, Tier
from bottega.billing.types import CallStatus
from bottega.db.transaction import Database
from bottega.llm.types import Usage


async def busy_scene(database: Database) -> Scene:
    """One call of each ending, one in flight, one on a long-context tier."""
    scene = await set_scene(database)
    long = Rates(input=Decimal("2.5"), output=Decimal(15), cache_write=Decimal("3.125"), reasoning=Decimal(20))
    async with database.transaction() as session:
        tier = Tier(above_tokens=1_000, rates=long)
        scene.price = await set_price(
            session,
            model=MODEL,
            rates=replace(RATES, cache_write=Decimal("1.5625")),
            tiers=(tier,),
            per_request=Decimal("0.0001"),
            per_input_image=Decimal("0.002"),
        )
    await scene.settle(
        await scene.hold("10"), Usage(input_tokens=1_001, cached_tokens=7, cache_write_tokens=11, output_tokens=333)
    )
    await scene.settle(
        await scene.hold("10"),
        Usage(input_tokens=1_000, cached_tokens=9, cache_write_tokens=2_000, output_tokens=5, images=3),
    )
    await scene.void(await scene.hold("10"), status=CallStatus.FENCED)
    await scene.hold("10", ttl_seconds=0)
    await scene.sweep()
    await scene.hold("10")
    return scene


async def tamper(database: Database, statement: str) -> tuple[Finding, ...]:
    async with database.transaction() as session:
        await session.execute(text("SET LOCAL session_replication_role = replica"))  # past triggers and foreign keys
        await session.execute(text(statement))
    async with database.transaction() as session:
        return await audit(session)


async def test_honest_books_have_no_findings(database: Database) -> None:
    assert await (await busy_scene(database)).faults() == []


@pytest.mark.parametrize(
    ("statement", "truths"),
    [
        ("UPDATE users SET credit_balance = credit_balance + 0.00000001", {"M1"}),
        ("UPDATE credit_transactions SET balance_after = 7 WHERE api_key_usage_id IS NULL", {"M1"}),
        ("UPDATE projects SET actual_credit_cost = 0", {"M1"}),
        ("DELETE FROM credit_transactions WHERE api_key_usage_id IS NULL", {"M1"}),
        ("UPDATE users SET credit_held = 0", {"M2"}),
        ("UPDATE users SET credit_held = 1000", {"M2", "M3"}),
        ("UPDATE credit_holds SET created_at = created_at + interval '1 hour' WHERE state = 'open'", {"M4"}),
        ("UPDATE credit_holds SET project_id = NULL WHERE state = 'voided'", {"M4"}),
        ("DELETE FROM api_key_usage WHERE status = 'fenced'", {"M4"}),
        ("UPDATE credit_holds SET state = 'voided', resolved_at = now() WHERE state = 'open'", {"M2", "M5"}),
        ("UPDATE api_key_usage SET status = 'failed' WHERE status = 'started'", {"M5"}),
        ("UPDATE credit_holds SET resolved_at = NULL WHERE state = 'settled'", {"M5"}),
        ("DELETE FROM credit_transactions WHERE api_key_usage_id IS NOT NULL", {"M1", "M6"}),
        ("UPDATE credit_transactions SET project_id = NULL WHERE api_key_usage_id = 1", {"M1", "M6"}),
        ("UPDATE api_key_usage SET status = 'failed' WHERE status = 'settled'", {"M5", "M6"}),
        ("UPDATE api_key_usage SET provider_request_id = 'gen-1' WHERE status = 'fenced'", {"M6"}),
        ("UPDATE api_key_usage SET cost_due_at = now() WHERE status = 'settled'", {"M6"}),
        ("UPDATE api_key_usage SET cost_due_at = now() - interval '25 hours' WHERE status = 'orphan'", {"M6"}),
        ("UPDATE api_key_usage SET cost_source = 'reconciled' WHERE status = 'orphan'", {"M6"}),
        ("UPDATE api_key_usage SET cost_source = 'unknown', actual_cost_usd = 1 WHERE status = 'fenced'", {"M11"}),
        ("UPDATE api_key_usage SET credits_unbilled = 0.00000001 WHERE status = 'settled'", {"M10"}),
        ("UPDATE api_key_usage SET credits_unbilled = -0.00000001 WHERE status = 'settled'", {"M10"}),
        ("UPDATE api_key_usage SET markup_factor = 1.4 WHERE status = 'settled'", {"M10"}),
        ("UPDATE api_key_usage SET output_tokens_used = output_tokens_used + 1 WHERE id = 1", {"M10", "M11"}),
        ("UPDATE api_key_usage SET cache_write_tokens_used = 12 WHERE id = 1", {"M10", "M11"}),
        ("UPDATE api_key_usage SET cache_write_tokens_used = 980 WHERE id = 2", {"M10", "M11"}),
        ("UPDATE api_key_usage SET images_processed = 2 WHERE id = 2", {"M10", "M11"}),
        ("UPDATE model_pricing SET cache_write_cost_per_million_tokens = NULL", {"M10", "M11"}),
        ("UPDATE model_pricing SET tiers = jsonb_set(tiers, '{0,cache_write}', '\"3\"')", {"M10", "M11"}),
        ("UPDATE api_key_usage SET actual_cost_usd = actual_cost_usd + 0.0000000001 WHERE id = 2", {"M11"}),
        ("UPDATE model_pricing SET tiers = '[]'", {"M10", "M11"}),
    ],
)
async def test_a_broken_truth_is_found(database: Database, statement: str, truths: set[str]) -> None:
    await busy_scene(database)
    findings = await tamper(database, statement)
    assert {finding.truth for finding in findings} == truths


async def test_a_finding_says_whose_and_what_should_agree(database: Database) -> None:
    scene = await busy_scene(database)
    [finding] = await tamper(database, "UPDATE users SET credit_held = 3")
    assert finding == Finding(
        truth="M2", user_id=scene.user_id, subject="held", expected="10.00000000", actual="3.00000000"
    )
    assert str(finding) == "M2: account 1, held: expected 10.00000000, found 3.00000000."
