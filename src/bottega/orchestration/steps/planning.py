"""From a brief to an approved-to-be plan: the Architect asks what it must, then plans; the plan gets a price."""

import uuid

from sqlalchemy import delete, insert, update
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.agents.architect import ArchitectAgent
from bottega.agents.types import Plan, PlannedTask, UnusableReply
from bottega.billing.quote import Quote, SizedTask
from bottega.core.ids import new_id
from bottega.core.money import show_credits
from bottega.llm.errors import Refused
from bottega.orchestration.events import PlanReady, QuestionsAsked, RequirementsClear, RunStopped
from bottega.orchestration.state import Phase, RunState, StepKind, StopCode
from bottega.orchestration.steps import workspace
from bottega.orchestration.steps.types import Situation, StepResult, Workbench
from bottega.orchestration.steps.unusable import ask_again_or_stop
from bottega.orchestration.tables import Task
from bottega.projects import service as projects
from bottega.projects.tables import Project
from bottega.projects.todo import TodoItem, TodoState, render_todo


def architect(situation: Situation, bench: Workbench) -> ArchitectAgent:
    return ArchitectAgent(llm=situation.llm, model=bench.architect_model, prompts=bench.prompts)


async def gather(situation: Situation, bench: Workbench) -> StepResult:
    """Ask the Architect what is unclear; no question at all for a complete brief."""
    try:
        gathered = await architect(situation, bench).gather(
            brief=situation.brief, session=situation.session, attempt=situation.attempt, repair=situation.repair
        )
    except (UnusableReply, Refused) as error:
        return ask_again_or_stop(error, kind=StepKind.GATHER, situation=situation)

    async def write(session: AsyncSession) -> None:
        project = update(Project).where(Project.id == situation.project.id)
        await session.execute(project.values(title=gathered.title))
        await projects.add_questions(session, project_id=situation.project.id, questions=gathered.questions)

    if not gathered.questions:
        return StepResult(outcome="clear", phase=Phase.PLAN, write=write, events=(RequirementsClear(),))
    return StepResult(
        outcome="asked",
        output={"questions": [question.text for question in gathered.questions]},
        state=RunState.WAITING,
        stop_code=StopCode.QUESTIONS,
        reason="Some questions want an answer before planning.",
        write=write,
        events=(QuestionsAsked(count=len(gathered.questions)),),
    )


async def plan(situation: Situation, bench: Workbench) -> StepResult:
    """Let the Architect write documentation, stack and tasks; quote them; wait for the person's go."""
    try:
        planned = await architect(situation, bench).plan(
            brief=situation.brief,
            session=situation.session,
            attempt=situation.attempt,
            previous=_previous(situation),
            repair=situation.repair,
        )
    except (UnusableReply, Refused) as error:
        return ask_again_or_stop(error, kind=StepKind.PLAN, situation=situation)
    quote = await bench.quote([SizedTask(key=task.key, size=task.size) for task in planned.tasks])

    async def write(session: AsyncSession) -> None:
        await _write_plan(session, situation=situation, planned=planned, quote=quote)

    ready = PlanReady(
        title=planned.title,
        tasks=tuple(f"{task.key} {task.title}" for task in planned.tasks),
        low_credits=show_credits(quote.low_credits),
        high_credits=show_credits(quote.high_credits),
    )
    waiting = RunStopped(
        stop_code=StopCode.APPROVAL,
        reason="The plan and its price want your go.",
        choices=("go: build it", "say what to change", "cancel: stop this project"),
    )
    return StepResult(
        outcome="planned",
        output={"tasks": [task.key for task in planned.tasks]},
        phase=Phase.APPROVE,
        state=RunState.WAITING,
        stop_code=StopCode.APPROVAL,
        reason=waiting.reason,
        write=write,
        events=(ready, waiting),
    )


def _previous(situation: Situation) -> Plan | None:
    """Return the plan the person wants changed, if there is one."""
    if not situation.tasks:
        return None
    return Plan(
        title=situation.project.title,
        documentation=situation.project.documentation or "",
        tech_stack=situation.project.tech_stack or {},
        tasks=tuple(workspace.planned(task) for task in situation.tasks),
    )


async def _write_plan(session: AsyncSession, *, situation: Situation, planned: Plan, quote: Quote) -> None:
    project_id = situation.project.id
    todo = tuple(TodoItem(key=task.key, title=task.title, state=TodoState.TODO) for task in planned.tasks)
    values = {
        "title": planned.title,
        "documentation": planned.documentation,
        "tech_stack": dict(planned.tech_stack),
        "quote_low_credits": quote.low_credits,
        "estimated_credit_cost": quote.high_credits,
        "current_todo_markdown": render_todo(title=planned.title, items=todo),
    }
    await session.execute(update(Project).where(Project.id == project_id).values(values))
    await session.execute(delete(Task).where(Task.project_id == project_id))  # an earlier plan the person changed
    await session.execute(insert(Task), [_row(project_id, n, task) for n, task in enumerate(planned.tasks, start=1)])


def _row(project_id: uuid.UUID, ordinal: int, task: PlannedTask) -> dict[str, object]:
    return {
        "id": new_id(),
        "project_id": project_id,
        "ordinal": ordinal,
        "key": task.key,
        "title": task.title,
        "description": task.description,
        "files": list(task.files),
        "depends_on": list(task.depends_on),
        "commands": list(task.commands),
        "criteria": list(task.criteria),
        "size": task.size,
    }
