"""How often somebody may ask. It keeps the server upright; neither money nor guesses at codes rest on it.

Counts are shared over Redis where there is one, and this process's own otherwise. A Redis that is away takes nothing
down: for a while it is not asked, ordinary requests go through uncounted, and those that must be counted (signing in)
are counted here.
"""

import asyncio
import math

import structlog
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from redis.asyncio import ConnectionPool

from bottega.access.rates import Rate, Standing
from bottega.core.clock import Clock

PATIENCE_SECONDS = 0.25
REST_SECONDS = 5.0  # in which a Redis that failed is not asked

log = structlog.get_logger()


class Limiter:
    """`redis_url` shares the counts between processes."""

    def __init__(self, *, redis_url: str | None, clock: Clock) -> None:
        self._clock = clock
        self._here = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._pool = None if redis_url is None else _pool(redis_url)
        self._shared = None if self._pool is None else SlidingWindowCounterRateLimiter(_redis(self._pool, redis_url))
        self._rests_until = -math.inf

    async def hit(self, rate: Rate, *, name: str, who: str, must_count: bool = False) -> Standing:
        """Count a request of somebody's and return where they stand. `name` tells one rate from another."""
        item = RateLimitItemPerSecond(rate.amount, rate.seconds, namespace=f"bottega:{name}")
        if self._shared is None:
            return await self._counted(self._here, item, rate, name=name, who=who)
        if self._clock.monotonic() >= self._rests_until:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    return await self._counted(self._shared, item, rate, name=name, who=who)
            except (StorageError, OSError, TimeoutError) as error:
                self._rests_until = self._clock.monotonic() + REST_SECONDS
                log.warning("limits.redis.away", reason=type(error).__name__, rests_seconds=REST_SECONDS)
        if must_count:
            return await self._counted(self._here, item, rate, name=name, who=who)
        return Standing(
            name=name, rate=rate, is_allowed=True, remaining=rate.amount, resets_in_seconds=0, is_counted=False
        )

    async def _counted(
        self, limiter: SlidingWindowCounterRateLimiter, item: RateLimitItem, rate: Rate, *, name: str, who: str
    ) -> Standing:
        is_allowed = await limiter.hit(item, who)
        stats = await limiter.get_window_stats(item, who)
        return Standing(
            name=name,
            rate=rate,
            is_allowed=is_allowed,
            remaining=max(stats.remaining, 0),
            resets_in_seconds=max(math.ceil(stats.reset_time - self._clock.now().timestamp()), 1),
        )

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.disconnect()


def _pool(url: str) -> ConnectionPool:
    return ConnectionPool.from_url(url, socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS)


def _redis(pool: ConnectionPool, url: str | None) -> RedisStorage:
    return RedisStorage(
        f"async+{url}",
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix="bottega-limits",
        connection_pool=pool,  # type: ignore[arg-type]  # it is documented, and forgotten in the signature
    )
