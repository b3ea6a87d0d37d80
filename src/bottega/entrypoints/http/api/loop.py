"""`POST /orchestrate/run-loop`: one call sets a project's work going and waits a while for what comes of it.

Runners do the work, here or elsewhere, one step of a run at a time however many ask: a call only says go, and watches.
So a call that is cut off loses nothing, and calling again and again until the message says `completed` builds the
project. To ask for work is to say go to a plan that waits for it, and to take up what had stopped.

It answers with what ended first after the call: the reading of the brief, the plan, a task, the README, the delivery.
What needs the person is an error that says what for.
"""

import asyncio
import re
import uuid
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Header
from pydantic import BaseModel, Field
from starlette.responses import Response

from bottega.core.errors import AppError
from bottega.db.transaction import is_out_of_reach
from bottega.entrypoints.http.api.house import House, OnceKey, TheHouse, Writer
from bottega.entrypoints.http.api.route import StrictRoute
from bottega.entrypoints.http.api.wire import Asked, problems
from bottega.orchestration import events
from bottega.orchestration.orchestrator import NothingToDo
from bottega.orchestration.state import StopCode
from bottega.orchestration.views.browsing import Overview
from bottega.projects.status import ProjectStatus

router = APIRouter(tags=["Run loop"], route_class=StrictRoute)

WAIT_SECONDS, LONGEST_WAIT_SECONDS = 25, 60
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?(?:$|[,;\s])", re.ASCII | re.IGNORECASE)
_MONEY = (StopCode.OUT_OF_CREDITS, StopCode.PROJECT_LIMIT)
_PHASES = {
    "gather": "Reading the brief",
    "plan": "Planning",
    "approve": "Planning",
    "readme": "README",
    "package": "Delivery",
}

log = structlog.get_logger()


class RunLoop(Asked):
    project_id: uuid.UUID = Field(examples=["123e4567-e89b-12d3-a456-426614174000"])


class LoopResult(BaseModel):
    task: str = Field(description="What was worked on.", examples=["T1: Counting"])
    message: str = Field(
        description="`done`, `under way` or `completed`, and what there is to say of it.",
        examples=["done: committed as 4c6fbfb1d2a0"],
    )


class LoopRan(BaseModel):
    status: Literal["success"] = "success"
    project_id: uuid.UUID
    result: LoopResult


_NOTHING_LEFT = LoopResult(task="Delivery", message="completed: there is nothing left to do")


class OutOfCredits(AppError):
    code = "insufficient_credits"
    http_status = 402


class ProjectStopped(AppError):
    """The work stopped, and wants the person."""

    code = "project_stopped"
    http_status = 409


class LoopFailed(AppError):
    code = "run_loop_failed"
    http_status = 500

    def __init__(self) -> None:
        super().__init__("Failed to run autonomous loop")


@router.post("/orchestrate/run-loop", responses=problems(402, 404, 409, 500))
async def run_loop(
    asked: RunLoop,
    who: Writer,
    house: TheHouse,
    key: OnceKey,
    response: Response,
    prefer: Annotated[
        str | None, Header(max_length=200, description="`wait=N`: so many seconds, 25 unless said, at most 60.")
    ] = None,
) -> LoopRan:
    """Let the autonomous loop go on with a project, and wait for the outcome of the task it is at."""
    seconds = _seconds(prefer)
    response.headers["Preference-Applied"] = f"wait={seconds}"
    mine = _Mine(house=house, user_id=who.user_id, project_id=asked.project_id)
    try:
        result = await _run(mine, key=key, within_seconds=seconds)
    except AppError:
        raise
    except Exception as error:
        if is_out_of_reach(error):
            raise
        log.exception("http.run_loop.failed", project_id=str(asked.project_id))
        raise LoopFailed from error
    return LoopRan(project_id=asked.project_id, result=result)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mine:
    house: House
    user_id: int
    project_id: uuid.UUID

    async def overview(self) -> Overview:
        return await self.house.browser.overview(user_id=self.user_id, project_id=self.project_id)


def _seconds(prefer: str | None) -> int:
    """Read RFC 7240's `wait`; what is not understood of preferences is passed over."""
    found = _WAIT.search(prefer or "")
    return min(int(found.group(1)), LONGEST_WAIT_SECONDS) if found else WAIT_SECONDS


async def _run(mine: _Mine, *, key: OnceKey, within_seconds: int) -> LoopResult:
    before = await mine.overview()
    if before.status == ProjectStatus.COMPLETED:
        return _NOTHING_LEFT
    try:
        await mine.house.orchestrator.go_on(user_id=mine.user_id, project_id=mine.project_id, idempotency_key=key)
    except NothingToDo:
        if (await mine.overview()).status == ProjectStatus.COMPLETED:  # it came to its end at this moment
            return _NOTHING_LEFT
        raise
    seen = _Seen()
    watching = asyncio.create_task(_outcome(mine, seen, after=before.event_sequence))
    closing = asyncio.create_task(mine.house.streams.closing.wait())
    try:
        await asyncio.wait({watching, closing}, timeout=within_seconds, return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            return watching.result()
    finally:
        watching.cancel()
        closing.cancel()
        await asyncio.gather(watching, closing, return_exceptions=True)
    return await _under_way(mine, seen)


@dataclass(slots=True, kw_only=True)
class _Seen:
    """The step that was under way when last looked at."""

    step: events.StepStarted | None = None


async def _outcome(mine: _Mine, seen: _Seen, *, after: int) -> LoopResult:
    """Wait for the end of what is worked on."""
    following = mine.house.live.follow(user_id=mine.user_id, project_id=mine.project_id, after=after)
    async with aclosing(following) as all_told:
        async for told in all_told:
            if isinstance(told.event, events.StepStarted):
                seen.step = told.event
            elif isinstance(told.event, events.RunStopped):
                raise _stopped(told.event)
            elif (result := _end(told.event)) is not None:
                return result
    return await _under_way(mine, seen)


def _stopped(event: events.RunStopped) -> AppError:
    if event.stop_code in _MONEY:
        return OutOfCredits(event.reason)
    return ProjectStopped(f"{event.reason} What can be done: {'; '.join(event.choices)}.")


def _end(event: events.Event | None) -> LoopResult | None:
    """Return what an event ends, if it ends something."""
    match event:
        case events.QuestionsAsked(count=count):
            wanted = "1 question wants" if count == 1 else f"{count} questions want"
            return LoopResult(task=_PHASES["gather"], message=f"done: {wanted} an answer before planning")
        case events.RequirementsClear():
            return LoopResult(task=_PHASES["gather"], message="done: nothing is unclear, planning follows")
        case events.PlanReady(tasks=tasks, low_credits=low, high_credits=high):
            what = "1 task" if len(tasks) == 1 else f"{len(tasks)} tasks"
            return LoopResult(task=_PHASES["plan"], message=f"done: {what}, {low} to {high} credits, waiting for a go")
        case events.TaskDone(task_key=task_key, title=title, commit_sha=sha, executed=executed):
            how = "" if executed else "; its checks were not executed"
            return LoopResult(task=f"{task_key}: {title}", message=f"done: committed as {sha[:12]}{how}")
        case events.ReadmeCommitted(executed=executed):
            how = "its commands ran" if executed else "its commands were not executed"
            return LoopResult(task=_PHASES["readme"], message=f"done: {how}")
        case events.Delivered(files=files):
            return LoopResult(task=_PHASES["package"], message=f"completed: {files} files were delivered")
        case _:
            return None


async def _under_way(mine: _Mine, seen: _Seen) -> LoopResult:
    now = await mine.overview()
    if now.status == ProjectStatus.COMPLETED:
        return _NOTHING_LEFT
    if now.state != "ready":
        raise ProjectStopped(now.reason or f"The project is {now.status.replace('_', ' ')}.")
    if seen.step is None:
        return LoopResult(task=_PHASES.get(now.phase or "", "The next task"), message="under way: waiting for a runner")
    step = seen.step
    name = f"{step.task_key}: {step.title}" if step.task_key else step.title
    return LoopResult(task=name, message=f"under way: {step.kind.replace('_', ' ')}, attempt {step.attempt}")
