"""Who pays when a model's reply is of no use: the person for the first in a row, and for no other failure of ours."""

import io
import zipfile
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from bottega.billing.metering import MeteredLLM
from bottega.billing.tables import ApiKeyUsage, CreditTransaction
from bottega.orchestration.running import advance
from bottega.orchestration.state import RunState, StepKind, StopCode
from bottega.orchestration.steps import catalogue
from bottega.orchestration.steps.types import Situation, StepResult, Workbench
from bottega.orchestration.tables import Step
from bottega.orchestration.views.standing import Status
from tests.journeys import scripts
from tests.journeys.conftest import OpenWorkshop, Workshop

pytestmark = pytest.mark.slow  # each case is a build of its own

MALFORMED = "I would rather not."


async def calls_for(workshop: Workshop, purpose: str, task_key: str | None = None) -> list[ApiKeyUsage]:
    statement = select(ApiKeyUsage).where(ApiKeyUsage.task_type == purpose).order_by(ApiKeyUsage.id)
    if task_key:
        statement = statement.where(ApiKeyUsage.task_key == task_key)
    async with workshop.app.database.transaction() as session:
        return list((await session.scalars(statement)).all())


async def journaled(workshop: Workshop, status: Status, kind: str) -> list[tuple[str, bool]]:
    """Return every step of this kind: its outcome, and whether anybody paid for it."""
    statement = select(Step).where(Step.run_id == status.run_id, Step.kind == kind).order_by(Step.step_no)
    async with workshop.app.database.transaction() as session:
        return [(step.outcome, step.credits_charged > 0) for step in (await session.scalars(statement)).all()]


async def test_of_unusable_plans_in_a_row_the_first_is_charged_and_no_other(open_workshop: OpenWorkshop) -> None:
    script = {**scripts.GOOD, **{f"plan-{n}.md": MALFORMED for n in (1, 2, 3)}, "plan-4.md": MALFORMED}
    workshop = await open_workshop({**script, "plan-5.md": scripts.GOOD["plan-1.md"]})
    stopped = await workshop.build(scripts.BRIEF)
    assert stopped.stop_code is StopCode.UNUSABLE_REPLIES
    assert await journaled(workshop, stopped, "plan") == [("unusable", True), ("unusable", False), ("gave_up", False)]
    calls = await calls_for(workshop, "plan")
    assert [(call.status, call.error_code) for call in calls] == [
        ("settled", None),
        ("failed", "malformed_reply"),
        ("failed", "malformed_reply"),
    ]
    assert all(call.actual_cost_usd > 0 and call.output_tokens_used > 0 for call in calls)  # the platform's loss
    await workshop.audit()

    await workshop.app.orchestrator.resume(user_id=workshop.user_id, project_id=stopped.project_id)
    done = await workshop.run(stopped.project_id)  # the person said to go on: a new row begins
    assert done.state is RunState.DONE
    assert [paid for _, paid in await journaled(workshop, done, "plan")] == [True, False, False, True, True]
    await workshop.audit()


async def test_an_edit_that_fails_twice_is_charged_once_and_the_task_says_so(open_workshop: OpenWorkshop) -> None:
    wrong = {f"implement-T1-{n}.md": scripts.edit({"../outside.py": f"x = {n}\n"}) for n in (1, 2)}
    script = {**scripts.GOOD, **wrong, "implement-T1-3.md": scripts.GOOD["implement-T1-1.md"]}
    workshop = await open_workshop(script)
    status = await workshop.build(scripts.BRIEF)
    assert status.state is RunState.DONE
    calls = await calls_for(workshop, "implement", "T1")
    assert [call.error_code for call in calls] == [None, "malformed_reply", None]
    first = (await workshop.tasks(status.project_id))[0]
    reviews = await calls_for(workshop, "verify", "T1")
    assert first.credits_charged == sum(call.credits_charged for call in (*calls, *reviews))
    await workshop.audit()


async def test_a_task_that_gives_up_after_three_unusable_replies_paid_for_one(open_workshop: OpenWorkshop) -> None:
    wrong = {f"implement-T1-{n}.md": MALFORMED + str(n) for n in (1, 2, 3)}
    workshop = await open_workshop({**scripts.GOOD, **wrong, "implement-T1-4.md": scripts.GOOD["implement-T1-1.md"]})
    status = await workshop.build(scripts.BRIEF)
    steps = await journaled(workshop, status, "implement")
    assert steps[:4] == [("unusable", True), ("unusable", False), ("failed", False), ("proposed", True)]
    await workshop.audit()


async def test_a_refusal_is_not_charged(open_workshop: OpenWorkshop) -> None:
    script = {**scripts.GOOD, "plan-1.error.json": '{"error": "refused"}', "plan-2.md": scripts.GOOD["plan-1.md"]}
    workshop = await open_workshop(script)
    status = await workshop.build(scripts.BRIEF)
    assert status.state is RunState.DONE
    assert [(call.status, call.error_code) for call in await calls_for(workshop, "plan")] == [
        ("failed", "refused"),
        ("settled", None),
    ]


async def test_what_our_own_defect_wasted_is_not_charged(
    open_workshop: OpenWorkshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = catalogue.EXECUTORS[StepKind.PLAN]

    async def defective(situation: Situation, bench: Workbench) -> StepResult:
        await sound(situation, bench)
        raise KeyError("oops")

    monkeypatch.setattr(advance, "EXECUTORS", {**catalogue.EXECUTORS, StepKind.PLAN: defective})
    workshop = await open_workshop(scripts.GOOD)
    stopped = await workshop.build(scripts.BRIEF)
    assert stopped.stop_code is StopCode.DEFECT
    [call] = await calls_for(workshop, "plan")
    assert (call.status, call.error_code, call.credits_charged) == ("failed", "defect", Decimal(0))
    assert call.actual_cost_usd > 0
    await workshop.audit()


async def test_a_reply_is_forgiven_with_its_step_or_not_at_all(
    open_workshop: OpenWorkshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the journal is not written, the reply is still owed; then it is given up, and charged by nobody."""
    sound = MeteredLLM.forgive

    async def forgive_and_fail(self: MeteredLLM, session: object, *, error_code: str) -> None:
        await sound(self, session, error_code=error_code)  # type: ignore[arg-type]
        raise KeyError("the journal cannot be written")

    monkeypatch.setattr(MeteredLLM, "forgive", forgive_and_fail)
    workshop = await open_workshop({**scripts.GOOD, "plan-1.md": MALFORMED, "plan-2.md": MALFORMED})
    stopped = await workshop.build(scripts.BRIEF)
    assert stopped.stop_code is StopCode.DEFECT
    assert await journaled(workshop, stopped, "plan") == [("unusable", True)]
    assert [call.error_code for call in await calls_for(workshop, "plan")] == [None, "defect"]
    await workshop.audit()


async def test_a_receipt_with_failures_adds_up_to_the_ledger_and_says_why_nobody_paid(
    open_workshop: OpenWorkshop,
) -> None:
    script = {
        **scripts.GOOD,
        "gather-1.error.json": '{"error": "overloaded", "retry_after": 0.01}',
        "plan-1.error.json": '{"error": "refused"}',
        "plan-2.md": MALFORMED,
        "plan-3.md": scripts.GOOD["plan-1.md"],
        **{f"implement-T1-{n}.md": MALFORMED + str(n) for n in (1, 2)},
        "implement-T1-3.md": scripts.GOOD["implement-T1-1.md"],
    }
    workshop = await open_workshop(script)
    status = await workshop.build(scripts.BRIEF)
    assert status.state is RunState.DONE
    async with workshop.app.database.transaction() as session:
        spent = select(func.sum(CreditTransaction.credits_amount)).where(
            CreditTransaction.project_id == status.project_id
        )
        charged = -(await session.execute(spent)).scalar_one()
    content = await workshop.app.storage.get(key=status.archive_key or "")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("RECEIPT.md")]
        text = archive.read(name).decode()
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines() if row.startswith("| ")]
    parts, total = rows[2:-1], rows[-1]
    assert sum(Decimal(row[-1]) for row in parts) == Decimal(total[-1]) == charged == status.credits_charged
    assert [int(row[2]) for row in parts] == [1, 2, 1, 0, 0]
    assert (
        "Not charged: 1 call failed at the provider; 1 call refused by the model;"
        " 2 calls answered with an unusable reply, again."
    ) in text
    await workshop.audit()
