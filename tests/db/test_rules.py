"""What the database itself refuses, whoever asks."""

import asyncpg
import pytest
from tests.database import MakeUser, connected

PRICE = (
    "INSERT INTO model_pricing (model_provider, model_name, input_cost_per_million_tokens,"
    " output_cost_per_million_tokens, source, is_active) VALUES ('acme', 'small', 1, 2, 'operator', {active})"
)
STEP = (
    "INSERT INTO projects (id, user_id, description, status)"
    " VALUES ('00000000-0000-0000-0000-000000000001', 1, 'a list', 'planning');"
    "INSERT INTO runs (id, project_id, user_id)"
    " VALUES ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 1);"
    "INSERT INTO steps (run_id, step_no, kind, outcome, output, lease_token, duration_ms)"
    " VALUES ('00000000-0000-0000-0000-000000000002', 1, 'plan', 'ok', '{{}}', 1, 5)"
)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE credit_transactions SET credits_amount = 1000",
        "UPDATE credit_transactions SET description = 'typo'",
        "DELETE FROM credit_transactions",
        "TRUNCATE credit_transactions CASCADE",
        "TRUNCATE users CASCADE",
        "UPDATE model_pricing SET input_cost_per_million_tokens = 0",
        "UPDATE model_pricing SET is_active = false, notes = 'and a word'",
        "UPDATE model_pricing SET is_active = is_active",
        "UPDATE model_pricing SET is_active = true WHERE NOT is_active",
        "DELETE FROM model_pricing",
        "TRUNCATE model_pricing CASCADE",
        "UPDATE steps SET output = '[]'",
        "UPDATE steps SET credits_charged = credits_charged",
    ],
)
async def test_history_cannot_be_rewritten(database_url: str, make_user: MakeUser, statement: str) -> None:
    await make_user()
    async with connected(database_url) as connection:
        for row in (PRICE.format(active="true"), PRICE.format(active="false"), STEP.format()):
            await connection.execute(row)
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute(statement)


@pytest.mark.parametrize(
    ("statement", "result"),
    [
        ("UPDATE model_pricing SET is_active = false WHERE is_active", "UPDATE 1"),
        ("DELETE FROM runs", "DELETE 1"),
        ("DELETE FROM projects", "DELETE 1"),
    ],
)
async def test_what_may_end_can_end(database_url: str, make_user: MakeUser, statement: str, result: str) -> None:
    await make_user()
    async with connected(database_url) as connection:
        await connection.execute(PRICE.format(active="true"))
        await connection.execute(STEP.format())
        assert await connection.execute(statement) == result
