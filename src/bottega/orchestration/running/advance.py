"""Advancing a run: claim -> decide -> effect outside any transaction -> fenced journal, one step at a time.

Every runner drives runs through here. A crash anywhere loses at most the effect under way: the next claim orphans the
calls it had open and does the step again. What a step charges commits with the step itself.
"""

import asyncio
import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing.ledger import has_started, orphan_started
from bottega.billing.metering import MeteredLLM, Metering
from bottega.core.clock import Clock
from bottega.core.log import bound
from bottega.db.transaction import is_conflict
from bottega.llm.errors import ProviderError
from bottega.orchestration import journal, setbacks, situation
from bottega.orchestration.decide import Do, Done, Wait, decide
from bottega.orchestration.doorbell import Doorbell, Lane
from bottega.orchestration.events import Announce, Event, ProviderTrouble, StepStarted
from bottega.orchestration.herald import Herald
from bottega.orchestration.journal import Claim, LeaseLost, operation_key
from bottega.orchestration.running import settlement, telling
from bottega.orchestration.running.ceilings import Ceilings, WorkingTimeOver
from bottega.orchestration.running.heartbeat import HEARTBEAT_SECONDS, Pulse, at_most
from bottega.orchestration.running.settlement import DoneStep
from bottega.orchestration.setbacks import Setback
from bottega.orchestration.state import RunState, StepKind, StopCode, TaskStatus
from bottega.orchestration.steps.catalogue import EXECUTORS, lane_of, model_of
from bottega.orchestration.steps.types import Situation, StepResult, Workbench
from bottega.telemetry import metrics

_JOURNAL_ATTEMPTS = 4

log = structlog.get_logger()


class Advanced(StrEnum):
    """What came of driving a run."""

    BUSY = "busy"  # another runner has it, it is not due, or its person has enough under way
    STOPPED = "stopped"  # it waits: for the person, for a time, or for good
    HANDED_OVER = "handed over"  # it goes on, and other workers, or later ones, are to do it


@dataclass(slots=True, kw_only=True)
class Shift:
    """What somebody does of every run they drive: the steps of one lane (None: all), for so long before others' turn.

    When it is over, nothing more is claimed, and each run is handed over after the step that is under way.
    """

    lane: Lane | None = None
    seconds: float = math.inf
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class _HandOver:
    """What follows is not for whoever drives the run now."""

    lane: Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class _Intent:
    """A step that was decided on, what it starts from, and the model it may ask."""

    step: Do
    todo: Situation
    meter: MeteredLLM


class Advancer:
    """Drives runs. `owner` names this runner in leases."""

    def __init__(
        self,
        *,
        bench: Workbench,
        metering: Metering,
        clock: Clock,
        owner: str,
        minimum_credits: Decimal,
        announce: Announce,
        herald: Herald,
        doorbell: Doorbell,
        runs_at_once_per_person: int,
        ceilings: Ceilings,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._bench = bench
        self._database = bench.database
        self._metering = metering
        self._clock = clock
        self._owner = owner
        self._minimum_credits = minimum_credits
        self._announce = announce
        self._doorbell = doorbell
        self._runs_at_once_per_person = runs_at_once_per_person
        self._ceilings = ceilings
        self._herald = herald
        self._pulse = Pulse(database=bench.database, every_seconds=heartbeat_seconds)

    async def drive(self, run_id: uuid.UUID, *, shift: Shift | None = None) -> Advanced:
        """Advance a run until it must wait for something that is not a step, or is for others to go on with."""
        shift = shift or Shift()
        if shift.is_over:
            return Advanced.BUSY
        with bound(run_id=str(run_id)):
            held = await self._claim(run_id)
            if held is None:
                return Advanced.BUSY
            with self._pulse.keeping(held), telling.of_claim(held):
                following = await self._drive(held, shift)
            if following is None:
                return Advanced.STOPPED
            self._doorbell.ring(run_id, lane=following.lane)
            return Advanced.HANDED_OVER

    async def _claim(self, run_id: uuid.UUID) -> Claim | None:
        at, at_once = self._database.autocommit, self._runs_at_once_per_person
        held = await journal.claim(at, run_id=run_id, owner=self._owner, at_once=at_once)
        metrics.claimed(result="ok" if held else "none")
        return held

    async def _drive(self, held: Claim, shift: Shift) -> _HandOver | None:
        following: _HandOver | None = None
        try:
            await self._orphan_calls(held)
            following = await self._go_through(held, shift)
        except LeaseLost:
            metrics.lease_lost()
            log.warning("run.lease.lost", lease_token=held.lease_token)
        finally:
            await asyncio.shield(self._leave(held, following))
        return following

    async def _go_through(self, held: Claim, shift: Shift) -> _HandOver | None:
        """Do step after step; return who goes on, or None where nothing does."""
        until = self._clock.monotonic() + shift.seconds
        while True:
            following = await self._advance(held, shift.lane)
            if following is not None:
                return following if isinstance(following, _HandOver) else None
            if shift.is_over or self._clock.monotonic() > until:
                return _HandOver(shift.lane or Lane.STEPS)

    async def _leave(self, held: Claim, following: _HandOver | None) -> None:
        if following is None:
            await self._release(held)
            return
        async with self._database.transaction() as session:
            await journal.hand_over(session, held=held, lane=following.lane)

    async def _orphan_calls(self, held: Claim) -> None:
        """Write off the calls an earlier holder of the lease had under way: their answers are lost."""
        key = operation_key(held.run_id, held.step_no)
        if await has_started(self._database.autocommit, operation_key=key):
            async with self._database.transaction() as session:
                lost = await orphan_started(session, operation_key=key)
            metrics.orphaned(calls=lost)

    async def _release(self, held: Claim) -> None:
        """Give the lease back. A wish that came while the last step was being journaled is granted at this moment."""
        if await journal.release_unwished(self._database.autocommit, held=held):
            return
        async with self._database.transaction() as session:
            desired = await journal.release(session, held=held)
            if desired in {None, "run"}:
                return
            loaded = await situation.load(session, run_id=held.run_id, minimum_credits=self._minimum_credits)
            setback = setbacks.of_desire(loaded.run.desired)
            if loaded.view.state.is_final or loaded.view.state is setback.state:
                return
            await settlement.stop(session, held=held, loaded=loaded, setback=setback)
        self._announce_all(setback.events)

    async def _advance(self, held: Claim, lane: Lane | None) -> "_HandOver | Done | None":
        """Do one step; return None where another may follow at once, and otherwise why none does."""
        async with self._database.reading() as session:
            loaded = await situation.load(session, run_id=held.run_id, minimum_credits=self._minimum_credits)
            following = await self._next(session, held, loaded, lane)
        match following:
            case _Intent():
                return None if await self._do(held, loaded, following) else Done()
            case Setback():
                await self._set_aside(held, loaded, following)
                return Done()
            case Done() | _HandOver():
                return following

    async def _next(
        self, session: AsyncSession, held: Claim, loaded: situation.Loaded, lane: Lane | None
    ) -> "_Intent | Setback | Done | _HandOver":
        """Return what follows in a run: a step with all that it needs, a reason to wait, or nothing more."""
        if loaded.run.claims > journal.CLAIMS_WITHOUT_PROGRESS:
            return setbacks.crashed_too_often()
        if loaded.run.desired != "run":
            return setbacks.of_desire(loaded.run.desired)
        match decide(loaded.view):
            case Do(kind=kind) if lane not in {None, lane_of(kind)}:
                return _HandOver(lane_of(kind))
            case Do() as step:
                meter = self._meter(held, loaded, step)
                todo = await situation.prepare(session, loaded=loaded, step=step, llm=meter)
                if reached := self._reached(todo, step):
                    return reached
                return _Intent(step=step, todo=todo, meter=meter)
            case Wait(stop_code=StopCode.OUT_OF_CREDITS):
                return setbacks.too_few_to_start(needed=self._minimum_credits, available=loaded.available_credits)
            case Wait(state=state, stop_code=stop_code):
                return Setback(state=state, stop_code=stop_code)
            case Done() as done:
                return done

    def _reached(self, todo: Situation, step: Do) -> Setback | None:
        return self._ceilings.reached(
            working_ms=todo.run.working_ms,
            steps=todo.run.step_no - todo.run.allowance_from,
            task_key=step.task_key,
            attempts=len(todo.tried) if step.kind is StepKind.IMPLEMENT else 0,
        )

    def _meter(self, held: Claim, loaded: situation.Loaded, step: Do) -> MeteredLLM:
        return self._metering.account(
            user_id=loaded.run.user_id,
            project_id=loaded.project.id,
            operation_key=operation_key(loaded.run.id, loaded.run.step_no),
            lease_token=held.lease_token,
            task_key=step.task_key,
            on_retry=self._retry_told(held, loaded),
        )

    async def _do(self, held: Claim, loaded: situation.Loaded, intent: "_Intent") -> bool:
        with telling.of_step(intent.step, step_no=intent.todo.run.step_no, clock=self._clock) as told:
            return await self._work(held, loaded, intent, told)

    async def _work(self, held: Claim, loaded: situation.Loaded, intent: "_Intent", told: telling.StepTelling) -> bool:
        step, todo, meter = intent.step, intent.todo, intent.meter
        self._begin(held, loaded, _started(todo, step, self._bench))
        began = self._clock.monotonic()
        try:
            left = self._ceilings.seconds_left(working_ms=todo.run.working_ms)
            async with self._pulse.minding(held), at_most(left):
                result = await EXECUTORS[step.kind](todo, self._bench)
            charged = await self._journal(held, todo, step, result, meter, began)
        except asyncio.CancelledError:
            await asyncio.shield(meter.abandon(status="orphan", error_code="cancelled"))
            raise
        except LeaseLost:
            await meter.abandon(status="fenced", error_code=LeaseLost.code)
            raise
        except Exception as error:  # noqa: BLE001  # whatever a step raises, its run must say so and keep its place
            interrupted = isinstance(error, setbacks.Interrupted | WorkingTimeOver)
            await meter.abandon(status="failed", error_code="cancelled" if interrupted else "defect")
            setback = self._setback(error, todo, step)
            await self._set_aside(held, loaded, setback, worked_ms=self._since(began))
            told.set_aside(setback)
            return False
        told.done(outcome=result.outcome, credits=charged)
        self._announce_all(result.events)
        return result.state is RunState.READY

    def _begin(self, held: Claim, loaded: situation.Loaded, step: StepStarted) -> None:
        self._announce(step)
        project = loaded.project
        self._herald.under_way(project_id=project.id, held=held, after_sequence=project.event_sequence, step=step)

    def _retry_told(self, held: Claim, loaded: situation.Loaded) -> Callable[[ProviderError, float], None]:
        def tell(error: ProviderError, seconds: float) -> None:
            trouble = ProviderTrouble(message=error.message, retry_seconds=round(seconds), next_model=None)
            self._announce(trouble)
            self._herald.aside(project_id=loaded.project.id, held=held, event=trouble)

        return tell

    def _setback(self, error: Exception, todo: Situation, step: Do) -> Setback:
        if isinstance(error, WorkingTimeOver):
            return self._ceilings.of_time()
        ladder = self._bench.implementer_models
        rung = (todo.task.rung + 1) if step.kind is StepKind.IMPLEMENT else len(ladder)
        stand_in = ladder[rung] if rung < len(ladder) and not todo.run.failures else None
        setback = setbacks.of_error(error, failures=todo.run.failures, stand_in=stand_in)
        if setback.stop_code is StopCode.DEFECT:
            log.error("run.step.failed", reason=setback.reason, exc_info=error)
        return setback

    async def _journal(
        self, held: Claim, todo: Situation, step: Do, result: StepResult, meter: MeteredLLM, began: float
    ) -> Decimal:
        """Journal the step with all that it made true; return the credits it was charged.

        Its replies are paid for, so a transaction that another one undid is begun again before the step is given up.
        """
        done = DoneStep(step=step, todo=todo, result=result, duration_ms=self._since(began))
        for others in reversed(range(_JOURNAL_ATTEMPTS)):
            try:
                async with self._database.transaction() as session:
                    return await settlement.record(session, held=held, done=done, meter=meter)
            except DBAPIError as error:
                if not (others and is_conflict(error)):
                    raise
                log.warning("run.journal.again", step_no=todo.run.step_no)
        raise AssertionError  # the last attempt returns or raises

    def _since(self, began: float) -> int:
        """Return the milliseconds since `began`."""
        return round((self._clock.monotonic() - began) * 1000)

    async def _set_aside(self, held: Claim, loaded: situation.Loaded, setback: Setback, *, worked_ms: int = 0) -> None:
        async with self._database.transaction() as session:
            await settlement.stop(session, held=held, loaded=loaded, setback=setback, worked_ms=worked_ms)
        log.info("run.set_aside", state=setback.state, stop_code=setback.stop_code)
        self._announce_all(setback.events)

    def _announce_all(self, events: tuple[Event, ...]) -> None:
        for event in events:
            self._announce(event)


def _started(todo: Situation, step: Do, bench: Workbench) -> StepStarted:
    model = model_of(step.kind, todo, bench)
    title = todo.task.title if todo.task_key else todo.project.title
    finished = sum(task.status is not TaskStatus.TODO for task in todo.view.tasks)
    return StepStarted(
        kind=step.kind,
        task_key=step.task_key,
        title=title,
        attempt=todo.task_view.attempts + 1 if step.kind is StepKind.IMPLEMENT else todo.attempt,
        model=str(model) if model else None,
        position=finished,
        total=len(todo.view.tasks),
    )
