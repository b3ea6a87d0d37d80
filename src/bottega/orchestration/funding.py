"""Runs that wait for credits: woken by whatever gives them enough, in the transaction that gave it.

A run wakes at the step it stopped at, when the account and the project's limit leave it what that step may need. Each
run that wakes counts against the rest: what suffices for one wakes one, in the order in which the runs began. A wish
to pause or cancel is stronger than any top-up. Waking twice changes nothing.

Locks are taken as the ledger takes them: the person first (never their key), then runs, then projects.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing.ledger import InsufficientCredits, ProjectLimitReached
from bottega.billing.tables import CreditHold
from bottega.core.errors import AppError
from bottega.orchestration import journal, progress, setbacks, situation
from bottega.orchestration.events import RunResumed
from bottega.orchestration.state import Phase, RunState, StopCode
from bottega.orchestration.tables import Run
from bottega.projects import service as projects
from bottega.projects.tables import Project
from bottega.users.tables import User

LARGEST_LIMIT = Decimal(1_000_000_000)


class InvalidLimit(AppError):
    code = "invalid_limit"
    http_status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRun:
    """A run that waits for credits. `limit_left` is what its project's limit leaves, None without one."""

    project_id: uuid.UUID
    title: str
    credits_needed: Decimal
    limit_left: Decimal | None


async def wake_for_credits(session: AsyncSession, user_id: int) -> tuple[uuid.UUID, ...]:
    """Make the person's runs ready whose need is met by now; return their projects."""
    await _lock_person(session, user_id=user_id)
    left = await _available(session, user_id=user_id)
    woken = []
    for run, waiting in await _waiting(session, user_id=user_id, lock=True):
        if waiting.credits_needed > left or _is_over_limit(waiting):
            continue
        left -= waiting.credits_needed
        await _wake(session, run)
        woken.append(run.project_id)
    return tuple(woken)


async def whose_need_is_met(session: AsyncSession) -> tuple[int, ...]:
    """Return the people whose runs may wake without a top-up: what they were short of was held, and came back."""
    met = func.coalesce(Run.credits_needed, 0) <= User.credit_balance - User.credit_held
    people = select(Run.user_id).join(User, User.id == Run.user_id).where(Run.state == RunState.CREDITS, met)
    return tuple((await session.scalars(people.distinct().order_by(Run.user_id))).all())


async def waiting_for_credits(session: AsyncSession, *, user_id: int) -> tuple[WaitingRun, ...]:
    """Return the person's runs that wait for credits, in the order in which they began."""
    return tuple(waiting for _, waiting in await _waiting(session, user_id=user_id, lock=False))


async def limit_project(
    session: AsyncSession, *, user_id: int, project_id: uuid.UUID, credits: Decimal | None
) -> tuple[uuid.UUID, ...]:
    """Set what a project may cost, all in all (None: no limit), and return the projects that go on because of it.

    Below what is spent already, the project's next call stops it.

    Raises:
        InvalidLimit, UnknownProject
    """
    if credits is not None and not (credits.is_finite() and 0 <= credits <= LARGEST_LIMIT):
        raise InvalidLimit(f"A limit is a number of credits from 0 to {LARGEST_LIMIT:,}, or none.")
    await _lock_person(session, user_id=user_id)
    mine = select(Run).where(Run.project_id == project_id, Run.user_id == user_id, Run.finished_at.is_(None))
    run = (await session.scalars(mine.with_for_update())).one_or_none()
    await projects.limit_credits(session, project_id=project_id, user_id=user_id, credits=credits)
    woken = await wake_for_credits(session, user_id)
    if run is not None and project_id not in woken and run.stop_code == StopCode.PROJECT_LIMIT:
        await _restate(session, run)
    return woken


async def _lock_person(session: AsyncSession, *, user_id: int) -> None:
    await session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))


async def _available(session: AsyncSession, *, user_id: int) -> Decimal:
    statement = select(User.credit_balance - User.credit_held).where(User.id == user_id)
    return (await session.execute(statement)).scalar_one_or_none() or Decimal(0)


async def _waiting(session: AsyncSession, *, user_id: int, lock: bool) -> Sequence[tuple[Run, WaitingRun]]:
    held = (
        select(func.coalesce(func.sum(CreditHold.credits_amount), 0))
        .where(CreditHold.user_id == user_id, CreditHold.project_id == Project.id, CreditHold.state == "open")
        .scalar_subquery()
    )
    statement = (
        select(Run, Project.title, Project.credit_limit - Project.actual_credit_cost - held)
        .join(Project, Project.id == Run.project_id)
        .where(Run.user_id == user_id, Run.state == RunState.CREDITS, Run.desired == "run")
        .order_by(Run.created_at, Run.id)
    )
    if lock:
        statement = statement.with_for_update(of=Run).execution_options(populate_existing=True)
    rows = (await session.execute(statement)).all()
    return [(run, _as_waiting(run, title=title, limit_left=limit_left)) for run, title, limit_left in rows]


def _as_waiting(run: Run, *, title: str, limit_left: Decimal | None) -> WaitingRun:
    needed = run.credits_needed or Decimal(0)
    return WaitingRun(project_id=run.project_id, title=title, credits_needed=needed, limit_left=limit_left)


def _is_over_limit(waiting: WaitingRun) -> bool:
    return waiting.limit_left is not None and waiting.credits_needed > waiting.limit_left


async def _wake(session: AsyncSession, run: Run) -> None:
    await journal.make_ready(session, run=run, phase=Phase(run.phase))
    loaded = await situation.load(session, run_id=run.id, minimum_credits=Decimal(0))
    await progress.report(
        session, project=loaded.project, run_id=run.id, view=loaded.view, stop_code=None, events=(RunResumed(),)
    )


async def _restate(session: AsyncSession, run: Run) -> None:
    """Say what a run waits for now that its project's limit is another one."""
    every = await _waiting(session, user_id=run.user_id, lock=False)
    waiting = next((waiting for found, waiting in every if found.id == run.id), None)
    if waiting is None:
        return  # it is to be paused or cancelled
    short = await _why_it_waits(session, waiting, user_id=run.user_id)
    values = {"stop_code": short.stop_code, "reason": short.reason}
    await session.execute(update(Run).where(Run.id == run.id).values(values))


async def _why_it_waits(session: AsyncSession, waiting: WaitingRun, *, user_id: int) -> setbacks.Setback:
    needed, limit_left = waiting.credits_needed, waiting.limit_left
    if limit_left is not None and needed > limit_left:
        return setbacks.limit_reached(ProjectLimitReached(needed=needed, available=max(limit_left, Decimal(0))))
    available = await _available(session, user_id=user_id)
    return setbacks.out_of_credits(InsufficientCredits(needed=needed, available=available))
