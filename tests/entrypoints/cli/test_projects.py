import asyncio
import uuid
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner

from bottega.bootstrap import open_app
from bottega.config import DatabaseSettings, PlatformSettings, Settings
from bottega.entrypoints.cli.app import main
from bottega.entrypoints.cli.running import local_username
from bottega.llm.scripted import ScriptedProvider


def test_the_list_shows_whole_ids_however_narrow_the_terminal(tmp_path: Path, database_url: str) -> None:
    started = asyncio.run(_start_project(tmp_path, database_url))
    environment = {"BOTTEGA_HOME": str(tmp_path), "DATABASE_URL": database_url, "COLUMNS": "60"}
    assert str(started) in CliRunner(env=environment).invoke(main, ["projects"]).output


async def _start_project(home: Path, database_url: str) -> uuid.UUID:
    settings = replace(
        Settings.load(),
        platform=PlatformSettings(bottega_home=home),
        database=DatabaseSettings(database_url=database_url),
    )
    async with open_app(settings, llm=ScriptedProvider(script={})) as app:
        user_id = await app.local_user(local_username())
        brief = "A diary of everything I ever lent to anybody, with dates"
        return await app.orchestrator.start_project(user_id=user_id, channel="cli", brief=brief)
