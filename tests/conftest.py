"""What every test may ask for. Each `database` is empty, migrated, and this worker's own."""

import os
import shutil
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from bottega.core.clock import SystemClock
from bottega.db.embedded import EmbeddedPostgres
from bottega.db.transaction import Database
from bottega.projects.tables import Project
from bottega.users.tables import User
from tests.database import MakeProject, MakeUser, add_project, add_user, clone, drop, wipe

settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")  # how fast the machine is at the moment is nobody's fault


@pytest.fixture(scope="session")
def run_name(request: pytest.FixtureRequest) -> str:
    """Name this run of the suite; all its workers see the same name."""
    worker = getattr(request.config, "workerinput", None)
    return str(worker["testrunuid"]) if worker else f"alone{os.getpid()}"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server_url(run_name: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Return a superuser's URL of the run's server. A server that cannot start fails the tests, never skips them."""
    given = os.environ.get("TEST_DATABASE_URL")  # noqa: TID251 -- tests have no Settings
    if given:
        yield given
        return
    home = tmp_path_factory.getbasetemp().parent / f"postgres-{run_name}"
    server = EmbeddedPostgres(home=home, clock=SystemClock(), durable=False)
    yield await server.start()
    if await server.stop():
        shutil.rmtree(home)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def worker_url(server_url: str, run_name: str, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    worker = getattr(request.config, "workerinput", {"workerid": "main"})["workerid"]
    name = f"bottega_test_{run_name}_{worker}"
    yield await clone(server_url=server_url, run=run_name, name=name)
    await drop(server_url=server_url, name=name)


@pytest.fixture
async def database_url(worker_url: str) -> str:
    """Return the URL of a clean database: for tests that start processes or build an App of their own."""
    await wipe(url=worker_url)
    return worker_url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(url=database_url)
    yield database
    await database.close()


@pytest.fixture
def make_user(database: Database) -> MakeUser:
    async def make(*, balance: Decimal = Decimal(10), username: str | None = None) -> User:
        return await add_user(database, balance=balance, username=username)

    return make


@pytest.fixture
def make_project(database: Database) -> MakeProject:
    async def make(user: User, *, title: str = "A to-do list", status: str = "gathering_requirements") -> Project:
        return await add_project(database, user, title=title, status=status)

    return make
