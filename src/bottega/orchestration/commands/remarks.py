"""A remark on work under way, which is most of what is said to a project: kept by one statement, or not at all.

Whether a message is a remark depends on what the project is doing. The statement that keeps it looks at that itself, so
no transaction is needed, and nothing can change between looking and keeping. Whatever is not kept here is understood in
a transaction (`commands`).
"""

import uuid

from sqlalchemy import text

from bottega.db.transaction import Database
from bottega.orchestration.briefs import storable
from bottega.orchestration.commands.effects import Speaker
from bottega.orchestration.commands.understanding import Remark, Scene, understand
from bottega.orchestration.state import Phase, RunState

_AT_WORK = Scene(phase=Phase.IMPLEMENT, state=RunState.READY, stop_code=None)


async def keep(database: Database, *, by: Speaker, text: str, project_id: uuid.UUID) -> bool:
    """Keep a message if the person's project is at work and it can only be a remark; tell whether it was kept."""
    if not isinstance(understand(text, _AT_WORK), Remark):
        return False
    given = {"user_id": by.user_id, "project_id": project_id, "channel": by.channel, "content": storable(text)}
    return (await database.autocommit.execute(_KEEP, given)).one_or_none() is not None


_KEEP = text(
    f"""
    INSERT INTO conversations (project_id, user_id, channel, role, content)
    SELECT p.id, user_id, :channel, 'person', :content
    FROM projects AS p JOIN LATERAL (
        SELECT phase, state, stop_code FROM runs WHERE project_id = p.id ORDER BY created_at DESC LIMIT 1
    ) AS run ON true
    WHERE p.id = CAST(:project_id AS uuid) AND user_id = CAST(:user_id AS int) AND deleted_at IS NULL
        AND run.state = '{RunState.READY}' AND run.phase <> '{Phase.APPROVE}' AND run.stop_code IS NULL
    RETURNING id
    """  # noqa: S608  # our own words
)
