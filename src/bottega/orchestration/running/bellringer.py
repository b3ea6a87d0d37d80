"""Rings again for what is due and nobody works on: a ring may have been lost, and so may everything that was rung for.

One process of the installation does it at a time. A run is not rung for more often than workers can be expected to
come, so that a queue that is long does not grow by it.
"""

import uuid
from collections.abc import Sequence

from sqlalchemy import text

from bottega.db.transaction import Database
from bottega.orchestration.doorbell import Doorbell, Lane

RING_AGAIN_SECONDS = 15.0
AT_ONCE = 500
_ONLY_ONE = 0x626F7474_72696E67  # of PostgreSQL's advisory locks, ours


class Bellringer:
    def __init__(self, *, database: Database, doorbell: Doorbell, at_once_per_person: int) -> None:
        self._database = database
        self._doorbell = doorbell
        self._at_once_per_person = at_once_per_person

    async def ring_due(self) -> int:
        """Ring for every run that is due, those that wait longest first; return how many there were."""
        due = await self._due()
        for run_id, lane in due:
            self._doorbell.ring(run_id, lane=Lane(lane))
        return len(due)

    async def _due(self) -> Sequence[tuple[uuid.UUID, str]]:
        given = {
            "only_one": _ONLY_ONE,
            "at_once": self._at_once_per_person,
            "again": RING_AGAIN_SECONDS,
            "limit": AT_ONCE,
        }
        async with self._database.transaction() as session:
            return [(row.id, row.lane) for row in (await session.execute(_RING, given)).all()]


_RING = text("""
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(:only_one) AS is_mine
), busy AS (
    SELECT user_id, count(*) AS runs FROM runs
    WHERE lease_owner IS NOT NULL AND lease_until > clock_timestamp() GROUP BY user_id
), due AS (
    SELECT id, user_id, wake_at, rung_at, row_number() OVER (PARTITION BY user_id ORDER BY wake_at, id) AS place
    FROM runs
    WHERE state = 'ready' AND wake_at <= clock_timestamp()
      AND (lease_until IS NULL OR lease_until < clock_timestamp())
), waiting AS (
    SELECT due.id FROM turn, due LEFT JOIN busy ON busy.user_id = due.user_id
    WHERE is_mine AND place + COALESCE(busy.runs, 0) <= :at_once
      AND (rung_at IS NULL OR rung_at < clock_timestamp() - make_interval(secs => :again))
    ORDER BY wake_at, due.id LIMIT :limit
)
UPDATE runs SET rung_at = clock_timestamp() FROM waiting
WHERE runs.id = waiting.id  -- and as it is by now: another may have rung since this statement began to look
  AND (runs.rung_at IS NULL OR runs.rung_at < clock_timestamp() - make_interval(secs => :again))
RETURNING runs.id, runs.lane
""")
