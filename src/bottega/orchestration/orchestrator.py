"""ModelOrchestrator: the one engine behind every front end.

A front end translates what a person did into one of these calls and renders the events that follow. Each call is one
short transaction that changes the run's rows; runners do the work. Ownership is part of every query: another person's
project does not exist here.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing.ledger import orphan_started
from bottega.billing.receipt import receipt
from bottega.core.errors import AppError
from bottega.core.ids import new_id
from bottega.db.transaction import Database, note
from bottega.delivery.report import ReceiptLine
from bottega.orchestration import dropping, funding, journal, messages, packing, progress, refining, setbacks
from bottega.orchestration.briefs import clean_brief, storable
from bottega.orchestration.doorbell import RunDue
from bottega.orchestration.events import Event, PlanApproved, ProjectStarted, RunResumed
from bottega.orchestration.messages import (
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
from bottega.orchestration.runner import is_dead
from bottega.orchestration.situation import Loaded, load, load_tasks
from bottega.orchestration.standing import Status, read_status
from bottega.orchestration.state import Phase, RunState, TaskStatus
from bottega.orchestration.tables import Run, Task
from bottega.orchestration.transitions import retried
from bottega.projects import service as projects
from bottega.projects.repository import ProjectRepository
from bottega.projects.tables import Project, Question
from bottega.telemetry import metrics


class NothingToDo(AppError):
    """The command does not fit what the project is doing."""

    code = "nothing_to_do"
    http_status = 409


class ModelOrchestrator:
    """`rungs` is the length of the ladder of Implementer models; `repository` opens a project's git repository.

    `minimum_credits` is what a person must have available before more work is begun.
    """

    def __init__(
        self,
        *,
        database: Database,
        rungs: int,
        repository: Callable[[uuid.UUID], ProjectRepository],
        credit_value_usd: Decimal,
        minimum_credits: Decimal,
    ) -> None:
        self._database = database
        self._rungs = rungs
        self._repository = repository
        self._credit_value_usd = credit_value_usd
        self._minimum_credits = minimum_credits

    async def handle_message(
        self, *, user_id: int, channel: str, text: str, project_id: uuid.UUID | None = None
    ) -> uuid.UUID:
        """Do what a message means and return the project it was about; the project's events tell what follows.

        Without `project_id` a message begins a project, unless it names one.
        """
        scene = None if project_id is None else await self._scene(user_id=user_id, project_id=project_id)
        intent = messages.understand(text, scene)
        match intent:
            case Begin():
                return await self.start_project(user_id=user_id, channel=channel, brief=text)
            case Implement(task_number=number, project_id=named):
                await self._implement(number, user_id=user_id, project_id=named)
                return named
            case Refine(path=path, project_id=named, instruction=wish):
                await self.refine(user_id=user_id, project_id=named, channel=channel, path=path, instruction=wish)
                return named
            case _:
                assert project_id is not None  # noqa: S101  # only a beginning has no project
                await self._act(intent, user_id=user_id, channel=channel, project_id=project_id)
                return project_id

    async def _scene(self, *, user_id: int, project_id: uuid.UUID) -> Scene | None:
        now = await self.status(user_id=user_id, project_id=project_id)
        if now.phase is None or now.state is None:
            return None
        return Scene(phase=now.phase, state=now.state, stop_code=now.stop_code)

    async def _act(self, intent: Saying, *, user_id: int, channel: str, project_id: uuid.UUID) -> None:
        match intent:
            case AnswerNext(text=text):
                waiting = await self.questions(user_id=user_id, project_id=project_id)
                await self.answer(user_id=user_id, project_id=project_id, answers={waiting[0].id: text})
            case Approve():
                await self.approve(user_id=user_id, project_id=project_id)
            case ChangePlan(wish=wish):
                await self.change_plan(user_id=user_id, project_id=project_id, channel=channel, wish=wish)
            case Resume(remark=remark):
                if remark:
                    await self.remark(user_id=user_id, project_id=project_id, channel=channel, text=remark)
                await self.resume(user_id=user_id, project_id=project_id)
            case Cancel():
                await self.cancel(user_id=user_id, project_id=project_id)
            case DropTask():
                await self.drop_task(user_id=user_id, project_id=project_id, channel=channel)
            case Remark(text=text):
                await self.remark(user_id=user_id, project_id=project_id, channel=channel, text=text)

    async def _implement(self, number: int, *, user_id: int, project_id: uuid.UUID) -> None:
        """Set the work going on a task by its number; tasks are built in order, so only the next one can be meant."""
        status = await self.status(user_id=user_id, project_id=project_id)
        tasks = await self.tasks(user_id=user_id, project_id=project_id)
        following = next((task for task in tasks if task.status == TaskStatus.TODO), None)
        if following is None:
            raise NothingToDo("Every task of the project is done.")
        if following.ordinal != number:
            raise NothingToDo(f"Tasks are built in order: the next one is {following.key}, {following.title}.")
        if status.phase is Phase.APPROVE:
            await self.approve(user_id=user_id, project_id=project_id)
        elif status.state is not RunState.READY:
            await self.resume(user_id=user_id, project_id=project_id)

    async def start_project(self, *, user_id: int, channel: str, brief: str) -> uuid.UUID:
        """Open a project for a brief; the first step will read it.

        Raises:
            EmptyBrief, BriefTooLong
        """
        clean = clean_brief(brief)
        async with self._database.transaction() as session:
            project = await projects.create_project(session, user_id=user_id, title=clean.title, description=clean.text)
            run_id = new_id()
            await session.execute(insert(Run).values(id=run_id, project_id=project.id, user_id=user_id))
            note(session, RunDue(run_id))
            await _remember(session, project_id=project.id, user_id=user_id, channel=channel, text=clean.text)
            await progress.tell(session, project_id=project.id, events=(ProjectStarted(title=clean.title),))
        return project.id

    async def questions(self, *, user_id: int, project_id: uuid.UUID) -> tuple[Question, ...]:
        """Return the questions that still want an answer, in order."""
        async with self._database.transaction() as session:
            await projects.get_project(session, project_id=project_id, user_id=user_id)
            statement = select(Question).where(Question.project_id == project_id, Question.answer.is_(None))
            return tuple((await session.scalars(statement.order_by(Question.ordinal))).all())

    async def answer(self, *, user_id: int, project_id: uuid.UUID, answers: Mapping[uuid.UUID, str]) -> None:
        """Keep answers by question id; when none is missing, planning may begin."""
        async with self._database.transaction() as session:
            await projects.get_project(session, project_id=project_id, user_id=user_id)
            for question_id, text in answers.items():
                statement = update(Question).where(Question.id == question_id, Question.project_id == project_id)
                await session.execute(statement.values(answer=storable(text)[:2000]))
            missing = select(func.count()).where(Question.project_id == project_id, Question.answer.is_(None))
            if (await session.execute(missing)).scalar_one() == 0:
                await self._go_on(session, project_id=project_id, phase=Phase.PLAN, events=())

    async def approve(self, *, user_id: int, project_id: uuid.UUID) -> None:
        """Say go to the plan and its quote."""
        async with self._database.transaction() as session:
            loaded = await self._live(session, user_id=user_id, project_id=project_id)
            if loaded.view.phase is not Phase.APPROVE:
                raise NothingToDo("There is no plan waiting for a go.")
            await self._go_on(session, project_id=project_id, phase=Phase.IMPLEMENT, events=(PlanApproved(),))

    async def change_plan(self, *, user_id: int, project_id: uuid.UUID, channel: str, wish: str) -> None:
        """Say what to change about the plan; it is made anew."""
        async with self._database.transaction() as session:
            loaded = await self._live(session, user_id=user_id, project_id=project_id)
            if loaded.view.phase is not Phase.APPROVE:
                raise NothingToDo("There is no plan to change now.")
            await _remember(session, project_id=project_id, user_id=user_id, channel=channel, text=wish)
            await self._go_on(session, project_id=project_id, phase=Phase.PLAN, events=())

    async def remark(self, *, user_id: int, project_id: uuid.UUID, channel: str, text: str) -> None:
        """Say something about the work under way; every later prompt carries it."""
        async with self._database.transaction() as session:
            await projects.get_project(session, project_id=project_id, user_id=user_id)
            await _remember(session, project_id=project_id, user_id=user_id, channel=channel, text=text)

    async def refine(self, *, user_id: int, project_id: uuid.UUID, channel: str, path: str, instruction: str) -> None:
        """Ask for a change in one file: a task more for a delivered project, a remark for one that is worked on.

        A project that had stopped takes its work up again with the remark.

        Raises:
            UnsafePath, UnknownFile, FileTooLarge, EmptyInstruction, InstructionTooLong, TooFewCredits
            NotDelivered: the project was cancelled or failed.
            NothingToDo: it waits for answers or a go.
        """
        asked = refining.wanted(path=path, instruction=instruction)
        is_taken = False
        while not is_taken:  # a twin's run came first: then there is one to make a remark about
            async with self._database.transaction() as session:
                project = await projects.get_project(session, project_id=project_id, user_id=user_id)
                run = await journal.live_run(session, project_id=project_id)
                if run is None:
                    is_taken = await refining.start(session, project=project, asked=asked, needed=self._minimum_credits)
                else:
                    await self._refine_under_work(session, run, asked)
                    is_taken = True
                if is_taken:
                    await _remember(session, project_id=project_id, user_id=user_id, channel=channel, text=asked.said)

    async def _refine_under_work(self, session: AsyncSession, run: Run, asked: refining.Wanted) -> None:
        loaded = await load(session, run_id=run.id, minimum_credits=Decimal(0))
        if loaded.view.state is not RunState.READY:
            await self._take_up(session, loaded)
            await refining.require_credits(session, user_id=run.user_id, needed=self._minimum_credits)
        await refining.require_file_under_work(session, loaded=loaded, path=asked.path)

    async def pause(self, *, user_id: int, project_id: uuid.UUID) -> None:
        await self._wish(user_id=user_id, project_id=project_id, desired="pause")

    async def cancel(self, *, user_id: int, project_id: uuid.UUID) -> None:
        await self._wish(user_id=user_id, project_id=project_id, desired="cancel")

    async def _wish(self, *, user_id: int, project_id: uuid.UUID, desired: str) -> None:
        """Ask the runner at work to stop; where none is, or none that lives, it takes effect now."""
        async with self._database.transaction() as session:
            loaded = await self._live(session, user_id=user_id, project_id=project_id)
            await session.execute(update(Run).where(Run.id == loaded.run.id).values(desired=desired))
            if await _is_driven(session, loaded.run):
                return
            await journal.seize(session, run=loaded.run)
            await _grant(session, loaded, setbacks.of_desire(desired))
        async with self._database.transaction() as session:  # after it: a runner's journal locks calls before runs
            key = journal.operation_key(loaded.run.id, loaded.run.step_no)
            lost = await orphan_started(session, operation_key=key)
        metrics.orphaned(calls=lost)

    async def resume(self, *, user_id: int, project_id: uuid.UUID) -> None:
        """Go on from the same step, whatever it stopped for. A stuck task gets another round at the strongest model.

        Raises:
            NothingToDo: the project is finished, or waits for answers or a go.
        """
        async with self._database.transaction() as session:
            loaded = await self._live(session, user_id=user_id, project_id=project_id)
            await self._take_up(session, loaded)

    async def drop_task(self, *, user_id: int, project_id: uuid.UUID, channel: str) -> None:
        """Give up the task the run has stopped at, with all that depends on it, and go on with the rest.

        Raises:
            CannotDrop: the run works, no task is under way, or nothing would be left.
        """
        async with self._database.transaction() as session:
            loaded = await self._live(session, user_id=user_id, project_id=project_id)
            phase, told = await dropping.drop_task(session, loaded=loaded)
            said = f"Given up, not wanted any more: {', '.join(told.tasks)}"
            await _remember(session, project_id=project_id, user_id=user_id, channel=channel, text=said)
            await journal.renew_allowance(session, run=loaded.run)
            await self._go_on(session, project_id=project_id, phase=phase, events=(told, RunResumed()))

    async def _take_up(self, session: AsyncSession, loaded: Loaded) -> None:
        if loaded.view.state is RunState.WAITING:
            what = "answers to its questions" if loaded.view.phase is Phase.GATHER else "a go for its plan"
            raise NothingToDo(f"The project waits for {what}.")
        task, project_id = loaded.view.current_task, loaded.project.id
        if loaded.view.state is RunState.REFINEMENT and task:
            fresh = retried(task, rungs=self._rungs)
            statement = update(Task).where(Task.project_id == project_id, Task.key == task.key)
            await session.execute(statement.values(rung=fresh.rung, rung_failures=0, stage=fresh.stage))
        if loaded.view.state is not RunState.READY:
            await journal.renew_allowance(session, run=loaded.run)
        events = () if loaded.view.state is RunState.READY else (RunResumed(),)
        await self._go_on(session, project_id=project_id, phase=loaded.view.phase, events=events)

    async def limit_project(
        self, *, user_id: int, project_id: uuid.UUID, credits: Decimal | None
    ) -> tuple[uuid.UUID, ...]:
        """Set what a project may cost, all in all (None: no limit); return the projects that go on because of it.

        Raises:
            InvalidLimit, UnknownProject
        """
        async with self._database.transaction() as session:
            return await funding.limit_project(session, user_id=user_id, project_id=project_id, credits=credits)

    async def projects(self, *, user_id: int) -> Sequence[Project]:
        """Return the person's projects, newest first."""
        async with self._database.transaction() as session:
            return await projects.list_projects(session, user_id=user_id)

    async def status(self, *, user_id: int, project_id: uuid.UUID) -> Status:
        async with self._database.transaction() as session:
            return await read_status(session, user_id=user_id, project_id=project_id)

    async def tasks(self, *, user_id: int, project_id: uuid.UUID) -> tuple[Task, ...]:
        async with self._database.transaction() as session:
            await projects.get_project(session, project_id=project_id, user_id=user_id)
            statement = select(Task).where(Task.project_id == project_id).order_by(Task.ordinal)
            return tuple((await session.scalars(statement)).all())

    async def file_paths(self, *, user_id: int, project_id: uuid.UUID) -> tuple[str, ...]:
        async with self._database.transaction() as session:
            await projects.get_project(session, project_id=project_id, user_id=user_id)
            return tuple(sorted(await projects.read_files(session, project_id=project_id)))

    async def receipt(self, *, user_id: int, project_id: uuid.UUID) -> tuple[ReceiptLine, ...]:
        """Return what the project cost, for every task and part, exact to the last decimal."""
        async with self._database.transaction() as session:
            await projects.get_project(session, project_id=project_id, user_id=user_id)
            titles = {task.key: task.title for task in await load_tasks(session, project_id=project_id)}
            return packing.receipt_lines(await receipt(session, project_id=project_id), titles=titles)

    async def archive(self, *, user_id: int, project_id: uuid.UUID) -> bytes:
        """Pack what has been accepted so far, finished or not."""
        async with self._database.transaction() as session:
            await projects.get_project(session, project_id=project_id, user_id=user_id)
            value = self._credit_value_usd
            contents = await packing.collect(session, project_id=project_id, credit_value_usd=value)
        return await asyncio.to_thread(packing.pack, contents, self._repository(project_id))

    async def _live(self, session: AsyncSession, *, user_id: int, project_id: uuid.UUID) -> Loaded:
        await projects.get_project(session, project_id=project_id, user_id=user_id)
        run = await journal.live_run(session, project_id=project_id)
        if run is None:
            raise NothingToDo("The project is finished.")
        return await load(session, run_id=run.id, minimum_credits=Decimal(0))

    async def _go_on(
        self, session: AsyncSession, *, project_id: uuid.UUID, phase: Phase, events: tuple[Event, ...]
    ) -> None:
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


async def _remember(session: AsyncSession, *, project_id: uuid.UUID, user_id: int, channel: str, text: str) -> None:
    await projects.append_message(
        session, user_id=user_id, project_id=project_id, channel=channel, role="person", content=storable(text)
    )
