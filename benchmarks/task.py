"""`make bench-task`: what Bottega itself costs, against a provider that answers at once.

Everything is real but the models' wit: HTTP in both wire formats, PostgreSQL with every write durable, the sandbox,
git. Medians of several runs; the machine's load is printed, because nothing here is fair on a busy one.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ROOT, Provider, Ran, Server, provider, run
from rich.console import Console
from rich.table import Table
from tests.journeys.modules import brief

TASKS = 13  # the first warms up
BUILDS = 5
BOTTEGA = str(Path(sys.executable).with_name("bottega"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    what: str
    measured: str
    target: str = ""
    peers: str = ""


def main() -> None:
    console = Console()
    load, cores = os.getloadavg()[0], os.cpu_count()
    with tempfile.TemporaryDirectory(prefix="bottega-bench-") as name, console.status("") as status:
        folder = Path(name)
        folder.chmod(0o755)
        with provider(folder / "provider.jsonl") as models:
            environment = _environment(folder / "home", models)
            status.update("the very first start")
            first_ever = build(folder, environment, models)
            status.update("cold starts: no database running")
            cold = [build(folder, environment, models) for _ in range(3)]
            with running_database(environment):
                status.update("starts with a running database")
                builds = [build(folder, environment, models) for _ in range(BUILDS)]
                memory = Server(folder=folder / "home" / "postgres" / "data").memory_bytes()
                status.update(f"a project of {TASKS} tasks")
                tasks = warm(folder, environment)
        status.update("an installation from requirements/run.txt")
        installed = installed_bytes(folder / "venv")
    rows = [
        *warm_rows(tasks),
        *start_rows(builds, cold=cold, first_ever=first_ever, server_bytes=memory),
        Row(what="installed size", measured=_mb(installed), target="<= 250 MB", peers="687 to 735 MB"),
    ]
    console.print(table(rows, title=f"{cores} cores, load {load:.1f} at the start; medians"))


def _environment(home: Path, models: Provider) -> dict[str, str]:
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": str(ROOT),
        "BOTTEGA_HOME": str(home),
        "HOME": str(home),
        **models.environment(),
    }


# -- one-task projects, each a process ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    process: Ran
    first_call_seconds: float
    prompt_bytes: int  # of the Implementer's call: the project is empty, so nearly all of it is ours


def build(folder: Path, environment: dict[str, str], models: Provider) -> Build:
    before = len(models.asked())
    command = [BOTTEGA, "build", "--yes", "--json", brief(modules=1)]
    process = run(command, environment=environment, folder=folder)
    asked = models.asked()[before:]
    prompt = next(ask.prompt_bytes for ask in asked if ask.purpose.startswith("implement"))
    return Build(process=process, first_call_seconds=asked[0].at - process.started, prompt_bytes=prompt)


def start_rows(builds: Sequence[Build], *, cold: Sequence[Build], first_ever: Build, server_bytes: int) -> list[Row]:
    def first(of: Sequence[Build]) -> str:
        return _seconds(statistics.median(build.first_call_seconds for build in of))

    wall = statistics.median(build.process.wall_seconds for build in builds)
    cpu = statistics.median(build.process.cpu_seconds for build in builds)
    peak = max(build.process.peak_bytes for build in builds)
    return [
        Row(what="first model call", measured=first(builds), target="<= 1.0 s", peers="0.16, 2.5, 4.9 s"),
        Row(what="  no database running", measured=first(cold)),
        Row(what="  very first start", measured=first([first_ever])),
        Row(what="one task, end to end", measured=_seconds(wall), peers="3.5 s"),
        Row(what="  CPU, sandbox included", measured=_seconds(cpu)),
        Row(what="  peak memory", measured=_mb(peak), peers="229 to 282 MB"),
        Row(what="  PostgreSQL's memory", measured=_mb(server_bytes)),
        Row(
            what="Implementer's prompt",
            measured=f"{builds[0].prompt_bytes / 1024:.1f} KB",
            target="<= 6 KB",
            peers="3.4 to 32 KB",
        ),
    ]


@contextmanager
def running_database(environment: dict[str, str]) -> Iterator[None]:
    """Keep the embedded server running by being a second user of it."""
    command = [sys.executable, "-m", "benchmarks.keep_database"]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


# -- one warm process --------------------------------------------------------------------------------------------------


def warm(folder: Path, environment: dict[str, str]) -> list[dict[str, float]]:
    command = [sys.executable, "-m", "benchmarks.warm", str(TASKS)]
    costs: list[dict[str, float]] = json.loads(run(command, environment=environment, folder=folder).output)
    return costs


def warm_rows(tasks: Sequence[dict[str, float]]) -> list[Row]:
    def median(name: str) -> float:
        return statistics.median(task[name] for task in tasks)

    postgres = statistics.mean(task["postgres_cpu"] for task in tasks)  # counted in ticks of 10 ms: no median
    return [
        Row(
            what="warm task, platform's CPU",
            measured=_ms(median("platform_cpu")),
            target="<= 50 ms",
        ),
        Row(what="  platform's wall", measured=_ms(median("platform_wall")), target="<= 100 ms", peers="33, 211 ms"),
        Row(what="  all CPU of the process", measured=_ms(median("cpu"))),
        Row(what="  CPU of PostgreSQL", measured=_ms(postgres)),
        Row(what="  SQL statements", measured=f"{median('statements'):.0f}"),
        Row(what="  transactions", measured=f"{median('transactions'):.0f}"),
        Row(what="  wall, sandbox included", measured=_ms(median("wall"))),
    ]


# -- an installation ---------------------------------------------------------------------------------------------------


def installed_bytes(venv: Path) -> int:
    """Install what running needs, as `make install` does, and return what that takes on disk."""
    uv = str(ROOT / ".tools" / "bin" / "uv")
    python = str(venv / "bin" / "python")
    requirements = str(ROOT / "requirements" / "run.txt")
    for arguments in (
        ["venv", "--python", sys.executable, str(venv)],
        ["pip", "sync", "--python", python, "--require-hashes", requirements],
    ):
        subprocess.run([uv, *arguments], capture_output=True, check=True)
    return sum(path.lstat().st_blocks * 512 for path in venv.rglob("*"))


# -- how it is shown ---------------------------------------------------------------------------------------------------


def table(rows: Sequence[Row], *, title: str) -> Table:
    made = Table("", "measured", "target", "peers", title=title, title_justify="left")
    for row in rows:
        made.add_row(row.what, row.measured, row.target, row.peers)
    return made


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s"


def _mb(size: float) -> str:
    return f"{size / 1_000_000:.0f} MB"


if __name__ == "__main__":
    main()
