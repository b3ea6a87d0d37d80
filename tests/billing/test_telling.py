"""What operators are told of model calls: each attempt once, what is written off, nothing of anybody's words."""

import asyncio
from decimal import Decimal

import pytest
from structlog.testing import capture_logs
from tests.billing.scene import set_scene
from tests.billing.test_metering import REPLY, REQUEST, Provider, account, settle

from bottega.db.transaction import Database
from bottega.llm.errors import Overloaded, RateLimited
from bottega.llm.types import Usage
from bottega.telemetry import metrics


def orphans() -> tuple[float, float]:
    return metrics.value("bottega_orphan_calls_total"), metrics.value("bottega_orphan_cost_usd_total")


async def test_every_attempt_has_its_line_and_the_last_says_how_often_it_was_tried(database: Database) -> None:
    scene = await set_scene(database)
    wasted = Overloaded("with words", provider="acme", usage=Usage(input_tokens=30), cost_usd=Decimal("0.25"))
    turns = (RateLimited("slow down", provider="acme"), wasted, REPLY)
    limited = metrics.value("bottega_provider_errors_total", provider="acme", code="rate_limited")
    with capture_logs() as said:
        await account(scene, Provider(turns=turns)).complete(REQUEST)
    told = [line for line in said if line["event"].startswith("billing.call.")]
    assert [(line["event"], line["attempt"], line.get("error"), line["cost_usd"]) for line in told] == [
        ("billing.call.failed", 1, "rate_limited", None),
        ("billing.call.failed", 2, "overloaded", "0.2500000000"),
        ("billing.call.done", 3, None, "0.0100375000"),
    ]
    assert {(line["model"], line["purpose"], line["project_id"]) for line in told} == {
        ("acme/sage", "implement", str(scene.project_id))
    }
    assert metrics.value("bottega_provider_errors_total", provider="acme", code="rate_limited") - limited == 1
    for words in ("words", "careful", "Write it", "Done."):
        assert words not in str(said)


async def test_tokens_and_time_of_an_answer_are_counted_by_model(database: Database) -> None:
    scene = await set_scene(database)
    labels = {"provider": "acme", "model": "sage"}
    before = metrics.value("bottega_gen_ai_client_token_usage_sum", type="output", **labels)
    calls = metrics.value("bottega_gen_ai_client_operation_duration_seconds_count", outcome="ok", **labels)
    await account(scene, Provider()).complete(REQUEST)
    after = metrics.value("bottega_gen_ai_client_token_usage_sum", type="output", **labels)
    assert after - before == REPLY.usage.output_tokens
    again = metrics.value("bottega_gen_ai_client_operation_duration_seconds_count", outcome="ok", **labels)
    assert again - calls == 1


async def test_a_call_that_is_cancelled_is_counted_as_written_off(database: Database) -> None:
    scene = await set_scene(database)
    provider, (calls, _) = Provider(turns=[lambda: None]), orphans()
    asked = asyncio.create_task(account(scene, provider).complete(REQUEST))
    await provider.reached.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert orphans()[0] - calls == 1


async def test_a_reply_that_is_given_up_is_counted_with_what_it_cost_and_only_once(database: Database) -> None:
    scene = await set_scene(database)
    calls, usd = orphans()
    llm = account(scene, Provider())
    await llm.complete(REQUEST)
    await llm.abandon(status="orphan", error_code="cancelled")
    await llm.abandon(status="orphan", error_code="cancelled")
    assert orphans()[0] == calls + 1
    assert orphans()[1] == pytest.approx(usd + 0.0100375)


async def test_a_reply_that_is_paid_for_is_not_written_off(database: Database) -> None:
    scene = await set_scene(database)
    before = orphans()
    llm = account(scene, Provider())
    await llm.complete(REQUEST)
    await settle(scene, llm)
    await llm.abandon(status="orphan")
    assert orphans() == before
