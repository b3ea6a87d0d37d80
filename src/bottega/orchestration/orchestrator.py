"""ModelOrchestrator: the one engine behind every front end.

A front end translates what a person did into one of these calls and renders the events that follow. Each call is one
short transaction that changes the run's rows (`commands`); runners do the work. Ownership is part of every query:
another person's project does not exist here.

A call may carry an `idempotency_key`: done again under it, it changes nothing and returns what it returned (`deeds`).
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing.ledger import orphan_started
from bottega.billing.receipt import receipt
from bottega.db.transaction import Database
from bottega.delivery.report import ReceiptLine
from bottega.orchestration import funding, journal, packing
from bottega.orchestration.commands import deeds, remarks, replanning
from bottega.orchestration.commands.deeds import IdempotencyKey, Projects
from bottega.orchestration.commands.effects import Commands, NothingToDo, Speaker, open_questions
from bottega.orchestration.commands.replanning import TaskWish
from bottega.orchestration.situation import load_tasks
from bottega.orchestration.state import RunState
from bottega.orchestration.steps.types import Quoting
from bottega.orchestration.tables import Task
from bottega.orchestration.views.standing import Status, read_status
from bottega.projects import service as projects
from bottega.projects.repository import ProjectRepository
from bottega.projects.tables import Project, Question
from bottega.telemetry import metrics

__all__ = ["ModelOrchestrator", "NothingToDo"]


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
        quote: Quoting,
    ) -> None:
        self._database = database
        self._commands = Commands(rungs=rungs, minimum_credits=minimum_credits)
        self._repository = repository
        self._credit_value_usd = credit_value_usd
        self._quote = quote

    # -- commands -----------------------------------------------------------------------------------------------------

    async def handle_message(
        self,
        *,
        user_id: int,
        channel: str,
        text: str,
        project_id: uuid.UUID | None = None,
        idempotency_key: IdempotencyKey | None = None,
    ) -> uuid.UUID:
        """Do what a message means and return the project it was about; the project's events tell what follows.

        Without `project_id` a message begins a project, unless it names one.
        """
        by = Speaker(user_id=user_id, channel=channel)
        if project_id is not None and idempotency_key is None:
            is_kept = await remarks.keep(self._database, by=by, text=text, project_id=project_id)
            if is_kept:
                return project_id

        async def obey(session: AsyncSession) -> Projects:
            return await self._commands.obey(session, by=by, text=text, project_id=project_id)

        about = (await self._once(obey, user_id=user_id, key=idempotency_key))[0]
        await self._let_go(about)
        return about

    async def start_project(
        self, *, user_id: int, channel: str, brief: str, idempotency_key: IdempotencyKey | None = None
    ) -> uuid.UUID:
        """Open a project for a brief; the first step will read it.

        Raises:
            EmptyBrief, BriefTooLong
        """
        by = Speaker(user_id=user_id, channel=channel)

        async def start(session: AsyncSession) -> Projects:
            return await self._commands.start_project(session, by=by, brief=brief)

        return (await self._once(start, user_id=user_id, key=idempotency_key))[0]

    async def answer(
        self,
        *,
        user_id: int,
        project_id: uuid.UUID,
        answers: Mapping[uuid.UUID, str],
        idempotency_key: IdempotencyKey | None = None,
    ) -> None:
        """Keep answers by question id; when none is missing, planning may begin.

        Raises:
            NothingToDo: the plan is being made, or is made, already.
        """
        by = Speaker(user_id=user_id, channel="")

        async def answer(session: AsyncSession) -> Projects:
            return await self._commands.answer(session, by=by, project_id=project_id, answers=answers)

        await self._once(answer, user_id=user_id, key=idempotency_key)

    async def approve(
        self, *, user_id: int, project_id: uuid.UUID, idempotency_key: IdempotencyKey | None = None
    ) -> None:
        """Say go to the plan and its quote."""
        by = Speaker(user_id=user_id, channel="")

        async def approve(session: AsyncSession) -> Projects:
            return await self._commands.approve(session, by=by, project_id=project_id)

        await self._once(approve, user_id=user_id, key=idempotency_key)

    async def change_plan(
        self,
        *,
        user_id: int,
        project_id: uuid.UUID,
        channel: str,
        wish: str,
        idempotency_key: IdempotencyKey | None = None,
    ) -> None:
        """Say what to change about the plan; it is made anew."""
        by = Speaker(user_id=user_id, channel=channel)

        async def change(session: AsyncSession) -> Projects:
            return await self._commands.change_plan(session, by=by, project_id=project_id, wish=wish)

        await self._once(change, user_id=user_id, key=idempotency_key)

    async def remark(
        self,
        *,
        user_id: int,
        project_id: uuid.UUID,
        channel: str,
        text: str,
        idempotency_key: IdempotencyKey | None = None,
    ) -> None:
        """Say something about the work under way; every later prompt carries it."""
        by = Speaker(user_id=user_id, channel=channel)

        async def remark(session: AsyncSession) -> Projects:
            return await self._commands.remark(session, by=by, project_id=project_id, text=text)

        await self._once(remark, user_id=user_id, key=idempotency_key)

    async def refine(
        self,
        *,
        user_id: int,
        project_id: uuid.UUID,
        channel: str,
        path: str,
        instruction: str,
        idempotency_key: IdempotencyKey | None = None,
    ) -> None:
        """Ask for a change in one file: a task more for a delivered project, a remark for one that is worked on.

        A project that had stopped takes its work up again with the remark.

        Raises:
            UnsafePath, UnknownFile, FileTooLarge, EmptyInstruction, InstructionTooLong, TooFewCredits
            NotDelivered: the project was cancelled or failed.
            NothingToDo: it waits for answers or a go.
        """
        by = Speaker(user_id=user_id, channel=channel)

        async def refine(session: AsyncSession) -> Projects:
            return await self._commands.refine(
                session, by=by, project_id=project_id, path=path, instruction=instruction
            )

        await self._once(refine, user_id=user_id, key=idempotency_key)

    async def pause(
        self, *, user_id: int, project_id: uuid.UUID, idempotency_key: IdempotencyKey | None = None
    ) -> None:
        await self._wish(user_id=user_id, project_id=project_id, desired="pause", key=idempotency_key)

    async def cancel(
        self, *, user_id: int, project_id: uuid.UUID, idempotency_key: IdempotencyKey | None = None
    ) -> None:
        await self._wish(user_id=user_id, project_id=project_id, desired="cancel", key=idempotency_key)

    async def _wish(self, *, user_id: int, project_id: uuid.UUID, desired: str, key: IdempotencyKey | None) -> None:
        by = Speaker(user_id=user_id, channel="")

        async def wish(session: AsyncSession) -> Projects:
            return await self._commands.wish(session, by=by, project_id=project_id, desired=desired)

        await self._once(wish, user_id=user_id, key=key)
        await self._let_go(project_id)

    async def resume(
        self,
        *,
        user_id: int,
        project_id: uuid.UUID,
        channel: str = "",
        remark: str = "",
        idempotency_key: IdempotencyKey | None = None,
    ) -> None:
        """Go on from the same step, whatever it stopped for. A stuck task gets another round at the strongest model.

        `remark` is what to do differently, said in `channel`: every later prompt carries it.

        Raises:
            NothingToDo: the project is finished, or waits for answers or a go.
        """
        by = Speaker(user_id=user_id, channel=channel)

        async def resume(session: AsyncSession) -> Projects:
            return await self._commands.resume(session, by=by, project_id=project_id, remark=remark)

        await self._once(resume, user_id=user_id, key=idempotency_key)

    async def go_on(
        self, *, user_id: int, project_id: uuid.UUID, idempotency_key: IdempotencyKey | None = None
    ) -> None:
        """Set the work going: a plan that waits for a go has it, what had stopped is taken up, what works works on.

        Raises:
            NothingToDo: the project is finished, waits for answers, or is about to pause or end.
            InsufficientCredits: it waits for credits, and they are not there.
        """
        by = Speaker(user_id=user_id, channel="")

        async def go_on(session: AsyncSession) -> Projects:
            return await self._commands.go_on(session, by=by, project_id=project_id)

        await self._once(go_on, user_id=user_id, key=idempotency_key)

    async def edit_plan(
        self,
        *,
        user_id: int,
        project_id: uuid.UUID,
        wanted: Sequence[TaskWish],
        revision: str,
        idempotency_key: IdempotencyKey | None = None,
    ) -> None:
        """Leave exactly these tasks in a plan that waits for a go, in this order; it gets a new quote.

        `revision` is that of the plan they were read from (`replanning.revision_of`).

        Raises:
            InvalidPlan, PlanChanged
            NothingToDo: no plan waits for a go.
        """
        by = Speaker(user_id=user_id, channel="")
        tasks = await self.tasks(user_id=user_id, project_id=project_id)
        quote = await self._quote(replanning.sized(tasks, wanted=wanted))  # asks for prices: not in the transaction

        async def edit(session: AsyncSession) -> Projects:
            return await self._commands.edit_plan(
                session, by=by, project_id=project_id, wanted=wanted, revision=revision, quote=quote
            )

        await self._once(edit, user_id=user_id, key=idempotency_key)

    async def drop_task(
        self, *, user_id: int, project_id: uuid.UUID, channel: str, idempotency_key: IdempotencyKey | None = None
    ) -> None:
        """Give up the task the run has stopped at, with all that depends on it, and go on with the rest.

        Raises:
            CannotDrop: the run works, no task is under way, or nothing would be left.
        """
        by = Speaker(user_id=user_id, channel=channel)

        async def drop(session: AsyncSession) -> Projects:
            return await self._commands.drop_task(session, by=by, project_id=project_id)

        await self._once(drop, user_id=user_id, key=idempotency_key)

    async def limit_project(
        self,
        *,
        user_id: int,
        project_id: uuid.UUID,
        credits: Decimal | None,
        idempotency_key: IdempotencyKey | None = None,
    ) -> tuple[uuid.UUID, ...]:
        """Set what a project may cost, all in all (None: no limit); return the projects that go on because of it.

        Raises:
            InvalidLimit, UnknownProject
        """

        async def limit(session: AsyncSession) -> Projects:
            return await funding.limit_project(session, user_id=user_id, project_id=project_id, credits=credits)

        return await self._once(limit, user_id=user_id, key=idempotency_key)

    async def _once(
        self, act: Callable[[AsyncSession], Awaitable[Projects]], *, user_id: int, key: IdempotencyKey | None
    ) -> Projects:
        async with self._database.transaction() as session:
            return await deeds.once(session, user_id=user_id, key=key, act=act)

    async def _let_go(self, project_id: uuid.UUID) -> None:
        """Give up the calls of a run that was stopped over a dead runner's head.

        In a transaction of its own: a runner's journal locks calls before runs.
        """
        run = (await self._database.autocommit.execute(_STOPPED, {"project_id": project_id})).one_or_none()
        if run is None:
            return
        async with self._database.transaction() as session:
            lost = await orphan_started(session, operation_key=journal.operation_key(run.id, run.step_no))
        metrics.orphaned(calls=lost)

    # -- how things stand ---------------------------------------------------------------------------------------------

    async def questions(self, *, user_id: int, project_id: uuid.UUID) -> tuple[Question, ...]:
        """Return the questions that still want an answer, in order."""
        async with self._database.transaction() as session:
            return await open_questions(session, user_id=user_id, project_id=project_id)

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


_STOPPED = text(
    f"""
    SELECT id, step_no FROM (
        SELECT id, step_no, lease_owner, state FROM runs
        WHERE project_id = CAST(:project_id AS uuid) ORDER BY created_at DESC LIMIT 1
    ) AS newest
    WHERE state IN ('{RunState.PAUSED}', '{RunState.CANCELLED}') AND lease_owner IS NULL
    """  # noqa: S608  # our own words
)
