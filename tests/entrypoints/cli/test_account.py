"""What people and operators see of money at a terminal: the account, its history, limits, and the usage report."""

import asyncio
import csv
import io
import uuid
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import select, update

from bottega.billing import ledger
from bottega.billing.tables import ModelPricing
from bottega.billing.types import Call, CallStatus, Cost, CostSource, Outcome, Terms
from bottega.bootstrap import App, open_app
from bottega.config import DatabaseSettings, ModelSettings, PlatformSettings, Settings
from bottega.core.ids import new_id
from bottega.entrypoints.cli.running import local_username
from bottega.llm.scripted import ScriptedProvider
from bottega.llm.types import Usage
from bottega.orchestration.tables import Run as RunRow
from bottega.projects.tables import Project
from tests.entrypoints.cli.conftest import Environment, Run

BRIEF = "=HYPERLINK A diary of everything I ever lent to anybody, with dates"
COST = Cost(usage=Usage(input_tokens=10, output_tokens=20), exact_usd=Decimal("0.02"), source=CostSource.REPORTED)


async def work_a_little(app: App) -> uuid.UUID:
    """Leave a project with one call charged, one lost and one under way, whose run waits for credits."""
    user_id = await app.local_user(local_username())
    project_id = await app.orchestrator.start_project(user_id=user_id, channel="cli", brief=BRIEF)
    terms = Terms(markup=Decimal("1.5"), credit_value_usd=Decimal("0.01"))
    async with app.database.transaction() as session:
        price = (await session.scalars(select(ModelPricing).limit(1))).one()
        holds = []
        for number in range(3):
            call = Call(
                call_key=f"{project_id}:{number}",
                operation_key=f"{project_id}",
                user_id=user_id,
                project_id=project_id,
                task_key=None,
                task_type="plan",
                pricing_id=price.id,
                terms=terms,
            )
            holds.append(await ledger.hold(session, call=call, credits=Decimal("2.25"), ttl_seconds=600))
        outcome = Outcome(cost=COST)
        await ledger.settle(session, usage_id=holds[0].usage_id, credits=Decimal(3), outcome=outcome)
        lost = replace(outcome, error_code="overloaded")
        await ledger.void(session, usage_id=holds[1].usage_id, status=CallStatus.FAILED, outcome=lost)
        waits = {"state": "credits", "stop_code": "out_of_credits", "credits_needed": Decimal(40), "reason": "Too few."}
        await session.execute(update(RunRow).where(RunRow.project_id == project_id).values(waits))
        await session.execute(update(Project).where(Project.id == project_id).values(status="awaiting_credits"))
    return project_id


@pytest.fixture
def project_id(environment: Environment) -> str:
    async def prepare() -> uuid.UUID:
        settings = replace(
            Settings.load(),
            platform=PlatformSettings(bottega_home=environment.home),
            database=DatabaseSettings(database_url=environment.database_url.replace("+asyncpg", "")),
            models=ModelSettings(architect_model="scripted/architect", implementer_models=("scripted/apprentice",)),
        )
        async with open_app(settings, llm=ScriptedProvider(script={})) as app:
            return await work_a_little(app)

    return str(asyncio.run(prepare()))


def test_an_account_shows_what_is_held_and_what_waits(bottega: Run, project_id: str) -> None:
    shown = bottega("credits", "show").output.splitlines()
    assert shown[0] == "4.75 credits are available."
    assert shown[1] == "2.25 more are set aside for calls under way:"
    assert shown[2].strip().startswith("2.25  =HYPERLINK")
    assert shown[3].startswith("Waits for 40.00 credits: =HYPERLINK")
    assert project_id in shown[3]


def test_a_grant_says_which_project_goes_on(bottega: Run, project_id: str) -> None:
    assert "goes on" not in bottega("credits", "grant", "35").output
    granted = bottega("credits", "grant", "0.25")
    assert granted.output.splitlines() == [
        "Granted 0.25; 40.00 credits are available.",
        "This project goes on by itself where a server runs (bottega serve); otherwise with:",
        f"  bottega resume {project_id}",
    ]


def test_the_history_is_the_ledger_newest_first(bottega: Run, project_id: str) -> None:
    lines = bottega("credits", "history").output.splitlines()
    assert lines[1].split()[2:5] == ["used", "-3.00", "7.00"]
    assert "+10.00" in lines[2]
    assert len(bottega("credits", "history", "--limit", "1").output.splitlines()) == 2
    rows = list(csv.DictReader(io.StringIO(bottega("credits", "history", "--csv").output)))
    assert [(row["type"], row["credits"], row["balance_after"]) for row in rows] == [
        ("usage_deduction", "-3.00000000", "7.00000000"),
        ("initial_grant", "10.00000000", "10.00000000"),
    ]
    assert rows[0]["project"].startswith("'=HYPERLINK")
    assert rows[0]["project_id"] == project_id
    assert bottega("credits", "history", "--limit", "0").exit_code == 2


def test_the_status_shows_the_receipt_and_what_was_not_charged(bottega: Run, project_id: str) -> None:
    shown = bottega("status", project_id).output
    assert "Too few." in shown
    assert "bottega credits grant 100" in shown
    assert "Total" in shown
    assert "Not charged: 1 call failed at the provider." in shown
    assert "0.02" not in shown.replace("0.01 USD", "")  # what the provider billed is the operator's business


def test_the_usage_report_adds_up_and_its_csv_runs_nothing(bottega: Run, project_id: str) -> None:
    told = bottega("usage", "report", "--by", "model")
    assert told.exit_code == 0
    total = next(line for line in told.output.splitlines() if line.startswith("Total"))
    assert total.split()[1:8] == ["3", "20", "40", "3.00", "0.0300", "0.0400", "-0.0100"]
    assert "10.00 credits were given and 0.00 bought" in told.output
    [row] = csv.DictReader(io.StringIO(bottega("usage", "report", "--csv").output))
    assert row["project"] == f"'{BRIEF} ({project_id})"
    assert row["failed_usd"] == "0.0200000000"
    assert Decimal(row["margin_usd"]) == Decimal("-0.01")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--since", "yesterday"),
        ("--until", "2026-02-30"),
        ("--since", "2026-03-02", "--until", "2026-03-01"),
        ("--by", "colour"),
        ("--since", ""),
    ],
)
def test_what_is_no_window_is_refused_in_a_sentence(bottega: Run, arguments: tuple[str, ...]) -> None:
    refused = bottega("usage", "report", *arguments)
    assert refused.exit_code == 2
    assert "Traceback" not in refused.output


@pytest.mark.parametrize("credits", ["lots", "NaN", "Infinity", "1e12", ""])
def test_what_is_no_limit_is_refused_in_a_sentence(bottega: Run, project_id: str, credits: str) -> None:
    refused = bottega("limit", project_id, credits)
    assert refused.exit_code == 2
    assert "credits" in refused.output


def test_a_limit_is_said_with_what_is_spent(bottega: Run, project_id: str) -> None:
    assert bottega("limit", project_id, "50").output == "The project may cost 50.00 credits; 3.00 are spent.\n"
    told = bottega("limit", project_id, "1").output
    assert told == "The project may cost 1.00 credits; 3.00 are spent. Its next call to a model stops it.\n"
    assert "may cost 1.00 credits" in bottega("status", project_id).output
    assert bottega("limit", str(new_id()), "1").exit_code == 2


def test_who_begins_with_few_credits_is_told_first(bottega: Run) -> None:
    built = bottega("build", "A word counter", "--yes", INITIAL_CREDITS="0.05", typed="")
    assert "You have 0.05 credits. Planning sets" in built.output


@pytest.mark.parametrize("command", ["credits show", "credits history", "credits buy buy_100", "payments list"])
def test_a_name_that_nobody_has_opens_no_account(command: str, bottega: Run) -> None:
    said = bottega(*command.split(), "--user", "nobodyhere")
    assert (said.exit_code, said.stderr) == (2, "There is no account called 'nobodyhere'.\n")
