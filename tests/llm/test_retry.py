from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.llm.errors import (
    AuthenticationFailed,
    Disconnected,
    Interrupted,
    MalformedResponse,
    OutOfQuota,
    Overloaded,
    PaymentRequired,
    ProviderError,
    RateLimited,
    Refused,
    RequestRejected,
    Stalled,
)
from bottega.llm.retry import RetryPolicy

POLICY = RetryPolicy(max_attempts=4, base_seconds=1.0, cap_seconds=3.0, patience_seconds=60.0)


def delay(
    error: Exception, *, attempt: int = 1, random: Callable[[], float] = lambda: 0.5, policy: RetryPolicy = POLICY
) -> float | None:
    return policy.next_delay(error, attempt=attempt, random=random)


@pytest.mark.parametrize("kind", [RateLimited, Overloaded])
def test_what_may_pass_is_tried_again(kind: type[ProviderError]) -> None:
    assert delay(kind("x", provider="google")) == 0.5


@pytest.mark.parametrize("kind", [Disconnected, Interrupted, MalformedResponse])
def test_what_broke_on_its_way_is_asked_for_again_at_once_and_then_waited_for(kind: type[ProviderError]) -> None:
    error = kind("x", provider="google")
    assert [delay(error, attempt=n, random=lambda: 1.0) for n in (1, 2, 3, 4)] == [0.2, 2.0, 3.0, None]


def test_what_broke_on_its_way_waits_as_long_as_it_is_told_to() -> None:
    assert delay(Disconnected("x", provider="google", retry_after_seconds=2.0)) == 2.1


@pytest.mark.parametrize("kind", [OutOfQuota, PaymentRequired, AuthenticationFailed, RequestRejected, Refused])
def test_what_will_not_pass_is_not(kind: type[ProviderError]) -> None:
    assert delay(kind("x", provider="google", retry_after_seconds=1.0)) is None


def test_a_call_that_stalled_is_left_to_the_run() -> None:
    assert delay(Stalled("x", provider="google", retry_after_seconds=1.0)) is None


def test_what_is_no_providers_error_is_not() -> None:
    assert delay(ValueError()) is None


@given(st.floats(0, 60), st.floats(0, 1, exclude_max=True))
def test_a_stated_wait_is_kept_to_a_fifth_of_a_second(asked: float, luck: float) -> None:
    waited = delay(Overloaded("x", provider="google", retry_after_seconds=asked), random=lambda: luck)
    assert waited is not None
    assert asked <= waited <= asked + 0.2


def test_a_wait_beyond_patience_is_left_to_the_run() -> None:
    assert delay(RateLimited("x", provider="google", retry_after_seconds=60.1)) is None


def test_attempts_end() -> None:
    error = Overloaded("x", provider="google")
    assert [delay(error, attempt=n) is None for n in range(1, 6)] == [False, False, False, True, True]


def test_the_bound_doubles_up_to_the_cap() -> None:
    error = Overloaded("x", provider="google")
    assert [delay(error, attempt=n, random=lambda: 1.0) for n in (1, 2, 3)] == [1.0, 2.0, 3.0]
    endless = RetryPolicy(max_attempts=10**6)
    assert delay(error, attempt=10**5, random=lambda: 1.0, policy=endless) == endless.cap_seconds


def test_a_silent_provider_is_left_at_once() -> None:
    error = Stalled("said nothing for 60 s", provider="openrouter")
    assert RetryPolicy().next_delay(error, attempt=1, random=lambda: 0.5) is None


@pytest.mark.parametrize("kind", [RateLimited, OutOfQuota])
def test_a_limit_of_one_key_is_not_waited_for_while_another_is_ready(kind: type[ProviderError]) -> None:
    error = kind("x", provider="google", retry_after_seconds=3600.0)
    assert delay(error) is None
    error.another_key_ready = True
    assert delay(error) == 0.1
    assert delay(error, attempt=4) is None
