"""A worker: one event loop drives runs, and Celery's threads beside it take rings from Redis.

A thread only waits for what the loop does, so hundreds of runs share one database pool and one HTTP pool. The loop
also drives, without being told, what has been due for a while: a ring that was lost, or a broker that is away, costs
seconds and no run. When the worker is told to stop it claims nothing more, lets the steps under way end, and gives its
leases back.
"""

import asyncio
import functools
import os
import threading
import time
import uuid
import warnings
from dataclasses import dataclass, field

import structlog
from celery import Celery
from celery.apps.worker import Worker
from celery.platforms import EX_OK, SecurityWarning
from celery.worker import state

from bottega.bootstrap import App, Chore, bells_for_workers, open_app, serving_metrics
from bottega.bootstrap.broker import ADVANCE, open_broker
from bottega.config import Settings
from bottega.core.clock import SystemClock
from bottega.core.errors import AppError
from bottega.entrypoints.daemon.chores import doing
from bottega.entrypoints.daemon.vigil import beating, told_to_stop
from bottega.entrypoints.relay.host import LocalRelay
from bottega.llm.types import Gateway
from bottega.orchestration.doorbell import Lane
from bottega.orchestration.events import Announce
from bottega.orchestration.running.advance import Advanced, Shift

OVERDUE_SECONDS = 10.0
SLICE_SECONDS = 120.0  # then a run goes to the end of the queue
GRACE_SECONDS = 20.0
CONSUMER_SECONDS = 3.0  # to take its leave of the broker, which may not be there

log = structlog.get_logger()


class NoBroker(AppError):
    code = "no_broker"

    def __init__(self) -> None:
        super().__init__(
            "A worker takes its work from Redis: set REDIS_URL. Without one, `bottega runner` or `bottega serve` drives"
            " every run by itself."
        )


async def work(
    settings: Settings,
    *,
    lanes: frozenset[Lane],
    runs_at_once: int,
    llm: Gateway | None = None,
    listen: Announce | None = None,
) -> None:
    """Work until told to stop (SIGTERM, SIGINT).

    `llm` replaces the gateway, as in `open_app`; `listen` hears what is announced here.

    Raises:
        NoBroker, and whatever keeps an App from opening.
    """
    if settings.redis.url is None:
        raise NoBroker
    told = asyncio.create_task(told_to_stop())
    shift = Shift(lane=next(iter(lanes)) if len(lanes) == 1 else None, seconds=SLICE_SECONDS)  # both: no handing over
    models = (settings.models.architect, *settings.models.implementers)
    async with (
        LocalRelay(models=models) as relay,
        open_app(settings, llm=llm, model_server=relay) as app,
        beating(settings.runner.heartbeat_file),
        serving_metrics(app),
    ):
        if listen is not None:
            app.events.listen(listen)
        crew = _Crew(app=app, shift=shift, loop=asyncio.get_running_loop())
        consumer = _Consumer(open_broker(settings.redis.url), crew=crew, lanes=lanes, threads=runs_at_once)
        async with doing(_chores(app, shift=shift, at_once=runs_at_once), clock=SystemClock()):
            consumer.start()
            await told
            log.info("worker.stopping", runs=crew.size)
            consumer.stop()
            await crew.wind_up()
        await asyncio.to_thread(consumer.join, CONSUMER_SECONDS)


def _chores(app: App, *, shift: Shift, at_once: int) -> tuple[Chore, ...]:
    overdue = functools.partial(app.runner.patrol, at_once=at_once, shift=shift, overdue_seconds=OVERDUE_SECONDS)
    return (
        bells_for_workers(app.bellringer),
        Chore(name="overdue runs", every_seconds=5, work=overdue),
    )


@dataclass(slots=True, kw_only=True)
class _Crew:
    """The runs that were rung for and are driven here; Celery's threads call `drive`."""

    app: App
    shift: Shift
    loop: asyncio.AbstractEventLoop
    _driven: set["asyncio.Task[Advanced]"] = field(default_factory=set)

    @property
    def size(self) -> int:
        return len(self._driven)

    def drive(self, run_id: uuid.UUID) -> None:
        """Drive a run on the loop, and wait for it. What goes wrong with it is in its row and in the log."""
        if not self.shift.is_over:  # otherwise somebody else is rung for
            asyncio.run_coroutine_threadsafe(self._drive(run_id), self.loop).result()

    async def _drive(self, run_id: uuid.UUID) -> None:
        task = asyncio.create_task(self.app.advancer.drive(run_id, shift=self.shift))
        self._driven.add(task)
        try:
            await asyncio.wait([task])
        finally:
            self._driven.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("runner.run.failed", run_id=str(run_id), exc_info=error)

    async def wind_up(self) -> None:
        """Let the steps under way end, for a while, and cut off the rest: their runs keep their place."""
        self.shift.is_over = True
        if self._driven:
            _, late = await asyncio.wait(self._driven, timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


class _Consumer(threading.Thread):
    """Celery's side: takes rings, each for one of its threads. It is begun again when it ends by itself."""

    def __init__(self, celery: Celery, *, crew: _Crew, lanes: frozenset[Lane], threads: int) -> None:
        super().__init__(name="rings", daemon=True)  # a broker that is away must not hold up the end
        self._celery = celery
        self._lanes = sorted(lanes)
        self._threads = threads
        self._is_over = threading.Event()

        def advance(run_id: str) -> None:
            crew.drive(uuid.UUID(run_id))

        celery.task(advance, name=ADVANCE)

    def run(self) -> None:
        warnings.filterwarnings("ignore", category=SecurityWarning)  # of root, who must not unpickle: we take JSON
        while not self._is_over.is_set():
            self._consume()
            if not self._is_over.is_set():
                log.error("worker.consumer.ended")
                time.sleep(OVERDUE_SECONDS)

    def stop(self) -> None:
        """Take no more rings; what was taken goes on."""
        self._is_over.set()
        state.should_stop = EX_OK

    def _consume(self) -> None:
        worker = Worker(  # outside the main thread it leaves the process's signals alone
            app=self._celery,
            pool_cls="threads",
            concurrency=self._threads,
            queues=self._lanes,
            hostname=f"bottega-{os.getpid()}@%h",
            loglevel="WARNING",
            quiet=True,
            without_gossip=True,
            without_mingle=True,
        )
        worker.start()
