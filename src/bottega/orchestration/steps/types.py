"""What an executor is given and what it returns."""

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from bottega.agents.prompting import Prompts
from bottega.agents.refiner import Refiner
from bottega.agents.types import Brief, Repair
from bottega.billing.quote import Quote, SizedTask
from bottega.db.transaction import Database
from bottega.delivery.storage import StorageService
from bottega.indexing.service import CodebaseIndexingService
from bottega.llm.types import LLM, ModelName
from bottega.orchestration.events import Event
from bottega.orchestration.loops import Attempt
from bottega.orchestration.state import Phase, RunState, RunView, StopCode, TaskView
from bottega.orchestration.tables import Run, Task
from bottega.projects.repository import ProjectRepository
from bottega.projects.tables import Project
from bottega.sandbox.judge import CheckRunner

Write = Callable[[AsyncSession], Awaitable[None]]


class Quoting(Protocol):
    async def __call__(self, tasks: Sequence[SizedTask]) -> Quote:
        """Return the quote for these tasks at today's prices of the configured models."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """What executors may use; made once per process by the composition root."""

    database: Database
    prompts: Prompts
    architect_model: ModelName
    implementer_models: tuple[ModelName, ...]  # the ladder, cheapest first
    checks: CheckRunner
    index: CodebaseIndexingService
    repository: Callable[[uuid.UUID], ProjectRepository]
    storage: StorageService
    quote: Quoting
    credit_value_usd: Decimal
    refiner: Refiner | None = None  # None: the Implementer refines too


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """One step to do: the rows it starts from, and how often it was tried."""

    run: Run
    project: Project
    tasks: tuple[Task, ...]
    view: RunView
    brief: Brief
    task_key: str | None
    attempt: int  # how many steps of this kind on this task the journal holds, plus one
    repair: Repair | None  # the last reply to the same request, when it could not be used
    misses: int  # how many unusable replies in a row came before
    tried: tuple[Attempt, ...]  # at this task, since the person last said to go on
    llm: LLM  # metered, for this step only

    @property
    def task(self) -> Task:
        return next(task for task in self.tasks if task.key == self.task_key)

    @property
    def task_view(self) -> TaskView:
        return next(task for task in self.view.tasks if task.key == self.task_key)

    @property
    def session(self) -> str:
        return str(self.project.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """`task` replaces the current task's counters; `feedback` its note for the next attempt.

    `forgiven` says why nobody pays for this step's replies (a usage row's `error_code`); None: they are charged.
    """

    outcome: str
    output: dict[str, Any] = field(default_factory=dict)
    phase: Phase | None = None  # None: the same
    state: RunState = RunState.READY
    stop_code: StopCode | None = None
    reason: str | None = None
    task: TaskView | None = None
    feedback: str | None = None
    proposal_tree_hash: str | None = None  # of the files in `output`, which become the ones under review
    write: Write | None = None
    forgiven: str | None = None
    events: tuple[Event, ...] = ()


class Executor(Protocol):
    async def __call__(self, situation: Situation, bench: Workbench) -> StepResult: ...
