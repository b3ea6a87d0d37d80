"""Workers over Redis: the same runs, the same journal, whoever drives them and whatever becomes of the messages."""

import asyncio
import multiprocessing
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from bottega.orchestration.standing import Status
from bottega.orchestration.state import RunState
from tests.fakes.redis_server import RedisServer
from tests.journeys import scripts, working
from tests.journeys.conftest import Workshop, opened, scripted, settings_for
from tests.journeys.test_patrol import journal

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([working.__name__])


@dataclass(kw_only=True)
class Floor:
    """Workers of one installation, and a person who only ever sees the orchestrator."""

    workshop: Workshop
    redis: RedisServer
    database_url: str
    home: Path
    workers: list[ForkServerProcess] = field(default_factory=list)

    def hire(self, *lanes: str, seconds: float = 0.0) -> ForkServerProcess:
        where = {"database_url": self.database_url, "home": self.home, "redis_url": self.redis.url}
        worker = PROCESSES.Process(target=working.work_on, kwargs=where | {"lanes": lanes, "seconds": seconds})
        worker.start()
        self.workers.append(worker)
        return worker

    async def build(self, brief: str = scripts.BRIEF) -> Status:
        """Start a project and say go to its plan; workers do the rest."""
        project_id = await self.workshop.start(brief)
        await self.until(project_id, RunState.WAITING)
        await self.workshop.app.orchestrator.approve(user_id=self.workshop.user_id, project_id=project_id)
        return await self.until(project_id, RunState.DONE)

    async def until(self, project_id: uuid.UUID, state: RunState, *, seconds: float = 60) -> Status:
        async with asyncio.timeout(seconds):
            while True:
                status = await self.workshop.status(project_id)
                if status.state is state:
                    return status
                assert status.state is RunState.READY or status.state is RunState.WAITING, status
                await asyncio.sleep(0.05)

    async def dismiss(self) -> list[int | None]:
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            await asyncio.to_thread(worker.join, 30)
        return [worker.exitcode for worker in self.workers]


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def floor(tmp_path: Path, database_url: str, redis: RedisServer) -> AsyncIterator[Floor]:
    home = tmp_path / "home"
    settings = working.with_redis(settings_for(home=home, database_url=database_url), redis_url=redis.url)
    async with opened(settings, llm=scripted(scripts.GOOD)) as workshop:
        floor = Floor(workshop=workshop, redis=redis, database_url=database_url, home=home)
        try:
            yield floor
        finally:
            for worker in floor.workers:
                worker.kill()


@pytest.mark.parametrize("crew", [[("steps", "sandbox")], [("steps",), ("sandbox",)]], ids=["one", "two"])
async def test_workers_do_what_the_runner_in_process_does(floor: Floor, crew: list[tuple[str, ...]]) -> None:
    for lanes in crew:
        floor.hire(*lanes)
    status = await floor.build()
    assert await floor.dismiss() == [0] * len(crew)

    alone = await floor.workshop.build(scripts.BRIEF)
    assert await journal(floor.workshop, status) == await journal(floor.workshop, alone)
    await floor.workshop.audit()
