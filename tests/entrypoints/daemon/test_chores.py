"""Chores are done again and again, whatever becomes of them."""

import asyncio
from collections import Counter

from structlog.testing import capture_logs

from bottega.bootstrap import Chore
from bottega.core.clock import SystemClock
from bottega.entrypoints.daemon.chores import doing


async def test_a_chore_that_fails_is_logged_and_goes_on_as_do_the_others() -> None:
    done: Counter[str] = Counter()
    twice = asyncio.Event()

    async def fails() -> None:
        done["fails"] += 1
        raise OSError

    async def works() -> None:
        done["works"] += 1
        if min(done["fails"], done["works"]) > 1:
            twice.set()

    chores = [Chore(name=work.__name__, every_seconds=0.01, work=work) for work in (fails, works)]
    with capture_logs() as logged:
        async with asyncio.timeout(5), doing(chores, clock=SystemClock()):
            await twice.wait()
    assert {entry["chore"] for entry in logged if entry["event"] == "chore.failed"} == {"fails"}
    before = done.copy()
    await asyncio.sleep(0.05)
    assert done == before
