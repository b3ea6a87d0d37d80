"""How often a patrol looks for what is due."""

import asyncio
import contextlib
import uuid

from sqlalchemy import event, insert, update
from tests.database import MakeProject, MakeUser
from tests.waiting import when

from bottega.core.clock import SystemClock
from bottega.core.ids import new_id
from bottega.db.transaction import Database
from bottega.orchestration.running.advance import Advanced, Shift
from bottega.orchestration.running.runner import InProcessRunner
from bottega.orchestration.tables import Run

RUNS = 20


class Quick:
    """Drives a run by making it wait, each a moment after the one before."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.driven: list[uuid.UUID] = []

    async def drive(self, run_id: uuid.UUID, *, shift: Shift | None = None) -> Advanced:
        del shift
        async with self._database.transaction() as session:
            await session.execute(update(Run).where(Run.id == run_id).values(state="waiting"))
        self.driven.append(run_id)
        await asyncio.sleep(len(self.driven) * 0.005)
        return Advanced.STOPPED


async def test_runs_that_end_one_after_the_other_are_not_a_look_each(
    database: Database, make_user: MakeUser, make_project: MakeProject
) -> None:
    user, looks = await make_user(), list[str]()
    for _ in range(RUNS):
        project = await make_project(user)
        async with database.transaction() as session:
            await session.execute(insert(Run).values(id=new_id(), project_id=project.id, user_id=user.id))

    def hear(*told: object) -> None:
        if str(told[2]).lstrip().startswith("WITH busy"):
            looks.append("look")

    quick = Quick(database)
    runner = InProcessRunner(
        database=database,
        advancer=quick,  # type: ignore[arg-type]
        clock=SystemClock(),
        announce=lambda _: None,
        at_once_per_person=RUNS,
    )
    event.listen(database.engine.sync_engine, "before_cursor_execute", hear)
    patrol = asyncio.create_task(runner.patrol(every_seconds=60, at_once=4))
    try:
        await when(lambda: _as_many(quick), seconds=10)
    finally:
        patrol.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await patrol
    assert RUNS / 4 <= len(looks) <= RUNS / 2


async def _as_many(quick: Quick) -> bool:
    return len(quick.driven) == RUNS
