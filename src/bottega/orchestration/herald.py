"""What other processes are told while this one works: that a project has news, and the step it is at.

Nothing waits for it and nothing depends on it. Readers look for themselves every two seconds; a herald that fails
costs them that long. News of a project is told once for all that happened within a moment, in one statement which
commits by itself: NOTIFY takes a lock of the whole database at commit, and money is never to wait for that. The table
it writes to is not logged, so that this commit does not wait for the disk either.
"""

import asyncio
import contextvars
import json
import uuid
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass

import structlog
from sqlalchemy import text

from bottega.db.transaction import FAULTS, Database
from bottega.orchestration import progress
from bottega.orchestration.events import Event, ProviderTrouble, StepStarted
from bottega.orchestration.journal import Claim

CHANNEL = "bottega_news"  # the payload is a project's id
LINGER_SECONDS = 0.02  # a step's end and the next one's beginning are one piece of news
MOST_ASIDES = 100
CLOSING_SECONDS = 2.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _UnderWay:
    held: Claim
    after_sequence: int
    step: StepStarted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Aside:
    project_id: uuid.UUID
    held: Claim
    event: Event


class Herald:
    def __init__(self, *, database: Database, linger_seconds: float = LINGER_SECONDS) -> None:
        self._database = database
        self._linger_seconds = linger_seconds
        self._news: dict[uuid.UUID, _UnderWay | None] = {}
        self._asides: deque[_Aside] = deque(maxlen=MOST_ASIDES)
        self._telling: asyncio.Task[None] | None = None

    def hear(self, what: Hashable) -> None:
        """Tell other processes of a project's news that a transaction has just committed."""
        if isinstance(what, progress.News):
            self._news.setdefault(what.project_id, None)
            self._tell_soon()

    def under_way(self, *, project_id: uuid.UUID, held: Claim, after_sequence: int, step: StepStarted) -> None:
        """Say which step a run is at. What is said under a lease that was lost is not heard."""
        self._news[project_id] = _UnderWay(held=held, after_sequence=after_sequence, step=step)
        self._tell_soon()

    def aside(self, *, project_id: uuid.UUID, held: Claim, event: ProviderTrouble) -> None:
        """Append to a project's events what happened within a step, beside it."""
        self._asides.append(_Aside(project_id=project_id, held=held, event=event))
        self._tell_soon()

    async def close(self) -> None:
        """Tell what is still to be told, unless the database is not there to take it."""
        if self._telling is None:
            return
        await asyncio.wait([self._telling], timeout=CLOSING_SECONDS)
        self._telling.cancel()
        await asyncio.wait([self._telling])

    def _tell_soon(self) -> None:
        if self._telling is None or self._telling.done():
            work = self._tell()
            # Of nobody's context: neither of the step whose news comes first, nor of its transaction.
            self._telling = asyncio.get_running_loop().create_task(work, context=contextvars.Context())

    async def _tell(self) -> None:
        while self._news or self._asides:
            await asyncio.sleep(self._linger_seconds)
            try:
                while self._asides:
                    await self._append(self._asides.popleft())
                news, self._news = self._news, {}
                await self._notify(news)
            except FAULTS as error:
                log.warning("herald.unheard", reason=type(error).__name__)

    async def _append(self, aside: _Aside) -> None:
        async with self._database.transaction() as session:
            await progress.tell_beside(session, project_id=aside.project_id, held=aside.held, event=aside.event)

    async def _notify(self, news: dict[uuid.UUID, _UnderWay | None]) -> None:
        if not news:
            return
        steps = [_as_row(project_id, work) for project_id, work in sorted(news.items()) if work is not None]
        given = {"channel": CHANNEL, "projects": list(news), "steps": json.dumps(steps)}
        await self._database.autocommit.execute(_NOTIFY if steps else _NOTIFY_ONLY, given)


def _as_row(project_id: uuid.UUID, work: _UnderWay) -> dict[str, object]:
    return {
        "project_id": str(project_id),
        "run_id": str(work.held.run_id),
        "lease_token": work.held.lease_token,
        "after_sequence": work.after_sequence,
        "payload": work.step.payload(),
    }


# Rows are written in one order everywhere, so that two heralds never wait for each other.
_NOTIFY = text(
    """
    WITH told AS (
        INSERT INTO work_under_way AS now (project_id, run_id, lease_token, after_sequence, payload, started_at)
        SELECT step.project_id, step.run_id, step.lease_token, step.after_sequence, step.payload, clock_timestamp()
        FROM jsonb_to_recordset(CAST(:steps AS jsonb)) AS step
            (project_id uuid, run_id uuid, lease_token bigint, after_sequence int, payload jsonb)
        JOIN runs ON runs.id = step.run_id AND runs.lease_token = step.lease_token
        ORDER BY step.project_id
        ON CONFLICT (project_id) DO UPDATE SET
            run_id = excluded.run_id, lease_token = excluded.lease_token, after_sequence = excluded.after_sequence,
            payload = excluded.payload, started_at = excluded.started_at
    )
    SELECT pg_notify(CAST(:channel AS text), project_id::text) FROM unnest(CAST(:projects AS uuid[])) AS project_id
    """
)
_NOTIFY_ONLY = text(
    "SELECT pg_notify(CAST(:channel AS text), project_id::text) FROM unnest(CAST(:projects AS uuid[])) AS project_id"
)
