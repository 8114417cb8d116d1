"""`orchestrator.retry`: waits, stops and conditions, and how they combine."""

import random
from datetime import timedelta
from typing import Any

import pytest

from orchestrator import retry as r

RNG = random.Random(0)
ERROR = ValueError("some text")


def waits(strategy: r.WaitStrategy, count: int = 4) -> list[float]:
    return [strategy(n, RNG) for n in range(count)]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (r.wait_fixed(2), [2, 2, 2, 2]),
        (r.wait_fixed(timedelta(minutes=1)), [60, 60, 60, 60]),
        (r.wait_none(), [0, 0, 0, 0]),
        (r.wait_exponential(), [1, 2, 4, 8]),
        (r.wait_exponential(multiplier=3, max=10, exp_base=3, min=4), [4, 9, 10, 10]),
        (r.wait_incrementing(1, 2, max=4), [1, 3, 4, 4]),
        (r.wait_chain(r.wait_fixed(1), r.wait_fixed(5)), [1, 5, 5, 5]),
        (r.wait_fixed(1) + r.wait_incrementing(0, 1), [1, 2, 3, 4]),
        (sum([r.wait_fixed(1), r.wait_fixed(2), r.wait_fixed(3)]), [6, 6, 6, 6]),
    ],
)
def test_waits(strategy: Any, expected: list[float]) -> None:
    assert waits(strategy) == expected


@pytest.mark.parametrize(
    ("strategy", "low", "high"),
    [
        (r.wait_random(2, 3), [2] * 4, [3] * 4),
        (r.wait_random_exponential(1, max=4), [0] * 4, [1, 2, 4, 4]),
        (r.wait_exponential_jitter(1, max=5, jitter=2), [1, 2, 4, 5], [3, 4, 5, 5]),
    ],
)
def test_random_waits_stay_in_their_bounds(strategy: r.WaitStrategy, low: list[float], high: list[float]) -> None:
    for _ in range(50):
        assert all(a <= w <= b for a, w, b in zip(low, waits(strategy), high, strict=True))


def test_a_wait_that_grows_without_bound_does_not_overflow() -> None:
    assert r.wait_exponential(max=60)(100_000, RNG) == 60


def test_full_jitter_is_the_other_name_of_random_exponential() -> None:
    assert r.wait_full_jitter is r.wait_random_exponential


@pytest.mark.parametrize(
    ("stop", "attempts", "elapsed", "upcoming", "expected"),
    [
        (r.stop_after_attempt(3), 2, 0, 0, False),
        (r.stop_after_attempt(3), 3, 0, 0, True),
        (r.stop_after_delay(10), 1, 9.9, 5, False),
        (r.stop_after_delay(10), 1, 10, 0, True),
        (r.stop_before_delay(10), 1, 6, 3, False),
        (r.stop_before_delay(10), 1, 6, 4, True),
        (r.stop_after_attempt(3) | r.stop_after_delay(10), 1, 10, 0, True),
        (r.stop_after_attempt(3) & r.stop_after_delay(10), 3, 9, 0, False),
        (r.stop_after_attempt(3) & r.stop_after_delay(10), 3, 10, 0, True),
        (r.stop_never, 10**9, 1e9, 1e9, False),
    ],
)
def test_stops(stop: r.StopCondition, attempts: int, elapsed: float, upcoming: float, expected: bool) -> None:
    assert stop(attempts, elapsed, upcoming) is expected


def caused() -> BaseException:
    error = RuntimeError("outer")
    error.__cause__ = KeyError("middle")
    error.__cause__.__cause__ = OSError("inner")
    return error


@pytest.mark.parametrize(
    ("condition", "error", "expected"),
    [
        (r.retry_if_exception(lambda e: "text" in str(e)), ERROR, True),
        (r.retry_if_exception_type(ValueError), ERROR, True),
        (r.retry_if_exception_type((KeyError, OSError)), ERROR, False),
        (r.retry_if_not_exception_type(ValueError), ERROR, False),
        (r.retry_unless_exception_type(KeyError), ERROR, True),
        (r.retry_if_exception_message(message="some text"), ERROR, True),
        (r.retry_if_exception_message(match="some"), ERROR, True),
        (r.retry_if_not_exception_message(match="other"), ERROR, True),
        (r.retry_if_exception_cause_type(OSError), caused(), True),
        (r.retry_if_exception_cause_type(RuntimeError), caused(), False),
        (r.retry_if_exception_type(KeyError) | r.retry_always, ERROR, True),
        (r.retry_if_exception_type(ValueError) & r.retry_never, ERROR, False),
    ],
)
def test_conditions(condition: r.RetryCondition, error: BaseException, expected: bool) -> None:
    assert condition(error) is expected


def test_a_message_condition_takes_one_of_its_arguments() -> None:
    with pytest.raises(ValueError, match="either"):
        r.retry_if_exception_message()


def test_a_policy_by_default_makes_three_attempts_five_seconds_apart() -> None:
    policy = r.retry_policy()
    assert [policy.next(0, n, ERROR) for n in (1, 2, 3)] == [5, 5, None]


def test_a_policy_gives_up_on_errors_that_are_not_worth_it() -> None:
    policy = r.retry_policy(retry=r.retry_if_exception_type(KeyError))
    assert policy.next(0, 1, ERROR) is None


def test_a_policy_looks_at_the_coming_wait() -> None:
    policy = r.retry_policy(wait=r.wait_fixed(10), stop=r.stop_before_delay(15))
    assert (policy.next(4, 1, ERROR), policy.next(5, 1, ERROR)) == (10, None)


def test_the_classic_policies_work_and_say_that_they_are_old() -> None:
    with pytest.warns(DeprecationWarning, match="retry_policy"):
        constant = r.ConstantDelayRetryPolicy(maximum_attempts=2, delay=3)
    with pytest.warns(DeprecationWarning, match="retry_policy"):
        growing = r.ExponentialBackoffRetryPolicy(maximum_attempts=4, initial_delay=1, jitter=False)
    assert [constant.next(0, n, ERROR) for n in (1, 2)] == [3, None]
    assert [growing.next(0, n, ERROR) for n in (1, 2, 3, 4)] == [1, 2, 4, None]


def test_the_parts_are_policies_of_the_protocol() -> None:
    assert isinstance(r.retry_policy(), r.RetryPolicy)
