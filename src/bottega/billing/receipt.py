"""What a project cost, per task and purpose, from the usage rows. Its total equals the ledger to the last decimal."""

import uuid
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_LINES = text("""
SELECT task_key, task_type AS purpose, model_provider || '/' || model_name AS model,
       count(*) FILTER (WHERE status = 'settled') AS calls,
       count(*) FILTER (WHERE status NOT IN ('settled', 'started')) AS failed_calls,
       COALESCE(sum(input_tokens_used) FILTER (WHERE status = 'settled'), 0) AS input_tokens,
       COALESCE(sum(output_tokens_used) FILTER (WHERE status = 'settled'), 0) AS output_tokens,
       sum(credits_charged) AS credits, sum(credits_unbilled) AS credits_unbilled,
       COALESCE(sum(actual_cost_usd) FILTER (WHERE status = 'settled'), 0) AS cost_usd,
       COALESCE(sum(actual_cost_usd) FILTER (WHERE status <> 'settled'), 0) AS failed_cost_usd
FROM api_key_usage
WHERE project_id = :project_id
GROUP BY task_key, task_type, model
ORDER BY min(id)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptLine:
    """Calls of one purpose, for one task (None: for the project), by one model.

    `calls` were answered and charged; `failed_calls` were not charged, and their `failed_cost_usd` is the platform's.
    """

    task_key: str | None
    purpose: str
    model: str
    calls: int
    failed_calls: int
    input_tokens: int
    output_tokens: int
    credits: Decimal
    credits_unbilled: Decimal
    cost_usd: Decimal
    failed_cost_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """`lines` stand in the order in which the work began."""

    project_id: uuid.UUID
    lines: tuple[ReceiptLine, ...]

    @property
    def calls(self) -> int:
        return sum(line.calls for line in self.lines)

    @property
    def failed_calls(self) -> int:
        return sum(line.failed_calls for line in self.lines)

    @property
    def input_tokens(self) -> int:
        return sum(line.input_tokens for line in self.lines)

    @property
    def output_tokens(self) -> int:
        return sum(line.output_tokens for line in self.lines)

    @property
    def credits(self) -> Decimal:
        return sum((line.credits for line in self.lines), Decimal(0))

    @property
    def failed_cost_usd(self) -> Decimal:
        return sum((line.failed_cost_usd for line in self.lines), Decimal(0))


async def receipt(session: AsyncSession, *, project_id: uuid.UUID) -> Receipt:
    rows = (await session.execute(_LINES, {"project_id": project_id})).mappings()
    return Receipt(project_id=project_id, lines=tuple(ReceiptLine(**row) for row in rows))
