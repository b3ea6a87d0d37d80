"""Worker processes of an installation, with scripted models."""

import asyncio
from dataclasses import replace
from pathlib import Path

from bottega.config import RedisSettings, RunnerSettings, Settings
from bottega.core.log import configure_logging
from bottega.entrypoints.worker.process import work
from bottega.llm.types import CallObserver, Completion, CompletionRequest, Gateway
from bottega.orchestration.doorbell import Lane
from tests.journeys import scripts
from tests.journeys.conftest import scripted, settings_for


class Thinking:
    """A scripted model that takes its time."""

    def __init__(self, inner: Gateway, *, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        await asyncio.sleep(self._seconds)
        return await self._inner.complete(request, observer=observer)


def with_redis(settings: Settings, *, redis_url: str, heartbeat_file: Path | None = None) -> Settings:
    runner = RunnerSettings(heartbeat_file=heartbeat_file, runs_at_once_per_person=1000)
    return replace(settings, redis=RedisSettings(redis_url=redis_url), runner=runner)


def work_on(*, database_url: str, home: Path, redis_url: str, lanes: tuple[str, ...], seconds: float = 0.0) -> None:
    """Work until this process is ended."""
    configure_logging(level="INFO", json=True)
    settings = with_redis(
        settings_for(home=home, database_url=database_url), redis_url=redis_url, heartbeat_file=home / "beat"
    )
    llm = Thinking(scripted(scripts.GOOD), seconds=seconds)
    raise SystemExit(work(settings, lanes=frozenset(map(Lane, lanes)), runs_at_once=16, llm=llm))
