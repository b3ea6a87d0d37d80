"""One run as the worker sees it: start the doorkeeper, listen, cut the output, and leave no process behind.

The worker's own clock is the second one: the doorkeeper ends the command at its limit, and a doorkeeper that does not
answer a little later is killed with its whole process group.
"""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bottega.sandbox.cgroup import control_group
from bottega.sandbox.payload import Descriptors
from bottega.sandbox.types import Isolation, Limits, RunResult

_GRACE_SECONDS = 2.0
_KILLED = 137


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A process to start. It waits until `gate` is written to `gate_fd`; `reader_fd` brings the doorkeeper's words."""

    argv: Sequence[str]
    inherited: tuple[int, ...]
    status_fd: int
    reader_fd: int
    gate_fd: int
    gate: bytes
    user: int | None


@dataclass(slots=True, kw_only=True)
class Report:
    """What the doorkeeper said."""

    layers: tuple[str, ...] = ()
    ready: bool = False
    blocked: str = ""
    exit_code: int | None = None
    limit: str = ""


@dataclass(slots=True, kw_only=True)
class _Output:
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    cut: bool = False


async def run_launch(
    launch: Launch, *, descriptors: Descriptors, limits: Limits, isolation: Isolation
) -> tuple[RunResult, Report]:
    """Run to the end and clean up, whatever the command does and even when cancelled."""
    started, output = time.monotonic(), _Output()
    async with control_group(limits) as group:
        process = await _started(launch)
        try:
            if group:
                await asyncio.to_thread(group.add, process.pid)  # the kernel takes 10 ms to move a process
            late = await _driven(process, launch, descriptors, output, limits)
        finally:
            await asyncio.shield(_ended(process))
        report = _read_report(launch.reader_fd)
        report.limit = "output" if output.cut else report.limit or ("time" if late else "")
        if group:
            report.limit = "memory" if group.ran_out_of_memory() else report.limit
            report.layers += ("cgroup",) if report.ready else ()
    duration_ms = round((time.monotonic() - started) * 1000)
    return _result(report, output, process.returncode, limits, isolation, duration_ms), report


async def _driven(
    process: asyncio.subprocess.Process, launch: Launch, descriptors: Descriptors, output: _Output, limits: Limits
) -> bool:
    """Open the gate and collect the output; return whether the doorkeeper was late."""
    for fd in (launch.status_fd, *launch.inherited):
        descriptors.close(fd)
    with contextlib.suppress(BrokenPipeError):  # it ended before it could listen; its report says why
        os.write(launch.gate_fd, launch.gate)
    descriptors.close(launch.gate_fd)
    try:
        async with asyncio.timeout(limits.wall_seconds + _GRACE_SECONDS):
            await _collect(process, output, limit=limits.output_bytes)
            await (_ended(process) if output.cut else process.wait())
    except TimeoutError:
        return True
    return False


async def _started(launch: Launch) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *launch.argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={},
        pass_fds=(*launch.inherited, launch.status_fd),
        start_new_session=True,
        user=launch.user,
        group=launch.user,
        extra_groups=None if launch.user is None else (),
    )


async def _collect(process: asyncio.subprocess.Process, output: _Output, *, limit: int) -> None:
    assert process.stdout is not None  # noqa: S101 - asked for above
    while chunk := await process.stdout.read(65536):
        output.chunks.append(chunk[: limit - output.size])
        output.size += len(output.chunks[-1])
        if len(output.chunks[-1]) < len(chunk):
            output.cut = True
            return


async def _ended(process: asyncio.subprocess.Process) -> None:
    """End the whole group: politely, so that a doorkeeper without a PID namespace can end its orphans, then not."""
    for number, seconds in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 10.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            # what is still in the pipe must be read, or asyncio never notices that the process has ended
            await asyncio.wait_for(asyncio.gather(process.wait(), _discard(process)), seconds)
            return


async def _discard(process: asyncio.subprocess.Process) -> None:
    while process.stdout and await process.stdout.read(65536):
        pass


def _read_report(reader_fd: int) -> Report:
    os.set_blocking(reader_fd, False)
    report, said = Report(), b""
    with contextlib.suppress(BlockingIOError):
        while chunk := os.read(reader_fd, 65536):
            said += chunk
    for line in said.splitlines():
        facts = json.loads(line)
        report.ready = report.ready or "ready" in facts
        report.layers = tuple(facts.get("ready", report.layers))
        report.blocked = f"{facts['blocked']}: {facts['why']}" if "blocked" in facts else report.blocked
        report.exit_code = facts.get("exit", report.exit_code)
        report.limit = facts.get("limit", report.limit)
    return report


def _result(
    report: Report, output: _Output, returncode: int | None, limits: Limits, isolation: Isolation, duration_ms: int
) -> RunResult:
    text = b"".join(output.chunks).decode(errors="replace")
    if report.blocked or not report.ready:
        why = report.blocked or text.strip() or f"it ended with exit code {returncode} before it was ready"
        report.blocked = why
        return RunResult(
            executed=False,
            exit_code=None,
            output="",
            duration_ms=duration_ms,
            isolation=isolation,
            reason=f"The sandbox could not be built ({why[:500]}).",
        )
    code = report.exit_code if report.exit_code is not None else _KILLED
    return RunResult(
        executed=True,
        exit_code=_KILLED if report.limit and report.limit != "memory" else code,
        output=text,
        duration_ms=duration_ms,
        isolation=isolation,
        reason=_sentence(report.limit, limits),
        output_cut=output.cut,
    )


def _sentence(limit: str, limits: Limits) -> str:
    mebibyte = 1024**2
    return {
        "": "",
        "time": f"It was ended after {limits.wall_seconds:g} s, the longest a command may run.",
        "memory": f"It needed more than {limits.memory_bytes // mebibyte} MiB of memory.",
        "files": f"It was ended for creating more than {limits.work_files} files.",
        "disk": f"It was ended for writing more than {limits.work_bytes // mebibyte} MiB.",
        "output": f"It was ended for printing more than {limits.output_bytes} bytes.",
    }.get(limit, "It was stopped before it ended.")
