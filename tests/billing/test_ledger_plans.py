"""No statement of the ledger reads a whole table: on a hundred thousand calls, as PostgreSQL itself plans them."""

import re
import uuid
from decimal import Decimal

import pytest
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.billing.scene import set_scene

from bottega.billing import ledger_sql as sql
from bottega.core.ids import new_id
from bottega.db.transaction import Database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# One call in a hundred is under way, one of ten of those is due, and a third of all are one busy person's.
_FILL = """
INSERT INTO users (username) SELECT 'person ' || n FROM generate_series(1, 1000) AS n;

INSERT INTO projects (id, user_id, description, status)
SELECT gen_random_uuid(), id, 'd', 'implementing' FROM users WHERE id > 1;

INSERT INTO credit_holds (id, user_id, project_id, idempotency_key, credits_amount, state, expires_at)
SELECT gen_random_uuid(), placed.user_id, placed.id, 'filled:' || n, 1,
       CASE WHEN n % 100 = 0 THEN 'open' ELSE 'settled' END,
       now() + CASE WHEN n % 1000 = 0 THEN interval '-1 hour' ELSE interval '1 hour' END
FROM generate_series(1, 100000) AS n
JOIN (SELECT id, user_id, row_number() OVER (ORDER BY user_id) AS place FROM projects) AS placed
    ON place = CASE WHEN n % 3 = 0 THEN 1 ELSE n % 1000 + 1 END;

INSERT INTO api_key_usage (
    call_key, operation_key, project_id, user_id, model_provider, model_name, task_type, markup_factor,
    credit_value_usd, hold_id, pricing_id, status
)
SELECT idempotency_key, 'step:' || row_number() OVER () / 10, project_id, user_id, 'acme', 'sage', 'implement', 1,
       1, id, (SELECT max(id) FROM model_pricing), CASE state WHEN 'open' THEN 'started' ELSE state END
FROM credit_holds;

INSERT INTO credit_transactions (
    user_id, project_id, api_key_usage_id, transaction_type, credits_amount, balance_after, idempotency_key
)
SELECT user_id, project_id, id, 'usage_deduction', -1, 0, 'usage:' || id
FROM api_key_usage WHERE status = 'settled';

UPDATE users SET credit_held = (
    SELECT COALESCE(sum(credits_amount), 0) FROM credit_holds WHERE user_id = users.id AND state = 'open');

UPDATE projects SET credit_limit = 1000000 WHERE user_id = 1
"""
LARGE = ("users", "projects", "credit_holds", "api_key_usage", "credit_transactions")


async def test_no_statement_reads_a_whole_table(database: Database) -> None:
    scene = await set_scene(database, credits="100000")
    async with database.transaction() as session:
        for statement in _FILL.split(";"):
            await session.execute(text(statement))
        for table in LARGE:
            await session.execute(text(f"ANALYZE {table}"))
    async with database.transaction() as session:
        given = await _values(session, user_id=scene.user_id, project_id=scene.project_id, pricing_id=scene.price.id)
        read: dict[str, list[str]] = {}
        for name, statement in vars(sql).items():
            if isinstance(statement, TextClause):
                plan = await _plan(session, statement, given)
                print(f"{name}\n{plan}\n")  # noqa: T201 -- shown with -rP
                read[name] = re.findall(rf"Seq Scan on ({'|'.join(LARGE)})", plan)
    assert {name: tables for name, tables in read.items() if tables} == {}


async def _plan(session: AsyncSession, statement: TextClause, given: dict[str, object]) -> str:
    explained = text(f"EXPLAIN (ANALYZE, COSTS OFF, BUFFERS OFF) {statement.text}")
    wanted = {name: given[name] for name in explained._bindparams}
    async with session.begin_nested() as undone:
        lines = (await session.scalars(explained, wanted)).all()
        await undone.rollback()
    return "\n".join(lines)


async def _values(session: AsyncSession, *, user_id: int, project_id: uuid.UUID, pricing_id: int) -> dict[str, object]:
    """Return a value for every parameter of every statement, the busy person's where there is a choice."""
    call = (
        await session.execute(
            text("SELECT id, hold_id, operation_key FROM api_key_usage WHERE user_id = :u AND status = 'started'"),
            {"u": user_id},
        )
    ).first()
    assert call is not None
    tokens = ("input_tokens", "input_tokens_estimated", "cached_tokens", "cache_write_tokens", "output_tokens")
    numbers = (*tokens, "reasoning_tokens", "images", "response_time_ms")
    nothing = ("reverses_id", "external_transaction_id", "description", "cost_source", "request_id", "key_id")
    return {
        **dict.fromkeys(numbers, 1),
        **dict.fromkeys(nothing),
        "key_fingerprint": None,
        "user_id": user_id,
        "project_id": project_id,
        "pricing_id": pricing_id,
        "usage_id": call.id,
        "hold_id": new_id(),
        "hold_ids": [call.hold_id],
        "operation_key": call.operation_key,
        "call_key": "new",
        "idempotency_key": "new",
        "transaction_type": "purchase",
        "task_key": "T1",
        "task_type": "implement",
        "markup": Decimal(1),
        "credit_value_usd": Decimal(1),
        "credits": Decimal(1),
        "cost_usd": Decimal(1),
        "ttl_seconds": 60.0,
        "limit": 500,
        "status": "failed",
        "state": "expired",
        "error_code": "e",
        "own_key": False,
        "cost_open": False,
    }
