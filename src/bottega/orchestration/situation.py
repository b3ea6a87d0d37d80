"""Loading what a step starts from: the rows of one run, as values for deciding and for its executor."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import takewhile

from sqlalchemy import bindparam, exists, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.agents.types import Answer, Brief, Repair
from bottega.llm.types import LLM
from bottega.orchestration import loops
from bottega.orchestration.decide import Do
from bottega.orchestration.state import (
    LastStep,
    Phase,
    RunKind,
    RunState,
    RunView,
    StepKind,
    TaskStage,
    TaskStatus,
    TaskView,
)
from bottega.orchestration.steps.types import Situation
from bottega.orchestration.tables import Run, Step, Task
from bottega.projects.tables import Conversation, Project, Question
from bottega.users.tables import User

JUDGED = (StepKind.IMPLEMENT, StepKind.CHECK, StepKind.VERIFY)
TOLD = ("model", "substance", "tree", "failure", "said")  # what of a step's output tells one attempt from another

# Every step runs these: they are built once, and each is one round trip.
_STATE = (
    select(Run, Project, User.credit_balance - User.credit_held, Step.kind, Step.outcome)
    .join(Project, Project.id == Run.project_id)
    .join(User, User.id == Run.user_id)
    .outerjoin(Step, (Step.run_id == Run.id) & (Step.step_no == Run.step_no - 1))
    .where(Run.id == bindparam("run_id"))
)
_TASKS = select(Task).where(Task.project_id == bindparam("project_id")).order_by(Task.ordinal)
_ANSWERS = select(
    func.jsonb_agg(aggregate_order_by(func.jsonb_build_array(Question.text, Question.answer), Question.ordinal))
).where(Question.project_id == bindparam("project_id"), Question.answer.is_not(None))
_GIVEN_UP = (  # what was asked for then is wanted no longer
    exists()
    .where(Run.project_id == Conversation.project_id, Run.kind == RunKind.REFINE)
    .where(Run.state.in_([RunState.CANCELLED, RunState.FAILED]))
    .where(Conversation.created_at.between(Run.created_at, Run.finished_at))
)
_REMARKS = select(func.array_agg(aggregate_order_by(Conversation.content, Conversation.id))).where(
    Conversation.project_id == bindparam("project_id"), Conversation.role == "person", ~_GIVEN_UP
)
_TRIES = (
    select(func.jsonb_agg(aggregate_order_by(func.jsonb_build_array(Step.step_no, Step.outcome), Step.step_no.desc())))
    .where(Step.run_id == bindparam("run_id"), Step.kind == bindparam("kind"))
    .where(Step.task_key.is_not_distinct_from(bindparam("task_key", type_=Step.task_key.type)))
)
_OF_TASK = func.jsonb_build_object(
    "kind",
    Step.kind,
    "outcome",
    Step.outcome,
    "output",
    func.jsonb_build_object(*(part for name in TOLD for part in (name, Step.output[name]))),
)
_PAST = (  # of the task, since the person last said to go on
    select(func.jsonb_agg(aggregate_order_by(_OF_TASK, Step.step_no)))
    .where(Step.run_id == bindparam("run_id"), Step.step_no >= bindparam("since"))
    .where(Step.task_key == bindparam("of_task"), Step.kind.in_(JUDGED))
)
_BEFORE = select(
    _ANSWERS.scalar_subquery(), _REMARKS.scalar_subquery(), _TRIES.scalar_subquery(), _PAST.scalar_subquery()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    run: Run
    project: Project
    tasks: tuple[Task, ...]
    view: RunView
    available_credits: Decimal


async def load(session: AsyncSession, *, run_id: uuid.UUID, minimum_credits: Decimal) -> Loaded:
    """Read a run's state. `minimum_credits` is what a person must have available before a new task starts."""
    run, project, available, last_kind, last_outcome = (await session.execute(_STATE, {"run_id": run_id})).one()
    tasks = await load_tasks(session, project_id=project.id)
    unanswered = await _unanswered(session, project_id=project.id) if run.phase == Phase.GATHER else 0
    view = RunView(
        phase=Phase(run.phase),
        state=RunState(run.state),
        kind=RunKind(run.kind),
        tasks=tuple(view_of(task) for task in tasks),
        unanswered=unanswered,
        can_afford_task=available >= minimum_credits,
        last=LastStep(kind=StepKind(last_kind), outcome=last_outcome) if last_kind else None,
    )
    return Loaded(run=run, project=project, tasks=tasks, view=view, available_credits=available)


async def load_tasks(session: AsyncSession, *, project_id: uuid.UUID) -> tuple[Task, ...]:
    return tuple((await session.scalars(_TASKS, {"project_id": project_id})).all())


def view_of(task: Task) -> TaskView:
    return TaskView(
        key=task.key,
        status=TaskStatus(task.status),
        stage=TaskStage(task.stage),
        attempts=task.attempts,
        rung=task.rung,
        rung_failures=task.rung_failures,
    )


async def _unanswered(session: AsyncSession, *, project_id: uuid.UUID) -> int:
    statement = select(func.count()).where(Question.project_id == project_id, Question.answer.is_(None))
    return (await session.execute(statement)).scalar_one()


async def prepare(session: AsyncSession, *, loaded: Loaded, step: Do, llm: LLM) -> Situation:
    """Complete a loaded run for one step: the brief, how often the step was tried, and what there is to repair."""
    run, project = loaded.run, loaded.project
    given = {"project_id": project.id, "run_id": run.id, "kind": step.kind, "task_key": step.task_key}
    given |= {"of_task": step.task_key, "since": run.allowance_from}
    answers, remarks, tries, past = (await session.execute(_BEFORE, given)).one()
    unusable = list(takewhile(lambda tried: tried[1] == "unusable", tries or ()))
    return Situation(
        run=run,
        project=project,
        tasks=loaded.tasks,
        view=loaded.view,
        brief=_brief(project, answers=answers or (), remarks=remarks or ()),
        task_key=step.task_key,
        attempt=len(tries or ()) + 1,
        repair=await _repair(session, run_id=run.id, step_no=unusable[0][0]) if unusable else None,
        misses=len(unusable),
        tried=loops.attempts(loops.Past(**step) for step in past or ()),
        llm=llm,
    )


def _brief(project: Project, *, answers: Sequence[tuple[str, str]], remarks: Sequence[str]) -> Brief:
    return Brief(
        text=project.description,
        answers=tuple(Answer(question=question, answer=answer) for question, answer in answers),
        remarks=tuple(remarks[1:]),  # the first thing said is the brief
    )


async def _repair(session: AsyncSession, *, run_id: uuid.UUID, step_no: int) -> Repair:
    """Return the reply that could not be used, and why not."""
    statement = select(Step.output).where(Step.run_id == run_id, Step.step_no == step_no)
    output = (await session.execute(statement)).scalar_one()
    return Repair(reply=output["reply"], complaint=output["complaint"], truncated=output["truncated"])
