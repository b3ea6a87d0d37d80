"""What an ordinary command gets, on every rung: its files, a Python, an empty environment, and its own words back."""

import signal

import pytest
from tests.sandbox.conftest import Rung

from bottega.sandbox.payload import RefusedFile
from bottega.sandbox.types import Limits


async def test_a_command_finds_its_files_and_may_write(rung: Rung) -> None:
    files = {"deep/er/a.txt": b"hello\n", "run.sh": b"#!/bin/sh\necho ran\n", "raw": bytes(range(256))}
    result = await rung.run(
        files=files, command="cat deep/er/a.txt; ./run.sh; wc -c < raw; echo new > b.txt; cat b.txt"
    )
    assert (result.executed, result.exit_code, result.reason) == (True, 0, "")
    assert result.output.split() == ["hello", "ran", "256", "new"]
    assert result.isolation == rung.isolation


async def test_nothing_of_one_run_is_seen_by_the_next(rung: Rung) -> None:
    await rung.run(files={}, command="touch here /tmp/there; echo x > $TMPDIR/y")
    result = await rung.run(files={}, command="ls . $TMPDIR")
    assert "here" not in result.output
    assert "y" not in result.output.split()


@pytest.mark.parametrize(
    ("command", "code"),
    [("true", 0), ("exit 3", 3), ("no-such-program", 127), ("kill -9 $$", 137), ("kill -15 $$", 143)],
)
async def test_the_exit_code_is_what_a_shell_says(rung: Rung, command: str, code: int) -> None:
    result = await rung.run(files={}, command=command)
    assert (result.executed, result.exit_code, result.reason) == (True, code, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE])
async def test_a_signal_the_worker_ignores_still_reaches_the_command(rung: Rung, number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)  # as nohup and a shell's background jobs leave it
    try:
        result = await rung.run(files={}, command=f"kill -{number.value} $$; echo deaf")
    finally:
        signal.signal(number, before)
    assert (result.exit_code, result.output) == (128 + number.value, "")


async def test_output_and_errors_come_in_order_and_as_text(rung: Rung) -> None:
    result = await rung.run(files={}, command="echo out; echo err >&2; printf '\\377é\\n'")
    assert result.output == "out\nerr\n\ufffdé\n"


async def test_output_up_to_the_limit_is_whole(rung: Rung) -> None:
    result = await rung.run(files={}, command="head -c 1000 /dev/zero", limits=Limits(output_bytes=1000))
    assert (len(result.output), result.output_cut, result.exit_code) == (1000, False, 0)


async def test_the_environment_holds_nothing_of_the_worker(rung: Rung) -> None:
    result = await rung.run(files={}, command="env | cut -d= -f1 | sort")
    known = {"HOME", "LANG", "NO_COLOR", "PATH", "PWD", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONNOUSERSITE"}
    assert set(result.output.split()) <= known | {"TMPDIR", "PYTHONPATH", "_", "OLDPWD", "SHLVL"}


async def test_python_is_there_with_its_library_and_pytest_and_nothing_else(rung: Rung) -> None:
    script = b"import sys, ssl, sqlite3, asyncio, json, pytest\nprint(*sys.version_info[:2], pytest.__version__)\n"
    result = await rung.run(files={"a.py": script}, command="python a.py; python3 -c 'import sys; print(sys.prefix)'")
    assert result.exit_code == 0, result.output
    major, minor, version = result.output.splitlines()[0].split()
    assert (int(major), int(minor)) >= (3, 11)  # as root the weakest rung may have to take the system's
    assert version == pytest.__version__


async def test_processes_and_threads_work(rung: Rung) -> None:
    script = b"""
import asyncio, subprocess, threading
threads = [threading.Thread(target=print, args=(n,)) for n in range(4)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
print(subprocess.run(["echo", "child"], capture_output=True, text=True).stdout)
async def main():
    process = await asyncio.create_subprocess_exec("true")
    print(await process.wait())
asyncio.run(main())
"""
    result = await rung.run(files={"a.py": script}, command="python a.py")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("path", ["../a", "/etc/cron.d/a", "a/../../b", "", "a\0b"])
async def test_a_path_that_leaves_the_project_is_refused(rung: Rung, path: str) -> None:
    with pytest.raises(RefusedFile):
        await rung.run(files={path: b""}, command="true")


async def test_a_program_that_reads_waits_for_nothing(rung: Rung) -> None:
    result = await rung.run(files={}, command="cat; echo end", limits=Limits(wall_seconds=5))
    assert result.output == "end\n"
