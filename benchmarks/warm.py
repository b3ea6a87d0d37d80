"""One warm process builds a project of many tasks; what of each task was the platform's own doing goes to stdout.

A task lasts from the announcement of the one before to its own. The model's share is the time inside the gateway's
`complete`, the sandbox's the time inside `Sandbox.run`: all else is the platform's. CPU is this process's; that of
the sandboxed programs and of PostgreSQL is theirs.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import TypeVar

from benchmarks.processes import Server
from sqlalchemy import Engine, event
from tests.journeys.modules import brief

from bottega.bootstrap import App, open_app, open_gateway
from bottega.config import Settings
from bottega.core.log import configure_logging
from bottega.llm.types import CallObserver, Completion, CompletionRequest, Gateway
from bottega.orchestration.events import Event, TaskDone
from bottega.orchestration.state import RunState
from bottega.sandbox.probe import choose_sandbox
from bottega.sandbox.types import LIMITS, Isolation, Limits, RunResult, Sandbox

T = TypeVar("T")
Reading = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCost:
    """Milliseconds, except for the counts."""

    wall: float
    cpu: float  # all of this process
    platform_wall: float
    platform_cpu: float
    statements: int
    transactions: int
    postgres_cpu: float


@dataclass(slots=True)
class Stopwatch:
    """What passed inside other people's work."""

    wall: float = 0.0
    cpu: float = 0.0

    async def around(self, work: Awaitable[T]) -> T:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            return await work
        finally:
            self.wall += time.perf_counter() - wall
            self.cpu += time.process_time() - cpu


@dataclass(frozen=True, slots=True)
class WatchedModel:
    llm: Gateway
    watch: Stopwatch

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        return await self.watch.around(self.llm.complete(request, observer=observer))


@dataclass(frozen=True, slots=True)
class WatchedSandbox:
    sandbox: Sandbox
    watch: Stopwatch

    @property
    def isolation(self) -> Isolation:
        return self.sandbox.isolation

    async def run(self, *, files: Mapping[str, bytes], command: str, limits: Limits = LIMITS) -> RunResult:
        return await self.watch.around(self.sandbox.run(files=files, command=command, limits=limits))


@dataclass(slots=True)
class Ledger:
    """A reading at the end of every task."""

    others: Stopwatch
    server: Server
    statements: int = 0
    transactions: int = 0
    readings: list[tuple["Reading", "Reading"]] = field(default_factory=list)

    def count_on(self, engine: Engine) -> None:
        def statement(*_: object) -> None:
            self.statements += 1

        def transaction(*_: object) -> None:
            self.transactions += 1

        event.listen(engine, "before_cursor_execute", statement)
        event.listen(engine, "begin", transaction)

    def hear(self, told: Event) -> None:
        if isinstance(told, TaskDone):
            self.read()

    def read(self) -> None:
        """Note where a task ended and where the next began: what reading takes is between the two."""
        ended = self._now(postgres_cpu=0.0)
        postgres_cpu = self.server.cpu_seconds()
        ended = (*ended[:-1], postgres_cpu)
        self.readings.append((ended, self._now(postgres_cpu=postgres_cpu)))

    def costs(self) -> list[TaskCost]:
        return [
            _cost(*(b - a for a, b in zip(began, ended, strict=True)))
            for (_, began), (ended, _) in pairwise(self.readings)
        ]

    def _now(self, *, postgres_cpu: float) -> "Reading":
        clocks = (time.perf_counter(), time.process_time(), self.others.wall, self.others.cpu)
        return (*clocks, self.statements, self.transactions, postgres_cpu)


def _cost(
    wall: float, cpu: float, others_wall: float, others_cpu: float, statements: float, transactions: float, pg: float
) -> TaskCost:
    return TaskCost(
        wall=wall * 1000,
        cpu=cpu * 1000,
        platform_wall=(wall - others_wall) * 1000,
        platform_cpu=(cpu - others_cpu) * 1000,
        statements=int(statements),
        transactions=int(transactions),
        postgres_cpu=pg * 1000,
    )


async def build(app: App, ledger: Ledger, *, tasks: int) -> None:
    """Build a project; the first task warms up, the others are measured."""
    user_id = await app.local_user("bench")
    project_id = await app.orchestrator.start_project(user_id=user_id, channel="cli", brief=brief(modules=tasks))
    app.events.listen(ledger.hear)
    while True:
        status = await app.orchestrator.status(user_id=user_id, project_id=project_id)
        assert status.run_id is not None
        state = await app.runner.run(run_id=status.run_id)
        if state is not RunState.WAITING:
            assert state is RunState.DONE, f"the project ended in {state}"
            return
        await app.orchestrator.approve(user_id=user_id, project_id=project_id)


async def main(*, tasks: int) -> None:
    configure_logging(level="WARNING")
    settings = Settings.load()
    others = Stopwatch()
    ledger = Ledger(others=others, server=Server(folder=settings.platform.bottega_home / "postgres" / "data"))
    sandbox = WatchedSandbox(await choose_sandbox(preference=settings.sandbox.sandbox), others)
    async with (
        open_gateway(settings) as gateway,
        open_app(settings, llm=WatchedModel(gateway, others), sandbox=sandbox) as app,
    ):
        ledger.count_on(app.database.engine.sync_engine)
        await build(app, ledger, tasks=tasks)
    print(json.dumps([asdict(cost) for cost in ledger.costs()]))


if __name__ == "__main__":
    asyncio.run(main(tasks=int(sys.argv[1])))
