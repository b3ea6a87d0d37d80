"""The processes a benchmark watches: the provider, `bottega build`, PostgreSQL; by Linux's own accounts of them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_POLL_SECONDS = 0.01
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    at: float  # time.monotonic()
    purpose: str
    prompt_bytes: int


class Provider:
    """The instant provider's log, as the benchmark reads it."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def asked(self) -> list[Asked]:
        return [Asked(**json.loads(line)) for line in self._lines()[1:]]

    def environment(self) -> dict[str, str]:
        """Return the settings of a process that talks to this provider."""
        urls = json.loads(self._lines()[0])
        return {
            "GOOGLE_API_KEY": "key-of-google",
            "GEMINI_BASE_URL": urls["gemini"],
            "OPENROUTER_API_KEY": "key-of-openrouter",
            "OPENROUTER_BASE_URL": urls["openrouter"],
            "INITIAL_CREDITS": "1000000",
        }

    def is_up(self) -> bool:
        return self._log.exists() and bool(self._lines())

    def _lines(self) -> list[str]:
        return self._log.read_text(encoding="utf-8").splitlines()


@contextmanager
def provider(log: Path, *, seconds: float = 0.0) -> Iterator[Provider]:
    """Run a provider whose replies take so many seconds to begin."""
    log.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.instant_provider", str(log), str(seconds)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        started = Provider(log)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not started.is_up():
            assert process.poll() is None, "the provider ended"
            assert time.monotonic() < deadline, "the provider does not start"
            time.sleep(_POLL_SECONDS)
        yield started
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    started: float  # time.monotonic()
    wall_seconds: float
    cpu_seconds: float  # of the process and of what it waited for
    peak_bytes: int
    output: str


def run(command: Sequence[str], *, environment: Mapping[str, str], folder: Path) -> Ran:
    """Run a command to its end and watch its memory; its failure ends the benchmark."""
    started = time.monotonic()
    errors = folder / "stderr"
    with errors.open("w") as stderr, (folder / "stdout").open("w") as stdout:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=stdout, stderr=stderr)
        peak = 0
        while True:
            peak = max(peak, peak_bytes(process.pid))
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(_POLL_SECONDS)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{errors.read_text()}")
    cpu = used.ru_utime + used.ru_stime
    return Ran(
        started=started,
        wall_seconds=wall,
        cpu_seconds=cpu,
        peak_bytes=peak,
        output=(folder / "stdout").read_text(encoding="utf-8"),
    )


def peak_bytes(pid: int) -> int:
    """Return the most memory that this process ever had resident; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """PostgreSQL's processes. Its memory is counted once (PSS): they share their buffers."""

    folder: Path

    def cpu_seconds(self) -> float:
        return sum(_cpu_seconds(pid) for pid in self._pids())

    def memory_bytes(self) -> int:
        return sum(_share_of_memory(pid) for pid in self._pids())

    def _pids(self) -> list[int]:
        first = int((self.folder / "postmaster.pid").read_text(encoding="utf-8").split()[0])
        others = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [first, *(pid for pid in others if _parent(pid) == first)]


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _cpu_seconds(pid: int) -> float:
    """Return what the process used, and those of its children that have ended."""
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _share_of_memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def own_bytes(pid: int) -> int:
    """Return the memory that is this process's alone (USS); 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))
