"""The command line as a person meets it: arguments and environment in; exit code, stdout and stderr out."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result

from bottega.entrypoints.cli.app import main


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the commands of one test see: this database, this home, and no key unless the test adds one."""

    database_url: str
    home: Path
    settings: Mapping[str, str]

    def variables(self, **changes: str) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}  # noqa: TID251
        database = self.database_url.replace("+asyncpg", "")
        return {**inherited, "DATABASE_URL": database, "BOTTEGA_HOME": str(self.home), **self.settings, **changes}


Run = Callable[..., Result]


@pytest.fixture
def environment(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Return an installation whose models are scripted names, so that nothing can leave this machine."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    models = {"ARCHITECT_MODEL": "scripted/architect", "IMPLEMENTER_MODELS": "scripted/apprentice"}
    return Environment(database_url=database_url, home=tmp_path / "home", settings=models)


@pytest.fixture
def bottega(environment: Environment) -> Iterator[Run]:
    """Run a command in this process: `bottega("build", "a brief", GOOGLE_API_KEY="...")`. None unsets a variable."""

    def run(*arguments: str, typed: str | None = None, **variables: str | None) -> Result:
        given = {name: value for name, value in variables.items() if value is not None}
        seen: dict[str, str | None] = {**dict.fromkeys(variables), **environment.variables(**given)}
        seen |= {name: None for name, value in variables.items() if value is None}
        return CliRunner(env=seen).invoke(main, arguments, input=typed)

    yield run
    structlog.reset_defaults()  # a command sends the log to its own stderr, which is gone


def command(*arguments: str) -> tuple[str, ...]:
    """Return the command line of a process of its own."""
    return (sys.executable, "-m", "bottega", *arguments)
