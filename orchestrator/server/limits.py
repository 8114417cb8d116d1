"""How often one client may ask: token buckets per kind of route. Knows no request."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MOST_CLIENTS = 20_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_s` requests a second on average, `burst` at once."""

    per_s: float
    burst: float


RATES: Mapping[str, Rate] = {
    "api": Rate(200, 1_500),
    "sign_in": Rate(1 / 6, 10),
    "link": Rate(0.5, 30),
    "hook": Rate(50, 200),
    "static": Rate(500, 2_000),
}


class RateLimiter:
    """Counts per client and kind. Cost: O(1); the least recently seen clients are forgotten."""

    def __init__(self, rates: Mapping[str, Rate] = RATES, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rates = rates
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def take(self, kind: str, client: str) -> float:
        """Take one request; 0 if it may go on, else the seconds until it may."""
        rate = self._rates[kind]
        now = self._clock()
        key = (kind, client)
        level, at = self._buckets.pop(key, (rate.burst, now))
        level = min(rate.burst, level + (now - at) * rate.per_s)
        wait = 0.0 if level >= 1 else (1 - level) / rate.per_s
        self._buckets[key] = (level - 1 if wait == 0.0 else level, now)
        if len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return wait
