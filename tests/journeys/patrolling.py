"""Other processes of the same installation: one that patrols, and a command line that tops up."""

import asyncio
import os
import sys
from pathlib import Path

from bottega.bootstrap import open_app
from tests.journeys import scripts
from tests.journeys.conftest import scripted, settings_for


def work(*, database_url: str, home: Path) -> None:
    """Patrol until this process is ended."""
    asyncio.run(_patrol(database_url=database_url, home=home))


async def _patrol(*, database_url: str, home: Path) -> None:
    async with open_app(settings_for(home=home, database_url=database_url), llm=scripted(scripts.GOOD)) as app:
        await app.runner.patrol(every_seconds=0.05)


def grant_command(credits: str, *, username: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "bottega", "credits", "grant", credits, "--user", username)


def variables(database_url: str, home: Path) -> dict[str, str]:
    """Return the environment of a command of this installation."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}  # noqa: TID251
    models = {"ARCHITECT_MODEL": "scripted/architect", "IMPLEMENTER_MODELS": "scripted/apprentice"}
    database = {"DATABASE_URL": database_url.replace("+asyncpg", ""), "BOTTEGA_HOME": str(home)}
    return {**inherited, **models, **database}
