"""Who drives runs in a process, and how the others are told."""

import asyncio
import functools
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bottega.billing.metering import Metering
from bottega.bootstrap.app import Chore, Pace
from bottega.config import Settings
from bottega.core.clock import Clock
from bottega.orchestration.doorbell import Bells, Doorbell
from bottega.orchestration.events import Announce
from bottega.orchestration.herald import Herald
from bottega.orchestration.running.advance import Advancer
from bottega.orchestration.running.bellringer import Bellringer
from bottega.orchestration.running.ceilings import Ceilings
from bottega.orchestration.running.runner import InProcessRunner, runner_name
from bottega.orchestration.steps.types import Workbench


@dataclass(frozen=True, slots=True, kw_only=True)
class Driving:
    """`going_on` is how a server sees to it that runs go on: it drives them, or rings where there are workers."""

    advancer: Advancer
    runner: InProcessRunner
    bells: Bells
    bellringer: Bellringer
    going_on: Chore


def drive_runs(
    settings: Settings,
    *,
    bench: Workbench,
    metering: Metering,
    clock: Clock,
    announce: Announce,
    herald: Herald,
    doorbell: Doorbell | None,
    pace: Pace,
) -> Driving:
    """`doorbell` is what workers of other processes hear."""
    bells, at_once_per_person = Bells(), settings.runner.runs_at_once_per_person
    advancer = Advancer(
        bench=bench,
        metering=metering,
        clock=clock,
        owner=runner_name(),
        minimum_credits=settings.billing.minimum_credits_to_start,
        announce=announce,
        herald=herald,
        doorbell=bells,
        runs_at_once_per_person=at_once_per_person,
        ceilings=_ceilings(settings),
        heartbeat_seconds=pace.heartbeat_seconds,
    )
    runner = InProcessRunner(
        database=bench.database,
        advancer=advancer,
        clock=clock,
        announce=announce,
        at_once_per_person=at_once_per_person,
    )
    bench.database.hear(bells.hear)
    bells.add(runner)
    if doorbell is not None:
        bells.add(doorbell)
    bellringer = Bellringer(database=bench.database, doorbell=bells, at_once_per_person=at_once_per_person)
    going_on = due_runs(settings, runner) if doorbell is None else bells_for_workers(bellringer)
    return Driving(advancer=advancer, runner=runner, bells=bells, bellringer=bellringer, going_on=going_on)


def due_runs(settings: Settings, runner: InProcessRunner) -> Chore:
    patrol = functools.partial(runner.patrol, at_once=settings.runner.runs_at_once)
    return Chore(name="due runs", every_seconds=5, work=patrol)  # ends only when it fails


def bells_for_workers(bellringer: Bellringer) -> Chore:
    return Chore(name="bells", every_seconds=5, work=bellringer.ring_due)


def broker_bell(settings: Settings, *, stack: AsyncExitStack) -> Doorbell | None:
    """Return what Celery's workers hear, where there is a broker."""
    if settings.redis.url is None:
        return None
    from bottega.bootstrap.broker import CeleryDoorbell, open_broker  # noqa: PLC0415  # Celery is for those who use it

    bell = CeleryDoorbell(open_broker(settings.redis.url))
    stack.push_async_callback(asyncio.to_thread, bell.close)
    return bell


def _ceilings(settings: Settings) -> Ceilings:
    return Ceilings(
        working_hours=settings.ceilings.max_working_hours,
        attempts_per_task=settings.ceilings.max_attempts_per_task,
        steps=settings.ceilings.max_steps_per_run,
    )
