"""What each command of the engine does to the rows, inside the caller's transaction. None commits.

Every command looks for its project among those of the person who gave it; another person's does not exist. It returns
the projects it was about.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing import ledger
from bottega.billing.ledger import InsufficientCredits
from bottega.billing.quote import Quote
from bottega.core.errors import AppError
from bottega.core.ids import new_id
from bottega.db.transaction import note
from bottega.orchestration import journal, progress, refining, setbacks
from bottega.orchestration.briefs import clean_brief, storable
from bottega.orchestration.commands import dropping, replanning, understanding
from bottega.orchestration.commands.deeds import Projects
from bottega.orchestration.commands.replanning import TaskWish
from bottega.orchestration.commands.understanding import (
    AnswerNext,
    Approve,
    Begin,
    Cancel,
    ChangePlan,
    DropTask,
    Implement,
    Refine,
    Remark,
    Resume,
    Saying,
    Scene,
)
from bottega.orchestration.doorbell import RunDue
from bottega.orchestration.events import Event, PlanApproved, ProjectStarted, RunResumed
from bottega.orchestration.running.runner import is_dead
from bottega.orchestration.situation import Loaded, load, load_tasks
from bottega.orchestration.state import Phase, RunState, TaskStatus
from bottega.orchestration.tables import Run, Task
from bottega.orchestration.transitions import retried
from bottega.orchestration.views.standing import read_status
from bottega.projects import service as projects
from bottega.projects.tables import Question

LONGEST_ANSWER = 2000


class NothingToDo(AppError):
    """The command does not fit what the project is doing."""

    code = "nothing_to_do"
    http_status = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Who gives a command, and where."""

    user_id: int
    channel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """`rungs` and `minimum_credits` are ModelOrchestrator's."""

    rungs: int
    minimum_credits: Decimal

    # -- in words -----------------------------------------------------------------------------------------------------

    async def obey(self, session: AsyncSession, *, by: Speaker, text: str, project_id: uuid.UUID | None) -> Projects:
        """Do what a message means."""
        scene = None if project_id is None else await _scene(session, by=by, project_id=project_id)
        match understanding.understand(text, scene):
            case Begin() if project_id is not None:
                raise NothingToDo("The project is finished. Begin another with a brief of its own.")
            case Begin():
                return await self.start_project(session, by=by, brief=text)
            case Implement(task_number=number, project_id=named):
                return await self._implement(session, number, by=by, project_id=named)
            case Refine(path=path, project_id=named, instruction=wish):
                return await self.refine(session, by=by, project_id=named, path=path, instruction=wish)
            case intent:
                assert project_id is not None  # noqa: S101  # only a beginning has no project
                return await self._act(session, intent, by=by, project_id=project_id)

    async def _act(self, session: AsyncSession, intent: Saying, *, by: Speaker, project_id: uuid.UUID) -> Projects:
        match intent:
            case AnswerNext(text=text):
                waiting = await open_questions(session, user_id=by.user_id, project_id=project_id)
                answers = {question.id: text for question in waiting[:1]}
                return await self.answer(session, by=by, project_id=project_id, answers=answers)
            case Approve():
                return await self.approve(session, by=by, project_id=project_id)
            case ChangePlan(wish=wish):
                return await self.change_plan(session, by=by, project_id=project_id, wish=wish)
            case Resume(remark=remark):
                return await self.resume(session, by=by, project_id=project_id, remark=remark)
            case Cancel():
                return await self.wish(session, by=by, project_id=project_id, desired="cancel")
            case DropTask():
                return await self.drop_task(session, by=by, project_id=project_id)
            case Remark(text=text):
                return await self.remark(session, by=by, project_id=project_id, text=text)

    async def _implement(self, session: AsyncSession, number: int, *, by: Speaker, project_id: uuid.UUID) -> Projects:
        """Set the work going on a task by its number; tasks are built in order, so only the next one can be meant."""
        status = await read_status(session, user_id=by.user_id, project_id=project_id)
        tasks = await load_tasks(session, project_id=project_id)
        following = next((task for task in tasks if task.status == TaskStatus.TODO), None)
        if following is None:
            raise NothingToDo("Every task of the project is done.")
        if following.ordinal != number:
            raise NothingToDo(f"Tasks are built in order: the next one is {following.key}, {following.title}.")
        if status.phase is Phase.APPROVE:
            return await self.approve(session, by=by, project_id=project_id)
        if status.state is not RunState.READY:
            return await self.resume(session, by=by, project_id=project_id)
        return (project_id,)

    # -- one by one ---------------------------------------------------------------------------------------------------

    async def start_project(self, session: AsyncSession, *, by: Speaker, brief: str) -> Projects:
        clean = clean_brief(brief)
        project = await projects.create_project(session, user_id=by.user_id, title=clean.title, description=clean.text)
        run_id = new_id()
        await session.execute(insert(Run).values(id=run_id, project_id=project.id, user_id=by.user_id))
        note(session, RunDue(run_id))
        await _remember(session, by=by, project_id=project.id, text=clean.text)
        await progress.tell(session, project_id=project.id, events=(ProjectStarted(title=clean.title),))
        return (project.id,)

    async def answer(
        self, session: AsyncSession, *, by: Speaker, project_id: uuid.UUID, answers: Mapping[uuid.UUID, str]
    ) -> Projects:
        loaded = await _live(session, by=by, project_id=project_id)
        if loaded.view.phase is not Phase.GATHER:
            raise NothingToDo("No question of the project waits for an answer.")
        for question_id, text in answers.items():
            statement = update(Question).where(Question.id == question_id, Question.project_id == project_id)
            await session.execute(statement.values(answer=storable(text)[:LONGEST_ANSWER]))
        if loaded.view.unanswered and not await open_questions(session, user_id=by.user_id, project_id=project_id):
            await _go_on(session, project_id=project_id, phase=Phase.PLAN, events=())
        return (project_id,)

    async def approve(self, session: AsyncSession, *, by: Speaker, project_id: uuid.UUID) -> Projects:
        loaded = await _live(session, by=by, project_id=project_id)
        if loaded.view.phase is not Phase.APPROVE:
            raise NothingToDo("There is no plan waiting for a go.")
        await _go_on(session, project_id=project_id, phase=Phase.IMPLEMENT, events=(PlanApproved(),))
        return (project_id,)

    async def change_plan(self, session: AsyncSession, *, by: Speaker, project_id: uuid.UUID, wish: str) -> Projects:
        loaded = await _live(session, by=by, project_id=project_id)
        if loaded.view.phase is not Phase.APPROVE:
            raise NothingToDo("There is no plan to change now.")
        await _remember(session, by=by, project_id=project_id, text=wish)
        await _go_on(session, project_id=project_id, phase=Phase.PLAN, events=())
        return (project_id,)

    async def remark(self, session: AsyncSession, *, by: Speaker, project_id: uuid.UUID, text: str) -> Projects:
        await projects.get_project(session, project_id=project_id, user_id=by.user_id)
        await _remember(session, by=by, project_id=project_id, text=text)
        return (project_id,)

    async def refine(
        self, session: AsyncSession, *, by: Speaker, project_id: uuid.UUID, path: str, instruction: str
    ) -> Projects:
        asked = refining.wanted(path=path, instruction=instruction)
        project = await projects.get_project(session, project_id=project_id, user_id=by.user_id)
        is_taken = False
        while not is_taken:  # a twin's run came first: then there is one to make a remark about
            run = await journal.live_run(session, project_id=project_id)
            if run is None:
                is_taken = await refining.start(session, project=project, asked=asked, needed=self.minimum_credits)
            else:
                await self._refine_under_work(session, run, asked)
                is_taken = True
        await _remember(session, by=by, project_id=project_id, text=asked.said)
        return (project_id,)

    async def _refine_under_work(self, session: AsyncSession, run: Run, asked: refining.Wanted) -> None:
        loaded = await load(session, run_id=run.id, minimum_credits=Decimal(0))
        if loaded.view.state is not RunState.READY:
            await self._take_up(session, loaded)
            await refining.require_credits(session, user_id=run.user_id, needed=self.minimum_credits)
        await refining.require_file_under_work(session, loaded=loaded, path=asked.path)

    async def wish(self, session: AsyncSession, *, by: Speaker, project_id: uuid.UUID, desired: str) -> Projects:
        """Ask the runner at work to pause or cancel; where none is, or none that lives, it takes effect now.

        What a dead runner was calling is `let_go` afterwards.
        """
        loaded = await _live(session, by=by, project_id=project_id)
        await session.execute(update(Run).where(Run.id == loaded.run.id).values(desired=desired))
        if not await _is_driven(session, loaded.run):
            await journal.seize(session, run=loaded.run)
            await _grant(session, loaded, setbacks.of_desire(desired))
        return (project_id,)

    async def resume(self, session: AsyncSession, *, by: Speaker, project_id: uuid.UUID, remark: str = "") -> Projects:
        loaded = await _live(session, by=by, project_id=project_id)
        if remark:
            await _remember(session, by=by, project_id=project_id, text=remark)
        await self._take_up(session, loaded)
        return (project_id,)

    async def go_on(self, session: AsyncSession, *, by: Speaker, project_id: uuid.UUID) -> Projects:
        """Set the work going, whatever it waits for but answers: to ask for work is to say go to its plan."""
        loaded = await _live(session, by=by, project_id=project_id)
        view = loaded.view
        if view.phase is Phase.APPROVE and view.state is RunState.WAITING:
            return await self.approve(session, by=by, project_id=project_id)
        if view.state is RunState.READY and loaded.run.desired != "run":
            raise NothingToDo(f"The project is about to {loaded.run.desired}, as it was asked to: ask again then.")
        if view.state is RunState.CREDITS:
            await _require_credits(session, loaded)
        if view.state is RunState.READY:
            note(session, RunDue(loaded.run.id))
        else:
            await self._take_up(session, loaded)
        return (project_id,)

    async def edit_plan(
        self,
        session: AsyncSession,
        *,
        by: Speaker,
        project_id: uuid.UUID,
        wanted: Sequence[TaskWish],
        revision: str,
        quote: Quote,
    ) -> Projects:
        loaded = await _live(session, by=by, project_id=project_id)
        if loaded.view.phase is not Phase.APPROVE or loaded.view.state is not RunState.WAITING:
            raise NothingToDo("There is no plan to change now: tasks are edited before they are approved.")
        told = await replanning.edit(session, loaded=loaded, wanted=wanted, revision=revision, quote=quote)
        await progress.tell(session, project_id=project_id, events=(told,))
        return (project_id,)

    async def drop_task(self, session: AsyncSession, *, by: Speaker, project_id: uuid.UUID) -> Projects:
        loaded = await _live(session, by=by, project_id=project_id)
        phase, told = await dropping.drop_task(session, loaded=loaded)
        said = f"Given up, not wanted any more: {', '.join(told.tasks)}"
        await _remember(session, by=by, project_id=project_id, text=said)
        await journal.renew_allowance(session, run=loaded.run)
        await _go_on(session, project_id=project_id, phase=phase, events=(told, RunResumed()))
        return (project_id,)

    async def _take_up(self, session: AsyncSession, loaded: Loaded) -> None:
        if loaded.view.state is RunState.WAITING:
            what = "answers to its questions" if loaded.view.phase is Phase.GATHER else "a go for its plan"
            raise NothingToDo(f"The project waits for {what}.")
        task, project_id = loaded.view.current_task, loaded.project.id
        if loaded.view.state is RunState.REFINEMENT and task:
            fresh = retried(task, rungs=self.rungs)
            statement = update(Task).where(Task.project_id == project_id, Task.key == task.key)
            await session.execute(statement.values(rung=fresh.rung, rung_failures=0, stage=fresh.stage))
        if loaded.view.state is not RunState.READY:
            await journal.renew_allowance(session, run=loaded.run)
        events = () if loaded.view.state is RunState.READY else (RunResumed(),)
        await _go_on(session, project_id=project_id, phase=loaded.view.phase, events=events)


async def open_questions(session: AsyncSession, *, user_id: int, project_id: uuid.UUID) -> tuple[Question, ...]:
    """Return the questions that still want an answer, in order."""
    await projects.get_project(session, project_id=project_id, user_id=user_id)
    statement = select(Question).where(Question.project_id == project_id, Question.answer.is_(None))
    return tuple((await session.scalars(statement.order_by(Question.ordinal))).all())


async def _scene(session: AsyncSession, *, by: Speaker, project_id: uuid.UUID) -> Scene | None:
    now = await read_status(session, user_id=by.user_id, project_id=project_id)
    if now.phase is None or now.state is None:
        return None
    return Scene(phase=now.phase, state=now.state, stop_code=now.stop_code)


async def _live(session: AsyncSession, *, by: Speaker, project_id: uuid.UUID) -> Loaded:
    await projects.get_project(session, project_id=project_id, user_id=by.user_id)
    run = await journal.live_run(session, project_id=project_id)
    if run is None:
        raise NothingToDo("The project is finished.")
    return await load(session, run_id=run.id, minimum_credits=Decimal(0))


async def _require_credits(session: AsyncSession, loaded: Loaded) -> None:
    needed = loaded.run.credits_needed or Decimal(0)
    available = await ledger.available(session, user_id=loaded.run.user_id)
    if available < needed:
        raise InsufficientCredits(needed=needed, available=available)


async def _go_on(session: AsyncSession, *, project_id: uuid.UUID, phase: Phase, events: tuple[Event, ...]) -> None:
    run = await journal.live_run(session, project_id=project_id)
    if run is None:
        raise NothingToDo("The project is finished.")
    await journal.make_ready(session, run=run, phase=phase)
    loaded = await load(session, run_id=run.id, minimum_credits=Decimal(0))
    await progress.report(
        session, project=loaded.project, run_id=run.id, view=loaded.view, stop_code=None, events=events
    )


async def _is_driven(session: AsyncSession, run: Run) -> bool:
    if run.lease_owner is None or is_dead(run.lease_owner):
        return False
    return await journal.lease_runs(session, run=run)


async def _grant(session: AsyncSession, loaded: Loaded, setback: setbacks.Setback) -> None:
    values = {
        "state": setback.state,
        "stop_code": setback.stop_code,
        "reason": setback.reason,
        "credits_needed": None,
        "finished_at": func.clock_timestamp() if setback.state.is_final else None,
    }
    await session.execute(update(Run).where(Run.id == loaded.run.id).values(values))
    if setback.state.is_final:
        await refining.drop(session, loaded=loaded)
    view = replace(loaded.view, state=setback.state)
    await progress.report(
        session,
        project=loaded.project,
        run_id=loaded.run.id,
        view=view,
        stop_code=setback.stop_code,
        events=setback.events,
    )


async def _remember(session: AsyncSession, *, by: Speaker, project_id: uuid.UUID, text: str) -> None:
    await projects.append_message(
        session,
        user_id=by.user_id,
        project_id=project_id,
        channel=by.channel,
        role="person",
        content=storable(text),
    )
