"""Which provider key the next call uses.

Limits belong to an account or project, not to a key: keys that share one have the same quota group, and a 429 for one
of them rests them all. Groups take turns, and so do the keys within a group. A refused key is not used again; an
account without credit stops its whole provider for a while, because no other key would help. A secret leaves only
inside a lease: everything that is shown or stored is its fingerprint.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from bottega.core.clock import Clock, SystemClock
from bottega.core.errors import AppError
from bottega.llm.client import KEY_SETTINGS, LeasedKey, NoProviderKey
from bottega.llm.errors import AuthenticationFailed, OutOfQuota, PaymentRequired, ProviderError, RateLimited

FINGERPRINT_LENGTH = 12
T = TypeVar("T")


class KeysResting(RateLimited):
    """Every key of a provider is cooling down, for longer than a call may wait."""

    code = "keys_resting"


class BadKey(AppError):
    code = "bad_key"
    http_status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledKey:
    """A secret and the quota it shares with others; without a group it is taken to have a quota of its own."""

    secret: str = field(repr=False)
    quota_group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """How long keys rest, in seconds, where the provider does not say, and the longest it may say."""

    rate_limited: float = 5.0  # doubles with every 429 in a row
    rate_limited_cap: float = 60.0
    out_of_quota: float = 3600.0
    no_credit: float = 300.0
    longest: float = 24 * 3600.0


@dataclass(slots=True, kw_only=True, eq=False)
class _Key:
    lease: LeasedKey
    group: "_Group"
    refused: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class _Group:
    keys: list[_Key] = field(default_factory=list, repr=False)
    rests_until: float = 0.0
    strikes: int = 0


@dataclass(slots=True, kw_only=True)
class _Pool:
    groups: list[_Group] = field(default_factory=list)
    closed_until: float = 0.0


class APIKeyManager:
    def __init__(
        self,
        *,
        pools: Mapping[str, Sequence[str | PooledKey]],
        fingerprint_key: bytes,
        wait_seconds: float = 10.0,
        rest: Rest | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._rest = rest or Rest()
        self._wait_seconds = wait_seconds
        self._keys: dict[tuple[str, str], _Key] = {}
        self._pools: dict[str, _Pool] = {}
        for provider, keys in pools.items():
            self._add(provider, keys, fingerprint_key)

    async def acquire(self, provider: str) -> LeasedKey:
        """Return the next key in turn, waiting for the soonest one up to `wait_seconds`.

        Raise NoProviderKey without any key, AuthenticationFailed when all were refused, PaymentRequired while the
        account has no credit, KeysResting when the wait would be longer.
        """
        pool = self._pools.get(provider)
        if pool is None or not pool.groups:
            raise NoProviderKey(provider)
        give_up_at = self._clock.monotonic() + self._wait_seconds
        while True:
            now = self._clock.monotonic()
            if pool.closed_until > now:
                raise _no_credit(provider, pool.closed_until - now)
            lease = _next_in_turn(pool, now)
            if lease is not None:
                return lease
            ready_at = _ready_at(pool)
            if ready_at is None:
                raise _all_refused(provider)
            if ready_at > give_up_at:
                raise _resting(provider, ready_at - now)
            await self._clock.sleep(ready_at - now)

    async def report_success(self, key: LeasedKey) -> None:
        if (known := self._find(key)) is not None:
            known.group.strikes = 0

    async def report_failure(self, key: LeasedKey, error: ProviderError) -> None:
        """Let the error rest the quota group, refuse the key, or close the provider; most errors do none of these.

        Of a limit it is said in the error whether another key is ready, so that nobody waits for this one.
        """
        known = self._find(key)
        if known is None:
            return
        now = self._clock.monotonic()
        if isinstance(error, AuthenticationFailed):
            known.refused = True
        elif isinstance(error, PaymentRequired):
            pool = self._pools[key.provider]
            pool.closed_until = max(pool.closed_until, now + self._rest.no_credit)
        elif isinstance(error, RateLimited | OutOfQuota):
            group = known.group
            group.rests_until = max(group.rests_until, now + self._rest_seconds(error, group))
            group.strikes += 1
            ready_at = _ready_at(self._pools[key.provider])
            error.another_key_ready = ready_at is not None and ready_at <= now

    def _rest_seconds(self, error: ProviderError, group: _Group) -> float:
        rest = self._rest
        if error.retry_after_seconds is not None:
            return min(rest.longest, error.retry_after_seconds)
        if isinstance(error, OutOfQuota):
            return rest.out_of_quota
        return min(rest.rate_limited_cap, rest.rate_limited * 2.0 ** min(group.strikes, 16))

    def _find(self, key: LeasedKey) -> _Key | None:
        return self._keys.get((key.provider, key.fingerprint))

    def _add(self, provider: str, keys: Sequence[str | PooledKey], fingerprint_key: bytes) -> None:
        groups: dict[str, _Group] = {}
        for entry in keys:
            pooled = entry if isinstance(entry, PooledKey) else PooledKey(secret=entry)
            secret = _checked(pooled.secret, provider=provider)
            mark = fingerprint(secret, key=fingerprint_key)
            if not secret or (provider, mark) in self._keys:
                continue  # the same key twice would get two turns
            group = groups.setdefault(pooled.quota_group or f"key:{mark}", _Group())
            lease = LeasedKey(provider=provider, secret=secret, fingerprint=mark)
            key = _Key(lease=lease, group=group)
            group.keys.append(key)
            self._keys[provider, mark] = key
        self._pools[provider] = _Pool(groups=list(groups.values()))


def fingerprint(secret: str, *, key: bytes) -> str:
    """Return 12 hex digits that tell keys apart and give nothing of them away."""
    return hmac.new(key, secret.encode(), hashlib.sha256).hexdigest()[:FINGERPRINT_LENGTH]


def _next_in_turn(pool: _Pool, now: float) -> LeasedKey | None:
    for group in pool.groups:
        if group.rests_until > now:
            continue
        for key in group.keys:
            if not key.refused:
                _move_to_end(group.keys, key)
                _move_to_end(pool.groups, group)
                return key.lease
    return None


def _ready_at(pool: _Pool) -> float | None:
    usable = [group.rests_until for group in pool.groups if any(not key.refused for key in group.keys)]
    return min(usable, default=None)


def _move_to_end(items: list[T], item: T) -> None:
    items.remove(item)
    items.append(item)


def _checked(secret: str, *, provider: str) -> str:
    secret = secret.strip()
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        setting = KEY_SETTINGS.get(provider, provider)
        raise BadKey(f"A key in {setting} has characters no key has: copy it again, one key per comma.")
    return secret


def _no_credit(provider: str, seconds: float) -> PaymentRequired:
    return PaymentRequired(
        f"{provider}: the account has no credit left; top it up there. It is tried again in {seconds:.0f} s.",
        provider=provider,
        retry_after_seconds=seconds,
    )


def _all_refused(provider: str) -> AuthenticationFailed:
    setting = KEY_SETTINGS.get(provider, provider)
    return AuthenticationFailed(f"{provider} refused every key there is: check {setting}.", provider=provider)


def _resting(provider: str, seconds: float) -> KeysResting:
    return KeysResting(
        f"Every key of {provider} is resting after too many requests; the first is ready in {seconds:.1f} s.",
        provider=provider,
        retry_after_seconds=seconds,
    )
