"""A project that is paused or cancelled, or about to be, spends nothing through the relay."""

import uuid

import pytest
from sqlalchemy import update
from tests.billing.scene import set_scene

from bottega.db.transaction import Database
from bottega.orchestration.gate import ProjectCancelled, ProjectGate, ProjectPaused
from bottega.orchestration.tables import Run


@pytest.mark.parametrize(
    ("state", "desired", "refusal"),
    [
        ("ready", "run", None),
        ("waiting", "run", None),
        ("credits", "run", None),
        ("done", "run", None),
        ("ready", "pause", ProjectPaused),
        ("paused", "pause", ProjectPaused),
        ("paused", "run", ProjectPaused),
        ("ready", "cancel", ProjectCancelled),
        ("cancelled", "cancel", ProjectCancelled),
        ("done", "pause", None),
    ],
)
async def test_a_run_says_whether_its_project_may_be_spent_on(
    database: Database, state: str, desired: str, refusal: type[Exception] | None
) -> None:
    scene = await set_scene(database)
    run = Run(id=uuid.uuid4(), project_id=scene.project_id, user_id=scene.user_id, state=state, desired=desired)
    async with database.transaction() as session:
        session.add(run)
    gate = ProjectGate(database=database)
    if refusal is None:
        await gate.may_call(project_id=scene.project_id)
        return
    with pytest.raises(refusal):
        await gate.may_call(project_id=scene.project_id)
    async with database.transaction() as session:
        await session.execute(update(Run).values(state="ready", desired="run"))
    await gate.may_call(project_id=scene.project_id)


async def test_a_project_that_was_never_run_may(database: Database) -> None:
    scene = await set_scene(database)
    await ProjectGate(database=database).may_call(project_id=scene.project_id)
