"""The audit at intervals says what it found: as a metric, and loudly where a truth does not hold."""

from structlog.testing import capture_logs
from tests.billing.scene import set_scene
from tests.billing.test_audit import tamper
from tests.database import MakeUser

from bottega.billing.auditor import TOLD, Auditor
from bottega.db.transaction import Database
from bottega.telemetry import metrics


async def test_honest_books_are_told_as_no_drift_and_without_a_word(database: Database) -> None:
    await set_scene(database)
    with capture_logs() as said:
        assert await Auditor(database=database).run() == ()
    assert said == []
    assert metrics.value("bottega_ledger_drift") == 0
    assert metrics.value("bottega_ledger_audited_timestamp_seconds") > 1_700_000_000


async def test_a_truth_that_does_not_hold_is_an_error_in_the_log_and_a_number(database: Database) -> None:
    scene = await set_scene(database)
    await tamper(database, "UPDATE users SET credit_balance = credit_balance + 1")
    with capture_logs() as said:
        await Auditor(database=database).run()
    assert metrics.value("bottega_ledger_drift") == 1
    assert [(line["event"], line["log_level"]) for line in said] == [
        ("billing.ledger.drift", "error"),
        ("billing.ledger.finding", "error"),
    ]
    assert (said[1]["truth"], said[1]["user_id"], said[1]["subject"]) == ("M1", scene.user_id, "balance")


async def test_very_many_findings_are_counted_and_the_first_are_told(database: Database, make_user: MakeUser) -> None:
    for _ in range(TOLD + 5):
        await make_user()
    await tamper(database, "UPDATE users SET credit_balance = credit_balance + 1")
    with capture_logs() as said:
        await Auditor(database=database).run()
    assert metrics.value("bottega_ledger_drift") == TOLD + 5
    assert len(said) == 1 + TOLD
