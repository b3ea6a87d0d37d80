"""Worker processes of an installation, with scripted models."""

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path

from bottega.config import RedisSettings, RunnerSettings, Settings
from bottega.core.log import configure_logging
from bottega.entrypoints.worker.process import work
from bottega.llm.types import CallObserver, Completion, CompletionRequest, Gateway
from bottega.orchestration.doorbell import Lane
from tests.journeys import scripts
from tests.journeys.conftest import scripted, settings_for
from tests.journeys.dying import MortalModel, Reaper


class Thinking:
    """A scripted model that takes its time."""

    def __init__(self, inner: Gateway, *, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        await asyncio.sleep(self._seconds)
        return await self._inner.complete(request, observer=observer)


def with_redis(settings: Settings, *, redis_url: str) -> Settings:
    """Return settings of workers that share a Redis; a person may have as many runs as the test likes."""
    runner = RunnerSettings(
        heartbeat_file=settings.platform.bottega_home / "heartbeat", runs_at_once_per_person=1000, runs_at_once=1000
    )
    return replace(settings, redis=RedisSettings(redis_url=redis_url), runner=runner)


def work_on(
    *,
    database_url: str,
    home: Path,
    redis_url: str,
    lanes: tuple[str, ...],
    at_once: int,
    seconds: float,
    dies: tuple[str, uuid.UUID] | None,
) -> None:
    """Work until this process is ended, or ends itself at a place in a run."""
    configure_logging(level="WARNING", json=True)
    settings = with_redis(settings_for(home=home, database_url=database_url), redis_url=redis_url)
    llm: Gateway = Thinking(scripted(scripts.GOOD), seconds=seconds)
    reaper = None
    if dies:
        place, run_id = dies
        llm, reaper = MortalModel(llm, place=place), Reaper(place=place, database_url=database_url, run_id=run_id)
    chosen = frozenset(map(Lane, lanes))
    asyncio.run(work(settings, lanes=chosen, runs_at_once=at_once, llm=llm, listen=reaper))
