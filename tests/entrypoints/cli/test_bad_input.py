"""Nonsense, hostile input and broken surroundings: one clear sentence, the right exit code, nothing lost or charged."""

import asyncio
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result

from tests.database import connected
from tests.entrypoints.cli.conftest import Environment, Run, command

USAGE = 2


def assert_told(result: Result, *words: str, code: int = USAGE) -> None:
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert "Something went wrong" not in result.stderr
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr


def assert_one_sentence(result: Result, *words: str, code: int = USAGE) -> None:
    assert_told(result, *words, code=code)
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr


# -- the brief --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("brief", ["", "   \n\t "])
def test_an_empty_brief(brief: str, bottega: Run) -> None:
    assert_one_sentence(bottega("build", brief), "The brief is empty")


def test_a_brief_of_a_hundred_kilobytes(bottega: Run) -> None:
    assert_one_sentence(bottega("build", "a" * 100_000), "100,000 bytes", "50,000")


def test_neither_a_brief_nor_a_file(bottega: Run) -> None:
    assert_one_sentence(bottega("build"), "Say what to build")


def test_both_a_brief_and_a_file(bottega: Run) -> None:
    assert_one_sentence(bottega("build", "a tool", "--file", "brief.md"), "Say what to build")


def test_a_brief_in_a_file_that_is_not_there(bottega: Run) -> None:
    assert_one_sentence(bottega("build", "--file", "absent.md"), "absent.md", "No such file")


def test_a_brief_in_a_folder(bottega: Run) -> None:
    assert_one_sentence(bottega("build", "--file", "."), "cannot be read", "directory")


def test_a_brief_that_is_not_utf_8(bottega: Run) -> None:
    Path("brief.md").write_bytes(b"\xff\xfe\x00w")
    assert_one_sentence(bottega("build", "--file", "brief.md"), "brief.md is not UTF-8")


def test_an_argument_that_is_not_utf_8(environment: Environment) -> None:
    """As a process: only the kernel passes such bytes on."""
    run = subprocess.run([*command("build"), b"caf\xe9"], env=environment.variables(), capture_output=True, check=False)
    assert run.returncode == USAGE
    assert run.stderr.decode().strip() == "The brief is not UTF-8 text."


# -- projects ---------------------------------------------------------------------------------------------------------

OF_A_PROJECT = ["resume", "status", "download", "cancel"]


@pytest.mark.parametrize("name", OF_A_PROJECT)
def test_a_malformed_project_id(name: str, bottega: Run) -> None:
    assert_one_sentence(bottega(name, "\x1b[31m42"), "is not a project id", "bottega projects")
    assert "\x1b" not in bottega(name, "\x1b[31m42").stderr


@pytest.mark.parametrize("name", OF_A_PROJECT)
def test_an_unknown_project_id(name: str, bottega: Run) -> None:
    unknown = str(uuid.uuid4())
    assert_one_sentence(bottega(name, unknown), f"You have no project {unknown}")


@pytest.mark.parametrize("name", OF_A_PROJECT)
async def test_another_persons_project_id(name: str, bottega: Run, database_url: str) -> None:
    """The answer is the one for an id that nobody has."""
    theirs = uuid.uuid4()
    async with connected(database_url) as connection:
        person = await connection.fetchval("INSERT INTO users (username) VALUES ('mallory') RETURNING id")
        await connection.execute(
            "INSERT INTO projects (id, user_id, title, description, status) VALUES ($1, $2, 'T', 'D', 'planning')",
            theirs,
            person,
        )
    assert_one_sentence(await in_a_thread(bottega, name, str(theirs)), f"You have no project {theirs}")


# -- where the archive goes -------------------------------------------------------------------------------------------


def test_an_out_folder_that_is_a_file(bottega: Run) -> None:
    Path("out").write_text("in the way", encoding="utf-8")
    assert_one_sentence(bottega("build", "a tool", "--out", "out"), "cannot be written to out", "--out")


def test_an_out_folder_that_cannot_be_made(bottega: Run) -> None:
    assert_one_sentence(bottega("build", "a tool", "--out", "/proc/nowhere"), "cannot be written to /proc/nowhere")


# -- settings ---------------------------------------------------------------------------------------------------------


def test_an_env_file_that_is_binary(bottega: Run) -> None:
    Path(".env").write_bytes(bytes(range(256)))
    assert_told(bottega("projects"), "The settings cannot be used", ".env: the file is not UTF-8")


def test_an_env_file_with_a_line_that_is_no_setting(bottega: Run) -> None:
    Path(".env").write_text("LOG_LEVEL=INFO\nthis is = not a setting\n", encoding="utf-8")
    assert_told(bottega("projects"), ".env: line 2 is not NAME=value")


def test_every_malformed_setting_is_told_at_once(bottega: Run) -> None:
    wrong = {
        "APP_ENV": "holiday",
        "MARKUP_FACTOR": "a lot",
        "INITIAL_CREDITS": "-1",
        "ARCHITECT_MODEL": "gemini",
        "IMPLEMENTER_MODELS": " , ",
        "GEMINI_BASE_URL": "ftp://models",
        "DATABASE_URL": "mysql://localhost/bottega",
        "SANDBOX": "chroot",
    }
    result = bottega("projects", **wrong)
    assert_told(result, *(f"{name}: " for name in wrong))
    assert len(result.stderr.splitlines()) == len(wrong) + 1


def test_no_model_configured(bottega: Run) -> None:
    result = bottega("build", "a tool", ARCHITECT_MODEL=None, IMPLEMENTER_MODELS=None)
    assert_one_sentence(result, "GOOGLE_API_KEY and OPENROUTER_API_KEY", "bottega demo")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Expecting property name"),
        ('"blue"', "neither a list nor an object"),
        ("[" * 100_000, "recursion"),
        (b"\xff", "decode"),
        (None, "No such file"),
    ],
    ids=["cut", "a string", "deep", "not UTF-8", "missing"],
)
def test_answers_that_cannot_be_read(text: str | bytes | None, why: str, bottega: Run) -> None:
    if text is not None:
        Path("answers.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert_one_sentence(bottega("build", "a tool", "--answers", "answers.json"), "answers.json cannot be used", why)


# -- the database -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("projects",), ("build", "a tool"), ("db", "status"), ("db", "upgrade")])
def test_a_database_that_nobody_serves(arguments: tuple[str, ...], bottega: Run) -> None:
    with closed_port() as port:
        result = bottega(*arguments, DATABASE_URL=f"postgresql://me:a-secret@127.0.0.1:{port}/bottega")
    assert_one_sentence(result, f"127.0.0.1:{port}/bottega cannot be used", "DATABASE_URL")
    assert "a-secret" not in result.stderr


def test_a_server_without_that_database(environment: Environment, bottega: Run) -> None:
    url = environment.variables()["DATABASE_URL"].replace("bottega_test", "no_such_database")
    assert_one_sentence(bottega("projects", DATABASE_URL=url), "does not exist")


async def test_a_database_made_by_a_newer_version(database_url: str, bottega: Run) -> None:
    async with connected(database_url) as connection:
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
        try:
            assert_one_sentence(await in_a_thread(bottega, "projects"), "revision 9999", "Upgrade Bottega")
            standing = await in_a_thread(bottega, "db", "status")
            assert (standing.exit_code, "made by a newer Bottega" in standing.stdout) == (0, True)
        finally:
            await connection.execute("UPDATE alembic_version SET version_num = '0001'")


def test_a_home_that_is_a_file(bottega: Run) -> None:
    Path("home").write_text("in the way", encoding="utf-8")
    for url in (None, "postgresql://127.0.0.1:1/bottega"):
        result = bottega("projects", BOTTEGA_HOME="home", DATABASE_URL=url)
        assert_one_sentence(result, "The folder home cannot be used", "BOTTEGA_HOME")


def test_a_home_whose_database_cannot_be_served(bottega: Run, tmp_path: Path) -> None:
    data = tmp_path / "spoiled" / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9.6\n", encoding="ascii")
    result = bottega("projects", BOTTEGA_HOME=str(tmp_path / "spoiled"), DATABASE_URL=None)
    assert_one_sentence(result, "cannot be used", "BOTTEGA_HOME")


@contextmanager
def closed_port() -> Iterator[int]:
    """Yield a port that is taken, so that nobody else opens it, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def in_a_thread(bottega: Run, *arguments: str) -> Result:
    """Run a command from a test that has an event loop; the command wants one of its own."""
    return await asyncio.to_thread(bottega, *arguments)
