"""Who is rung for, how often, and that only one process rings at a time."""

import asyncio
import uuid
from dataclasses import dataclass, field

from sqlalchemy import func, insert, text, update
from tests.database import MakeProject, MakeUser

from bottega.core.ids import new_id
from bottega.db.transaction import Database
from bottega.orchestration.doorbell import Lane
from bottega.orchestration.running.bellringer import Bellringer
from bottega.orchestration.tables import Run


@dataclass
class Heard:
    rings: list[tuple[uuid.UUID, Lane]] = field(default_factory=list)

    def ring(self, run_id: uuid.UUID, *, lane: Lane) -> None:
        self.rings.append((run_id, lane))


async def run_of(database: Database, project_id: uuid.UUID, user_id: int, **values: object) -> uuid.UUID:
    run_id = new_id()
    async with database.transaction() as session:
        await session.execute(insert(Run).values(id=run_id, project_id=project_id, user_id=user_id, **values))
    return run_id


async def test_what_is_due_is_rung_for_once_in_a_while_in_its_lane(
    database: Database, make_user: MakeUser, make_project: MakeProject
) -> None:
    user = await make_user()
    steps, sandbox, later, leased, waiting = [await make_project(user) for _ in range(5)]
    due = {
        (await run_of(database, steps.id, user.id), Lane.STEPS),
        (await run_of(database, sandbox.id, user.id, lane=Lane.SANDBOX), Lane.SANDBOX),
    }
    await run_of(database, later.id, user.id, wake_at=func.now() + text("interval '1 hour'"))
    await run_of(
        database, leased.id, user.id, lease_owner="somebody", lease_until=func.now() + text("interval '1 hour'")
    )
    await run_of(database, waiting.id, user.id, state="waiting")
    heard = Heard()
    ringer = Bellringer(database=database, doorbell=heard, at_once_per_person=10)
    assert (await ringer.ring_due(), set(heard.rings)) == (2, due)
    assert await ringer.ring_due() == 0, "they have just been rung for"
    async with database.transaction() as session:
        await session.execute(update(Run).values(rung_at=func.now() - text("interval '1 minute'")))
    assert (await ringer.ring_due(), set(heard.rings)) == (2, due)


async def test_of_one_person_only_so_many_are_rung_for(
    database: Database, make_user: MakeUser, make_project: MakeProject
) -> None:
    eager, modest = await make_user(), await make_user()
    theirs = [
        await run_of(database, (await make_project(eager)).id, eager.id, lease_owner=owner, lease_until=until)
        for owner, until in (
            ("somebody", func.now() + text("interval '1 hour'")),
            (None, None),
            ("dead", func.now() - text("interval '1 second'")),
        )
    ]
    mine = await run_of(database, (await make_project(modest)).id, modest.id)
    heard = Heard()
    await Bellringer(database=database, doorbell=heard, at_once_per_person=2).ring_due()
    assert {run_id for run_id, _ in heard.rings} == {mine, theirs[1]}


async def test_one_process_rings_at_a_time(database: Database, make_user: MakeUser, make_project: MakeProject) -> None:
    user = await make_user()
    for _ in range(20):
        await run_of(database, (await make_project(user)).id, user.id)
    heard = Heard()
    ringers = [Bellringer(database=database, doorbell=heard, at_once_per_person=100) for _ in range(5)]
    assert sum(await asyncio.gather(*(ringer.ring_due() for ringer in ringers))) == len(set(heard.rings)) == 20
