"""`make bench-load`: what many projects at once cost, through the real stack.

Everything is real but the models' wit and the sandbox: PostgreSQL with every write durable, the ledger, git, storage;
for the waiting projects HTTP too. The sandbox is replaced by one that answers at once, as a green suite that turns red
for the planted test. Wall times are those of the machine as it is; CPU per step says more where others share it.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from benchmarks.ledger import pgbench
from benchmarks.load_client import Bell, Orders, waited_ms
from benchmarks.load_parts import InstantSandbox
from benchmarks.processes import ROOT, Provider, Server, provider
from benchmarks.task import Row, table
from rich.console import Console
from sqlalchemy import text
from tests.fakes.redis_server import RedisServer
from tests.journeys import scripts
from tests.journeys.conftest import scripted

from bottega.bootstrap import App, open_app
from bottega.core.clock import SystemClock
from bottega.core.log import configure_logging
from bottega.db.embedded import EmbeddedPostgres
from bottega.db.migrate import upgrade

WAITING, WAITING_SECONDS = 1_000, 10.0
PLANS, PLANS_SECONDS = 10, 5.0
WARM_BUILDS, BUILDS, RUNNERS, STEPS = 40, 100, 2, 14  # a plan is generic from its sixth execution on
SOON = 101  # the first warms up
PGBENCH_SECONDS, PGBENCH_SCALE, PGBENCH_CONNECTIONS = 5, 20, 16
POLL_SECONDS = 0.1
CLIENT = [sys.executable, "-m", "benchmarks.load_client"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    home: Path
    url: str
    status: Console

    def orders(self, part: str, **more: object) -> Orders:
        return replace(Orders(part=part, home=str(self.home), url=self.url), **more)  # type: ignore[arg-type]

    @property
    def server(self) -> Server:
        return Server(folder=self.home / "postgres" / "data")


async def main(parts: Sequence[str]) -> None:
    configure_logging(level="ERROR")
    console, load = Console(), os.getloadavg()[0]
    rows: list[Row] = []
    for part in parts:
        async with installation(console) as bench:  # each on a database of its own
            rows += await PARTS[part](bench)
    console.print(table(rows, title=f"{os.cpu_count()} cores, load {load:.1f} at the start, {os.getloadavg()[0]:.1f}"))


@asynccontextmanager
async def installation(console: Console) -> AsyncIterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="bottega-bench-") as name:
        home = Path(name)
        home.chmod(0o755)  # noqa: ASYNC240  # for the account that the server runs as
        server = EmbeddedPostgres(home=home, clock=SystemClock())
        url = await server.start()
        try:
            await upgrade(url=url)
            yield Bench(home=home, url=url, status=console)
        finally:
            await server.stop()


# -- a, b: plans that wait for their models ----------------------------------------------------------------------------


async def waiting(bench: Bench) -> list[Row]:
    said, at_once = await asyncio.to_thread(planned, bench, projects=WAITING, seconds=WAITING_SECONDS)
    return [
        Row(
            what="a. one project in flight", measured=_mb(said["bytes_each"]), target="<= 0.5 MB", peers="41 to 395 MB"
        ),
        Row(what="  asked of the provider at once", measured=f"{at_once}", target=f"{WAITING}"),
        Row(what="  leased at once", measured=f"{said['leased_at_once']:.0f}", target=f"{WAITING}"),
        Row(what="  most claims of a run", measured=f"{said['most_leases']:.0f}", target="1"),
        Row(what="  shortest a lease had left", measured=f"{said['shortest_lease_seconds']:.1f} s", target="> 0"),
        Row(what="  so many in flight after", measured=f"{said['in_flight_seconds']:.1f} s"),
        Row(what="  all plans ready", measured=f"{said['took_seconds']:.1f} s"),
        Row(what="  CPU a plan (two steps)", measured=f"{said['cpu_seconds'] / WAITING * 1000:.1f} ms"),
        Row(what="  the loop was late", measured=_lateness(said)),
        Row(what="  the idle process", measured=_mb(said["idle_bytes"])),
    ]


async def ten(bench: Bench) -> list[Row]:
    said, _ = await asyncio.to_thread(planned, bench, projects=PLANS, seconds=PLANS_SECONDS)
    took = said["took_seconds"]
    return [
        Row(
            what=f"b. {PLANS} plans of 2 calls, {PLANS_SECONDS:.0f} s each",
            measured=f"{took:.2f} s",
            target="<= 11.5 s",
            peers="11.1, 32.1 s",
        ),
        Row(what="  the loop was late", measured=_lateness(said)),
    ]


def planned(bench: Bench, *, projects: int, seconds: float) -> tuple[dict[str, float], int]:
    """Return what the process measured, and how many calls the provider had at once."""
    log = bench.home / "provider.jsonl"
    with provider(log, seconds=seconds) as models:
        environment = models.environment()
        orders = bench.orders(
            "plans",
            projects=projects,
            at_once=projects,
            gemini=environment["GEMINI_BASE_URL"],
            openrouter=environment["OPENROUTER_BASE_URL"],
        )
        with client(orders) as process:
            said: dict[str, float] = json.loads(answer(process))
        at_once, at = busiest(models, seconds=seconds)
    return said | {"in_flight_seconds": at - said["began"]}, at_once


def busiest(models: Provider, *, seconds: float) -> tuple[int, float]:
    """Return the most calls that were under way at once, and when it came to that."""
    times = sorted(ask.at for ask in models.asked())
    first, most, when = 0, 0, 0.0
    for number, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        if number - first + 1 > most:
            most, when = number - first + 1, at
    return most, when


# -- c: whole builds, as fast as they go -------------------------------------------------------------------------------


async def steps(bench: Bench) -> list[Row]:
    pgbench(bench.url, "-i", "-q", "-s", str(PGBENCH_SCALE))
    floor = await asyncio.to_thread(
        pgbench, bench.url, "-N", "-n", "-c", str(PGBENCH_CONNECTIONS), "-j", "1", "-T", str(PGBENCH_SECONDS)
    )
    settings = bench.orders("builds").settings()
    async with open_app(settings, llm=scripted(scripts.GOOD), sandbox=InstantSandbox()) as app:
        with runners(bench) as processes:
            await build(app, count=WARM_BUILDS, name="warm")
            said_before = [_tell(process) for process in processes]
            assert all(said == "began" for said in said_before), said_before
            postgres = bench.server.cpu_seconds()
            approved_at = await build(app, count=BUILDS, name="person")
            postgres = bench.server.cpu_seconds() - postgres
            rate = await steps_a_second(app, since=approved_at)
            each: list[dict[str, float]] = [json.loads(_tell(process)) for process in processes]
    return step_rows(each, rate=rate, postgres=postgres, floor=floor)


async def build(app: App, *, count: int, name: str) -> datetime:
    """Be so many people who each start a project and say go to its plan, until all is delivered.

    Returns when the last had said go, by the database's clock.
    """
    made = []
    for number in range(count):
        user_id = await app.local_user(f"{name} {number}")
        made.append(
            (user_id, await app.orchestrator.start_project(user_id=user_id, channel="cli", brief=scripts.BRIEF))
        )
    ids = [project_id for _, project_id in made]
    await _until(app, ids, state="waiting")
    for user_id, project_id in made:
        await app.orchestrator.approve(user_id=user_id, project_id=project_id)
    async with app.database.reading() as session:
        approved_at: datetime = (await session.execute(text("SELECT clock_timestamp()"))).scalar_one()
    await _until(app, ids, state="done")
    return approved_at


async def steps_a_second(app: App, *, since: datetime) -> float:
    """Return the rate at which steps were journaled while there was more to do than could be done at once."""
    async with app.database.reading() as session:
        return float((await session.execute(_RATE, {"since": since})).scalar_one())


_RATE = text("""
WITH after AS (SELECT created_at FROM steps WHERE created_at > :since),
most AS (SELECT percentile_disc(0.9) WITHIN GROUP (ORDER BY created_at) AS until FROM after)
SELECT count(*) / extract(epoch FROM max(until) - CAST(:since AS timestamptz))
FROM after, most WHERE created_at <= until
""")


async def _until(app: App, projects: Sequence[object], *, state: str) -> None:
    counted = text("SELECT count(*) FROM runs WHERE project_id = ANY(CAST(:projects AS uuid[])) AND state = :state")
    while True:
        async with app.database.transaction() as session:
            given = {"projects": list(projects), "state": state}
            if (await session.execute(counted, given)).scalar_one() == len(projects):
                return
        await asyncio.sleep(POLL_SECONDS)


@contextmanager
def runners(bench: Bench) -> Iterator[list["subprocess.Popen[str]"]]:
    with client(bench.orders("builds")) as first, client(bench.orders("builds")) as second:
        processes = [first, second]
        for process in processes:
            assert answer(process) == "ready"
        yield processes


def _tell(process: "subprocess.Popen[str]") -> str:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return answer(process)


def step_rows(each: Sequence[dict[str, float]], *, rate: float, postgres: float, floor: float) -> list[Row]:
    count = BUILDS * STEPS

    def a_step(name: str) -> float:
        return sum(said[name] for said in each) / count

    ours = (a_step("cpu_seconds") - a_step("others_cpu_seconds")) * 1000
    all_cpu = (a_step("cpu_seconds") + postgres / count) * 1000
    return [
        Row(what="c. steps a second, two processes", measured=f"{rate:.0f}", target=">= 200"),
        Row(what="  as CPU allows, on two free cores", measured=f"{2000 / all_cpu:.0f}", target=">= 200"),
        Row(what="  pgbench -N transactions a second", measured=f"{floor:.0f}"),
        Row(what="  CPU of a step, the platform's", measured=f"{ours:.2f} ms"),
        Row(what="  model's and sandbox's", measured=f"{a_step('others_cpu_seconds') * 1000:.2f} ms"),
        Row(what="  PostgreSQL's", measured=f"{postgres / count * 1000:.2f} ms"),
        Row(
            what="  statements, transactions of a step",
            measured=f"{a_step('statements'):.1f}, {a_step('transactions'):.1f}",
        ),
    ]


# -- d: from due to begun ----------------------------------------------------------------------------------------------


async def soon(bench: Bench) -> list[Row]:
    with client(bench.orders("soon", projects=SOON)) as process:
        patrol: list[float] = json.loads(await asyncio.to_thread(answer, process))
    with RedisServer() as redis:
        celery = await through_celery(bench.orders("worker", redis=redis.url))
    return [
        Row(what="d. from due to begun: patrol", measured=_quantiles(patrol)),
        Row(what="  through Celery on Valkey", measured=_quantiles(celery)),
    ]


async def through_celery(orders: Orders) -> list[float]:
    begun: asyncio.Queue[float] = asyncio.Queue()
    with client(orders) as process:
        async with open_app(orders.settings(), llm=scripted(scripts.GOOD), sandbox=InstantSandbox()) as app:
            hearing = asyncio.create_task(_hear(process, begun))
            bell = Bell()
            app.bells.add(bell)
            user_id = await app.local_user("celery")
            waited = [await waited_ms(app, bell, begun, user_id=user_id) for _ in range(SOON)]
            process.terminate()
            await hearing
    return waited[1:]


async def _hear(process: "subprocess.Popen[str]", begun: "asyncio.Queue[float]") -> None:
    while line := await asyncio.to_thread(answer, process):
        if line != "null":
            begun.put_nowait(float(line))


# -- processes, and how it is shown ------------------------------------------------------------------------------------


@contextmanager
def client(orders: Orders) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(CLIENT, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(f"{orders.to_json()}\n")
        process.stdin.flush()
        yield process
    finally:
        process.stdin.close()
        process.terminate()
        process.wait()
        process.stdout.close()


def answer(process: "subprocess.Popen[str]") -> str:
    """Return the next line a process says; nothing when it has ended."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _quantiles(waited: Sequence[float]) -> str:
    return f"p50 {statistics.median(waited):.1f} ms, p99 {statistics.quantiles(waited, n=100)[98]:.1f} ms"


def _lateness(said: dict[str, float]) -> str:
    return f"p50 {said['lag_p50_ms']:.1f}, p99 {said['lag_p99_ms']:.0f}, most {said['lag_most_ms']:.0f} ms"


def _mb(size: float) -> str:
    return f"{size / 1_000_000:.2f} MB"


PARTS = {"a": waiting, "b": ten, "c": steps, "d": soon}


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or list(PARTS)))
