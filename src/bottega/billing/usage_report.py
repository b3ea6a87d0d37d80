"""What model calls cost the operator and what they earned, over a window of time, by one dimension. Reads only.

    revenue = credits charged x the credit's value at that call, whatever paid for the credits
    cost    = what providers billed the platform, calls that nobody paid for included
    margin  = revenue - cost

Losses are the part of the cost that came from calls nobody paid for; unbilled is what a charge could not cover, at the
credit's value. A call that a person's own key paid for costs the platform nothing. Days are UTC.
"""

from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_HUNDRED = Decimal(100)


class Dimension(StrEnum):
    USER = "user"
    PROJECT = "project"
    MODEL = "model"
    DAY = "day"
    PURPOSE = "purpose"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Both days included; None is open on that side."""

    since: date | None = None
    until: date | None = None

    def bounds(self) -> dict[str, datetime | None]:
        last = None if self.until is None or self.until == date.max else self.until + timedelta(days=1)
        return {"since": _midnight(self.since), "until": _midnight(last)}


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageLine:
    """`label` is text of people or providers. Of calls under way only the number is known."""

    label: str
    calls: int
    input_tokens: int
    output_tokens: int
    credits: Decimal
    revenue_usd: Decimal
    cost_usd: Decimal
    orphan_usd: Decimal
    failed_usd: Decimal
    fenced_usd: Decimal
    unbilled_usd: Decimal

    @property
    def margin_usd(self) -> Decimal:
        return self.revenue_usd - self.cost_usd

    @property
    def margin_percent(self) -> Decimal | None:
        """Return the margin as a share of the revenue, or None where nothing was earned."""
        return self.margin_usd * _HUNDRED / self.revenue_usd if self.revenue_usd else None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """`given_credits` cost their owner nothing; `bought_credits` are purchases less what was taken back."""

    lines: tuple[UsageLine, ...]
    given_credits: Decimal
    bought_credits: Decimal

    @property
    def total(self) -> UsageLine:
        amounts = [field.name for field in fields(UsageLine) if field.name != "label"]
        sums = {name: sum(getattr(line, name) for line in self.lines) for name in amounts}
        exact = {name: Decimal(value) if name.endswith(("usd", "credits")) else value for name, value in sums.items()}
        return UsageLine(label="Total", **exact)  # type: ignore[arg-type]


async def usage_report(session: AsyncSession, *, by: Dimension, window: Window) -> UsageReport:
    bounds = window.bounds()
    rows = (await session.execute(_BY[by], bounds)).mappings()
    lines = tuple(UsageLine(**row) for row in rows)
    given, bought = (await session.execute(_GIVEN_AND_BOUGHT, bounds)).one()
    return UsageReport(lines=lines, given_credits=given, bought_credits=bought)


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time.min, tzinfo=UTC)


_LINES = """
SELECT {label} AS label, count(*) AS calls,
       sum(input_tokens_used) AS input_tokens, sum(output_tokens_used) AS output_tokens,
       sum(credits_charged) AS credits, sum(credits_charged * credit_value_usd) AS revenue_usd,
       sum(paid_usd) AS cost_usd,
       COALESCE(sum(paid_usd) FILTER (WHERE calls.status = 'orphan'), 0) AS orphan_usd,
       COALESCE(sum(paid_usd) FILTER (WHERE calls.status = 'failed'), 0) AS failed_usd,
       COALESCE(sum(paid_usd) FILTER (WHERE calls.status = 'fenced'), 0) AS fenced_usd,
       sum(credits_unbilled * credit_value_usd) AS unbilled_usd
FROM (
    SELECT api_key_usage.*, CASE WHEN own_key THEN 0 ELSE actual_cost_usd END AS paid_usd
    FROM api_key_usage
    WHERE (CAST(:since AS timestamptz) IS NULL OR api_key_usage.created_at >= :since)
      AND (CAST(:until AS timestamptz) IS NULL OR api_key_usage.created_at < :until)
) AS calls
JOIN users ON users.id = calls.user_id
LEFT JOIN projects ON projects.id = calls.project_id
GROUP BY {key}, {label}
ORDER BY {order}
"""

_DAY = "CAST(calls.created_at AT TIME ZONE 'UTC' AS date)"
_DEAREST = "sum(credits_charged) DESC, sum(paid_usd) DESC, label"

# How a dimension is told apart, what it is called, and its order.
_GROUPINGS = {
    Dimension.USER: (
        "users.id",
        "COALESCE(users.username, users.email, 'telegram ' || users.telegram_user_id) || ' (' || users.id || ')'",
        _DEAREST,
    ),
    Dimension.PROJECT: (
        "calls.project_id",
        "COALESCE(projects.title || ' (' || calls.project_id || ')', 'no project')",
        _DEAREST,
    ),
    Dimension.MODEL: ("model_provider, model_name", "model_provider || '/' || model_name", _DEAREST),
    Dimension.DAY: (_DAY, f"CAST({_DAY} AS text)", "label"),
    Dimension.PURPOSE: ("task_type", "task_type", _DEAREST),
}

_BY = {
    dimension: text(_LINES.format(key=key, label=label, order=order))
    for dimension, (key, label, order) in _GROUPINGS.items()
}

_GIVEN_AND_BOUGHT = text("""
SELECT COALESCE(sum(credits_amount) FILTER (
           WHERE transaction_type = 'initial_grant' OR transaction_type = 'adjustment' AND credits_amount > 0), 0),
       COALESCE(sum(credits_amount) FILTER (
           WHERE transaction_type IN ('purchase', 'refund_clawback', 'dispute_clawback', 'dispute_reinstated')), 0)
FROM credit_transactions
WHERE (CAST(:since AS timestamptz) IS NULL OR created_at >= :since)
  AND (CAST(:until AS timestamptz) IS NULL OR created_at < :until)
""")
