"""Every guard of the ledger is removed, one at a time, and the machine must notice.

A guard that could go unnoticed is no guard, or not one that anything tests. Where two of them stand behind each other,
`beside` takes the other one away first: each must be enough alone.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from tests.billing.ledger_bench import Bench, open_bench
from tests.billing.ledger_machine import machine_on
from tests.billing.test_ledger_machine import ROUTINE

from bottega.billing import ledger, ledger_sql

SEARCH = settings(ROUTINE, max_examples=400, phases=(Phase.generate,), derandomize=True, report_multiple_bugs=False)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass(frozen=True, slots=True)
class Change:
    """In the source of a statement of `ledger_sql` (by its name) or of a function of `ledger`, once."""

    where: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """A constraint of the database."""

    table: str
    name: str


LIMIT_WITHIN_HOLD = Change("HOLD", "credit_limit IS NULL OR", "true OR")
LIMIT_AFTER_HOLD = Change("_keep_limit", "if left < 0:", "if left < -10**9:")
ONE_ENTRY_PER_CALL = Dropped("credit_transactions", "uq_credit_transactions_api_key_usage_id")
ONE_ENTRY_PER_KEY = Dropped("credit_transactions", "uq_credit_transactions_idempotency_key")
ONE_HOLD_PER_KEY = Dropped("credit_holds", "uq_credit_holds_idempotency_key")
ONE_CALL_PER_KEY = Dropped("api_key_usage", "uq_api_key_usage_call_key")
HELD_NOT_NEGATIVE = Dropped("users", "ck_users_held_not_negative")
ENDS_ONCE = "AND (status = 'started' OR (status = 'orphan' AND credit_holds.state = 'expired'))"
RESERVED = "CASE credit_holds.state WHEN 'open' THEN credits_amount ELSE 0 END"

MUTATIONS: dict[str, tuple[Change | Dropped, ...]] = {
    # what may be held
    "the check ignores what is held": (Change("HOLD", "AND credit_balance - credit_held >=", "AND credit_balance >="),),
    "anything may be held": (Change("HOLD", "AND credit_balance - credit_held >= CAST(:credits AS numeric)", ""),),
    "a hold reserves nothing": (
        Change("HOLD", "credit_held = credit_held + CAST(:credits AS numeric)", "credit_held = credit_held"),
    ),
    "a suspended account may hold": (Change("HOLD", "AND status = 'active'", ""),),
    "anybody's project will do": (
        Change("HOLD", "WHERE id = CAST(:project_id AS uuid) AND user_id = :user_id", "WHERE id = :project_id"),
    ),
    "a project of somebody else is no reason to refuse": (
        Change("HOLD", "CAST(:project_id AS uuid) IS NULL OR EXISTS (SELECT FROM project)", "true"),
    ),
    "a call key is held twice; the database refuses": (
        Change("HOLD", "AND NOT EXISTS (SELECT FROM credit_holds WHERE idempotency_key = :call_key)", ""),
    ),
    "a call key is held twice; nothing else refuses": (
        ONE_HOLD_PER_KEY,
        ONE_CALL_PER_KEY,
        Change("HOLD", "AND NOT EXISTS (SELECT FROM credit_holds WHERE idempotency_key = :call_key)", ""),
    ),
    # a project's limit stands in the hold's own statement and, for holds side by side, in the one after it
    "a project's limit is nowhere": (LIMIT_WITHIN_HOLD, LIMIT_AFTER_HOLD),
    "a project's limit forgets what was spent, in the hold": (
        LIMIT_AFTER_HOLD,
        Change("HOLD", "CAST(:credits AS numeric) + actual_credit_cost + (", "CAST(:credits AS numeric) + ("),
    ),
    "a project's limit forgets what is held, in the hold": (
        LIMIT_AFTER_HOLD,
        Change("HOLD", "SELECT COALESCE(sum(credits_amount), 0)", "SELECT 0 * count(*)"),
    ),
    "a project's limit forgets what was spent, after the hold": (
        LIMIT_WITHIN_HOLD,
        Change("PROJECT_LEFT", "credit_limit - actual_credit_cost", "credit_limit"),
    ),
    "a project's limit forgets what is held, after the hold": (
        LIMIT_WITHIN_HOLD,
        Change("PROJECT_LEFT", "SELECT COALESCE(sum(credits_amount), 0)", "SELECT 0 * count(*)"),
    ),
    "a project's limit counts holds that have ended": (
        LIMIT_AFTER_HOLD,
        Change("HOLD", "project_id = projects.id AND state = 'open'", "project_id = projects.id"),
    ),
    "a refusal blames the wrong bound": (
        Change("_refusal", "why.project_left < min(credits, why.available)", "why.project_left < credits"),
    ),
    # settling
    "a settled call is settled again; the database refuses": (Change("SETTLE", ENDS_ONCE, ""),),
    "a settled call is settled again; nothing else refuses": (
        ONE_ENTRY_PER_CALL,
        ONE_ENTRY_PER_KEY,
        Change("SETTLE", ENDS_ONCE, ""),
    ),
    "a late settle charges twice": (
        ONE_ENTRY_PER_CALL,
        ONE_ENTRY_PER_KEY,
        Change("SETTLE", "status = 'orphan' AND", "status IN ('orphan', 'settled') AND"),
    ),
    "a late settle charges nothing": (
        Change("SETTLE", "OR (status = 'orphan' AND credit_holds.state = 'expired')", ""),
    ),
    "a call that was given up is charged": (Change("SETTLE", "AND credit_holds.state = 'expired'", ""),),
    "a late settle releases what has been released": (
        HELD_NOT_NEGATIVE,
        Change("SETTLE", RESERVED, "credits_amount"),
    ),
    "an expired hold becomes a settled one": (Change("SETTLE", "hold_id AND state = 'open'", "hold_id"),),
    "settling leaves the hold open": (Change("SETTLE", "SET state = 'settled', resolved_at", "SET resolved_at"),),
    "settling keeps the credits reserved": (
        Change("SETTLE", "credit_held = credit_held - reserved", "credit_held = credit_held"),
    ),
    "a charge passes the balance": (
        Change(
            "SETTLE",
            "LEAST(CAST(:credits AS numeric), reserved + GREATEST(credit_balance - credit_held, 0))",
            "CAST(:credits AS numeric)",
        ),
    ),
    "a charge never passes the hold": (
        Change("SETTLE", "reserved + GREATEST(credit_balance - credit_held, 0)", "reserved"),
    ),
    "a charge eats what other calls hold": (
        Change("SETTLE", "GREATEST(credit_balance - credit_held, 0)", "GREATEST(credit_balance, 0)"),
    ),
    "a debt eats the hold": (
        Change("SETTLE", "GREATEST(credit_balance - credit_held, 0)", "credit_balance - credit_held"),
    ),
    "a charge is rounded to 0.01": (
        Change("SETTLE", "LEAST(CAST(:credits AS numeric),", "LEAST(round(CAST(:credits AS numeric), 2),"),
    ),
    "a charge leaves the balance": (
        Change("SETTLE", "SELECT credit_balance - charge, charge", "SELECT credit_balance, charge"),
    ),
    "a charge leaves no entry": (
        Change("SETTLE", "FROM call, person WHERE charged > 0\n)", "FROM call, person WHERE charged < 0\n)"),
    ),
    "an entry tells the balance before it": (
        Change("SETTLE", "-charged, credit_balance,", "-charged, credit_balance + charged,"),
    ),
    "a project forgets what it spent": (Change("SETTLE", "actual_credit_cost + charged", "actual_credit_cost"),),
    "what nobody pays is forgotten": (
        Change("SETTLE", "credits_unbilled = CAST(:credits AS numeric) - charged", "credits_unbilled = 0"),
    ),
    "a repeated settle forgets the first result": (
        Change("FIRST_RESULT", "SELECT credits_charged,", "SELECT 0 AS credits_charged,"),
    ),
    "a settle commits before its caller": (
        Change("settle", "if row is not None:", "await session.commit()\n    if row is not None:"),
    ),
    # voiding, expiring, giving up
    "an ended call is voided": (Change("VOID", "status = 'started' OR (status", "true OR (status"),),
    "a late void releases what has been released": (HELD_NOT_NEGATIVE, Change("VOID", RESERVED, "credits_amount")),
    "an expired hold becomes a voided one": (Change("VOID", "hold_id AND state = 'open'", "hold_id"),),
    "voiding leaves the hold open": (Change("VOID", "SET state = 'voided', resolved_at", "SET resolved_at"),),
    "voiding keeps the credits reserved": (
        Change("VOID", "credit_held = credit_held - reserved", "credit_held = credit_held"),
    ),
    "the sweep does not wait for the deadline": (Change("EXPIRED", "AND expires_at <= now()", ""),),
    "the sweep takes more than it was told": (Change("EXPIRED", "LIMIT :limit", "LIMIT :limit + 1"),),
    "the sweep takes holds that have ended; the release does not": (
        Change("EXPIRED", "credit_holds.state = 'open' AND expires_at", "expires_at"),
    ),
    "ended holds are released": (
        HELD_NOT_NEGATIVE,
        Change("EXPIRED", "credit_holds.state = 'open' AND expires_at", "expires_at"),
        Change("RELEASE", "AND state = 'open'", ""),
    ),
    "expiry keeps the credits reserved": (
        Change("RELEASE", "credit_held = credit_held - credits", "credit_held = credit_held"),
    ),
    "expiry gives back one hold of a person's many": (Change("RELEASE", "sum(credits_amount)", "max(credits_amount)"),),
    "expiry leaves the call started": (Change("RELEASE", "SET status = 'orphan', error_code", "SET error_code"),),
    "a claim gives up every step's calls": (
        Change("STARTED_BEFORE", "operation_key = :operation_key AND", "CAST(:operation_key AS text) IS NOT NULL AND"),
    ),
    # money that comes and goes
    "a repeated key grants again; the database refuses": (Change("FIND_ENTRY", "WHERE", "WHERE false AND"),),
    "a repeated key grants again; nothing else refuses": (
        ONE_ENTRY_PER_KEY,
        Change("FIND_ENTRY", "WHERE", "WHERE false AND"),
    ),
    "a key is not bound to its person": (Change("_post", "first.user_id != user_id", "first.user_id < 0"),),
    "a grant leaves the balance": (
        Change(
            "GRANT", "credit_balance = credit_balance + CAST(:credits AS numeric)", "credit_balance = credit_balance"
        ),
    ),
    "a grant goes to everybody": (Change("GRANT", "    WHERE id = :user_id\n", "    WHERE :user_id > 0\n"),),
    "a clawback stops at zero": (
        Change(
            "claw_back",
            "return await _post(",
            "credits = min(credits, max(await available(session, user_id=user_id), Decimal('0.00000001')))\n"
            "    return await _post(",
        ),
    ),
    "a correction may leave a debt": (Change("adjust", "if left < 0 and", "if False and"),),
    "a repeated correction is refused": (Change("adjust", " and not entry.repeated", ""),),
    "a grant commits before its caller": (Change("_post", "row = (await", "await session.commit()\n    row = (await"),),
}


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    with open_bench(database_url) as bench:
        yield bench


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_machine_notices_that(bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with without(bench, [change for change in MUTATIONS[name] if isinstance(change, Dropped)]):
        for change in MUTATIONS[name]:
            if isinstance(change, Change):
                apply(monkeypatch, change)
        with pytest.raises((Exception, pytest.fail.Exception)) as found:
            run_state_machine_as_test(machine_on(bench), settings=SEARCH)
    assert not isinstance(found.value, DBAPIError) or isinstance(found.value, IntegrityError), "no statement any more"
    ours = [entry for entry in found.traceback if "ledger_machine" in str(entry.path)]
    where = ours[-1] if ours else found.traceback[-1]  # a history that shows it on one run only is told by hypothesis
    print(f"{name} -- {found.typename} at: {str(where.statement).strip()}")  # noqa: T201 -- shown with -rP


test_the_machine_notices_that.__doc__ = "\n".join(("Each of these, by itself, must be noticed:", *MUTATIONS))


def apply(monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    if change.where.isupper():
        statement: TextClause = getattr(ledger_sql, change.where)
        monkeypatch.setattr(ledger_sql, change.where, text(edited(statement.text, change)))
    else:
        function: Callable[..., object] = getattr(ledger, change.where)
        made: dict[str, object] = {}
        source = edited(textwrap.dedent(inspect.getsource(function)), change)
        exec(source, vars(ledger), made)  # noqa: S102 -- our own source, one expression changed
        monkeypatch.setattr(ledger, change.where, made[change.where])


def edited(source: str, change: Change) -> str:
    assert source.count(change.old) == 1, f"{change.old!r} is not once in {change.where}"
    return source.replace(change.old, change.new)


@contextmanager
def without(bench: Bench, constraints: list[Dropped]) -> Iterator[None]:
    """Take constraints away for a while; the books are empty when they come back."""
    definitions = [
        bench.fetch("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1", constraint.name)[0][0]
        for constraint in constraints
    ]
    for constraint in constraints:
        bench.fetch(f"ALTER TABLE {constraint.table} DROP CONSTRAINT {constraint.name} CASCADE")
    try:
        yield
    finally:
        bench.clear()
        for constraint, definition in zip(constraints, definitions, strict=True):
            bench.fetch(f"ALTER TABLE {constraint.table} ADD CONSTRAINT {constraint.name} {definition}")
