"""A process that works on a run and kills itself (SIGKILL) at a named place: nothing is flushed, closed or released.

Places: `asking:plan-1` (in the call, before the provider answers), `answered:plan-1` (after it), `started:commit`
(before the step's effect), `unwritten:commit` (after the effect, while its journal is uncommitted), `running:check`
(while a sandbox runs a command), `told:task_done` (after the commit that made an event true), `claimed` (at once).

`unwritten` is made certain by a second connection that holds the run's row: the journal must wait for it, and the
process dies when PostgreSQL says that somebody waits.
"""

import asyncio
import os
import signal
import threading
import time
import uuid
from pathlib import Path

from bottega.bootstrap import open_app
from bottega.llm.scripted import stem_of
from bottega.llm.types import CallObserver, Completion, CompletionRequest, Gateway
from bottega.orchestration.events import Event, StepStarted
from tests.database import connected
from tests.journeys import scripts
from tests.journeys.conftest import scripted, settings_for


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class MortalModel:
    """Answers as the script does, and dies before or after."""

    def __init__(self, inner: Gateway, *, place: str) -> None:
        self._inner = inner
        self._place = place

    async def complete(self, request: CompletionRequest, *, observer: CallObserver | None = None) -> Completion:
        if self._place == f"asking:{stem_of(request)}":
            die()
        completion = await self._inner.complete(request, observer=observer)
        if self._place == f"answered:{stem_of(request)}":
            die()
        return completion


class Reaper:
    """Listens to events and dies at its place."""

    def __init__(self, *, place: str, database_url: str, run_id: uuid.UUID) -> None:
        self._moment, _, self._what = place.partition(":")
        self._database_url = database_url
        self._run_id = run_id

    def __call__(self, event: Event) -> None:
        if self._moment == "told" and event.type == self._what:
            die()
        if not isinstance(event, StepStarted) or (self._what and event.kind != self._what):
            return
        match self._moment:
            case "started" | "claimed":
                die()
            case "unwritten":
                self._bar_the_journal()
            case "running":
                threading.Thread(target=_die_with_a_child, daemon=True).start()
            case _:
                pass

    def _bar_the_journal(self) -> None:
        barred = threading.Event()
        watch = _die_when_the_journal_waits(url=self._database_url, run_id=self._run_id, barred=barred)
        threading.Thread(target=asyncio.run, args=(watch,), daemon=True).start()
        assert barred.wait(timeout=10)


async def _die_when_the_journal_waits(*, url: str, run_id: uuid.UUID, barred: threading.Event) -> None:
    async with connected(url) as holder, connected(url) as watcher, holder.transaction():
        await holder.execute("SELECT 1 FROM runs WHERE id = $1 FOR UPDATE", run_id)
        barred.set()
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        while not await watcher.fetchval(waiting):
            pass  # the question itself takes long enough
        die()


def _die_with_a_child() -> None:
    """Die as soon as this process has a child: the sandbox's doorkeeper."""
    while not any(file.read_text() for file in Path("/proc/self/task").glob("*/children")):
        time.sleep(0.005)
    time.sleep(0.05)  # let it open the room and start the command
    die()


def work(*, database_url: str, home: Path, run_id: uuid.UUID, place: str) -> None:
    """Drive a run until the place comes."""
    asyncio.run(_drive(database_url=database_url, home=home, run_id=run_id, place=place))


async def _drive(*, database_url: str, home: Path, run_id: uuid.UUID, place: str) -> None:
    model = MortalModel(scripted(scripts.REFINED), place=place)
    async with open_app(settings_for(home=home, database_url=database_url), llm=model) as app:
        app.events.listen(Reaper(place=place, database_url=database_url, run_id=run_id))
        await app.runner.run(run_id=run_id)
