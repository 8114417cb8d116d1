"""The pure work that all three forms of each workflow do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def double(n: int) -> int:
    """Twice as much."""
    return 2 * n


def add(n: int, by: int) -> int:
    """More by so much."""
    return n + by


def halve(n: int) -> int:
    """Half as much."""
    return n // 2


def shout(text: str) -> str:
    """In capitals."""
    return text.upper()


def size(text: str) -> int:
    """How long it is."""
    return len(text)


def burst(n: int) -> int:
    """Never gives anything."""
    raise ValueError(f"{n} is too much")


class Flaky:
    """Fails twice, then works."""

    def __init__(self) -> None:
        self.calls = 0

    def flaky(self, n: int) -> int:
        """The number, at the third try."""
        self.calls += 1
        if self.calls < 3:
            raise RuntimeError("not yet")
        return n


def callables() -> dict[str, Callable[..., Any]]:
    """The work by the names that flow files use; a flaky one of its own for every run."""
    plain = (double, add, halve, shout, size, burst)
    return {f"work.{function.__name__}": function for function in plain} | {"work.flaky": Flaky().flaky}
