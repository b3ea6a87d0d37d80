"""Keys kept in the database: the platform's pool (no user) and people's own.

A key is in use, refused (inactive, until it is added again) or removed. Removing erases the ciphertext and keeps the
row, because calls are on record with it. A fingerprint stands once for a person and provider. `last_error` holds codes,
never a provider's words, which may repeat the key. Cool-downs are told by the database's clock.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.core.errors import AppError
from bottega.core.ids import new_id
from bottega.db.transaction import Execution
from bottega.keys.encryption import KeyUnreadable, Place, Sealed, Vault
from bottega.keys.tables import ApiKey
from bottega.llm.client import KEY_SETTINGS, UnknownProvider

SHORTEST, LONGEST = 16, 500  # characters of a key; shorter ones would give too much away by their last four
LONGEST_LABEL = 100
_NEVER_IN_A_KEY = set("\"'`\\<>")


class BadKey(AppError):
    code = "bad_key"
    http_status = 422


class KeyKept(AppError):
    """The same key is already in use for this person, or in the pool."""

    code = "key_kept"
    http_status = 409

    def __init__(self, *, fingerprint: str, provider: str) -> None:
        super().__init__(f"The key {fingerprint} of {provider} is kept already; nothing was changed.")
        self.fingerprint = fingerprint


class NoSuchKey(AppError):
    code = "key_not_found"
    http_status = 404

    def __init__(self, fingerprint: str) -> None:
        super().__init__(
            f"There is no key {fingerprint[:40]!r} there; `bottega keys list` shows whose each is, --user says it."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key to be kept; `user_id` None adds it to the pool."""

    provider: str
    secret: str = field(repr=False)
    user_id: int | None = None
    label: str | None = None
    quota_group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptKey:
    """A key as it stands in its row. `rests_seconds` is what is left of its cool-down, 0 without one."""

    id: uuid.UUID
    user_id: int | None
    provider: str
    sealed: Sealed
    fingerprint: str
    last4: str
    label: str | None
    quota_group: str | None
    is_active: bool
    rests_seconds: float
    last_used_at: datetime | None
    last_error: str | None

    @property
    def place(self) -> Place:
        return Place(row_id=self.id, user_id=self.user_id, provider=self.provider)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """One batch: how many rows were sealed anew, which could not be read, and the last row looked at."""

    resealed: int
    unreadable: tuple[str, ...]
    last_id: uuid.UUID | None


async def add(session: AsyncSession, *, vault: Vault, key: NewKey) -> KeptKey:
    """Keep a key; one that had been refused or removed is taken back into use.

    Raises:
        UnknownProvider, BadKey, KeyKept
    """
    secret = check(key)
    mark = vault.fingerprint(secret)
    found = await session.execute(_same(key, mark).with_for_update())
    before = found.one_or_none()
    if before is not None and before.is_active:
        raise KeyKept(fingerprint=mark, provider=key.provider)
    row_id = new_id() if before is None else before.id
    sealed = vault.ring.seal(secret, place=Place(row_id=row_id, user_id=key.user_id, provider=key.provider))
    facts = {
        "ciphertext": sealed.ciphertext,
        "key_version": sealed.version,
        "last4": secret[-4:],
        "label": key.label or None,
        "quota_group": key.quota_group or None,
    }
    if before is None:
        new = insert(ApiKey).values(id=row_id, user_id=key.user_id, provider=key.provider, fingerprint=mark, **facts)
        if (await session.execute(new.on_conflict_do_nothing().returning(ApiKey.id))).one_or_none() is None:
            raise KeyKept(fingerprint=mark, provider=key.provider)  # a twin of this call was first
    else:
        anew = {"is_active": True, "removed_at": None, "cooldown_until": None, "last_error": None}
        await session.execute(update(ApiKey).where(ApiKey.id == row_id).values(**facts, **anew))
    return (await _read(session, ApiKey.id == row_id))[0]


async def kept(session: AsyncSession) -> tuple[KeptKey, ...]:
    """Return every key that was not removed, the pool's first."""
    return await _read(session)


async def kept_by(session: AsyncSession, *, owner: int | None) -> tuple[KeptKey, ...]:
    """Return a person's own keys, or the pool's; refused ones too, removed ones not."""
    return await _read(session, _of(owner))


async def kept_for(session: AsyncSession, *, provider: str, owner: int | None) -> tuple[KeptKey, ...]:
    """Return a person's own keys of a provider, or the pool's; refused ones too, removed ones not."""
    return await _read(session, ApiKey.provider == provider, _of(owner))


async def has_own(at: Execution, *, user_id: int, provider: str) -> bool:
    """Tell whether a person brought a key for this provider; a refused one counts until they remove it."""
    return bool((await at.execute(_HAS_OWN, {"user_id": user_id, "provider": provider})).scalar_one())


_HAS_OWN = text("""
SELECT EXISTS (SELECT FROM api_keys WHERE user_id = :user_id AND provider = :provider AND removed_at IS NULL)
""")


async def providers_kept(session: AsyncSession, *, user_id: int) -> frozenset[str]:
    """Return the providers that this person can reach with kept keys: their own or the pool's."""
    theirs = select(ApiKey.provider).where(_NOT_REMOVED, ApiKey.user_id.is_(None) | (ApiKey.user_id == user_id))
    return frozenset((await session.scalars(theirs.distinct())).all())


async def remove(session: AsyncSession, *, fingerprint: str, owner: int | None) -> int:
    """Take a key out of use for good, erase its ciphertext, and return in how many rows it stood.

    Raises:
        NoSuchKey: also for a key that is somebody else's.
    """
    gone = {"is_active": False, "ciphertext": b"", "removed_at": func.now(), "cooldown_until": None, "last_error": None}
    statement = update(ApiKey).where(ApiKey.fingerprint == fingerprint, _of(owner), _NOT_REMOVED).values(**gone)
    rows = (await session.execute(statement.returning(ApiKey.id))).all()
    if not rows:
        raise NoSuchKey(fingerprint)
    return len(rows)


async def mark_used(session: AsyncSession, *, key_id: uuid.UUID) -> None:
    """Note a success; at most one write a minute, unless there is a fault to forget."""
    await session.execute(_MARK_USED, {"key_id": key_id})


async def mark_refused(session: AsyncSession, *, key_id: uuid.UUID, error_code: str) -> None:
    refused = {"is_active": False, "last_error": error_code}
    await session.execute(update(ApiKey).where(ApiKey.id == key_id, _NOT_REMOVED).values(**refused))


async def rest(session: AsyncSession, *, key_ids: Sequence[uuid.UUID], seconds: float, error_code: str) -> None:
    """Let keys rest; a longer rest that was noted before stays."""
    await session.execute(_REST, {"key_ids": list(key_ids), "seconds": seconds, "error_code": error_code})


async def rotate(session: AsyncSession, *, vault: Vault, after: uuid.UUID | None = None, limit: int = 100) -> Rotated:
    """Seal the next rows under the newest encryption key. A row that cannot be read is left as it is.

    Call it again with `after` = `last_id`, in a transaction of its own, until that is None. What was done stays done:
    an interrupted rotation is simply begun again.
    """
    due = [ApiKey.key_version != vault.ring.newest] + ([ApiKey.id > after] if after else [])
    ids = select(ApiKey.id).where(_NOT_REMOVED, *due).order_by(ApiKey.id).limit(limit).with_for_update()
    locked = (await session.scalars(ids)).all()
    rows = await _read(session, ApiKey.id.in_(locked)) if locked else ()
    unreadable: list[str] = []
    for row in rows:
        try:
            secret = vault.ring.open(row.sealed, place=row.place)
        except KeyUnreadable:
            unreadable.append(row.fingerprint)
            continue
        sealed = vault.ring.seal(secret, place=row.place)
        anew = {"ciphertext": sealed.ciphertext, "key_version": sealed.version}
        await session.execute(update(ApiKey).where(ApiKey.id == row.id).values(**anew))
    return Rotated(
        resealed=len(rows) - len(unreadable), unreadable=tuple(unreadable), last_id=max(locked, default=None)
    )


def sendable(secret: str) -> bool:
    """Tell whether a text could be sent as a key at all."""
    return secret.isascii() and secret.isprintable() and not {" ", *_NEVER_IN_A_KEY} & set(secret)


def check(key: NewKey) -> str:
    """Return the secret as it would be kept; raise UnknownProvider or BadKey."""
    if key.provider not in KEY_SETTINGS:
        raise UnknownProvider(key.provider[:40], known=list(KEY_SETTINGS))
    secret = key.secret.strip()
    if not secret:
        raise BadKey("No key was given; nothing was changed.")
    if not sendable(secret):
        raise BadKey("The key has characters no key has, such as spaces or quotes: copy it again, one key at a time.")
    if not SHORTEST <= len(secret) <= LONGEST:
        raise BadKey(f"A key has {SHORTEST} to {LONGEST} characters and this one has {len(secret):,}: copy it again.")
    for name, value in (("label", key.label), ("quota group", key.quota_group)):
        if value and (len(value) > LONGEST_LABEL or not value.isprintable()):
            raise BadKey(f"A {name} is one line of at most {LONGEST_LABEL} characters.")
        if value and secret in value:
            raise BadKey(f"The {name} repeats the key; a {name} is shown, a key never is.")
    return secret


_NOT_REMOVED = ApiKey.removed_at.is_(None)


def _of(owner: int | None) -> ColumnElement[bool]:
    return ApiKey.user_id.is_(None) if owner is None else ApiKey.user_id == owner


def _same(key: NewKey, mark: str) -> "Select[uuid.UUID, bool]":
    same = (ApiKey.fingerprint == mark, ApiKey.provider == key.provider, _of(key.user_id))
    return select(ApiKey.id, ApiKey.is_active).where(*same)


async def _read(session: AsyncSession, *which: ColumnElement[bool]) -> tuple[KeptKey, ...]:
    left = func.extract("epoch", ApiKey.cooldown_until - func.clock_timestamp()).label("left")
    statement = select(ApiKey.__table__, left).where(_NOT_REMOVED, *which)
    rows = await session.execute(
        statement.order_by(ApiKey.user_id.nulls_first(), ApiKey.provider, ApiKey.created_at, ApiKey.id)
    )
    return tuple(
        KeptKey(
            id=row.id,
            user_id=row.user_id,
            provider=row.provider,
            sealed=Sealed(ciphertext=row.ciphertext, version=row.key_version),
            fingerprint=row.fingerprint,
            last4=row.last4,
            label=row.label,
            quota_group=row.quota_group,
            is_active=row.is_active,
            rests_seconds=max(float(row.left or 0), 0.0),
            last_used_at=row.last_used_at,
            last_error=row.last_error,
        )
        for row in rows.all()
    )


_MARK_USED = text("""
UPDATE api_keys SET last_used_at = now(),
    last_error = CASE WHEN is_active AND COALESCE(cooldown_until, now()) <= now() THEN NULL ELSE last_error END
WHERE id = :key_id AND removed_at IS NULL
  AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute'
       OR (is_active AND last_error IS NOT NULL AND COALESCE(cooldown_until, now()) <= now()))
""")

# In one order, so that two processes that rest the same group do not lock each other out.
_REST = text("""
WITH due AS (
    SELECT id FROM api_keys WHERE id = ANY(CAST(:key_ids AS uuid[])) AND removed_at IS NULL ORDER BY id FOR UPDATE
)
UPDATE api_keys
SET cooldown_until = GREATEST(cooldown_until, now() + make_interval(secs => :seconds)), last_error = :error_code
FROM due WHERE api_keys.id = due.id
""")
