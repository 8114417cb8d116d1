"""How many members of a fan-out a step takes: `Annotated[list[E], Collect(Take(n))]`; when a buffer is full. Plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class All:
    """Every member, once the fan-out is exhausted. Also when that is none."""


@dataclass(frozen=True, slots=True)
class Take:
    """The first `n` members to arrive, or all of them if the fan-out ends with fewer."""

    n: int

    def __post_init__(self) -> None:
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1:
            raise ValueError(f"Take(n) needs a whole number of at least 1, not {self.n!r}")


@dataclass(frozen=True, slots=True)
class Collect:
    """Marks a list parameter of a step as a join.

    Example: async def best(self, drafts: Annotated[list[Draft], Collect(Take(3))]) -> StopEvent
    """

    members: All | Take = field(default_factory=All)

    def __post_init__(self) -> None:
        if not isinstance(self.members, All | Take):
            raise ValueError(f"Collect takes All() or Take(n), not {self.members!r}")


def is_complete(buffer: Mapping[str, Any], name: str, expected: tuple[str, ...]) -> bool:
    """Whether the buffer with one more event of this name holds all that is expected. Cost: O(expected)."""
    needed = Counter(expected)
    return all(len(buffer.get(wanted, ())) + (wanted == name) >= count for wanted, count in needed.items())
