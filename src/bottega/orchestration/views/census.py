"""What the rows say to whoever watches: few numbers, each from a partial index of what is unfinished, due or open.

Nothing here grows with what was done long ago. `due_unclaimed_age_seconds` is the one to alarm on: a run that is due
and that no runner has taken waits for nothing else.
"""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.telemetry.metrics import Rows


async def census(session: AsyncSession, *, longest_ms: int) -> Rows:
    """Count; a statement that takes longer is ended by the database, and raises."""
    await session.execute(_BOUNDED, {"longest_ms": str(longest_ms)})
    counted: Any = (await session.execute(_CENSUS)).one()
    states = (await session.execute(_RUNS)).all()
    return Rows(
        runs={row.state: row.runs for row in states},
        due_unclaimed_age_seconds=float(counted.due_unclaimed_age_seconds),
        outbox_lag_seconds=float(counted.outbox_lag_seconds),
        holds_open=counted.holds_open,
    )


_BOUNDED = text("SELECT set_config('statement_timeout', :longest_ms, true)")

_RUNS = text("SELECT state, count(*) AS runs FROM runs WHERE finished_at IS NULL GROUP BY state")

# A run whose lease ran out is unclaimed since then, however long ago it was due. Who has a run under way has a runner:
# what else of theirs is due may wait for their turn.
_CENSUS = text("""
SELECT
    COALESCE((
        SELECT max(extract(epoch FROM clock_timestamp() - GREATEST(wake_at, lease_until)))
        FROM runs
        WHERE state = 'ready' AND wake_at <= clock_timestamp()
          AND (lease_until IS NULL OR lease_until <= clock_timestamp())
          AND NOT EXISTS (
              SELECT FROM runs AS theirs
              WHERE theirs.user_id = runs.user_id AND theirs.lease_owner IS NOT NULL
                AND theirs.lease_until > clock_timestamp())
    ), 0) AS due_unclaimed_age_seconds,
    COALESCE((
        SELECT extract(epoch FROM clock_timestamp() - min(wake_at))
        FROM outbox WHERE sent_at IS NULL AND refused_at IS NULL AND wake_at <= clock_timestamp()
    ), 0) AS outbox_lag_seconds,
    (SELECT count(*) FROM credit_holds WHERE state = 'open') AS holds_open
""")
