"""What `benchmarks.load` is made of: a sandbox that answers at once, and what is watched of a process.

The model and the sandbox cost nothing but what they are seen to use: the question is what the platform costs beside
them. Neither ever gives the loop away, so the CPU time that passes inside them is theirs alone.
"""

import asyncio
import re
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, TextClause, event

from bottega.bootstrap import App
from bottega.db.transaction import Autocommit, Rows, Turns
from bottega.llm.types import CallObserver, Completion, CompletionRequest, Gateway
from bottega.sandbox.types import LIMITS, Isolation, Limits, RunResult

GREEN = "..\n----------------------------------------------------------------------\nRan 2 tests in 0.001s\n\nOK\n"
RED = "F..\nAssertionError: {marker}\n\nRan 3 tests in 0.001s\n\nFAILED (failures=1)\n"
_PLANTED = re.compile(rb"raise AssertionError\('([0-9a-f]{16})'\)")
_LAG_SECONDS = 0.01
CONNECTIONS = 10  # as many as a Database has


@dataclass(slots=True)
class CpuWatch:
    """CPU seconds of this process that passed inside others' work."""

    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InstantSandbox:
    """A green suite of two tests; red as soon as a file has the failing test that proves a suite can fail."""

    watch: CpuWatch = field(default_factory=CpuWatch)

    @property
    def isolation(self) -> Isolation:
        return Isolation.BUBBLEWRAP

    async def run(self, *, files: Mapping[str, bytes], command: str, limits: Limits = LIMITS) -> RunResult:
        del command, limits
        began = time.process_time()
        planted = next((found for content in files.values() if (found := _PLANTED.search(content))), None)
        output = RED.format(marker=planted[1].decode()) if planted else GREEN
        result = RunResult(
            executed=True, exit_code=int(planted is not None), output=output, duration_ms=1, isolation=self.isolation
        )
        self.watch.seconds += time.process_time() - began
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedModel:
    llm: Gateway
    watch: CpuWatch

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        began = time.process_time()
        try:
            return await self.llm.complete(request, observer=observer)
        finally:
            self.watch.seconds += time.process_time() - began


@dataclass(slots=True, kw_only=True)
class Counts:
    statements: int = 0
    transactions: int = 0


class _CountedAutocommit(Autocommit):
    def __init__(self, app: App, counts: Counts) -> None:
        super().__init__(app.database.engine, turns=Turns(CONNECTIONS), at_hand=3)
        self._counts = counts

    async def execute(self, statement: TextClause, given: Mapping[str, Any]) -> Rows:
        self._counts.statements += 1
        self._counts.transactions += 1
        return await super().execute(statement, given)


def count_on(app: App) -> Counts:
    """Count what goes to the database from here on; what begins and commits a transaction is not a statement."""
    counts, engine = Counts(), app.database.engine.sync_engine
    app.database.autocommit = _CountedAutocommit(app, counts)
    _count_sessions(engine, counts)
    return counts


def _count_sessions(engine: Engine, counts: Counts) -> None:
    def statement(*_: object) -> None:
        counts.statements += 1

    def transaction(*_: object) -> None:
        counts.transactions += 1

    event.listen(engine, "before_cursor_execute", statement)
    event.listen(engine, "begin", transaction)


@dataclass(slots=True)
class Lag:
    """How late the event loop was, in milliseconds, again and again."""

    late_ms: list[float] = field(default_factory=list)

    def quantile(self, percent: int) -> float:
        return statistics.quantiles(self.late_ms, n=100)[percent - 1] if len(self.late_ms) > 1 else 0.0


@asynccontextmanager
async def watching_the_loop() -> AsyncIterator[Lag]:
    lag = Lag()

    async def watch() -> None:
        while True:
            due = time.perf_counter() + _LAG_SECONDS
            await asyncio.sleep(_LAG_SECONDS)
            lag.late_ms.append((time.perf_counter() - due) * 1000)

    task = asyncio.create_task(watch())
    try:
        yield lag
    finally:
        task.cancel()
