"""Forgetting a person: what they said, had made and kept here goes, for good; what was paid and spent stays as numbers.

Runs under way are cancelled first, over their runners' heads. Then files go, then rows: whoever is killed in between is
begun anew by the next wish, which finds the rest. Ledger, calls and payments keep amounts under an account without
a name; a project that money was spent on keeps an empty row, because they refer to it.
"""

import asyncio
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing.ledger import orphan_started
from bottega.db.transaction import Database
from bottega.delivery.storage import StorageService
from bottega.orchestration import journal
from bottega.orchestration.packing import unfinished_key
from bottega.orchestration.state import RunState
from bottega.orchestration.tables import Run
from bottega.users.tables import User

FORGOTTEN = "deleted"  # the account's status


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    projects: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgetting:
    """`repository_at` says where a project's git repository is kept."""

    database: Database
    storage: StorageService
    repository_at: Callable[[uuid.UUID], Path]

    async def forget(self, *, user_id: int) -> Forgotten:
        """Forget a person; again for one who is forgotten, nothing happens."""
        calls = await self._cancel_all(user_id)
        async with self.database.transaction() as session:  # after it: a runner's journal locks calls before runs
            for operation_key in calls:
                await orphan_started(session, operation_key=operation_key)
            projects = (await session.scalars(_PROJECTS, {"user_id": user_id})).all()
            archives = (await session.scalars(_ARCHIVES, {"user_id": user_id})).all()
        for key in (*archives, *map(unfinished_key, projects)):
            await self.storage.delete(key=key)
        await asyncio.to_thread(self._delete_repositories, projects)
        async with self.database.transaction() as session:
            for statement in _ROWS:
                await session.execute(statement, {"user_id": user_id})
        return Forgotten(projects=len(projects))

    async def _cancel_all(self, user_id: int) -> list[str]:
        """End every run of the person's now, and let nothing more be spent; return the steps they were at."""
        async with self.database.transaction() as session:
            blocked = update(User).where(User.id == user_id).values(status=FORGOTTEN)
            await session.execute(blocked)
            live = select(Run).where(Run.user_id == user_id, Run.finished_at.is_(None)).order_by(Run.id)
            runs = (await session.scalars(live.with_for_update())).all()
            for run in runs:
                await self._cancel(session, run)
        return [journal.operation_key(run.id, run.step_no) for run in runs]

    async def _cancel(self, session: AsyncSession, run: Run) -> None:
        await journal.seize(session, run=run)
        values = {"state": RunState.CANCELLED, "desired": "cancel", "stop_code": None, "reason": None}
        ended = update(Run).where(Run.id == run.id).values(**values, finished_at=text("clock_timestamp()"))
        await session.execute(ended)

    def _delete_repositories(self, projects: Sequence[uuid.UUID]) -> None:
        for project_id in projects:
            shutil.rmtree(self.repository_at(project_id), ignore_errors=True)


_PROJECTS = text("SELECT id FROM projects WHERE user_id = :user_id")
_ARCHIVES = text(
    """
    SELECT archive_key FROM projects WHERE user_id = :user_id AND archive_key IS NOT NULL
    UNION SELECT output->>'archive_key' FROM steps JOIN runs ON runs.id = run_id
    WHERE user_id = :user_id AND steps.kind = 'package' AND output->>'archive_key' IS NOT NULL
    """
)

# A chat of a person and the bot alone has the person's own number. What was said to a group is forgotten after thirty
# days, with everything that was sent.
_MESSAGES = text(
    """
    DELETE FROM outbox WHERE target = 'telegram' AND recipient =
        (SELECT CAST(telegram_user_id AS text) FROM users WHERE id = :user_id)
    """
)
_THEIR_ROWS = ("chats", "deeds", "conversations", "sign_ins", "personal_tokens", "sign_in_codes")
_PROJECT_ROWS = (
    "chat_projects",
    "run_events",
    "work_under_way",
    "evidence",
    "tasks",
    "questions",
    "project_files",
    "code_chunks",
    "relay_tokens",
    "runs",
)
_FREE_PROJECTS = text(
    """
    DELETE FROM projects WHERE user_id = :user_id
        AND NOT EXISTS (SELECT FROM api_key_usage WHERE project_id = projects.id)
        AND NOT EXISTS (SELECT FROM credit_holds WHERE project_id = projects.id)
        AND NOT EXISTS (SELECT FROM credit_transactions WHERE project_id = projects.id)
    """
)
_PAID_PROJECTS = text(
    """
    UPDATE projects SET title = 'Deleted', description = '', tech_stack = NULL, documentation = NULL,
        current_todo_markdown = NULL, archive_key = NULL, head_sha = NULL, status = 'cancelled'
    WHERE user_id = :user_id
    """
)
_KEYS = text(
    """
    UPDATE api_keys SET is_active = false, ciphertext = '', removed_at = COALESCE(removed_at, now()),
        cooldown_until = NULL, last_error = NULL, label = NULL, last4 = '', fingerprint = CAST(id AS text)
    WHERE user_id = :user_id
    """
)
_ACCOUNT = text(
    """
    UPDATE users SET telegram_user_id = NULL, email = NULL, username = 'deleted-' || id, updated_at = now()
    WHERE id = :user_id
    """
)
_ROWS = (
    _MESSAGES,
    *(text(f"DELETE FROM {table} WHERE user_id = :user_id") for table in _THEIR_ROWS),  # noqa: S608  # our own words
    *(
        text(f"DELETE FROM {table} WHERE project_id IN (SELECT id FROM projects WHERE user_id = :user_id)")  # noqa: S608
        for table in _PROJECT_ROWS
    ),
    _FREE_PROJECTS,
    _PAID_PROJECTS,
    _KEYS,
    _ACCOUNT,
)
