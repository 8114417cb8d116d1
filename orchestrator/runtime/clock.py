"""Time as a value that can be swapped: the real clock, and one that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol


class Handle(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Forget the call; doing so twice is harmless."""
        ...


class Clock(Protocol):
    """Where the runtime gets the time and its wake-ups from. Units: epoch seconds."""

    def now(self) -> float:
        """The time."""
        ...

    def call_at(self, due: float, callback: Callable[[], None]) -> Handle:
        """Call back at `due`, in the running event loop."""
        ...


class RealClock:
    """The system's clock; wake-ups are timers of the running loop, at most a day away at a time."""

    now = staticmethod(time.time)  # the system's time

    def call_at(self, due: float, callback: Callable[[], None]) -> Handle:
        """A loop timer."""
        return asyncio.get_running_loop().call_later(max(0.0, due - time.time()), callback)


class _VirtualHandle:
    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class VirtualClock:
    """A clock that moves only when told: weeks pass in microseconds.

    Example: clock = VirtualClock(); clock.advance(3600)
    """

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._now = start
        self._count = itertools.count()
        self._due: list[tuple[float, int, _VirtualHandle]] = []

    def now(self) -> float:
        """The time it was moved to."""
        return self._now

    def call_at(self, due: float, callback: Callable[[], None]) -> Handle:
        """A wake-up that `advance` or `advance_to_next` reaches."""
        handle = _VirtualHandle(callback)
        heapq.heappush(self._due, (due, next(self._count), handle))
        return handle

    def next_due(self) -> float | None:
        """When the next wake-up is due."""
        while self._due and self._due[0][2].callback is None:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def advance_to_next(self) -> bool:
        """Move to the next wake-up and make its call; False if there is none."""
        due = self.next_due()
        if due is None:
            return False
        self._now = max(self._now, due)
        _, _, handle = heapq.heappop(self._due)
        callback = handle.callback
        if callback is not None:
            callback()
        return True

    def advance(self, seconds: float) -> None:
        """Move forward, making every call that comes due on the way, in order."""
        end = self._now + seconds
        while (due := self.next_due()) is not None and due <= end:
            self.advance_to_next()
        self._now = end
