"""An event loop whose time is virtual: it never sleeps, it moves its clock to the next thing that is due."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable

from orchestrator.runtime.clock import Handle


class Stuck(AssertionError):
    """Nothing is due any more, and somebody still waits."""


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("the simulation waits for something that will never come")
        self.time += max(0.0, timeout)
        return super().select(0)


class SimLoop(asyncio.SelectorEventLoop):
    """Use with `asyncio.Runner(loop_factory=SimLoop)`."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.time


class SimClock:
    """A worker's clock: the loop's time, with a skew that may change."""

    START = 1_800_000_000.0

    def __init__(self, skew_s: float = 0.0) -> None:
        self.skew_s = skew_s

    def now(self) -> float:
        return self.START + asyncio.get_running_loop().time() + self.skew_s

    def call_at(self, due: float, callback: Callable[[], None]) -> Handle:
        return asyncio.get_running_loop().call_later(max(0.0, due - self.now()), callback)
