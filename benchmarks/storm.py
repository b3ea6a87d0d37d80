"""`make bench-storm`: how long builds of eleven tasks take while 35 of 100 model calls fail, with the shipped waits.

Everything is real but the models' wit: HTTP in both wire formats, PostgreSQL with every write durable, the sandbox,
git. Each seed is a storm of its own; a build without one stands first. Of each fault it is said how long it took from
the call that failed to the next.
"""

import asyncio
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from benchmarks.load import Bench, installation
from rich.console import Console
from rich.table import Table
from tests.fakes.providers import FakeProviders
from tests.journeys import modules, storm
from tests.journeys.conftest import opened, settings_for
from tests.journeys.storm import Fault, Storm

from bottega.core.log import configure_logging
from bottega.orchestration.state import RunState, TaskStatus

SEEDS = range(1, 11)


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    storm: Storm
    seconds: float
    calls: int
    state: RunState | None
    tasks_done: int

    @property
    def is_whole(self) -> bool:
        return self.state is RunState.DONE and self.tasks_done == storm.TASKS


async def main(seeds: Sequence[int]) -> None:
    configure_logging(level="ERROR")
    console, load = Console(), os.getloadavg()[0]
    async with installation(console) as bench:
        await build(bench, Storm(seed=0, share=0.0))  # warms up
        builds = [await build(bench, Storm(seed=0, share=0.0))]
        builds += [await build(bench, Storm(seed=seed)) for seed in seeds]
    console.print(each(builds, title=f"{os.cpu_count()} cores, load {load:.1f} at the start, {os.getloadavg()[0]:.1f}"))
    console.print(by_fault(builds))
    stormy = [made.seconds for made in builds[1:]]
    whole = sum(made.is_whole for made in builds[1:])
    console.print(f"{whole} of {len(stormy)} whole, median {statistics.median(stormy):.1f} s, most {max(stormy):.1f} s")


async def build(bench: Bench, weather: Storm) -> Build:
    async with FakeProviders() as fake:
        fake.answer = weather
        url = bench.url.replace("postgresql+asyncpg", "postgresql")
        settings = settings_for(
            home=bench.home, database_url=url, models=storm.models_on(fake), credits=Decimal(1_000_000)
        )
        async with opened(settings, username=f"seed {weather.seed} {weather.share}") as workshop:
            await storm.price_models(workshop.app)
            began = time.monotonic()
            project_id = await workshop.start(modules.brief(modules=storm.TASKS))
            status = await workshop.run(project_id)
            seconds = time.monotonic() - began
            tasks = await workshop.tasks(project_id)
    done = sum(task.status == TaskStatus.DONE for task in tasks)
    return Build(storm=weather, seconds=seconds, calls=len(fake.asks), state=status.state, tasks_done=done)


def each(builds: Sequence[Build], *, title: str) -> Table:
    made = Table("seed", "calls", "failed", "waited", "in all", "tasks done", title=title, title_justify="left")
    for one in builds:
        failed, lost = one.storm.felt.total(), sum(one.storm.lost_seconds.values())
        seed = str(one.storm.seed) if one.storm.share else "no storm"
        done = f"{one.tasks_done}" if one.is_whole else f"{one.tasks_done}, {one.state}"
        made.add_row(seed, f"{one.calls}", f"{failed}", f"{lost:.1f} s", f"{one.seconds:.1f} s", done)
    return made


def by_fault(builds: Sequence[Build]) -> Table:
    made = Table("fault", "times", "to the next call, mean")
    felt = sum((one.storm.felt for one in builds), Counter[Fault]())
    for fault in Fault:
        lost = sum(one.storm.lost_seconds[fault] for one in builds)
        made.add_row(fault, f"{felt[fault]}", f"{lost / felt[fault]:.2f} s" if felt[fault] else "")
    return made


if __name__ == "__main__":
    asyncio.run(main([int(seed) for seed in sys.argv[1:]] or SEEDS))
