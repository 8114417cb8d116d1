"""When a failed step runs again: a policy from three parts that combine with `+`, `&` and `|`. Pure; the time comes in.

A policy is any object with `next(elapsed, attempts, error, *, seed=None) -> float | None`: `attempts` counts failures from 1,
the answer is the delay in seconds or None to give up. Wait strategies get `attempts - 1`. Jitter is drawn from `seed`, so the
same run makes the same decision in every replay.

Example:
    >>> policy = retry_policy(wait=wait_fixed(1) + wait_incrementing(0, 2), stop=stop_after_attempt(3))
    >>> [policy.next(0.0, n, ValueError()) for n in (1, 2, 3)]
    [1.0, 3.0, None]
"""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol, runtime_checkable

__all__ = [
    "ComposedPolicy",
    "ConstantDelayRetryPolicy",
    "ExponentialBackoffRetryPolicy",
    "RetryCondition",
    "RetryPolicy",
    "StopCondition",
    "WaitStrategy",
    "retry_all",
    "retry_always",
    "retry_any",
    "retry_if_exception",
    "retry_if_exception_cause_type",
    "retry_if_exception_message",
    "retry_if_exception_type",
    "retry_if_not_exception_message",
    "retry_if_not_exception_type",
    "retry_never",
    "retry_policy",
    "retry_unless_exception_type",
    "stop_after_attempt",
    "stop_after_delay",
    "stop_all",
    "stop_any",
    "stop_before_delay",
    "stop_never",
    "wait_chain",
    "wait_combine",
    "wait_exponential",
    "wait_exponential_jitter",
    "wait_fixed",
    "wait_full_jitter",
    "wait_incrementing",
    "wait_none",
    "wait_random",
    "wait_random_exponential",
]

Seconds = float | int | timedelta
Types = type[BaseException] | tuple[type[BaseException], ...]


@runtime_checkable
class RetryPolicy(Protocol):
    """Decides what follows a failure."""

    def next(self, elapsed: float, attempts: int, error: BaseException, *, seed: int | None = None) -> float | None:
        """The seconds until the next attempt, or None to give up."""
        ...


def _seconds(value: Seconds) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


# How long to wait.


@dataclass(frozen=True, slots=True)
class WaitStrategy:
    """The delay before retry number `n` (from 0); `+` adds two, `sum()` any number."""

    delay: Callable[[int, random.Random], float]

    def __call__(self, n: int, rng: random.Random) -> float:
        """The delay in seconds."""
        return max(0.0, self.delay(n, rng))

    def __add__(self, other: WaitStrategy) -> WaitStrategy:
        return wait_combine(self, other)

    def __radd__(self, other: int) -> WaitStrategy:
        return self  # the 0 that sum() starts with


def wait_fixed(wait: Seconds) -> WaitStrategy:
    """Always the same."""
    fixed = _seconds(wait)
    return WaitStrategy(lambda n, rng: fixed)


def wait_none() -> WaitStrategy:
    """At once."""
    return wait_fixed(0)


def wait_exponential(
    multiplier: float = 1, max: Seconds = float("inf"), exp_base: float = 2, min: Seconds = 0
) -> WaitStrategy:
    """`multiplier * exp_base ** n`, between `min` and `max`."""
    low, high = _seconds(min), _seconds(max)
    return WaitStrategy(lambda n, rng: _clamp(_power(multiplier, exp_base, n), low, high))


def wait_incrementing(start: Seconds = 0, increment: Seconds = 100, max: Seconds = float("inf")) -> WaitStrategy:
    """`start + n * increment`, at most `max`."""
    first, step, high = _seconds(start), _seconds(increment), _seconds(max)
    return WaitStrategy(lambda n, rng: _clamp(first + n * step, 0.0, high))


def wait_random(min: Seconds = 0, max: Seconds = 1) -> WaitStrategy:
    """Evenly between `min` and `max`."""
    low, high = _seconds(min), _seconds(max)
    return WaitStrategy(lambda n, rng: rng.uniform(low, high))


def wait_exponential_jitter(
    initial: Seconds = 1, max: Seconds = float("inf"), exp_base: float = 2, jitter: Seconds = 1
) -> WaitStrategy:
    """`initial * exp_base ** n` plus up to `jitter`, at most `max`."""
    first, high, spread = _seconds(initial), _seconds(max), _seconds(jitter)
    return WaitStrategy(lambda n, rng: _clamp(_power(first, exp_base, n) + rng.uniform(0, spread), 0.0, high))


def wait_random_exponential(
    multiplier: float = 1, max: Seconds = float("inf"), exp_base: float = 2, min: Seconds = 0
) -> WaitStrategy:
    """Evenly between `min` and what `wait_exponential` gives ("full jitter")."""
    low, high = _seconds(min), _seconds(max)
    return WaitStrategy(lambda n, rng: rng.uniform(low, _clamp(_power(multiplier, exp_base, n), low, high)))


wait_full_jitter = wait_random_exponential


def wait_chain(*strategies: WaitStrategy) -> WaitStrategy:
    """The first strategy before the first retry, and so on; the last one from then on."""
    if not strategies:
        raise ValueError("wait_chain needs at least one strategy")
    return WaitStrategy(lambda n, rng: strategies[min(n, len(strategies) - 1)](n, rng))


def wait_combine(*strategies: WaitStrategy) -> WaitStrategy:
    """The sum of all."""
    return WaitStrategy(lambda n, rng: sum(s(n, rng) for s in strategies))


def _power(multiplier: float, base: float, n: int) -> float:
    try:
        return float(multiplier * base**n)
    except OverflowError:
        return float("inf")


def _clamp(value: float, low: float, high: float) -> float:
    return max(low, min(value, high))


# When to give up.


@dataclass(frozen=True, slots=True)
class StopCondition:
    """Whether to give up after `attempts` failures, `elapsed` seconds, with `upcoming` seconds to wait; has `&` and `|`."""

    holds: Callable[[int, float, float], bool]

    def __call__(self, attempts: int, elapsed: float, upcoming: float) -> bool:
        """Whether to give up."""
        return self.holds(attempts, elapsed, upcoming)

    def __and__(self, other: StopCondition) -> StopCondition:
        return stop_all(self, other)

    def __or__(self, other: StopCondition) -> StopCondition:
        return stop_any(self, other)


def stop_after_attempt(max_attempt_number: int) -> StopCondition:
    """After that many attempts in all."""
    return StopCondition(lambda attempts, elapsed, upcoming: attempts >= max_attempt_number)


def stop_after_delay(max_delay: Seconds) -> StopCondition:
    """Once that much time has passed since the first attempt."""
    limit = _seconds(max_delay)
    return StopCondition(lambda attempts, elapsed, upcoming: elapsed >= limit)


def stop_before_delay(max_delay: Seconds) -> StopCondition:
    """If the next attempt would start later than that after the first."""
    limit = _seconds(max_delay)
    return StopCondition(lambda attempts, elapsed, upcoming: elapsed + upcoming >= limit)


def stop_any(*conditions: StopCondition) -> StopCondition:
    """As soon as one holds."""
    return StopCondition(lambda a, e, u: any(c(a, e, u) for c in conditions))


def stop_all(*conditions: StopCondition) -> StopCondition:
    """Once all hold."""
    return StopCondition(lambda a, e, u: all(c(a, e, u) for c in conditions))


stop_never = StopCondition(lambda attempts, elapsed, upcoming: False)


# Which errors are worth another try.


@dataclass(frozen=True, slots=True)
class RetryCondition:
    """Whether an error is worth another attempt; has `&` and `|`."""

    holds: Callable[[BaseException], bool]

    def __call__(self, error: BaseException) -> bool:
        """Whether to try again."""
        return self.holds(error)

    def __and__(self, other: RetryCondition) -> RetryCondition:
        return retry_all(self, other)

    def __or__(self, other: RetryCondition) -> RetryCondition:
        return retry_any(self, other)


def retry_if_exception(predicate: Callable[[BaseException], bool]) -> RetryCondition:
    """If the predicate holds."""
    return RetryCondition(predicate)


def retry_if_exception_type(exception_types: Types = Exception) -> RetryCondition:
    """If it is one of these."""
    return RetryCondition(lambda error: isinstance(error, exception_types))


def retry_if_not_exception_type(exception_types: Types = Exception) -> RetryCondition:
    """If it is none of these."""
    return RetryCondition(lambda error: not isinstance(error, exception_types))


retry_unless_exception_type = retry_if_not_exception_type


def retry_if_exception_message(message: str | None = None, match: str | None = None) -> RetryCondition:
    """If its text is `message`, or the pattern `match` fits at its start."""
    check = _message_check(message, match)
    return RetryCondition(check)


def retry_if_not_exception_message(message: str | None = None, match: str | None = None) -> RetryCondition:
    """If its text is neither."""
    check = _message_check(message, match)
    return RetryCondition(lambda error: not check(error))


def retry_if_exception_cause_type(exception_types: Types = Exception) -> RetryCondition:
    """If it, or an error in its chain of causes, was caused by one of these."""

    def holds(error: BaseException) -> bool:
        cause = error.__cause__
        while cause is not None:
            if isinstance(cause, exception_types):
                return True
            cause = cause.__cause__
        return False

    return RetryCondition(holds)


def retry_any(*conditions: RetryCondition) -> RetryCondition:
    """If one holds."""
    return RetryCondition(lambda error: any(c(error) for c in conditions))


def retry_all(*conditions: RetryCondition) -> RetryCondition:
    """If all hold."""
    return RetryCondition(lambda error: all(c(error) for c in conditions))


retry_always = RetryCondition(lambda error: True)
retry_never = RetryCondition(lambda error: False)


def _message_check(message: str | None, match: str | None) -> Callable[[BaseException], bool]:
    if (message is None) == (match is None):
        raise ValueError("give either `message` or `match`")
    if message is not None:
        return lambda error: str(error) == message
    pattern = re.compile(match or "")
    return lambda error: pattern.match(str(error)) is not None


# The whole policy.


@dataclass(frozen=True, slots=True)
class ComposedPolicy:
    """What `retry_policy` makes."""

    retry: RetryCondition = retry_always
    wait: WaitStrategy = field(default_factory=lambda: wait_fixed(5))
    stop: StopCondition = field(default_factory=lambda: stop_after_attempt(3))

    def next(self, elapsed: float, attempts: int, error: BaseException, *, seed: int | None = None) -> float | None:
        """The seconds until the next attempt, or None to give up."""
        if not self.retry(error):
            return None
        delay = self.wait(max(0, attempts - 1), random.Random(seed))
        return None if self.stop(attempts, elapsed, delay) else delay


def retry_policy(
    retry: RetryCondition | None = None, wait: WaitStrategy | None = None, stop: StopCondition | None = None
) -> ComposedPolicy:
    """A policy: by default any error, 5 seconds apart, 3 attempts in all."""
    return ComposedPolicy(retry or retry_always, wait or wait_fixed(5), stop or stop_after_attempt(3))


def ConstantDelayRetryPolicy(maximum_attempts: int = 3, delay: float = 5) -> ComposedPolicy:
    """The classic fixed delay. Deprecated: use `retry_policy(wait=wait_fixed(…), stop=stop_after_attempt(…))`."""
    warnings.warn(
        "ConstantDelayRetryPolicy is deprecated; use retry_policy(wait=wait_fixed(...), stop=stop_after_attempt(...))",
        DeprecationWarning,
        stacklevel=2,
    )
    return retry_policy(wait=wait_fixed(delay), stop=stop_after_attempt(maximum_attempts))


def ExponentialBackoffRetryPolicy(
    maximum_attempts: int = 5,
    initial_delay: float = 1.0,
    multiplier: float = 2.0,
    max_delay: float = 60.0,
    jitter: bool = True,
) -> ComposedPolicy:
    """The classic growing delay. Deprecated: use `retry_policy(wait=wait_exponential(…), …)`."""
    warnings.warn(
        "ExponentialBackoffRetryPolicy is deprecated; use retry_policy(wait=wait_exponential(...), ...)",
        DeprecationWarning,
        stacklevel=2,
    )
    grow = wait_random_exponential if jitter else wait_exponential
    return retry_policy(wait=grow(initial_delay, max_delay, multiplier), stop=stop_after_attempt(maximum_attempts))
