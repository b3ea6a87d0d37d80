"""`bottega relay`: tokens for tools of one's own."""

import asyncio
import subprocess
import sys
import uuid

from bottega.billing.relay import InvalidRelayToken, RelayTokens
from bottega.core.ids import new_id
from bottega.db.transaction import Database
from bottega.entrypoints.cli.running import local_username
from bottega.projects.tables import Project
from bottega.users.service import find_or_create
from tests.entrypoints.cli.conftest import Environment, Run


def in_database(environment: Environment, work: object) -> object:
    async def session() -> object:
        database = Database(url=environment.database_url)
        try:
            return await work(database)  # type: ignore[operator]
        finally:
            await database.close()

    return asyncio.run(session())


def a_project(environment: Environment, *, username: str) -> uuid.UUID:
    async def add(database: Database) -> uuid.UUID:
        async with database.transaction() as session:
            person = await find_or_create(session, username=username)
            project = Project(id=new_id(), user_id=person.id, title="t", description="d", status="implementing")
            session.add(project)
        return project.id

    return in_database(environment, add)  # type: ignore[return-value]


def is_valid(environment: Environment, token: str) -> bool:
    async def redeem(database: Database) -> bool:
        try:
            await RelayTokens(database=database).redeem(token)
        except InvalidRelayToken:
            return False
        return True

    return bool(in_database(environment, redeem))


def test_a_token_is_shown_with_how_to_use_it_and_can_be_ended(bottega: Run, environment: Environment) -> None:
    project = a_project(environment, username=local_username())
    said = bottega("relay", "token", str(project), "--hours", "2")
    assert said.exit_code == 0, said.output
    values = dict(line.split("=", 1) for line in said.stdout.splitlines() if not line.startswith("#"))
    assert values["OPENAI_BASE_URL"] == "http://127.0.0.1:8080/v1"
    assert "scripted/architect, scripted/apprentice" in said.stdout
    assert is_valid(environment, values["OPENAI_API_KEY"])
    ended = bottega("relay", "revoke", str(project))
    assert ended.stdout == "1 token ended.\n"
    assert not is_valid(environment, values["OPENAI_API_KEY"])


def test_nobody_gets_a_token_for_what_is_not_theirs(bottega: Run, environment: Environment) -> None:
    theirs = a_project(environment, username="somebody else")
    for project in (str(theirs), str(uuid.uuid4()), "nonsense"):
        said = bottega("relay", "token", project)
        assert said.exit_code == 2
        assert "brt_" not in said.output
    assert bottega("relay", "token", str(theirs), "--hours", "25").exit_code == 2


def test_building_imports_no_web_framework() -> None:
    script = (
        "import sys, bottega.entrypoints.cli.app, bottega.entrypoints.cli.build, bottega.bootstrap\n"
        "print({'fastapi', 'starlette', 'uvicorn'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
