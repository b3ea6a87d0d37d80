from decimal import Decimal

import pytest
from tests.billing.scene import set_scene

from bottega.billing.receipt import NotCharged, ReceiptLine, receipt, why_not_charged
from bottega.core.ids import new_id
from bottega.db.transaction import Database
from bottega.llm.types import Usage


async def test_a_receipt_lists_what_was_charged_and_what_was_not(database: Database) -> None:
    scene = await set_scene(database)
    await scene.settle(
        await scene.hold("5", call=scene.call(task_key=None, task_type="plan")), Usage(output_tokens=600)
    )
    for tokens in (200, 400):
        await scene.settle(await scene.hold("5"), Usage(input_tokens=80, output_tokens=tokens))
    await scene.void(await scene.hold("5"))
    await scene.hold("5", call=scene.call(task_type="verify"))
    async with database.transaction() as session:
        bill = await receipt(session, project_id=scene.project_id)
    plan, implement, verify = bill.lines
    assert (plan.task_key, plan.purpose, plan.model, plan.credits) == (None, "plan", "acme/sage", Decimal("0.9"))
    assert implement == ReceiptLine(
        task_key="T1",
        purpose="implement",
        model="acme/sage",
        calls=2,
        failed_calls=1,
        input_tokens=160,
        output_tokens=600,
        credits=Decimal("0.93"),
        credits_unbilled=Decimal(0),
        cost_usd=Decimal("0.0062"),
        failed_cost_usd=Decimal(0),
        not_charged={NotCharged.PROVIDER: 1},
    )
    assert [verify.calls, verify.failed_calls, verify.credits] == [0, 0, 0]
    assert (bill.calls, bill.failed_calls, bill.input_tokens, bill.output_tokens) == (3, 1, 160, 1200)
    assert bill.credits == -sum(entry.credits_amount for entry in (await scene.entries())[1:])


async def test_a_project_without_calls_has_an_empty_receipt(database: Database) -> None:
    async with database.transaction() as session:
        bill = await receipt(session, project_id=new_id())
    assert (bill.lines, bill.credits) == ((), Decimal(0))


@pytest.mark.parametrize(
    ("status", "error_code", "why"),
    [
        ("failed", "rate_limited", NotCharged.PROVIDER),
        ("failed", "refused", NotCharged.REFUSED),
        ("failed", "malformed_reply", NotCharged.UNUSABLE),
        ("failed", "short_of_credits", NotCharged.CUT_SHORT),
        ("failed", "defect", NotCharged.OURS),
        ("orphan", "cancelled", NotCharged.STOPPED),
        ("orphan", "claim_lost", NotCharged.OURS),
        ("fenced", "", NotCharged.OURS),
    ],
)
def test_every_end_has_its_cause(status: str, error_code: str, why: NotCharged) -> None:
    assert why_not_charged(status=status, error_code=error_code) is why


async def test_what_a_key_of_ones_own_paid_is_counted_apart(database: Database) -> None:
    scene = await set_scene(database)
    await scene.settle(await scene.hold("5"), Usage(output_tokens=400))
    await scene.settle(await scene.hold("5"), Usage(output_tokens=400))
    await scene.pay_with_own_key((await scene.calls())[0])
    async with database.transaction() as session:
        [line] = (await receipt(session, project_id=scene.project_id)).lines
    assert (line.calls, line.own_key_calls) == (2, 1)
