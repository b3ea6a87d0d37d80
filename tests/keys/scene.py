"""Keys kept in a database, and what tests of them need: a vault, managers that share the table, quick adding."""

from sqlalchemy import select

from bottega.db.transaction import Database
from bottega.keys import store
from bottega.keys.encryption import Keyring, Vault
from bottega.keys.manager import APIKeyManager
from bottega.keys.shelf import KeyShelf
from bottega.keys.store import KeptKey, NewKey
from bottega.keys.tables import ApiKey

OLD, NEW = bytes(range(32)), bytes(range(100, 132))
VAULT = Vault(ring=Keyring([OLD]), pepper=b"pepper")


def secret(name: str) -> str:
    return f"key-named-{name}-0123456789"


async def keep(
    database: Database,
    name: str,
    *,
    provider: str = "google",
    user_id: int | None = None,
    vault: Vault = VAULT,
    quota_group: str | None = None,
) -> KeptKey:
    key = NewKey(provider=provider, secret=secret(name), user_id=user_id, quota_group=quota_group)
    async with database.transaction() as session:
        return await store.add(session, vault=vault, key=key)


def manager(database: Database, *environment: str, vault: Vault = VAULT, wait_seconds: float = 0.0) -> APIKeyManager:
    """Return what a process of its own would have: nothing but the database is shared."""
    return APIKeyManager(
        pools={"google": environment},
        fingerprint_key=vault.pepper,
        shelf=KeyShelf(database=database, vault=vault),
        wait_seconds=wait_seconds,
    )


async def rows(database: Database) -> list[ApiKey]:
    async with database.transaction() as session:
        return list((await session.scalars(select(ApiKey).order_by(ApiKey.created_at, ApiKey.id))).all())
