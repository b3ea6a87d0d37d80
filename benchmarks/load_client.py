"""One process of `benchmarks.load`: it opens the App as the product does, and drives.

    plans    starts projects, each of another person, and patrols until all their plans wait for a go
    builds   patrols until stdin ends; others start the projects
    soon     starts one project after the other and patrols: how long each waited to be begun
    worker   is `bottega worker`, and prints when each first step begins

Orders come as JSON on stdin's first line; what was measured goes to stdout as JSON.
"""

import asyncio
import contextlib
import gc
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path

from benchmarks.load_parts import CpuWatch, InstantSandbox, Lag, WatchedModel, count_on, watching_the_loop
from benchmarks.processes import own_bytes
from sqlalchemy import text
from tests.journeys import scripts
from tests.journeys.conftest import scripted, settings_for
from tests.journeys.modules import brief
from tests.journeys.working import with_redis

from bottega.bootstrap import App, Pace, open_app
from bottega.config import ModelSettings, RunnerSettings, Settings
from bottega.core.log import configure_logging
from bottega.entrypoints.worker.process import work
from bottega.orchestration.doorbell import Lane
from bottega.orchestration.events import Announce, Event, StepStarted

BEAT_SECONDS = 5.0  # twice as often as the product: most leases are extended while a model thinks
LOOK_SECONDS = 0.25
OPENING = 8  # accounts opened at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    part: str
    home: str
    url: str
    projects: int = 0
    at_once: int = 64
    name: str = "person"
    gemini: str = ""  # base URLs of a provider over HTTP
    openrouter: str = ""
    redis: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def settings(self) -> Settings:
        given = (
            ModelSettings(
                google_api_key="key-of-google",  # type: ignore[arg-type]
                gemini_base_url=self.gemini,
                openrouter_api_key="key-of-openrouter",  # type: ignore[arg-type]
                openrouter_base_url=self.openrouter,
            )
            if self.gemini
            else None
        )
        url = self.url.replace("postgresql+asyncpg", "postgresql")
        base = settings_for(home=Path(self.home), database_url=url, models=given, credits=Decimal(1_000_000))
        if self.redis:
            return with_redis(base, redis_url=self.redis)
        runner = RunnerSettings(runs_at_once=self.at_once, runs_at_once_per_person=self.at_once)
        return replace(base, runner=runner)


@contextlib.asynccontextmanager
async def patrolling(app: App, *, every_seconds: float = 5.0) -> AsyncIterator[None]:
    at_once = app.settings.runner.runs_at_once
    task = asyncio.create_task(app.runner.patrol(every_seconds=every_seconds, at_once=at_once))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


# -- plans: many people wait for a model at once -----------------------------------------------------------------------


async def plans(orders: Orders) -> dict[str, float]:
    settings = orders.settings()
    async with open_app(settings, sandbox=InstantSandbox(), pace=Pace(heartbeat_seconds=BEAT_SECONDS)) as app:
        people = await _open_accounts(app, count=orders.projects, name=orders.name)
        await _plan_one(app, await app.local_user(f"{orders.name} zero"))  # warms up
        await _start_projects(app, people)
        gc.collect()
        idle = own_bytes(os.getpid())
        cpu = time.process_time()
        began = time.monotonic()
        async with watching_the_loop() as lag, patrolling(app):
            flight = await _watched_until_all_wait(app, count=orders.projects + 1)
            took = time.monotonic() - began
        tokens = await _leases_taken(app)
    return {
        "began": began,
        "took_seconds": took,
        "cpu_seconds": time.process_time() - cpu,
        "bytes_each": (flight.peak_bytes - idle) / orders.projects,
        "idle_bytes": idle,
        "leased_at_once": flight.leased,
        "shortest_lease_seconds": flight.shortest_lease_seconds,
        "most_leases": tokens,
        **_lateness(lag),
    }


def _lateness(lag: Lag) -> dict[str, float]:
    return {"lag_p50_ms": lag.quantile(50), "lag_p99_ms": lag.quantile(99), "lag_most_ms": max(lag.late_ms)}


async def _open_accounts(app: App, *, count: int, name: str) -> list[int]:
    turns = asyncio.Semaphore(OPENING)

    async def one(number: int) -> int:
        async with turns:
            return await app.local_user(f"{name} {number}")

    return list(await asyncio.gather(*(one(number) for number in range(count))))


async def _start_projects(app: App, people: list[int]) -> None:
    turns = asyncio.Semaphore(OPENING)

    async def one(user_id: int) -> None:
        async with turns:
            await app.orchestrator.start_project(user_id=user_id, channel="cli", brief=brief(modules=2))

    await asyncio.gather(*(one(user_id) for user_id in people))


async def _plan_one(app: App, user_id: int) -> None:
    project_id = await app.orchestrator.start_project(user_id=user_id, channel="cli", brief=brief(modules=2))
    run_id = (await app.orchestrator.status(user_id=user_id, project_id=project_id)).run_id
    assert run_id is not None
    await app.runner.run(run_id=run_id)


@dataclass(slots=True, kw_only=True)
class _Flight:
    peak_bytes: int = 0
    leased: int = 0
    shortest_lease_seconds: float = 1e9


_RUNS = text("""
SELECT count(*) FILTER (WHERE lease_owner IS NOT NULL) AS leased,
    count(*) FILTER (WHERE state = 'waiting' AND phase = 'approve') AS waiting,
    count(*) FILTER (WHERE state NOT IN ('ready', 'waiting')) AS others,
    extract(epoch FROM min(lease_until) - clock_timestamp()) AS shortest
FROM runs
""")


async def _watched_until_all_wait(app: App, *, count: int) -> _Flight:
    flight = _Flight()
    while True:
        async with app.database.transaction() as session:
            now = (await session.execute(_RUNS)).one()
        assert not now.others, "a run ended as none should"
        if now.leased:
            flight.shortest_lease_seconds = min(flight.shortest_lease_seconds, float(now.shortest))
        if now.leased >= flight.leased:
            flight.leased = now.leased
            flight.peak_bytes = max(flight.peak_bytes, own_bytes(os.getpid()))
        if now.waiting == count:
            return flight
        await asyncio.sleep(LOOK_SECONDS)


async def _leases_taken(app: App) -> int:
    async with app.database.transaction() as session:
        return int((await session.execute(text("SELECT max(lease_token) FROM runs"))).scalar_one())


# -- builds: as many steps as go ---------------------------------------------------------------------------------------


async def builds(orders: Orders) -> dict[str, float]:
    model, sandbox = CpuWatch(), CpuWatch()
    llm = WatchedModel(llm=scripted(scripts.GOOD), watch=model)
    async with open_app(orders.settings(), llm=llm, sandbox=InstantSandbox(watch=sandbox)) as app:
        counts = count_on(app)
        async with patrolling(app, every_seconds=LOOK_SECONDS):  # nobody rings here for what others start
            print("ready", flush=True)
            await _line()
            began = (time.process_time(), model.seconds, sandbox.seconds, counts.statements, counts.transactions)
            print("began", flush=True)
            await _line()
            ended = (time.process_time(), model.seconds, sandbox.seconds, counts.statements, counts.transactions)
    cpu, model_cpu, sandbox_cpu, statements, transactions = (b - a for a, b in zip(began, ended, strict=True))
    return {
        "cpu_seconds": cpu,
        "others_cpu_seconds": model_cpu + sandbox_cpu,
        "statements": statements,
        "transactions": transactions,
    }


async def _line() -> None:
    await asyncio.to_thread(sys.stdin.readline)


# -- soon, worker: from due to begun -----------------------------------------------------------------------------------


async def soon(orders: Orders) -> list[float]:
    """Return, in milliseconds, how long each project waited for its first step after its commit."""
    begun: asyncio.Queue[float] = asyncio.Queue()
    async with open_app(orders.settings(), llm=scripted(scripts.GOOD), sandbox=InstantSandbox()) as app:
        app.events.listen(first_steps(begun.put_nowait))
        bell = Bell()
        app.bells.add(bell)
        user_id = await app.local_user(orders.name)
        async with patrolling(app):
            return [await waited_ms(app, bell, begun, user_id=user_id) for _ in range(orders.projects)][1:]


class Bell:
    """Notes when it was rung: a ring is the first thing after the commit."""

    rung_at = 0.0

    def ring(self, run_id: uuid.UUID, *, lane: Lane) -> None:
        del run_id, lane
        self.rung_at = time.monotonic()


async def waited_ms(app: App, bell: Bell, begun: "asyncio.Queue[float]", *, user_id: int) -> float:
    """Start a project and let it come to its plan."""
    project_id = await app.orchestrator.start_project(user_id=user_id, channel="cli", brief=scripts.BRIEF)
    rung_at = bell.rung_at
    waited = (await begun.get() - rung_at) * 1000
    while (await app.orchestrator.status(user_id=user_id, project_id=project_id)).state != "waiting":  # noqa: ASYNC110  # seen from outside
        await asyncio.sleep(0.01)
    return waited


def first_steps(tell: Callable[[float], object]) -> Announce:
    def hear(told: Event) -> None:
        if isinstance(told, StepStarted) and told.kind == "gather":
            tell(time.monotonic())

    return hear


async def worker(orders: Orders) -> None:
    def tell(at: float) -> None:
        print(at, flush=True)

    llm = scripted(scripts.GOOD)
    await work(orders.settings(), lanes=frozenset(Lane), runs_at_once=orders.at_once, llm=llm, listen=first_steps(tell))


PARTS = {"plans": plans, "builds": builds, "soon": soon, "worker": worker}


if __name__ == "__main__":
    configure_logging(level="WARNING")
    given = Orders(**json.loads(sys.stdin.readline()))
    print(json.dumps(asyncio.run(PARTS[given.part](given))), flush=True)
