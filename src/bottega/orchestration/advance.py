"""Advancing a run: claim -> decide -> effect outside any transaction -> fenced journal, one step at a time.

Every runner drives runs through here. A crash anywhere loses at most the effect under way: the next claim orphans the
calls it had open and does the step again. What a step charges commits with the step itself.
"""

import asyncio
import math
import uuid
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing.ledger import has_started, orphan_started
from bottega.billing.metering import MeteredLLM, Metering
from bottega.core.clock import Clock
from bottega.llm.errors import ProviderError
from bottega.orchestration import journal, progress, refining, setbacks, situation
from bottega.orchestration.decide import Do, Done, Wait, decide
from bottega.orchestration.doorbell import Doorbell, Lane
from bottega.orchestration.events import Announce, Event, ProviderTrouble, StepStarted
from bottega.orchestration.heartbeat import HEARTBEAT_SECONDS, Pulse
from bottega.orchestration.journal import Claim, Entry, LeaseLost, TaskMoves, operation_key
from bottega.orchestration.setbacks import Setback
from bottega.orchestration.state import LastStep, RunState, RunView, StepKind, StopCode, TaskStatus
from bottega.orchestration.steps.catalogue import EXECUTORS, lane_of, model_of
from bottega.orchestration.steps.types import Situation, StepResult, Workbench

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
        doorbell: Doorbell,
        runs_at_once_per_person: int,
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
        self._pulse = Pulse(database=bench.database, every_seconds=heartbeat_seconds)

    async def drive(self, run_id: uuid.UUID, *, shift: Shift | None = None) -> Advanced:
        """Advance a run until it must wait for something that is not a step, or is for others to go on with."""
        shift = shift or Shift()
        if shift.is_over:
            return Advanced.BUSY
        held = await journal.claim(
            self._database.autocommit, run_id=run_id, owner=self._owner, at_once=self._runs_at_once_per_person
        )
        if held is None:
            return Advanced.BUSY
        with self._pulse.keeping(held):
            following = await self._drive(held, shift)
        if following is None:
            return Advanced.STOPPED
        self._doorbell.ring(run_id, lane=following.lane)
        return Advanced.HANDED_OVER

    async def _drive(self, held: Claim, shift: Shift) -> _HandOver | None:
        following: _HandOver | None = None
        try:
            await self._orphan_calls(held)
            following = await self._go_through(held, shift)
        except LeaseLost:
            log.warning("run.lease.lost", run_id=str(held.run_id), lease_token=held.lease_token)
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
                await orphan_started(session, operation_key=key)

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
            await _stop(session, held, loaded, setback)
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
                return _Intent(step=step, todo=todo, meter=meter)
            case Wait(stop_code=StopCode.OUT_OF_CREDITS):
                return setbacks.too_few_to_start(needed=self._minimum_credits, available=loaded.available_credits)
            case Wait(state=state, stop_code=stop_code):
                return Setback(state=state, stop_code=stop_code)
            case Done() as done:
                return done

    def _meter(self, held: Claim, loaded: situation.Loaded, step: Do) -> MeteredLLM:
        return self._metering.account(
            user_id=loaded.run.user_id,
            project_id=loaded.project.id,
            operation_key=operation_key(loaded.run.id, loaded.run.step_no),
            lease_token=held.lease_token,
            task_key=step.task_key,
            on_retry=self._tell_retry,
        )

    async def _do(self, held: Claim, loaded: situation.Loaded, intent: "_Intent") -> bool:
        step, todo, meter = intent.step, intent.todo, intent.meter
        self._announce(_started(todo, step, self._bench))
        began = self._clock.monotonic()
        try:
            async with self._pulse.minding(held):
                result = await EXECUTORS[step.kind](todo, self._bench)
            await self._journal(held, todo, step, result, meter, began)
        except asyncio.CancelledError:
            await asyncio.shield(meter.abandon(status="orphan", error_code="cancelled"))
            raise
        except LeaseLost:
            await meter.abandon(status="fenced", error_code=LeaseLost.code)
            raise
        except Exception as error:  # noqa: BLE001  # whatever a step raises, its run must say so and keep its place
            interrupted = isinstance(error, setbacks.Interrupted)
            await meter.abandon(status="failed", error_code="cancelled" if interrupted else "defect")
            await self._set_aside(held, loaded, self._setback(error, todo, step))
            return False
        log.info("run.step.done", **_facts(loaded), step=step.kind, task=step.task_key, outcome=result.outcome)
        self._announce_all(result.events)
        return result.state is RunState.READY

    def _tell_retry(self, error: ProviderError, seconds: float) -> None:
        self._announce(ProviderTrouble(message=error.message, retry_seconds=round(seconds), next_model=None))

    def _setback(self, error: Exception, todo: Situation, step: Do) -> Setback:
        ladder = self._bench.implementer_models
        rung = (todo.task.rung + 1) if step.kind is StepKind.IMPLEMENT else len(ladder)
        stand_in = ladder[rung] if rung < len(ladder) and not todo.run.failures else None
        setback = setbacks.of_error(error, failures=todo.run.failures, stand_in=stand_in)
        if setback.stop_code is StopCode.DEFECT:
            log.error("run.step.failed", run_id=str(todo.run.id), step=step.kind, reason=setback.reason, exc_info=error)
        return setback

    async def _journal(
        self, held: Claim, todo: Situation, step: Do, result: StepResult, meter: MeteredLLM, began: float
    ) -> None:
        duration_ms = round((self._clock.monotonic() - began) * 1000)
        async with self._database.transaction() as session:
            charged = await _bill(session, meter=meter, result=result)
            entry = _entry(todo, step, result, credits_charged=charged, duration_ms=duration_ms)
            await journal.record(session, held=held, step_no=todo.run.step_no, entry=entry)
            if result.write:
                await result.write(session)
            after = _after(todo.view, step, result)
            await progress.report(
                session,
                project=todo.project,
                run_id=held.run_id,
                view=after,
                stop_code=result.stop_code,
                events=result.events,
            )

    async def _set_aside(self, held: Claim, loaded: situation.Loaded, setback: Setback) -> None:
        async with self._database.transaction() as session:
            await _stop(session, held, loaded, setback)
        log.info("run.set_aside", **_facts(loaded), state=setback.state, stop_code=setback.stop_code)
        self._announce_all(setback.events)

    def _announce_all(self, events: tuple[Event, ...]) -> None:
        for event in events:
            self._announce(event)


async def _bill(session: AsyncSession, *, meter: MeteredLLM, result: StepResult) -> Decimal:
    """Charge what the step's replies cost, or nothing for those that nobody is to pay for; return the credits."""
    if result.forgiven is None:
        return await meter.settle(session)
    await meter.forgive(session, error_code=result.forgiven)
    return Decimal(0)


def _facts(loaded: situation.Loaded) -> dict[str, str]:
    return {"run_id": str(loaded.run.id), "project_id": str(loaded.project.id)}


async def _stop(session: AsyncSession, held: Claim, loaded: situation.Loaded, setback: Setback) -> None:
    await journal.stop(
        session,
        held=held,
        state=setback.state,
        stop_code=setback.stop_code,
        reason=setback.reason,
        wake_in_seconds=setback.wake_in_seconds,
        failures=setback.failures,
        credits_needed=setback.credits_needed,
    )
    if setback.state.is_final:
        await refining.drop(session, loaded=loaded)
    after = replace(loaded.view, state=setback.state)
    await progress.report(
        session,
        project=loaded.project,
        run_id=held.run_id,
        view=after,
        stop_code=setback.stop_code,
        events=setback.events,
    )


def _entry(todo: Situation, step: Do, result: StepResult, *, credits_charged: Decimal, duration_ms: int) -> Entry:
    return Entry(
        kind=step.kind,
        task_key=step.task_key,
        outcome=result.outcome,
        output=result.output,
        credits_charged=credits_charged,
        duration_ms=duration_ms,
        phase=result.phase or todo.view.phase,
        state=result.state,
        stop_code=result.stop_code,
        reason=result.reason,
        task=_moves(todo, result),
    )


def _moves(todo: Situation, result: StepResult) -> TaskMoves | None:
    if todo.task_key is None:
        return None
    task, proposal = result.task, result.proposal_tree_hash
    return TaskMoves(
        id=todo.task.id,
        stage=task.stage if task else None,
        attempts=task.attempts if task else None,
        rung=task.rung if task else None,
        rung_failures=task.rung_failures if task else None,
        proposal_step=None if proposal is None else todo.run.step_no,
        proposal_tree_hash=proposal,
        feedback=result.feedback,
    )


def _after(view: RunView, step: Do, result: StepResult) -> RunView:
    changed = result.task
    return replace(
        view,
        phase=result.phase or view.phase,
        state=result.state,
        tasks=tuple(changed if changed and task.key == changed.key else task for task in view.tasks),
        last=LastStep(kind=step.kind, outcome=result.outcome),
    )


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
