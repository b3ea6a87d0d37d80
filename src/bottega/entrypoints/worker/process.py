"""A worker: Celery's threads take rings from Redis, and one event loop beside them drives every run they were for.

A thread only waits for what the loop does, so hundreds of runs share one database pool and one HTTP pool. The loop
also drives, without being told, what has been due for a while: a ring that was lost, or a broker that is away, costs
seconds and no run. When the worker is told to stop it claims nothing more, lets the steps under way end, and gives its
leases back.
"""

import asyncio
import concurrent.futures
import functools
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from celery import Celery, signals
from celery.apps.worker import Worker

from bottega.bootstrap import App, Chore, open_app
from bottega.bootstrap.broker import ADVANCE, open_broker
from bottega.config import Settings
from bottega.core.clock import SystemClock
from bottega.core.errors import AppError
from bottega.entrypoints.daemon.chores import doing
from bottega.entrypoints.daemon.vigil import beating
from bottega.entrypoints.relay.host import LocalRelay
from bottega.llm.types import Gateway
from bottega.orchestration.advance import Shift
from bottega.orchestration.doorbell import Lane
from bottega.orchestration.events import Announce

OVERDUE_SECONDS = 10.0
RING_SECONDS = 5.0
SLICE_SECONDS = 120.0  # then a run goes to the end of the queue
GRACE_SECONDS = 20.0

log = structlog.get_logger()


class NoBroker(AppError):
    code = "no_broker"

    def __init__(self) -> None:
        super().__init__(
            "A worker takes its work from Redis: set REDIS_URL. Without one, `bottega runner` or `bottega serve` drives"
            " every run by itself."
        )


def work(
    settings: Settings,
    *,
    lanes: frozenset[Lane],
    runs_at_once: int,
    llm: Gateway | None = None,
    listen: Announce | None = None,
) -> int:
    """Work until told to stop (SIGTERM); return the process's exit code.

    `llm` replaces the gateway, as in `open_app`; `listen` hears what is announced here.

    Raises:
        NoBroker, and whatever keeps an App from opening.
    """
    url = settings.redis.url
    if url is None:
        raise NoBroker
    lane = next(iter(lanes)) if len(lanes) == 1 else None  # both: nothing is ever handed over
    shift = Shift(lane=lane, seconds=SLICE_SECONDS)
    driver = _Driver(settings=settings, llm=llm, listen=listen, shift=shift, at_once=runs_at_once)
    celery = open_broker(url)

    def advance(run_id: str) -> None:
        driver.drive(uuid.UUID(run_id))

    celery.task(advance, name=ADVANCE)
    with driver.running(), _telling_of_the_end(driver):
        return _consume(celery, lanes=lanes, threads=runs_at_once)


def _consume(celery: Celery, *, lanes: frozenset[Lane], threads: int) -> int:
    worker = Worker(
        app=celery,
        pool_cls="threads",
        concurrency=threads,
        queues=sorted(lanes),
        hostname=f"bottega-{os.getpid()}@%h",
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
    )
    worker.start()
    return worker.exitcode or 0


@contextmanager
def _telling_of_the_end(driver: "_Driver") -> Iterator[None]:
    def tell(**_: object) -> None:
        driver.end_shift()

    signals.worker_shutting_down.connect(tell, weak=False)
    try:
        yield
    finally:
        signals.worker_shutting_down.disconnect(tell)


@dataclass(slots=True, kw_only=True)
class _Driver:
    """The event loop in a thread of its own, with the App in it; Celery's threads call `drive`."""

    settings: Settings
    llm: Gateway | None
    listen: Announce | None
    shift: Shift
    at_once: int
    _loop: asyncio.AbstractEventLoop | None = None
    _app: App | None = None
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _driven: set["asyncio.Task[object]"] = field(default_factory=set)

    @contextmanager
    def running(self) -> Iterator[None]:
        started: concurrent.futures.Future[None] = concurrent.futures.Future()
        thread = threading.Thread(target=self._run, args=(started,), name="runs")
        thread.start()
        try:
            started.result()
            yield
        finally:
            self._call(self._over.set)
            thread.join()

    def drive(self, run_id: uuid.UUID) -> None:
        """Drive a run on the loop, and wait for it. What goes wrong with it is in its row and in the log."""
        if self._loop is None or self.shift.is_over:
            return  # rung for again, for somebody else
        asyncio.run_coroutine_threadsafe(self._drive(run_id), self._loop).result()

    def end_shift(self) -> None:
        self._call(self._wind_up)

    def _call(self, what: Callable[[], object]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what)

    def _run(self, started: "concurrent.futures.Future[None]") -> None:
        try:
            asyncio.run(self._live(started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _live(self, started: "concurrent.futures.Future[None]") -> None:
        models = (self.settings.models.architect, *self.settings.models.implementers)
        async with (
            LocalRelay(models=models) as relay,
            open_app(self.settings, llm=self.llm, model_server=relay) as app,
            beating(self.settings.runner.heartbeat_file),
        ):
            self._loop, self._app = asyncio.get_running_loop(), app
            if self.listen is not None:
                app.events.listen(self.listen)
            async with doing(self._chores(app), clock=SystemClock()):
                started.set_result(None)
                await self._over.wait()

    def _chores(self, app: App) -> tuple[Chore, ...]:
        patrol = functools.partial(
            app.runner.patrol, at_once=self.at_once, shift=self.shift, overdue_seconds=OVERDUE_SECONDS
        )
        return (
            Chore(name="bells", every_seconds=RING_SECONDS, work=app.bellringer.ring_due),
            Chore(name="overdue runs", every_seconds=RING_SECONDS, work=patrol),
        )

    async def _drive(self, run_id: uuid.UUID) -> None:
        assert self._app is not None  # noqa: S101  # the loop is known once the App is open
        task: asyncio.Task[object] = asyncio.create_task(self._app.advancer.drive(run_id, shift=self.shift))
        self._driven.add(task)
        try:
            await task
        except Exception:  # the edge of a ring: whatever is due is due again
            log.exception("runner.run.failed", run_id=str(run_id))
        except asyncio.CancelledError:
            log.info("runner.run.cut_off", run_id=str(run_id))
        finally:
            self._driven.discard(task)

    def _wind_up(self) -> None:
        self.shift.is_over = True
        asyncio.get_running_loop().call_later(GRACE_SECONDS, self._cut_off)

    def _cut_off(self) -> None:
        for task in self._driven:
            task.cancel()
