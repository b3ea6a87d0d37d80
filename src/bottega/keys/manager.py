"""Which provider key the next call uses: of the environment, of the kept pool, or a person's own.

Limits belong to an account or project, not to a key: keys that share one have the same quota group, and a 429 for one
of them rests them all. A rest whose length nobody said begins short and doubles: once for each time that the limit is
met again, not for each of the calls that were under way and met it together. Whoever waits for a rest to end comes back
at a moment of their own. Groups take turns, and so do the keys within a group. A refused key is not used again; an
account without credit stops its whole provider for a while, because no other key would help. Whoever owns keys pays
with them alone: when they are refused, resting or gone, the call fails and says so, and the platform's are not touched.
Rests and refusals of kept keys stand in their rows, for every process and after a restart; those of the environment's
keys last as long as the process. A secret leaves only inside a lease: everything that is shown or stored is its
fingerprint.
"""

import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import structlog

from bottega.core.clock import Clock, SystemClock
from bottega.core.errors import AppError
from bottega.core.redaction import remember
from bottega.keys.encryption import KeyUnreadable, fingerprint
from bottega.keys.shelf import KeyShelf
from bottega.keys.store import BadKey, KeptKey, sendable
from bottega.llm.client import KEY_SETTINGS, LeasedKey, NoProviderKey
from bottega.llm.errors import AuthenticationFailed, OutOfQuota, PaymentRequired, ProviderError, RateLimited

T = TypeVar("T")
KeyName = str | uuid.UUID  # the fingerprint of a key of the environment, the row of a kept one
SPREAD = 0.2  # of a wait, at most, is added to it
log = structlog.get_logger()
_luck = secrets.SystemRandom().random


class KeysResting(RateLimited):
    """Every key of a provider is cooling down, for longer than a call may wait."""

    code = "keys_resting"


class NoOwnKey(AppError):
    """The person whose key was to pay has none any more."""

    code = "no_own_key"
    http_status = 409

    def __init__(self, provider: str) -> None:
        super().__init__(
            f"Your own key for {provider} was removed while a call with it was prepared; nothing was charged."
            " Resume to go on with the platform's keys."
        )
        self.provider = provider


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledKey:
    """A secret and the quota it shares with others; without a group it is taken to have a quota of its own."""

    secret: str = field(repr=False)
    quota_group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """How long keys rest, in seconds, where the provider does not say, and the longest it may say."""

    rate_limited: float = 1.0  # doubles with every 429 in a row
    rate_limited_cap: float = 60.0
    out_of_quota: float = 3600.0
    no_credit: float = 300.0
    longest: float = 24 * 3600.0


@dataclass(slots=True, kw_only=True, eq=False)
class _Key:
    name: KeyName
    fingerprint: str
    group: "_Group"
    lend: Callable[[], LeasedKey] = field(repr=False)
    rests_until: float = 0.0
    refused: bool = False
    last_error: str | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class _Group:
    name: str
    keys: list[_Key] = field(default_factory=list, repr=False)
    strikes: int = 0


@dataclass(slots=True, kw_only=True)
class _Pool:
    """The keys for one provider: the platform's, or one person's."""

    groups: list[_Group] = field(default_factory=list)
    keys: dict[KeyName, _Key] = field(default_factory=dict)
    closed_until: float = 0.0
    unreadable: KeyUnreadable | None = None

    def add(self, key: _Key) -> None:
        if key.group not in self.groups:
            self.groups.append(key.group)
        key.group.keys.append(key)
        self.keys[key.name] = key

    def drop(self, key: _Key) -> None:
        del self.keys[key.name]
        key.group.keys.remove(key)
        if not key.group.keys:
            self.groups.remove(key.group)

    def group(self, name: str) -> _Group:
        return next((group for group in self.groups if group.name == name), None) or _Group(name=name)


class APIKeyManager:
    """`pools` are the environment's keys by provider, `shelf` the kept ones."""

    def __init__(
        self,
        *,
        pools: Mapping[str, Sequence[str | PooledKey]],
        fingerprint_key: bytes,
        shelf: KeyShelf | None = None,
        wait_seconds: float = 10.0,
        rest: Rest | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] = _luck,
    ) -> None:
        self._clock = clock or SystemClock()
        self._random = random
        self._rest = rest or Rest()
        self._wait_seconds = wait_seconds
        self._shelf = shelf
        self._pools: dict[tuple[str, int | None], _Pool] = {}
        self._unreadable: set[uuid.UUID] = set()
        for provider, keys in pools.items():
            self._pools[provider, None] = _pool_of(provider, keys, fingerprint_key)

    async def acquire(self, provider: str, *, owner: int | None = None) -> LeasedKey:
        """Return the next key in turn, waiting for the soonest one up to `wait_seconds`.

        Raise NoProviderKey (an owner: NoOwnKey) without any key, AuthenticationFailed when all were refused,
        PaymentRequired while the account has no credit, KeysResting when the wait would be longer, KeyUnreadable when
        what is kept cannot be decrypted.
        """
        give_up_at = self._clock.monotonic() + self._wait_seconds
        while True:
            pool = await self._pool(provider, owner)
            if not pool.keys:
                raise NoProviderKey(provider) if owner is None else NoOwnKey(provider)
            now = self._clock.monotonic()
            if pool.closed_until > now:
                raise _no_credit(provider, owner, pool.closed_until - now)
            lease = self._lease(pool, now)
            if lease is not None:
                return lease
            soonest = _soonest(pool)
            if soonest is None:
                raise pool.unreadable or _all_refused(provider, owner)
            if soonest.rests_until > give_up_at:
                raise _resting(provider, owner, soonest, now)
            left = soonest.rests_until - now
            await self._clock.sleep(left + self._random() * left * SPREAD)

    async def report_success(self, key: LeasedKey) -> None:
        if (known := self._find(key)) is not None:
            known.group.strikes = 0
        if self._shelf is not None and key.key_id is not None:
            await self._shelf.used(key.key_id)

    async def report_failure(self, key: LeasedKey, error: ProviderError) -> None:
        """Let the error rest the quota group, refuse the key, or close the provider; most errors do none of these.

        Of a limit it is said in the error whether another key is ready, so that nobody waits for this one.
        """
        known = self._find(key)
        if known is None:
            return
        if isinstance(error, AuthenticationFailed):
            await self._refuse(key, known, error)
        elif isinstance(error, PaymentRequired):
            await self._stop_for_credit(key, known, error)
        elif isinstance(error, RateLimited | OutOfQuota):
            await self._limit(known, error)
            soonest = _soonest(self._pools[key.provider, key.owner])
            error.another_key_ready = soonest is not None and soonest.rests_until <= self._clock.monotonic()

    async def _refuse(self, key: LeasedKey, known: _Key, error: ProviderError) -> None:
        known.refused = True
        log.warning("keys.key.refused", provider=key.provider, fingerprint=key.fingerprint, owner=key.owner)
        if self._shelf is not None and key.key_id is not None:
            await self._shelf.refused(key.key_id, error_code=error.code)

    async def _stop_for_credit(self, key: LeasedKey, known: _Key, error: ProviderError) -> None:
        """Close the platform's provider, whose keys share an account; of a person's own keys rest this one."""
        if key.owner is not None:
            await self._let_rest([known], seconds=self._rest.no_credit, error=error)
            return
        pool = self._pools[key.provider, None]
        pool.closed_until = max(pool.closed_until, self._clock.monotonic() + self._rest.no_credit)
        kept = [other for other in pool.keys.values() if isinstance(other.name, uuid.UUID)]
        await self._let_rest(kept, seconds=self._rest.no_credit, error=error)

    async def _limit(self, known: _Key, error: ProviderError) -> None:
        """Let the group rest; calls that were under way and meet the same limit while it does make nothing longer."""
        seconds = self._rest_seconds(error, known.group)
        is_met_again = known.rests_until <= self._clock.monotonic()
        if is_met_again:
            known.group.strikes += 1
        if is_met_again or isinstance(error, OutOfQuota) or error.retry_after_seconds is not None:
            await self._let_rest(known.group.keys, seconds=seconds, error=error)

    async def _let_rest(self, keys: Sequence[_Key], *, seconds: float, error: ProviderError) -> None:
        until = self._clock.monotonic() + seconds
        for key in keys:
            key.rests_until = max(key.rests_until, until)
            key.last_error = error.code
        kept = [key.name for key in keys if isinstance(key.name, uuid.UUID)]
        if self._shelf is not None and kept:
            await self._shelf.rest(kept, seconds=seconds, error_code=error.code)

    def _rest_seconds(self, error: ProviderError, group: _Group) -> float:
        rest = self._rest
        if error.retry_after_seconds is not None:
            return max(0.0, min(rest.longest, error.retry_after_seconds))
        if isinstance(error, OutOfQuota):
            return rest.out_of_quota
        return min(rest.rate_limited_cap, rest.rate_limited * 2.0 ** min(group.strikes, 16))

    def _find(self, key: LeasedKey) -> _Key | None:
        pool = self._pools.get((key.provider, key.owner))
        return None if pool is None else pool.keys.get(key.key_id or key.fingerprint)

    async def _pool(self, provider: str, owner: int | None) -> _Pool:
        """Return the pool as the table has it now."""
        pool = self._pools.setdefault((provider, owner), _Pool())
        if self._shelf is not None:
            rows = await self._shelf.read(provider=provider, owner=owner)
            _follow(pool, rows, shelf=self._shelf, now=self._clock.monotonic())
        return pool

    def _lease(self, pool: _Pool, now: float) -> LeasedKey | None:
        """Lend the next key that is ready and can be read."""
        while (key := _next_in_turn(pool, now)) is not None:
            try:
                lease = key.lend()
            except KeyUnreadable as error:
                key.refused, pool.unreadable = True, error
                if error.row_id not in self._unreadable:
                    log.warning("keys.key.unreadable", fingerprint=key.fingerprint, reason=error.message)
                self._unreadable.add(error.row_id)
                continue
            remember(lease.secret, shown=lease.fingerprint)
            return lease
        return None


def _pool_of(provider: str, keys: Sequence[str | PooledKey], fingerprint_key: bytes) -> _Pool:
    pool = _Pool()
    for entry in keys:
        pooled = entry if isinstance(entry, PooledKey) else PooledKey(secret=entry)
        secret = _checked(pooled.secret, provider=provider)
        mark = fingerprint(secret, key=fingerprint_key)
        if not secret or mark in pool.keys:
            continue  # the same key twice would get two turns
        remember(secret, shown=mark, lasting=True)
        lease = LeasedKey(provider=provider, secret=secret, fingerprint=mark)
        group = pool.group(f"environment:{pooled.quota_group or mark}")
        pool.add(_Key(name=mark, fingerprint=mark, group=group, lend=partial(_same, lease)))
    return pool


def _same(lease: LeasedKey) -> LeasedKey:
    return lease


def _follow(pool: _Pool, rows: Sequence[KeptKey], *, shelf: KeyShelf, now: float) -> None:
    """Bring the pool's kept keys to what the table says; turns and strikes stay."""
    groups = {row.id: f"kept:{row.quota_group or row.id}" for row in rows}
    for key in list(pool.keys.values()):
        if isinstance(key.name, uuid.UUID) and groups.get(key.name) != key.group.name:
            pool.drop(key)
    pool.unreadable = None
    for row in rows:
        lend = partial(shelf.lend, row)
        key = pool.keys.get(row.id) or _Key(
            name=row.id, fingerprint=row.fingerprint, group=pool.group(groups[row.id]), lend=lend
        )
        if row.id not in pool.keys:
            pool.add(key)
        key.lend, key.refused, key.last_error = lend, not row.is_active, row.last_error
        key.rests_until = now + row.rests_seconds if row.rests_seconds else 0.0
        if row.user_id is None and row.is_active and row.last_error == PaymentRequired.code and row.rests_seconds:
            pool.closed_until = max(pool.closed_until, key.rests_until)


def _next_in_turn(pool: _Pool, now: float) -> _Key | None:
    for group in pool.groups:
        for key in group.keys:
            if not key.refused and key.rests_until <= now:
                _move_to_end(group.keys, key)
                _move_to_end(pool.groups, group)
                return key
    return None


def _soonest(pool: _Pool) -> _Key | None:
    usable = [key for key in pool.keys.values() if not key.refused]
    return min(usable, key=lambda key: key.rests_until, default=None)


def _move_to_end(items: list[T], item: T) -> None:
    items.remove(item)
    items.append(item)


def _checked(secret: str, *, provider: str) -> str:
    secret = secret.strip()
    if not sendable(secret):
        setting = KEY_SETTINGS.get(provider, provider)
        raise BadKey(f"A key in {setting} has characters no key has: copy it again, one key per comma.")
    return secret


def _no_credit(provider: str, owner: int | None, seconds: float) -> PaymentRequired:
    whose = "the account" if owner is None else "the account of your own key"
    return PaymentRequired(
        f"{provider}: {whose} has no credit left; top it up there. It is tried again in {seconds:.0f} s.",
        provider=provider,
        retry_after_seconds=seconds,
    )


def _all_refused(provider: str, owner: int | None) -> AuthenticationFailed:
    setting = KEY_SETTINGS.get(provider, provider)
    sentence = (
        f"{provider} refused every key there is: check {setting} and `bottega keys list`."
        if owner is None
        else f"{provider} refused your own key: add a new one, or remove it to go on with the platform's keys."
    )
    return AuthenticationFailed(sentence, provider=provider)


def _resting(provider: str, owner: int | None, soonest: _Key, now: float) -> ProviderError:
    seconds = soonest.rests_until - now
    if soonest.last_error == PaymentRequired.code:
        return _no_credit(provider, owner, seconds)
    whose = f"Every key of {provider}" if owner is None else f"Your own key for {provider}"
    return KeysResting(
        f"{whose} is resting after too many requests; the first is ready in {seconds:.1f} s.",
        provider=provider,
        retry_after_seconds=seconds,
    )
