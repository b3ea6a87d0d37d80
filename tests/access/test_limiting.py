"""How often somebody may ask: counted for each, shared over Redis, and never in the way when Redis is away."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from bottega.access.limiting import REST_SECONDS, Limiter
from bottega.access.rates import BadRate, Rate, Standing
from tests.access.scene import StillClock
from tests.fakes.redis_server import RedisServer, free_port

THREE = Rate(amount=3, seconds=3600)


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
async def here(clock: StillClock) -> AsyncIterator[Limiter]:
    limiter = Limiter(redis_url=None, clock=clock)
    yield limiter
    await limiter.close()


async def hits(
    limiter: Limiter, times: int, *, who: str = "ada", name: str = "person", must: bool = False
) -> list[bool]:
    return [(await limiter.hit(THREE, name=name, who=who, must_count=must)).is_allowed for _ in range(times)]


async def test_what_is_over_the_rate_is_refused_for_each_one_alone(here: Limiter) -> None:
    assert await hits(here, 5) == [True, True, True, False, False]
    assert await hits(here, 1, who="bob") == [True]
    assert await hits(here, 1, name="address") == [True]


async def test_a_standing_says_what_is_left_and_until_when(here: Limiter) -> None:
    standings = [await here.hit(THREE, name="person", who="ada") for _ in range(4)]
    assert [standing.remaining for standing in standings] == [2, 1, 0, 0]
    assert all(1 <= standing.resets_in_seconds <= 2 * THREE.seconds for standing in standings)
    assert all(standing.is_counted for standing in standings)


async def test_twenty_at_once_are_counted_one_by_one(here: Limiter) -> None:
    standings = await asyncio.gather(*(here.hit(THREE, name="person", who="ada") for _ in range(20)))
    assert sum(standing.is_allowed for standing in standings) == 3


async def test_it_is_open_again_after_a_while(here: Limiter) -> None:
    quick = Rate(amount=1, seconds=1)
    assert [(await here.hit(quick, name="n", who="a")).is_allowed for _ in range(2)] == [True, False]
    for _ in range(50):
        await asyncio.sleep(0.05)
        if (await here.hit(quick, name="n", who="a")).is_allowed:
            return
    pytest.fail("it stays shut")


@pytest.mark.parametrize("text", ["", "x", "600", "600/day", "0/minute", "-1/minute", "1.5/minute", "1/minute/2",
                                  "99999999/minute", "600 / minute", "\u0661/minute", "NaN/minute"])  # fmt: skip
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(BadRate):
        Rate.parse(text)


def test_a_rate_is_read_as_it_is_written() -> None:
    rates = [Rate.parse(text) for text in ("1/second", "600/minute", " 9999999/hour ")]
    assert [(rate.amount, rate.seconds) for rate in rates] == [(1, 1), (600, 60), (9_999_999, 3600)]


# -- with Redis --------------------------------------------------------------------------------------------------------


async def test_processes_count_together_over_redis(clock: StillClock) -> None:
    with RedisServer() as redis:
        one, two = Limiter(redis_url=redis.url, clock=clock), Limiter(redis_url=redis.url, clock=clock)
        assert await hits(one, 2) == [True, True]
        assert await hits(two, 2) == [True, False]
        assert await hits(one, 1) == [False]
        for limiter in (one, two):
            await limiter.close()


async def test_a_redis_that_goes_away_stops_nobody_but_those_who_sign_in_too_often(clock: StillClock) -> None:
    with RedisServer() as redis:
        limiter = Limiter(redis_url=redis.url, clock=clock)
        assert await hits(limiter, 4) == [True, True, True, False]
        redis.stop()
        with capture_logs() as logged:
            assert await hits(limiter, 5) == [True] * 5
            assert await hits(limiter, 5, name="sign-in", must=True) == [True, True, True, False, False]
        assert [entry["event"] for entry in logged] == ["limits.redis.away"]
        redis.start()
        clock.go(REST_SECONDS)
        assert await hits(limiter, 4, who="bob") == [True, True, True, False]
        await limiter.close()


async def test_a_redis_that_says_nothing_costs_a_moment_and_not_each_time(clock: StillClock) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as silent:
        limiter = Limiter(redis_url=f"redis://127.0.0.1:{silent.getsockname()[1]}/0", clock=clock)
        began = asyncio.get_running_loop().time()
        standings = [await limiter.hit(THREE, name="person", who="ada") for _ in range(10)]
        assert asyncio.get_running_loop().time() - began < 1.5
        uncounted = Standing(
            name="person", rate=THREE, is_allowed=True, remaining=3, resets_in_seconds=0, is_counted=False
        )
        assert standings == [uncounted] * 10
        await limiter.close()
