import contextlib
import os
import pty
import signal
import subprocess
import sys

ASKING = """
import asyncio, click
from rich.console import Console
from bottega.entrypoints.cli.dialogue import ask_go

async def main():
    try:
        print("said", ask_go(console=Console()))
    except click.Abort:
        print("ended")

asyncio.run(main())
"""


def at_a_prompt(*, typed: bytes = b"\n", send: signal.Signals | None = None) -> str:
    """Return the last line of a process that asks for a go at a terminal of its own.

    After a signal Enter is pressed too, but only once the signal alone has not ended the question.
    """
    ours, theirs = pty.openpty()
    child = subprocess.Popen([sys.executable, "-c", ASKING], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"> " not in shown:
        shown += os.read(ours, 1000)
    if send:
        child.send_signal(send)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=5)
    if child.poll() is None:
        os.write(ours, typed)
    try:
        while piece := os.read(ours, 1000):
            shown += piece
    except OSError:  # how a terminal says that its other end is closed
        pass
    child.wait(timeout=10)
    os.close(ours)
    return shown.decode().splitlines()[-1]


def test_the_first_ctrl_c_ends_a_question() -> None:
    assert at_a_prompt(send=signal.SIGINT).endswith("ended")


def test_the_end_of_the_input_ends_a_question() -> None:
    assert at_a_prompt(typed=b"\x04").endswith("ended")


def test_enter_takes_what_is_offered() -> None:
    assert at_a_prompt().endswith("said go")
