"""What is known of a call while it is under way.

The provider's id of a call is on record as soon as it is known, in a short transaction beside the stream: a process
that is killed later leaves behind what to ask for. The write delays nothing, and one that fails is logged and harms
nothing but that question.
"""

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal

import structlog

from bottega.billing import ledger
from bottega.db.transaction import Database
from bottega.llm.types import CallObserver, Usage

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Observation:
    """The observer of one attempt; `outside` is whoever else listens, and `passed_on` tells that it has text."""

    database: Database
    usage_id: int
    outside: CallObserver | None = None
    request_id: str | None = None
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    passed_on: bool = False
    _recording: "asyncio.Task[None] | None" = field(default=None, init=False)

    def identified(self, request_id: str) -> None:
        if self.request_id is None:
            self.request_id = request_id
            self._recording = asyncio.create_task(self._record(request_id))
        if self.outside is not None:
            self.outside.identified(request_id)

    def received(self, text: str) -> None:
        if self.outside is not None:
            self.passed_on = True
            self.outside.received(text)

    def counted(self, usage: Usage, *, cost_usd: Decimal | None) -> None:
        self.usage, self.cost_usd = usage, cost_usd
        if self.outside is not None:
            self.outside.counted(usage, cost_usd=cost_usd)

    async def recorded(self) -> None:
        """Wait for a write under way, so that none outlives the call."""
        if self._recording is None:
            return
        await asyncio.wait({self._recording})
        if not self._recording.cancelled() and (fault := self._recording.exception()) is not None:
            _log.warning("billing.call.unnamed", usage_id=self.usage_id, fault=type(fault).__name__)

    async def _record(self, request_id: str) -> None:
        await ledger.identify(self.database.autocommit, usage_id=self.usage_id, request_id=request_id)
