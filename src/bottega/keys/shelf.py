"""The kept keys as the manager sees them: read before every call, written after it, each in a short transaction.

A call asks a model for seconds, so one indexed read before it costs nothing that can be felt, and a key that another
process added, removed, refused or sent to rest is known at the very next call. A report that the database does not take
is logged and lost: the reply it belongs to is worth more.
"""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.db.transaction import Database
from bottega.keys import store
from bottega.keys.encryption import Vault
from bottega.keys.store import KeptKey
from bottega.llm.client import LeasedKey

log = structlog.get_logger()


class KeyShelf:
    def __init__(self, *, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def read(self, *, provider: str, owner: int | None) -> Sequence[KeptKey]:
        async with self._database.transaction() as session:
            return await store.kept_for(session, provider=provider, owner=owner)

    def lend(self, key: KeptKey) -> LeasedKey:
        """Decrypt a key for one call; raise KeyUnreadable."""
        secret = self._vault.ring.open(key.sealed, place=key.place)
        return LeasedKey(
            provider=key.provider, secret=secret, fingerprint=key.fingerprint, key_id=key.id, owner=key.user_id
        )

    async def used(self, key_id: uuid.UUID) -> None:
        async with self._reporting() as session:
            await store.mark_used(session, key_id=key_id)

    async def refused(self, key_id: uuid.UUID, *, error_code: str) -> None:
        async with self._reporting() as session:
            await store.mark_refused(session, key_id=key_id, error_code=error_code)

    async def rest(self, key_ids: Sequence[uuid.UUID], *, seconds: float, error_code: str) -> None:
        async with self._reporting() as session:
            await store.rest(session, key_ids=key_ids, seconds=seconds, error_code=error_code)

    @asynccontextmanager
    async def _reporting(self) -> AsyncIterator[AsyncSession]:
        try:
            async with self._database.transaction() as session:
                yield session
        except (OSError, SQLAlchemyError) as error:
            log.warning("keys.report.lost", reason=type(error).__name__)
