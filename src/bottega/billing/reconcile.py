"""What lost calls cost, asked for afterwards.

A call that was cut, cancelled or killed may have been billed although nobody heard the price. Its row is due: the
provider is asked by the call's id, again and again with longer pauses, until it says. Nobody is ever charged for it:
what is found is the platform's loss. Every question ends: with the provider's figure (`reconciled`); where it never
tells, with the input's price (`estimated`, less than was held, so that no loss shows as zero); or, when it has known
nothing of the call for a day, `unknown` for good. One statement claims what is due, so that no two ask at once.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

import structlog
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing import ledger
from bottega.billing.prices import price_of
from bottega.billing.pricing import Price, cost_usd
from bottega.billing.tables import ModelPricing
from bottega.billing.types import CallStatus, Cost, CostSource
from bottega.core.errors import AppError
from bottega.core.money import round_up_usd
from bottega.db.transaction import Database
from bottega.llm.dialect import Bill
from bottega.llm.types import Usage
from bottega.telemetry import metrics

_log = structlog.get_logger()
_AT_ONCE = 8  # questions under way
_Account = tuple[str, int | None]
"""A provider, and whose keys are asked with; None: the platform's."""


class Bills(Protocol):
    """Whoever can ask providers what they billed."""

    def tells_bills(self, *, provider: str, request_id: str) -> bool:
        """Tell whether this provider says what a call cost. Raise AppError where it cannot be asked now."""
        ...

    async def bill(self, *, provider: str, request_id: str, own_keys_of: int | None = None) -> Bill | None:
        """Ask once, where the call was billed to a person's own key with one of theirs.

        None where the provider knows of no such call. Raise AppError where it cannot be asked now.
        """
        ...


class NoBills:
    """Stands in where no provider can be asked, as with a scripted model."""

    def tells_bills(self, *, provider: str, request_id: str) -> bool:  # noqa: ARG002
        return False

    async def bill(self, *, provider: str, request_id: str, own_keys_of: int | None = None) -> Bill | None:  # noqa: ARG002
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Persistence:
    """How long a question is asked. The pause after each is four times the one before."""

    first_pause_seconds: float = 60.0
    longest_pause_seconds: float = 6 * 3600.0
    unheard_of_seconds: float = 24 * 3600.0  # the provider answers, and knows of no such call
    unreachable_seconds: float = 7 * 24 * 3600.0  # it cannot be asked at all


@dataclass(slots=True, kw_only=True)
class Findings:
    """What one round found. `waiting` calls are asked again later; every amount is the platform's loss."""

    swept: int = 0
    reconciled: int = 0
    reconciled_usd: Decimal = Decimal(0)
    estimated: int = 0
    estimated_usd: Decimal = Decimal(0)
    unknown: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lost:
    usage_id: int
    provider: str
    request_id: str | None
    pricing_id: int
    input_tokens: int
    own_keys_of: int | None
    age_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciler:
    database: Database
    bills: Bills
    persistence: Persistence = field(default_factory=Persistence)
    batch: int = 100  # rows of one transaction

    async def run(self) -> Findings:
        """End expired holds, then ask for everything that is due now, once each."""
        findings = Findings()
        while swept := await self._sweep():
            findings.swept += swept
            metrics.orphaned(calls=swept)
        unreachable: set[_Account] = set()
        while due := await self._claim():
            waiting = iter(due)
            await asyncio.gather(*(self._work(waiting, unreachable, findings) for _ in range(_AT_ONCE)))
        return findings

    async def _sweep(self) -> int:
        async with self.database.transaction() as session:
            return await ledger.sweep(session, limit=self.batch)

    async def _claim(self) -> Sequence[_Lost]:
        """Take what is due; should this process die, it is due again after the pause."""
        given = {
            "first": self.persistence.first_pause_seconds,
            "longest": self.persistence.longest_pause_seconds,
            "limit": self.batch,
        }
        async with self.database.transaction() as session:
            return [_lost(row) for row in (await session.execute(_CLAIM, given)).all()]

    async def _work(self, waiting: Iterator[_Lost], unreachable: set[_Account], findings: Findings) -> None:
        for lost in waiting:
            await self._ask(lost, unreachable, findings)

    async def _ask(self, lost: _Lost, unreachable: set[_Account], findings: Findings) -> None:
        """Ask for one call. A provider that cannot be asked is left alone for the rest of the round."""
        patience = self.persistence
        account = (lost.provider, lost.own_keys_of)
        bill, heard = None, account not in unreachable
        try:
            if not self.bills.tells_bills(provider=lost.provider, request_id=lost.request_id or ""):
                return await self._write(lost, findings, told=None, source=CostSource.ESTIMATED)
            if heard and lost.request_id is not None:
                bill = await self.bills.bill(
                    provider=lost.provider, request_id=lost.request_id, own_keys_of=lost.own_keys_of
                )
        except AppError as error:
            heard = False
            unreachable.add(account)
            _log.warning("billing.reconcile.unreachable", provider=lost.provider, error=error.code)
        if bill is not None:
            return await self._write(lost, findings, told=bill, source=CostSource.RECONCILED)
        limit_seconds = patience.unheard_of_seconds if heard else patience.unreachable_seconds
        if lost.age_seconds >= limit_seconds or (heard and lost.request_id is None):
            return await self._write(lost, findings, told=None, source=CostSource.UNKNOWN)
        findings.waiting += 1
        return None

    async def _write(self, lost: _Lost, findings: Findings, *, told: Bill | None, source: CostSource) -> None:
        async with self.database.transaction() as session:
            price = await _price(session, pricing_id=lost.pricing_id)
            cost = _cost(lost, told=told, source=source, price=price)
            written = (await session.execute(_WRITE, _values(lost, cost))).one_or_none()
        if written is None:  # the worker that was written off came back and knew better
            return
        usd = round_up_usd(cost.exact_usd)
        if written.status == CallStatus.ORPHAN:
            metrics.orphaned(cost_usd=usd)
        _log.info("billing.call.reconciled", usage_id=lost.usage_id, source=cost.source, cost_usd=str(usd))
        match source:
            case CostSource.RECONCILED:
                findings.reconciled += 1
                findings.reconciled_usd += usd
            case CostSource.ESTIMATED:
                findings.estimated += 1
                findings.estimated_usd += usd
            case _:
                findings.unknown += 1


def _cost(lost: _Lost, *, told: Bill | None, source: CostSource, price: Price) -> Cost:
    if told is not None:
        # A bill of nothing is right for a reply of nothing; for any other it is a gap, as in a reported cost.
        if told.cost_usd == 0 and told.usage.output_tokens:
            return Cost(usage=told.usage, exact_usd=cost_usd(price, told.usage), source=CostSource.COMPUTED)
        return Cost(usage=told.usage, exact_usd=told.cost_usd, source=source)
    if source is CostSource.UNKNOWN:
        return Cost(usage=Usage(), exact_usd=Decimal(0), source=source)
    usage = Usage(input_tokens=lost.input_tokens)
    return Cost(usage=usage, exact_usd=cost_usd(price, usage), source=source)


async def _price(session: AsyncSession, *, pricing_id: int) -> Price:
    return price_of(await session.get_one(ModelPricing, pricing_id))


def _lost(row: Row[Any]) -> _Lost:
    return _Lost(
        usage_id=row.id,
        provider=row.model_provider,
        request_id=row.provider_request_id,
        pricing_id=row.pricing_id,
        input_tokens=row.input_tokens_estimated,
        own_keys_of=row.own_keys_of,
        age_seconds=float(row.age_seconds),
    )


def _values(lost: _Lost, cost: Cost) -> dict[str, Any]:
    usage = cost.usage
    return {
        "usage_id": lost.usage_id,
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cost_usd": round_up_usd(cost.exact_usd),
        "cost_source": cost.source.value,
    }


_CLAIM = text("""
WITH due AS (
    SELECT id FROM api_key_usage WHERE cost_due_at <= now() ORDER BY cost_due_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE api_key_usage SET cost_asked = cost_asked + 1, cost_due_at = now() + make_interval(
    secs => LEAST(CAST(:longest AS float8), CAST(:first AS float8) * power(4, LEAST(cost_asked, 12))))
FROM due WHERE api_key_usage.id = due.id
RETURNING api_key_usage.id, model_provider, provider_request_id, pricing_id, input_tokens_estimated,
          CASE WHEN own_key THEN user_id END AS own_keys_of, extract(epoch FROM now() - created_at) AS age_seconds
""")

# A row that was settled or voided with a cost meanwhile is due no longer.
_WRITE = text("""
UPDATE api_key_usage
SET actual_cost_usd = :cost_usd, cost_source = :cost_source, cost_due_at = NULL,
    input_tokens_used = :input_tokens, cached_tokens_used = :cached_tokens,
    cache_write_tokens_used = :cache_write_tokens, output_tokens_used = :output_tokens,
    reasoning_tokens_used = :reasoning_tokens
WHERE id = :usage_id AND cost_due_at IS NOT NULL
RETURNING status
""")
