"""What was asked for under a key is done once: the key is written by the transaction that has the effect.

Asked again, nothing changes and the first result is given. A twin that comes at the same moment waits for the first
one's transaction, and does what it asked for only if that came to nothing. What was refused is no deed: it may be asked
for again under the same key. Keys are a person's own; another person's say nothing. They are forgotten after a week.

A key may come with what was asked for under it: then it is refused when it comes back with something else.
"""

import hashlib
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.core.errors import AppError
from bottega.db.transaction import Database
from bottega.orchestration.briefs import storable
from bottega.orchestration.tables import Deed

LONGEST_KEY = 200
KEPT = timedelta(days=7)

Projects = tuple[uuid.UUID, ...]
"""What a command returns: the projects it was about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key, and what is asked for under it: any bytes that are the same whenever the same is meant."""

    name: str
    asked: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.asked).hexdigest()


IdempotencyKey = str | Key


class BadIdempotencyKey(AppError):
    code = "bad_idempotency_key"
    http_status = 422

    def __init__(self) -> None:
        super().__init__(f"An idempotency key is plain text of 1 to {LONGEST_KEY} characters. Nothing was done.")


class AskedOtherwise(AppError):
    """The key was used before, for something else."""

    code = "idempotency_key_reused"
    http_status = 422

    def __init__(self) -> None:
        super().__init__(
            "This idempotency key was used before, for another request. Nothing was done: take a new key for each"
            " thing you want, and the same one only to ask for the same thing again."
        )


async def once(
    session: AsyncSession,
    *,
    user_id: int,
    key: IdempotencyKey | None,
    act: Callable[[AsyncSession], Awaitable[Projects]],
) -> Projects:
    """Act within this transaction, or return what came of it when this person's key was used before.

    It comes first in its transaction: what `act` reads is then read after any twin's commit.

    Raises:
        BadIdempotencyKey, AskedOtherwise
    """
    if key is None:
        return await act(session)
    name, digest = (key, None) if isinstance(key, str) else (key.name, key.digest)
    mine = {"user_id": user_id, "idempotency_key": _checked(name), "digest": digest}
    first = insert(Deed).values(mine).on_conflict_do_nothing().returning(Deed.user_id)
    if (await session.execute(first)).scalar_one_or_none() is None:
        return await _result(session, user_id=user_id, name=name, digest=digest)
    projects = await act(session)
    deed = update(Deed).where(Deed.user_id == user_id, Deed.idempotency_key == name)
    await session.execute(deed.values(projects=[str(project_id) for project_id in projects]))
    return projects


async def find(session: AsyncSession, *, user_id: int, key: str) -> Projects | None:
    """Return what came of this person's deed of this key; None where there is none."""
    done = select(Deed.projects).where(Deed.user_id == user_id, Deed.idempotency_key == _checked(key))
    found: Sequence[str] | None = (await session.scalars(done)).one_or_none()
    return None if found is None else tuple(map(uuid.UUID, found))


async def note_done(session: AsyncSession, *, user_id: int, key: str) -> None:
    """Note a deed of which nothing is left to be done and nothing is returned."""
    await session.execute(_NOTE, {"user_id": user_id, "key": _checked(key)})


_NOTE = text(
    """
    INSERT INTO deeds (user_id, idempotency_key)
    SELECT id, :key FROM users WHERE id = :user_id AND status <> 'deleted'
    ON CONFLICT DO NOTHING
    """
)


async def _result(session: AsyncSession, *, user_id: int, name: str, digest: str | None) -> Projects:
    done = select(Deed.projects, Deed.digest).where(Deed.user_id == user_id, Deed.idempotency_key == name)
    found = (await session.execute(done)).one()
    if digest is not None and found.digest is not None and found.digest != digest:
        raise AskedOtherwise
    projects: Sequence[str] = found.projects
    return tuple(map(uuid.UUID, projects))


def _checked(key: str) -> str:
    if not 1 <= len(key) <= LONGEST_KEY or storable(key) != key:
        raise BadIdempotencyKey
    return key


class DeedsKept:
    """Forgets old keys."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def forget_old(self) -> None:
        async with self._database.transaction() as session:
            await session.execute(_FORGET, {"kept": KEPT})


_FORGET = text("DELETE FROM deeds WHERE created_at < clock_timestamp() - CAST(:kept AS interval)")
