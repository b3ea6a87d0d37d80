"""Watching a project: its events in order, none missing and none twice, whoever writes them and in whichever process.

The rows are the truth. A reader gets those after the last one it saw, then each new one; being woken only makes it look
sooner, and it looks every two seconds anyway. So a lost notification, a lost connection or a database that restarts
costs time and nothing else. However many readers a process has, it has one connection that listens and one task that
looks: new rows are read once, for all of them. A reader that is slow keeps nothing but its place; when what it wants is
no longer at hand it reads pages of its own.

The step under way (`StepStarted`) is passed on beside the rows: the newest alone, and only while somebody is at it.
"""

import asyncio
import contextlib
import json
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlalchemy import text

from bottega.core.clock import Clock
from bottega.db.notifications import listen
from bottega.db.transaction import FAULTS, Database, Row
from bottega.orchestration.events import Event, StepStarted, read_event
from bottega.orchestration.herald import CHANNEL
from bottega.orchestration.progress import News
from bottega.projects.service import UnknownProject

POLL_SECONDS = 2.0
RETRY_SECONDS = 0.25  # after a fault
PAGE = 256  # rows read at once, and rows of a project that are kept at hand

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event and its number. A step under way has the number of the event that came before it.

    `event` is None where another version of Bottega wrote it.
    """

    sequence: int
    event: Event | None
    at: datetime

    @property
    def is_passing(self) -> bool:
        """Tell whether it is the step under way: not kept, so not to be resumed from."""
        return isinstance(self.event, StepStarted)


@dataclass(slots=True, kw_only=True)
class _Feed:
    """What is at hand of one project, for all its readers: its newest rows without a gap, up to `newest`."""

    newest: int
    rows: deque[Told] = field(default_factory=lambda: deque(maxlen=PAGE))
    under_way: Told | None = None
    readers: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def since(self, seen: int) -> list[Told] | None:
        """Return the rows after `seen`, or None when they go further back than what is at hand."""
        if seen >= self.newest:
            return []
        if not self.rows or self.rows[0].sequence > seen + 1:
            return None
        return [told for told in self.rows if told.sequence > seen]

    def take(self, found: Sequence[Told], *, under_way: Told | None) -> None:
        if not found and under_way == self.under_way:
            return
        self.rows.extend(found)
        self.newest = self.rows[-1].sequence if found else self.newest
        self.under_way = under_way
        self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class LiveEvents:
    """The readers of a process. `database.hear(live.hear)` wakes those of what the process itself writes."""

    def __init__(self, *, database: Database, clock: Clock, poll_seconds: float = POLL_SECONDS) -> None:
        self._database = database
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._feeds: dict[uuid.UUID, _Feed] = {}
        self._stale: set[uuid.UUID] = set()
        self._woken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closed = False

    async def follow(self, *, user_id: int, project_id: uuid.UUID, after: int = 0) -> AsyncGenerator[Told, None]:
        """Yield what the person's project tells after number `after`: all there is, then what comes.

        Ends when the generator is closed, or all of them. A number that was not given yet is waited for.

        Raises:
            UnknownProject: when it begins; another person's project does not exist.
        """
        feed = await self._joined(user_id=user_id, project_id=project_id)
        try:
            seen, shown_step = max(0, after), None
            while not self._is_closed:
                changed = feed.changed  # before looking: what comes while looking is not slept through
                page = await self._after(project_id, feed, seen)
                for told in page:
                    seen = told.sequence
                    yield told
                step = feed.under_way
                if not page and step is not None and step != shown_step and step.sequence <= seen:
                    shown_step = step
                    yield step
                elif not page and not self._is_closed:
                    await changed.wait()
        finally:
            self._leave(project_id, feed)

    def hear(self, what: Hashable) -> None:
        """Look soon at a project of which this process has just committed news."""
        if isinstance(what, News):
            self._look_at(what.project_id)

    async def close(self) -> None:
        """End every reader."""
        self._is_closed = True
        for feed in self._feeds.values():
            feed.wake()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- one reader ---------------------------------------------------------------------------------------------------

    async def _joined(self, *, user_id: int, project_id: uuid.UUID) -> _Feed:
        given = {"project_id": project_id, "user_id": user_id}
        row = (await self._database.autocommit.execute(_NEWEST, given)).one_or_none()
        if row is None:
            raise UnknownProject(project_id)
        feed = self._feeds.setdefault(project_id, _Feed(newest=row.event_sequence))
        feed.readers += 1
        self._look_at(project_id)  # for the step under way, and what came meanwhile
        if not self._tasks and not self._is_closed:
            self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._keep_looking())]
        return feed

    def _leave(self, project_id: uuid.UUID, feed: _Feed) -> None:
        feed.readers -= 1
        if not feed.readers:
            del self._feeds[project_id]

    async def _after(self, project_id: uuid.UUID, feed: _Feed, seen: int) -> Sequence[Told]:
        """Return a page of the rows after `seen`; none when there are none, or when the database does not answer."""
        at_hand = feed.since(seen)
        while at_hand is None:
            try:
                given = {"projects": [project_id], "seen": [seen], "page": PAGE}
                rows = (await self._database.autocommit.execute(_ROWS, given)).all()
                return [_told(row) for row in rows]
            except FAULTS as error:
                log.warning("live.page.missed", reason=type(error).__name__)
                await self._clock.sleep(RETRY_SECONDS)
                at_hand = [] if self._is_closed else feed.since(seen)
        return at_hand

    # -- for all readers ----------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        await listen(
            self._database, channel=CHANNEL, heard=self._heard, missed=self._look_at_everything, clock=self._clock
        )

    def _heard(self, payload: str) -> None:
        try:
            self._look_at(uuid.UUID(payload))
        except ValueError:
            log.warning("live.notification.unreadable", size=len(payload))

    def _look_at(self, project_id: uuid.UUID) -> None:
        if project_id in self._feeds:
            self._stale.add(project_id)
            self._woken.set()

    def _look_at_everything(self) -> None:
        self._stale |= self._feeds.keys()
        self._woken.set()

    async def _keep_looking(self) -> None:
        """Look at what was said to be new, and at everything every now and then."""
        look_at_all_at = self._clock.monotonic() + self._poll_seconds
        while True:
            with contextlib.suppress(TimeoutError):  # wait_for may swallow a cancellation that comes with the wake-up
                async with asyncio.timeout(max(0.0, look_at_all_at - self._clock.monotonic())):
                    await self._woken.wait()
            if self._clock.monotonic() >= look_at_all_at:
                look_at_all_at = self._clock.monotonic() + self._poll_seconds
                self._stale |= self._feeds.keys()
            self._woken.clear()
            stale, self._stale = self._stale & self._feeds.keys(), set()
            try:
                await self._look(sorted(stale))
            except FAULTS as error:
                log.warning("live.look.missed", reason=type(error).__name__)
                await self._clock.sleep(RETRY_SECONDS)
                self._look_at_everything()

    async def _look(self, stale: Sequence[uuid.UUID]) -> None:
        feeds = {project_id: self._feeds[project_id] for project_id in stale}
        if not feeds:
            return
        seen = [feed.newest for feed in feeds.values()]
        given = {"projects": list(feeds), "seen": seen, "page": PAGE}
        rows = _by_project((await self._database.autocommit.execute(_LOOK, given)).all())
        for project_id, feed in feeds.items():
            found = [row for row in rows.get(project_id, ()) if not row.is_passing]
            passing = [row for row in rows.get(project_id, ()) if row.is_passing]
            feed.take([_told(row) for row in found], under_way=_told(passing[0]) if passing else None)
            if len(found) == PAGE:
                self._look_at(project_id)


def _by_project(rows: Sequence[Row]) -> Mapping[uuid.UUID, list[Row]]:
    grouped: dict[uuid.UUID, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.project_id, []).append(row)
    return grouped


def _told(row: Row) -> Told:
    event = read_event(type=row.type, payload=json.loads(row.payload))
    return Told(sequence=row.sequence, event=event, at=row.at)


_NEWEST = text(
    "SELECT event_sequence FROM projects"
    " WHERE id = CAST(:project_id AS uuid) AND user_id = CAST(:user_id AS int) AND deleted_at IS NULL"
)

_PAGES = """
    SELECT project_id, sequence, type, CAST(payload AS text) AS payload, at, false AS is_passing
    FROM unnest(CAST(:projects AS uuid[]), CAST(:seen AS int[])) AS wanted (project_id, seen)
    CROSS JOIN LATERAL (
        SELECT sequence, type, payload, created_at AS at FROM run_events
        WHERE run_events.project_id = wanted.project_id AND sequence > seen ORDER BY sequence LIMIT :page
    ) AS page
"""
_ROWS = text(f"{_PAGES} ORDER BY sequence")

# A step counts as under way while the lease it was begun under runs.
_LOOK = text(
    f"""
    {_PAGES}
    UNION ALL
    SELECT step.project_id, after_sequence, '{StepStarted.type}', CAST(payload AS text), started_at, true
    FROM work_under_way AS step
    JOIN runs ON runs.id = step.run_id AND runs.lease_token = step.lease_token
    WHERE step.project_id = ANY (CAST(:projects AS uuid[])) AND lease_until > clock_timestamp()
    ORDER BY project_id, sequence
    """  # noqa: S608  # of our own words
)
