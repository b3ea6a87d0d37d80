"""`bottega build` and what follows it, as a person meets them: exit codes, the JSON object, the files left behind.

Both providers are fakes on loopback, spoken to over their real wire formats.
"""

import asyncio
import json
import re
import signal
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import Result

from bottega.billing.prices import set_price
from bottega.billing.pricing import Rates
from bottega.db.transaction import Database
from bottega.llm.types import ModelName
from tests.entrypoints.cli.conftest import Environment, Run, command
from tests.fakes.providers import Ask, FakeProviders, Reply
from tests.journeys import scripts
from tests.journeys.test_wire import ARCHITECT, FIRST_RUNG, SECOND_RUNG, Models, purpose

QUESTION = "Should it count lines too?"
Cli = Callable[..., Awaitable[Result]]


@pytest.fixture
async def fake(database: Database) -> AsyncIterator[FakeProviders]:
    rates = Rates(input=Decimal("0.50"), cached=Decimal("0.05"), output=Decimal("2.00"))
    async with database.transaction() as session:
        for name in (ARCHITECT, FIRST_RUNG, SECOND_RUNG):
            await set_price(session, model=ModelName.parse(name), rates=rates)
    async with FakeProviders() as providers:
        providers.answer = Models()
        yield providers


@pytest.fixture
def variables(fake: FakeProviders) -> dict[str, str]:
    return {
        "GOOGLE_API_KEY": "key-of-google",
        "GEMINI_BASE_URL": fake.gemini_url,
        "OPENROUTER_API_KEY": "key-of-openrouter",
        "OPENROUTER_BASE_URL": fake.openrouter_url,
        "ARCHITECT_MODEL": ARCHITECT,
        "IMPLEMENTER_MODELS": f"{FIRST_RUNG},{SECOND_RUNG}",
        "INITIAL_CREDITS": "1000",
    }


@pytest.fixture
def cli(bottega: Run, variables: dict[str, str]) -> Cli:
    """Run a command while this test's event loop serves the providers."""

    async def run(*arguments: str, **changes: str) -> Result:
        return await asyncio.to_thread(bottega, *arguments, **{**variables, **changes})

    return run


def asking_first(ask: Ask) -> Reply:
    """Answer as the good models do, but ask a question before planning."""
    if purpose(ask) == "gather-1.md":
        return Reply(text=scripts.gathered(QUESTION))
    return Reply(text=scripts.GOOD[purpose(ask)])


def write(name: str, text: str) -> None:
    Path(name).write_text(text, encoding="utf-8")


def names_in(archive: str) -> list[str]:
    with zipfile.ZipFile(archive) as opened:
        return opened.namelist()


def project_of(result: Result) -> str:
    found = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", result.output)
    assert found, result.output
    return found[0]


@pytest.mark.slow
async def test_a_delivered_project_is_described_by_one_json_object(
    environment: Environment, variables: dict[str, str], fake: FakeProviders
) -> None:
    """As a process of its own: nothing but the object may be on its stdout."""
    process = await asyncio.create_subprocess_exec(
        *command("build", scripts.BRIEF, "--yes", "--json", "--out", "out"),
        env=environment.variables(**variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    told = json.loads(stdout)
    assert set(told) == {"project_id", "status", "reason", "files", "zip", "credits", "quote", "tasks", "questions"}
    assert (told["status"], told["reason"]) == ("completed", None)
    assert told["files"] == sorted({*scripts.FIRST_FILES, *scripts.SECOND_FILES, "README.md"})
    assert [(task["key"], task["title"], task["status"], task["attempts"]) for task in told["tasks"]] == [
        ("T1", "Counting", "done", 1),
        ("T2", "Command line", "done", 1),
    ]
    assert told["zip"].endswith("/out/word-counter.zip")
    assert "word-counter/README.md" in names_in(told["zip"])
    cost_usd = sum((charge.cost_usd for charge in fake.charged), Decimal(0))
    assert Decimal(told["credits"]) == cost_usd * Decimal("1.5") / Decimal("0.01")
    assert "T2" in stderr.decode()


async def test_a_plan_nobody_approves_waits_and_resume_goes_on_from_there(cli: Cli, fake: FakeProviders) -> None:
    waiting = await cli("build", scripts.BRIEF)
    assert waiting.exit_code == 3
    assert "The plan and its price want your go." in waiting.output
    project = project_of(waiting)
    assert f"bottega resume {project}" in waiting.output
    asked = len(fake.asks)

    standing = await cli("status", project)
    assert "awaiting_approval" in standing.stdout
    assert "- [ ] T1 Counting" in standing.stdout
    assert re.search(r"Quote: .* credits; you have ", standing.stdout), "nobody approves a price that is not shown"
    assert f"bottega say {project} go" in standing.stdout
    taken = await cli("download", project, "--out", "early")
    assert "word-counter/TODO.md" in names_in(taken.stdout.strip())

    delivered = await cli("resume", project, "--yes")
    assert (delivered.exit_code, "Delivered" in delivered.output) == (0, True), delivered.output
    assert len(fake.asks) == asked + 5, "gathering and planning must not be paid for twice"
    assert "word-counter/README.md" in names_in("word-counter.zip")

    again = await cli("resume", project)
    assert (again.exit_code, len(fake.asks)) == (0, asked + 5)
    assert "- [x] T2 Command line" in (await cli("status", project)).stdout
    listed = await cli("projects")
    assert (project in listed.stdout, "completed" in listed.stdout) == (True, True)


async def test_questions_are_answered_from_a_file(cli: Cli, fake: FakeProviders) -> None:
    fake.answer = asking_first
    write("answers.json", json.dumps({QUESTION: 2}))
    result = await cli("build", scripts.BRIEF, "--answers", "answers.json")
    assert result.exit_code == 3  # the plan wants its go
    (plan,) = [ask for ask in fake.asks if purpose(ask) == "plan-1.md"]
    assert f"{QUESTION}" in plan.prompt
    assert "No" in plan.prompt.partition(QUESTION)[2]


async def test_questions_nobody_answers_wait(cli: Cli, fake: FakeProviders) -> None:
    fake.answer = asking_first
    waiting = await cli("build", scripts.BRIEF, "--json")
    assert waiting.exit_code == 3
    assert json.loads(waiting.stdout)["status"] == "gathering_requirements"
    project = project_of(waiting)
    answered = await cli("resume", project, "--yes")
    assert (answered.exit_code, f"{QUESTION} Yes" in answered.output) == (0, True), answered.output


async def test_without_credits_the_build_stops_with_its_own_code(cli: Cli, fake: FakeProviders) -> None:
    result = await cli("build", scripts.BRIEF, "--yes", "--json", INITIAL_CREDITS="0.01")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["status"], told["credits"]) == (4, "awaiting_credits", "0.00000000")
    assert "credits" in told["reason"]
    assert fake.charged == []


async def test_a_provider_that_fails_for_good_has_its_own_code(cli: Cli, fake: FakeProviders) -> None:
    fake.answer = lambda _: Reply(status=401, message="No such key: key-of-google")
    result = await cli("build", scripts.BRIEF, "--yes")
    assert (result.exit_code, "model provider failed" in result.output) == (5, True), result.output
    assert "key-of-google" not in result.output


async def test_a_cancelled_project_cannot_be_resumed(cli: Cli) -> None:
    project = project_of(await cli("build", scripts.BRIEF))
    assert (await cli("cancel", project)).exit_code == 0
    refused = await cli("resume", project, "--yes")
    assert (refused.exit_code, refused.stderr.strip()) == (2, "The project is finished.")


async def test_what_is_in_the_archives_way_is_never_overwritten(cli: Cli) -> None:
    write("word-counter.zip", "mine")
    delivered = await cli("build", scripts.BRIEF, "--yes", "--json")
    told = json.loads(delivered.stdout)
    assert told["zip"].endswith(f"word-counter-{told['project_id'][:8]}.zip")
    assert "word-counter/README.md" in names_in(told["zip"])


def _heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell ignores it for what it starts in the background


async def test_ctrl_c_keeps_everything_and_resume_goes_on(
    environment: Environment, variables: dict[str, str], fake: FakeProviders, cli: Cli
) -> None:
    good, asked = Models(), asyncio.Event()

    def slow_second_task(ask: Ask) -> Reply:
        if purpose(ask) == "implement-T2-1.md" and not asked.is_set():
            asked.set()
            return Reply(text="", delay_seconds=30)
        return good(ask)

    fake.answer = slow_second_task
    process = await asyncio.create_subprocess_exec(
        *command("build", scripts.BRIEF, "--yes"),
        env=environment.variables(**variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=_heed_ctrl_c,
    )
    await asked.wait()
    process.send_signal(signal.SIGINT)
    stdout, stderr = await process.communicate()
    assert process.returncode == 3, stderr.decode()
    assert "Everything so far is kept" in stderr.decode()
    project = re.search(r"project ([0-9a-f-]{36})", stdout.decode())
    assert project
    delivered = await cli("resume", project[1], "--yes")
    assert delivered.exit_code == 0, delivered.output
    assert (await cli("ledger", "check")).exit_code == 0


async def test_the_ledger_is_checked(cli: Cli, database: Database) -> None:
    whole = await cli("ledger", "check")
    assert (whole.exit_code, whole.stdout) == (0, "All money truths hold.\n")
    async with database.transaction() as session:
        connection = await session.connection()
        await connection.exec_driver_sql("INSERT INTO users (username, credit_balance) VALUES ('forger', 7)")
    broken = await cli("ledger", "check", "--json")
    (finding,) = json.loads(broken.stdout)
    assert (broken.exit_code, finding["truth"], finding["expected"]) == (1, "M1", "0")


async def test_the_schema_is_brought_up_and_shown(cli: Cli) -> None:
    assert (await cli("db", "upgrade")).stdout == "Schema 0001: current.\n"
    assert (await cli("db", "status")).stdout == "Schema 0001: current.\n"


@pytest.mark.slow
async def test_a_plan_is_changed_and_approved_by_saying_so(cli: Cli, fake: FakeProviders) -> None:
    project = project_of(await cli("build", scripts.BRIEF))
    changed = await cli("say", project, "Call the package words")
    assert changed.stdout == f"Noted; the project is planning. Go on with: bottega resume {project}\n"
    assert (await cli("resume", project)).exit_code == 3
    assert "Call the package words" in fake.asks[-1].prompt
    paused = await cli("pause", project)
    assert paused.stdout == f"Paused. Go on with: bottega resume {project}\n"
    assert "paused" in (await cli("status", project)).stdout
    assert (await cli("resume", project, "--yes")).exit_code == 0
    finished = await cli("say", project, "And another thing")
    assert (finished.exit_code, "finished" in finished.stderr) == (2, True)


@pytest.mark.slow
async def test_a_delivered_project_is_refined_from_the_command_line(cli: Cli, fake: FakeProviders) -> None:
    built = json.loads((await cli("build", scripts.BRIEF, "--yes", "--json")).stdout)
    fake.answer = lambda ask: Reply(text=scripts.REFINED[_part_of_refining(ask)])
    result = await cli("refine", built["project_id"], "words/count.py", "Mind hyphens.", "--json", "--out", "again")
    assert result.exit_code == 0, result.output
    delivered = json.loads(result.stdout)
    assert [task["key"] for task in delivered["tasks"]] == ["T1", "T2", "T3"]
    with zipfile.ZipFile(delivered["zip"]) as archive:
        assert archive.read("word-counter/words/count.py").decode() == scripts.HYPHENS
        assert "T3 Refine words/count.py: Mind hyphens." in archive.read("word-counter/RECEIPT.md").decode()

    unknown = await cli("refine", built["project_id"], "count.py", "x")
    assert (unknown.exit_code, unknown.stderr) == (
        2,
        "The project has no file count.py. Did you mean words/count.py?\n",
    )
    said = await cli("say", built["project_id"], "Make it faster")
    assert "The project is finished" in said.stderr
    text = f"refine file words/count.py in project {built['project_id']} with instruction: Be brief."
    said = await cli("say", built["project_id"], text)
    assert said.stdout.startswith("Noted; the project is implementing.")


def _part_of_refining(ask: Ask) -> str:
    return "implement-T3-1.md" if "Reply with the edits for T3" in ask.turns[0][1] else "verify-T3-1.md"
