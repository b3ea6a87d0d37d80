"""What a project cost, per task and purpose, from the usage rows. Its total equals the ledger to the last decimal."""

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_LINES = text("""
SELECT task_key, task_type AS purpose, model_provider || '/' || model_name AS model,
       count(*) FILTER (WHERE status = 'settled') AS calls,
       count(*) FILTER (WHERE status = 'settled' AND own_key) AS own_key_calls,
       count(*) FILTER (WHERE status NOT IN ('settled', 'started')) AS failed_calls,
       COALESCE(sum(input_tokens_used) FILTER (WHERE status = 'settled'), 0) AS input_tokens,
       COALESCE(sum(output_tokens_used) FILTER (WHERE status = 'settled'), 0) AS output_tokens,
       sum(credits_charged) AS credits, sum(credits_unbilled) AS credits_unbilled,
       COALESCE(sum(actual_cost_usd) FILTER (WHERE status = 'settled'), 0) AS cost_usd,
       COALESCE(sum(actual_cost_usd) FILTER (WHERE status <> 'settled'), 0) AS failed_cost_usd,
       array_agg(status || ':' || COALESCE(error_code, '') ORDER BY api_key_usage.id)
           FILTER (WHERE status NOT IN ('settled', 'started')) AS ends
FROM api_key_usage
WHERE project_id = :project_id
GROUP BY task_key, task_type, model
ORDER BY min(api_key_usage.id)
""")


class NotCharged(StrEnum):
    """Why nobody pays for a call."""

    PROVIDER = "provider"  # it failed there
    REFUSED = "refused"  # the model would not answer
    UNUSABLE = "unusable"  # the reply could not be used, nor could the one before
    CUT_SHORT = "cut_short"  # the credits allowed too short a reply
    STOPPED = "stopped"  # paused, cancelled or shut down while the model answered
    OURS = "ours"  # a crash or defect of the platform, or another worker had taken over


_BY_CODE = {
    "refused": NotCharged.REFUSED,
    "malformed_reply": NotCharged.UNUSABLE,
    "short_of_credits": NotCharged.CUT_SHORT,
    "cancelled": NotCharged.STOPPED,
    "defect": NotCharged.OURS,
    "limit": NotCharged.OURS,
}


def why_not_charged(*, status: str, error_code: str) -> NotCharged:
    """Return why a call that ended this way is charged to nobody."""
    return _BY_CODE.get(error_code, NotCharged.PROVIDER if status == "failed" else NotCharged.OURS)


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
    own_key_calls: int = 0  # of `calls`: paid by a key of the person's, and charged as a fee
    not_charged: Mapping[NotCharged, int] = field(default_factory=dict)  # the failed calls, by cause


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
    lines = (ReceiptLine(not_charged=_by_cause(row.pop("ends") or ()), **row) for row in map(dict, rows))
    return Receipt(project_id=project_id, lines=tuple(lines))


def _by_cause(ends: Iterable[str]) -> Mapping[NotCharged, int]:
    """Count calls by cause; each is given as `status:error_code`."""
    split = (end.split(":", 1) for end in ends)
    return Counter(why_not_charged(status=status, error_code=code) for status, code in split)
