from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from bottega.keys.encryption import fingerprint
from bottega.keys.manager import APIKeyManager, KeysResting, PooledKey
from bottega.keys.store import BadKey
from bottega.llm.client import KeySource, NoProviderKey
from bottega.llm.errors import (
    AuthenticationFailed,
    Interrupted,
    OutOfQuota,
    Overloaded,
    PaymentRequired,
    ProviderError,
    RateLimited,
    Refused,
    RequestRejected,
    Stalled,
)


class StillClock:
    """Time passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, tz=UTC)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


def no_luck() -> float:
    return 0.0


def manager(
    clock: StillClock,
    *keys: str | PooledKey,
    wait_seconds: float = 10.0,
    random: Callable[[], float] = no_luck,
) -> APIKeyManager:
    pools = {"google": list(keys)}
    return APIKeyManager(pools=pools, fingerprint_key=b"pepper", clock=clock, wait_seconds=wait_seconds, random=random)


def error(kind: type[ProviderError], retry_after_seconds: float | None = None) -> ProviderError:
    return kind("x", provider="google", retry_after_seconds=retry_after_seconds)


async def secrets(keys: APIKeyManager, calls: int) -> str:
    return " ".join([(await keys.acquire("google")).secret for _ in range(calls)])


GROUPED = (PooledKey(secret="a1", quota_group="a"), PooledKey(secret="a2", quota_group="a"), PooledKey(secret="b1"))


async def test_groups_take_turns_and_keys_within_them(clock: StillClock) -> None:
    assert await secrets(manager(clock, *GROUPED), 8) == "a1 b1 a2 b1 a1 b1 a2 b1"


async def test_many_calls_are_spread_evenly(clock: StillClock) -> None:
    keys = manager(clock, "k1", "k2", "k3")
    counts = Counter((await secrets(keys, 300)).split())
    assert set(counts.values()) == {100}


async def test_one_rate_limit_rests_the_whole_quota_group(clock: StillClock) -> None:
    keys = manager(clock, *GROUPED)
    await keys.report_failure(await keys.acquire("google"), error(RateLimited, 7.0))
    assert await secrets(keys, 3) == "b1 b1 b1"
    clock.seconds += 7.0
    assert set((await secrets(keys, 4)).split()) == {"a1", "a2", "b1"}


async def test_the_longer_rest_wins(clock: StillClock) -> None:
    keys = manager(clock, "k1", wait_seconds=0.0)
    key = await keys.acquire("google")
    await keys.report_failure(key, error(RateLimited, 30.0))
    await keys.report_failure(key, error(RateLimited, 1.0))
    with pytest.raises(KeysResting) as caught:
        await keys.acquire("google")
    assert caught.value.retry_after_seconds == 30.0
    assert caught.value.retryable


async def test_the_soonest_key_is_waited_for_exactly(clock: StillClock) -> None:
    keys = manager(clock, "k1", "k2")
    for seconds in (8.0, 3.0):
        await keys.report_failure(await keys.acquire("google"), error(RateLimited, seconds))
    assert await secrets(keys, 1) == "k2"
    assert clock.slept == [3.0]


async def test_rests_grow_with_every_rate_limit_in_a_row_and_a_success_ends_the_row(clock: StillClock) -> None:
    keys = manager(clock, "k1", wait_seconds=100.0)
    for _ in range(7):
        await keys.report_failure(await keys.acquire("google"), error(RateLimited))
    await keys.report_success(await keys.acquire("google"))
    await keys.report_failure(await keys.acquire("google"), error(RateLimited))
    await keys.acquire("google")
    assert clock.slept == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 1.0]


@pytest.mark.parametrize("said", [None, 1.0])
async def test_calls_that_meet_a_limit_together_make_the_rest_no_longer(clock: StillClock, said: float | None) -> None:
    keys = manager(clock, "k1", wait_seconds=100.0)
    under_way = [await keys.acquire("google") for _ in range(64)]
    for key in under_way:
        await keys.report_failure(key, error(RateLimited, said))
    await keys.report_failure(await keys.acquire("google"), error(RateLimited))
    await keys.acquire("google")
    assert clock.slept == [1.0, 2.0]


@pytest.mark.parametrize(("kind", "said", "rests"), [(RateLimited, 7.0, 7.0), (OutOfQuota, None, 3600.0)])
async def test_a_call_that_was_under_way_and_says_more_makes_the_rest_longer(
    clock: StillClock, kind: type[ProviderError], said: float | None, rests: float
) -> None:
    keys = manager(clock, "k1", wait_seconds=0.0)
    first, second = await keys.acquire("google"), await keys.acquire("google")
    await keys.report_failure(first, error(RateLimited))
    await keys.report_failure(second, error(kind, said))
    with pytest.raises(KeysResting) as caught:
        await keys.acquire("google")
    assert caught.value.retry_after_seconds == rests


async def test_those_who_wait_for_a_rest_come_back_one_by_one(clock: StillClock) -> None:
    luck = iter([0.0, 0.5, 0.99])
    keys = manager(clock, "k1", random=lambda: next(luck))
    for _ in range(3):
        await keys.report_failure(await keys.acquire("google"), error(RateLimited, 5.0))
    await keys.acquire("google")
    assert clock.slept == pytest.approx([5.0, 5.5, 5.99])


async def test_a_spent_daily_quota_rests_long_and_a_day_at_most(clock: StillClock) -> None:
    for said, rests in ((None, 3600.0), (10**9, 24 * 3600.0)):
        keys = manager(clock, "k1")
        await keys.report_failure(await keys.acquire("google"), error(OutOfQuota, said))
        with pytest.raises(KeysResting) as caught:
            await keys.acquire("google")
        assert caught.value.retry_after_seconds == rests


async def test_a_refused_key_is_not_used_again(clock: StillClock) -> None:
    keys = manager(clock, "k1", "k2")
    await keys.report_failure(await keys.acquire("google"), error(AuthenticationFailed))
    assert await secrets(keys, 2) == "k2 k2"
    await keys.report_failure(await keys.acquire("google"), error(AuthenticationFailed))
    with pytest.raises(AuthenticationFailed, match="GOOGLE_API_KEY"):
        await keys.acquire("google")


async def test_no_credit_stops_the_provider_and_not_the_others(clock: StillClock) -> None:
    pools = {"google": ["k1", "k2"], "openrouter": ["o1"]}
    keys = APIKeyManager(pools=pools, fingerprint_key=b"pepper", clock=clock)
    await keys.report_failure(await keys.acquire("google"), error(PaymentRequired))
    with pytest.raises(PaymentRequired):
        await keys.acquire("google")
    assert (await keys.acquire("openrouter")).secret == "o1"
    clock.seconds += 300
    assert (await keys.acquire("google")).secret == "k2"


@pytest.mark.parametrize("kind", [Overloaded, Stalled, Interrupted, Refused, RequestRejected])
async def test_what_is_no_fault_of_the_key_leaves_it_in_use(clock: StillClock, kind: type[ProviderError]) -> None:
    keys = manager(clock, "k1", wait_seconds=0.0)
    await keys.report_failure(await keys.acquire("google"), error(kind, 30.0))
    assert await secrets(keys, 1) == "k1"


async def test_without_keys_the_setting_is_named(clock: StillClock) -> None:
    keys: KeySource = manager(clock)
    with pytest.raises(NoProviderKey, match="GOOGLE_API_KEY"):
        await keys.acquire("google")
    with pytest.raises(NoProviderKey, match="OPENROUTER_API_KEY"):
        await keys.acquire("openrouter")


async def test_blank_and_repeated_keys_are_one_key_or_none(clock: StillClock) -> None:
    assert await secrets(manager(clock, " k1 ", "", "k1", "k2\n"), 4) == "k1 k2 k1 k2"


@pytest.mark.parametrize("secret", ["k1 k2", "k1\nk2", "kéy", "k\x00"])
def test_a_key_that_could_not_be_sent_is_refused_without_showing_it(clock: StillClock, secret: str) -> None:
    with pytest.raises(BadKey) as caught:
        manager(clock, secret)
    assert secret not in caught.value.message


async def test_nothing_that_is_shown_holds_a_secret(clock: StillClock) -> None:
    keys = manager(clock, PooledKey(secret="s3cr3t", quota_group="g"))
    key = await keys.acquire("google")
    shown = f"{key!r} {PooledKey(secret='s3cr3t')!r} {keys!r} {keys._pools!r}"
    assert "s3cr3t" not in shown
    assert key.fingerprint == fingerprint("s3cr3t", key=b"pepper")
    assert len(key.fingerprint) == 12
    assert key.fingerprint != fingerprint("s3cr3t", key=b"other")


@pytest.mark.parametrize("kind", [RateLimited, OutOfQuota])
async def test_an_error_says_whether_another_key_is_ready(clock: StillClock, kind: type[ProviderError]) -> None:
    keys = manager(clock, *GROUPED)
    first, last = error(kind, 7.0), error(kind, 7.0)
    await keys.report_failure(await keys.acquire("google"), first)
    await keys.report_failure(await keys.acquire("google"), last)
    assert (first.another_key_ready, last.another_key_ready) == (True, False)


@pytest.mark.parametrize("kind", [PaymentRequired, AuthenticationFailed, Overloaded, Interrupted])
async def test_what_is_no_limit_of_one_key_says_nothing_of_others(clock: StillClock, kind: type[ProviderError]) -> None:
    keys, failed = manager(clock, "k1", "k2"), error(kind)
    await keys.report_failure(await keys.acquire("google"), failed)
    assert not failed.another_key_ready
