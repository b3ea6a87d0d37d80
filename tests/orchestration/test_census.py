"""What the rows say to a scrape, above all how long a due run has been without a runner."""

import pytest
from sqlalchemy import text
from tests.database import MakeProject, MakeUser

from bottega.core.ids import new_id
from bottega.db.transaction import Database
from bottega.orchestration import journal
from bottega.orchestration.tables import Run
from bottega.orchestration.views import census as census_module
from bottega.orchestration.views.census import census
from bottega.telemetry.metrics import Rows


async def counted(database: Database) -> Rows:
    async with database.transaction() as session:
        return await census(session, longest_ms=1000)


@pytest.fixture
async def a_run(database: Database, make_user: MakeUser, make_project: MakeProject) -> Run:
    user = await make_user()
    project = await make_project(user)
    run = Run(id=new_id(), project_id=project.id, user_id=user.id)
    async with database.transaction() as session:
        session.add(run)
    return run


async def change(database: Database, values: str) -> None:
    async with database.transaction() as session:
        await session.execute(text(f"UPDATE runs SET {values}"))  # noqa: S608


async def test_nothing_is_nothing(database: Database) -> None:
    assert await counted(database) == Rows(runs={}, due_unclaimed_age_seconds=0, outbox_lag_seconds=0, holds_open=0)


@pytest.mark.parametrize(
    ("values", "age"),
    [
        ("wake_at = now() - interval '100 s'", 100),
        ("wake_at = now() + interval '1 s'", 0),
        ("wake_at = now() - interval '1 h', lease_until = now() + interval '9 s', lease_owner = 'x'", 0),
        ("wake_at = now() - interval '1 h', lease_until = now() - interval '50 s', lease_owner = 'x'", 50),
        ("wake_at = now() - interval '1 h', state = 'paused'", 0),
        ("wake_at = now() - interval '1 h', state = 'done', finished_at = now()", 0),
    ],
    ids=["due", "not yet due", "leased", "its runner died", "paused", "done"],
)
@pytest.mark.usefixtures("a_run")
async def test_the_age_is_how_long_nobody_has_had_a_due_run(database: Database, values: str, age: float) -> None:
    await change(database, values)
    assert (await counted(database)).due_unclaimed_age_seconds == pytest.approx(age, abs=5)


async def test_a_lease_that_is_given_back_makes_the_run_due_from_then_on(database: Database, a_run: Run) -> None:
    await change(database, "wake_at = now() - interval '1 h'")
    async with database.transaction() as session:
        held = await journal.claim(session, run_id=a_run.id, owner="one")
        assert held is not None
        await journal.release(session, held=held)
    assert (await counted(database)).due_unclaimed_age_seconds < 5
    async with database.transaction() as session:
        assert await journal.claim(session, run_id=a_run.id, owner="two") is not None, "and it is due at once"


async def test_a_pause_before_the_next_try_outlasts_the_lease(database: Database, a_run: Run) -> None:
    async with database.transaction() as session:
        held = await journal.claim(session, run_id=a_run.id, owner="one")
        assert held is not None
        await session.execute(text("UPDATE runs SET wake_at = now() + interval '1 h'"))
        await journal.release(session, held=held)
    async with database.transaction() as session:
        assert await journal.claim(session, run_id=a_run.id, owner="two") is None


@pytest.mark.usefixtures("a_run")
async def test_unfinished_runs_are_counted_by_state_and_finished_ones_are_not(database: Database) -> None:
    assert (await counted(database)).runs == {"ready": 1}
    await change(database, "state = 'attention'")
    assert (await counted(database)).runs == {"attention": 1}
    await change(database, "state = 'cancelled', finished_at = now()")
    assert (await counted(database)).runs == {}


async def test_the_outbox_lags_by_its_oldest_due_message(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(
            text(
                "INSERT INTO outbox (target, payload, dedupe_key, wake_at, sent_at)"
                " VALUES ('t', '{}', 'sent', now() - interval '1 h', now()),"
                " ('t', '{}', 'later', now() + interval '1 h', NULL),"
                " ('t', '{}', 'due', now() - interval '40 s', NULL)"
            )
        )
    assert (await counted(database)).outbox_lag_seconds == pytest.approx(40, abs=5)


async def test_of_very_many_runs_only_unfinished_ones_are_read(database: Database, a_run: Run) -> None:
    made = text(
        "INSERT INTO runs (id, project_id, user_id, state, finished_at, wake_at) SELECT gen_random_uuid(), :project,"
        " :user, 'done', now(), now() FROM generate_series(1, 5000)"
    )
    unfinished = "SELECT state, count(*) FROM runs WHERE finished_at IS NULL GROUP BY state"
    async with database.transaction() as session:
        await session.execute(made, {"project": a_run.project_id, "user": a_run.user_id})
        await session.execute(text("ANALYZE runs"))
        plan = (await session.scalars(text(f"EXPLAIN {unfinished}"))).all()
    assert unfinished in census_module._RUNS.text.replace("count(*) AS runs", "count(*)")
    assert "Seq Scan" not in "\n".join(plan)
