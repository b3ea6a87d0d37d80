"""The truths of money, checked against the rows. Reads only; an empty result means that all hold.

Comparisons multiply instead of dividing: NUMERIC products are exact, quotients are not.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing.payments.truth import EVERY_PAYMENT_IS_WHAT_ITS_FACTS_SAY, EVERY_ROW_OF_A_PAYMENT_IS_TIED_TO_IT


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A truth that does not hold: whose, of what (`subject`), and the two values that should agree."""

    truth: str
    user_id: int
    subject: str
    expected: str
    actual: str

    def __str__(self) -> str:
        return f"{self.truth}: account {self.user_id}, {self.subject}: expected {self.expected}, found {self.actual}."


async def audit(session: AsyncSession) -> tuple[Finding, ...]:
    """Return every way in which the money does not add up, truth by truth."""
    findings: list[Finding] = []
    for statement in _TRUTHS:
        findings += map(_finding, (await session.execute(statement)).all())
    return tuple(findings)


def _finding(row: Row[Any]) -> Finding:
    return Finding(
        truth=row.truth,
        user_id=row.user_id,
        subject=row.subject,
        expected=str(row.expected),
        actual=str(row.actual),
    )


_BALANCE_IS_THE_SUM = text("""
SELECT 'M1' AS truth, users.id AS user_id, 'balance' AS subject,
       COALESCE(entries.total, 0) AS expected, credit_balance AS actual
FROM users LEFT JOIN (
    SELECT user_id, sum(credits_amount) AS total FROM credit_transactions GROUP BY user_id
) AS entries ON entries.user_id = users.id
WHERE credit_balance <> COALESCE(entries.total, 0)
ORDER BY users.id
""")

_BALANCE_AFTER_IS_THE_RUNNING_SUM = text("""
SELECT 'M1' AS truth, user_id, 'transaction ' || id AS subject, running AS expected, balance_after AS actual
FROM (
    SELECT id, user_id, balance_after, sum(credits_amount) OVER (PARTITION BY user_id ORDER BY id) AS running
    FROM credit_transactions
) AS entries
WHERE balance_after <> running
ORDER BY id
""")

_PROJECT_COST_IS_THE_SUM = text("""
SELECT 'M1' AS truth, user_id, 'project ' || id AS subject,
       COALESCE(entries.total, 0) AS expected, actual_credit_cost AS actual
FROM projects LEFT JOIN (
    SELECT project_id, -sum(credits_amount) AS total FROM credit_transactions
    WHERE api_key_usage_id IS NOT NULL GROUP BY project_id
) AS entries ON entries.project_id = projects.id
WHERE actual_credit_cost <> COALESCE(entries.total, 0)
ORDER BY user_id, id
""")

_HELD_IS_THE_SUM = text("""
SELECT 'M2' AS truth, users.id AS user_id, 'held' AS subject,
       COALESCE(holds.total, 0) AS expected, credit_held AS actual
FROM users LEFT JOIN (
    SELECT user_id, sum(credits_amount) AS total FROM credit_holds WHERE state = 'open' GROUP BY user_id
) AS holds ON holds.user_id = users.id
WHERE credit_held <> COALESCE(holds.total, 0)
ORDER BY users.id
""")

# A clawed-back payment, and nothing else, may leave less than is held.
_NOTHING_IS_OVERSPENT = text("""
SELECT 'M3' AS truth, id AS user_id, 'available' AS subject, '>= 0' AS expected, credit_balance - credit_held AS actual
FROM users
WHERE credit_balance - credit_held < 0 AND NOT EXISTS (
    SELECT FROM credit_transactions
    WHERE user_id = users.id AND credits_amount < 0 AND api_key_usage_id IS NULL)
ORDER BY id
""")

_EVERY_CALL_WAS_HELD = text("""
SELECT 'M4' AS truth, api_key_usage.user_id, 'call ' || call_key AS subject,
       'a hold of its own, made before it' AS expected,
       'hold of account ' || credit_holds.user_id || ' at ' || credit_holds.created_at AS actual
FROM api_key_usage JOIN credit_holds ON credit_holds.id = hold_id
WHERE credit_holds.user_id <> api_key_usage.user_id
   OR credit_holds.project_id IS DISTINCT FROM api_key_usage.project_id
   OR credit_holds.created_at > api_key_usage.created_at
UNION ALL
SELECT 'M4', user_id, 'hold ' || idempotency_key, 'a call', 'none'
FROM credit_holds WHERE NOT EXISTS (SELECT FROM api_key_usage WHERE hold_id = credit_holds.id)
ORDER BY subject
""")

_HOLD_AND_CALL_END_TOGETHER = text("""
SELECT 'M5' AS truth, api_key_usage.user_id, 'call ' || call_key AS subject,
       CASE state WHEN 'open' THEN 'started' WHEN 'settled' THEN 'settled' ELSE 'ended' END AS expected,
       status AS actual
FROM api_key_usage JOIN credit_holds ON credit_holds.id = hold_id
WHERE NOT CASE state
    WHEN 'open' THEN status = 'started' AND resolved_at IS NULL
    WHEN 'settled' THEN status = 'settled' AND resolved_at IS NOT NULL
    WHEN 'voided' THEN status IN ('failed', 'fenced', 'orphan') AND resolved_at IS NOT NULL
    ELSE status <> 'started' AND resolved_at IS NOT NULL
END
ORDER BY subject
""")

_EVERY_CHARGE_IS_AN_ENTRY = text("""
SELECT 'M6' AS truth, api_key_usage.user_id, 'call ' || call_key AS subject, -credits_charged AS expected,
       COALESCE(credits_amount, 0) AS actual
FROM api_key_usage LEFT JOIN credit_transactions ON api_key_usage_id = api_key_usage.id
WHERE -credits_charged <> COALESCE(credits_amount, 0)
   OR credit_transactions.user_id <> api_key_usage.user_id
   OR credit_transactions.project_id IS DISTINCT FROM api_key_usage.project_id AND credit_transactions.id IS NOT NULL
   OR status <> 'settled' AND (credits_charged <> 0 OR credits_unbilled <> 0)
ORDER BY subject
""")

# A call that was not charged has a cost, or is asked for; a question overdue for a day means that nobody asks.
_NO_COST_IS_FORGOTTEN = text("""
SELECT 'M6' AS truth, user_id, 'call ' || call_key AS subject, 'a cost, or that it is asked for' AS expected,
       COALESCE('asked for since ' || cost_due_at || ' as ' || status, 'neither') AS actual
FROM api_key_usage
WHERE (status NOT IN ('started', 'settled') AND provider_request_id IS NOT NULL
       AND cost_source IS NULL AND cost_due_at IS NULL)
   OR (cost_due_at IS NOT NULL AND (cost_source IS NOT NULL OR status IN ('started', 'settled')))
   OR cost_due_at < now() - interval '1 day'
ORDER BY subject
""")

# M11: a cost that we worked out ourselves is tokens x price row. M10: a charge is its cost * markup / credit value,
# rounded up at the 8th decimal: never below it, never a whole step above.
_EVERY_CHARGE_CAN_BE_RECOMPUTED = text("""
WITH rates AS (
    SELECT api_key_usage.*, LEAST(cached_tokens_used, input_tokens_used) AS cached,
           LEAST(cache_write_tokens_used, input_tokens_used - LEAST(cached_tokens_used, input_tokens_used)) AS written,
           LEAST(reasoning_tokens_used, output_tokens_used) AS reasoning,
           COALESCE(cost_per_request, 0) AS per_request, COALESCE(image_input_cost_per_image, 0) AS per_image,
           CASE WHEN tier IS NULL THEN input_cost_per_million_tokens
                ELSE CAST(tier ->> 'input' AS numeric) END AS input_rate,
           CASE WHEN tier IS NULL THEN output_cost_per_million_tokens
                ELSE CAST(tier ->> 'output' AS numeric) END AS output_rate,
           CASE WHEN tier IS NULL THEN cached_input_cost_per_million_tokens
                ELSE CAST(tier ->> 'cached_input' AS numeric) END AS cached_rate,
           CASE WHEN tier IS NULL THEN cache_write_cost_per_million_tokens
                ELSE CAST(tier ->> 'cache_write' AS numeric) END AS cache_write_rate,
           CASE WHEN tier IS NULL THEN reasoning_cost_per_million_tokens
                ELSE CAST(tier ->> 'reasoning' AS numeric) END AS reasoning_rate
    FROM api_key_usage JOIN model_pricing ON model_pricing.id = pricing_id
    LEFT JOIN LATERAL (
        SELECT tier FROM jsonb_array_elements(tiers) AS tier
        WHERE input_tokens_used > CAST(tier ->> 'above_tokens' AS numeric)
        ORDER BY CAST(tier ->> 'above_tokens' AS numeric) DESC LIMIT 1
    ) AS reached ON true
    WHERE cost_source IS NOT NULL OR status = 'settled'
), calls AS (
    SELECT *, credits_charged + credits_unbilled AS credits, CASE cost_source
        WHEN 'reported' THEN actual_cost_usd
        WHEN 'reconciled' THEN actual_cost_usd
        WHEN 'unknown' THEN 0
        ELSE 0.000001 * ((input_tokens_used - cached - written) * input_rate
            + cached * COALESCE(cached_rate, input_rate) + written * COALESCE(cache_write_rate, input_rate)
            + (output_tokens_used - reasoning) * output_rate + reasoning * COALESCE(reasoning_rate, output_rate))
            + per_request + images_processed * per_image
        END AS exact_usd
    FROM rates
)
SELECT 'M10' AS truth, user_id, 'call ' || call_key AS subject,
       'at most 1e-8 above ' || trim_scale(exact_usd * markup_factor / credit_value_usd) AS expected,
       CAST(credits AS text) AS actual
FROM calls
WHERE status = 'settled' AND NOT (
    credits * credit_value_usd >= exact_usd * markup_factor
    AND (credits - 0.00000001) * credit_value_usd < exact_usd * markup_factor)
UNION ALL
SELECT 'M11', user_id, 'call ' || call_key, CAST(trim_scale(exact_usd) AS text), CAST(actual_cost_usd AS text)
FROM calls
WHERE NOT (actual_cost_usd >= exact_usd AND actual_cost_usd - 0.0000000001 < exact_usd)
ORDER BY truth, subject
""")

_TRUTHS = (
    _BALANCE_IS_THE_SUM,
    _BALANCE_AFTER_IS_THE_RUNNING_SUM,
    _PROJECT_COST_IS_THE_SUM,
    _HELD_IS_THE_SUM,
    _NOTHING_IS_OVERSPENT,
    _EVERY_CALL_WAS_HELD,
    _HOLD_AND_CALL_END_TOGETHER,
    _EVERY_CHARGE_IS_AN_ENTRY,
    EVERY_PAYMENT_IS_WHAT_ITS_FACTS_SAY,
    EVERY_ROW_OF_A_PAYMENT_IS_TIED_TO_IT,
    _NO_COST_IS_FORGOTTEN,
    _EVERY_CHARGE_CAN_BE_RECOMPUTED,
)
