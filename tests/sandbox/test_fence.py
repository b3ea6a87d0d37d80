"""A fenced program reaches its own folder, the network and little else, and never outlives who started it."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from bottega.sandbox.fence import can_fence, fenced

pytestmark = pytest.mark.skipif(not can_fence(), reason="this kernel has no Landlock")
PARENT = """
import subprocess, sys, time
print(subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL).pid, flush=True)
time.sleep(60)
"""


async def ran(*argv: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={}
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_it_writes_in_its_folder_and_reads_only_what_it_may(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    mine.mkdir()
    theirs.mkdir()
    (theirs / "key").write_text("secret")
    script = f"echo x > {mine}/x; cat {theirs}/key; echo y > {theirs}/y; cat /proc/1/environ /etc/shadow"
    _, output = await ran(*fenced(["/bin/sh", "-c", script], read=[], write=[mine]))
    assert (mine / "x").read_text() == "x\n"
    assert not (theirs / "y").exists()
    assert output.count("ermission denied") == 4, output

    _, output = await ran(*fenced(["/bin/cat", f"{theirs}/key"], read=[theirs], write=[mine]))
    assert output == "secret"


async def test_a_program_that_cannot_be_started_says_so(tmp_path: Path) -> None:
    code, output = await ran(*fenced([str(tmp_path / "nothing")], read=[], write=[]))
    assert (code, output.partition(":")[0]) == (125, "No fence could be built")


async def test_it_dies_with_who_started_it() -> None:
    argv = fenced(["/bin/sleep", "60"], read=[], write=[])
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, *argv, stdout=asyncio.subprocess.PIPE, env={}
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    async with asyncio.timeout(10):
        while name_of(pid) != "sleep":  # noqa: ASYNC110  # the kernel sets no event
            await asyncio.sleep(0.02)
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    async with asyncio.timeout(5):
        while name_of(pid) == "sleep":  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def name_of(pid: int) -> str:
    """Return the program a process runs, or an empty string when it has ended."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    except OSError:
        return ""
    return "" if rest.split()[0] in "ZX" else name
