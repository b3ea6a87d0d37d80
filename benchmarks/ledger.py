"""`make bench-ledger`: how many calls a second the ledger can pay for, beside what PostgreSQL does at all.

Ours are the product's own functions: a cycle is a hold and a settle, two transactions, each durable. PostgreSQL's own
measure, `pgbench -N` (one UPDATE, one SELECT, one INSERT a transaction), runs in the same minute on the same server
with as many connections. Rounds are interleaved, ratios are taken within a round, medians are printed, and the books
are audited after every round. Also: what metering adds to one call, against a model that answers at once.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from benchmarks.ledger_client import TERMS, Orders
from benchmarks.processes import ROOT
from rich.console import Console
from rich.table import Table
from sqlalchemy import make_url, text

from bottega.billing.audit import audit
from bottega.billing.metering import Metering
from bottega.billing.prices import PriceBook, set_price
from bottega.billing.pricing import Rates
from bottega.core.clock import SystemClock
from bottega.core.ids import new_id
from bottega.db.embedded import EmbeddedPostgres
from bottega.db.migrate import upgrade
from bottega.db.programs import find_programs
from bottega.db.transaction import Database
from bottega.llm.errors import ProviderError
from bottega.llm.types import (
    CallObserver,
    Completion,
    CompletionRequest,
    FinishReason,
    Message,
    ModelName,
    Purpose,
    Usage,
)

ROUNDS = 3
SECONDS = 6.0
CONNECTIONS = 16
ACCOUNTS = 1_000
SCALE = 20
CALLS = 500
MODEL = ModelName(provider="acme", name="sage")
RATES = Rates(input=Decimal("1.25"), output=Decimal(10))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    database: Database
    url: str
    accounts: list[tuple[int, str]]
    pricing_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Transactions per second."""

    pgbench: float
    many: float
    hot: float


async def main(*, processes: int) -> None:
    console = Console()
    with tempfile.TemporaryDirectory(prefix="bottega-bench-") as name:
        os.chmod(name, 0o755)  # noqa: PTH101, S103 -- for the account that the server runs as
        server = EmbeddedPostgres(home=Path(name), clock=SystemClock())
        url = await server.start()
        try:
            await upgrade(url=url)
            bench = await prepare(url)
            pgbench(url, "-i", "-q", "-s", str(SCALE))
            rounds = [await one_round(bench, number=number, processes=processes) for number in range(ROUNDS)]
            added = await metering_milliseconds(bench)
            await bench.database.close()
        finally:
            await server.stop()
    console.print(table(rounds, added, processes=processes))


async def prepare(url: str) -> Bench:
    """Open a thousand accounts, each with a project and more credits than it can spend."""
    database = Database(url=url)
    async with database.transaction() as session:
        price = await set_price(session, model=MODEL, rates=RATES)
        people = (await session.scalars(_OPEN_ACCOUNTS, {"accounts": ACCOUNTS})).all()
        projects = [new_id() for _ in people]
        await session.execute(_OPEN_PROJECTS, {"ids": projects, "people": list(people)})
    accounts = [(person, str(project)) for person, project in zip(people, projects, strict=True)]
    return Bench(database=database, url=url, accounts=accounts, pricing_id=price.id)


_OPEN_ACCOUNTS = text("""
WITH people AS (
    INSERT INTO users (username, credit_balance)
    SELECT 'person ' || number, 1000000 FROM generate_series(1, :accounts) AS number RETURNING id, credit_balance
)
INSERT INTO credit_transactions (user_id, transaction_type, credits_amount, balance_after, idempotency_key)
SELECT id, 'initial_grant', credit_balance, credit_balance, 'grant:signup:' || id FROM people RETURNING user_id
""")
_OPEN_PROJECTS = text("""
INSERT INTO projects (id, user_id, description, status)
SELECT id, person, 'd', 'implementing' FROM unnest(CAST(:ids AS uuid[]), CAST(:people AS int[])) AS made (id, person)
""")


async def one_round(bench: Bench, *, number: int, processes: int) -> Round:
    floor = pgbench(bench.url, "-N", "-n", "-c", str(CONNECTIONS), "-j", "1", "-T", str(int(SECONDS)))
    many = clients(bench, bench.accounts, name=f"many:{number}", processes=processes)
    hot = clients(bench, bench.accounts[:1], name=f"hot:{number}", processes=processes)
    async with bench.database.transaction() as session:
        findings = await audit(session)
    assert not findings, findings
    print(f"round {number + 1}: pgbench {floor:.0f}, many {many:.0f}, hot {hot:.0f}; audit clean", file=sys.stderr)
    return Round(pgbench=floor, many=many, hot=hot)


def pgbench(url: str, *arguments: str) -> float:
    """Run the wheel's pgbench; return the transactions per second that it reports, 0 when it reports none."""
    parts = make_url(url)
    program = find_programs(for_anyone=False).postgres.with_name("pgbench")
    command = [str(program), "-h", str(parts.query["host"]), "-U", str(parts.username), *arguments, str(parts.database)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return next((float(line.split()[2]) for line in said.splitlines() if line.startswith("tps")), 0.0)


def clients(bench: Bench, accounts: Sequence[tuple[int, str]], *, name: str, processes: int) -> float:
    """Return the transactions per second of so many client processes that share the connections."""
    command = [sys.executable, "-m", "benchmarks.ledger_client"]
    started = []
    for number in range(processes):
        orders = Orders(
            url=bench.url,
            accounts=list(accounts),
            pricing_id=bench.pricing_id,
            connections=CONNECTIONS // processes,
            seconds=SECONDS,
            name=f"{name}:{number}",
        )
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        process.stdin.write(orders.to_json())
        process.stdin.close()
        started.append(process)
    done = 0
    for process in started:
        assert process.stdout is not None
        done += int(process.stdout.read())
        assert process.wait() == 0
    return 2 * done / SECONDS


# -- what metering adds to a call --------------------------------------------------------------------------------------


class InstantModel:
    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        del observer
        return Completion(
            text="Yes.",
            usage=Usage(input_tokens=1_000, output_tokens=100),
            model=request.model,
            finish=FinishReason.STOP,
            request_id="r",
            response_time_ms=0,
            key_fingerprint="k",
        )


def never(error: ProviderError, *, attempt: int) -> float | None:  # noqa: ARG001 -- a policy's signature
    return None


async def metering_milliseconds(bench: Bench) -> list[float]:
    metering = Metering(
        database=bench.database, llm=InstantModel(), retry=never, terms=TERMS, clock=SystemClock(), prices=PriceBook()
    )
    user_id, project_id = bench.accounts[0]
    request = CompletionRequest(
        model=MODEL,
        system="Answer.",
        messages=(Message(role="user", content="Is this quick?"),),
        max_output_tokens=1_000,
        purpose=Purpose.IMPLEMENT,
    )
    took = []
    for number in range(CALLS):
        begun = time.perf_counter()
        async with metering.standalone(
            user_id=user_id, project_id=uuid.UUID(project_id), operation_key=f"metered:{number}"
        ) as llm:
            await llm.complete(request)
        took.append((time.perf_counter() - begun) * 1000)
    return took[20:]


# -- on the screen -----------------------------------------------------------------------------------------------------


def table(rounds: Sequence[Round], added: Sequence[float], *, processes: int) -> Table:
    load, cores = os.getloadavg()[0], os.cpu_count()
    shown = Table(
        title=f"{cores} cores, load {load:.1f} at the end; {CONNECTIONS} connections, {processes} process(es)"
    )
    for column in ("what", "per second (median)", "share of pgbench -N (each round)", "median", "bar"):
        shown.add_column(column)
    floor = [turn.pgbench for turn in rounds]
    shown.add_row("pgbench -N transactions", f"{statistics.median(floor):.0f}", "", "1", "")
    for what, rates, bar in (
        (f"ledger, {ACCOUNTS} accounts", [turn.many for turn in rounds], ">= 0.50"),
        ("ledger, one hot account", [turn.hot for turn in rounds], ">= 0.12"),
    ):
        shares = [rate / most for rate, most in zip(rates, floor, strict=True)]
        shown.add_row(
            f"{what}: transactions",
            f"{statistics.median(rates):.0f}",
            " ".join(f"{share:.2f}" for share in shares),
            f"{statistics.median(shares):.2f}",
            bar,
        )
    p50, p99 = statistics.median(added), statistics.quantiles(added, n=100)[98]
    shown.add_row("metering adds to a call", "", "", f"p50 {p50:.1f} ms, p99 {p99:.1f} ms", "p50 <= 15 ms")
    return shown


if __name__ == "__main__":
    asyncio.run(main(processes=int(sys.argv[1]) if len(sys.argv) > 1 else 1))
