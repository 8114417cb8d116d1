"""Who is in which group, as it is now; what new requests to people are opened with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from orchestrator.runtime.clock import Clock

PEOPLE_S = 2.0


class LivePeople(Mapping[str, list[str]]):
    """Every group with its members, as it is now: accounts may be changed by another process."""

    def __init__(self, look: Callable[[], dict[str, list[str]]], clock: Clock) -> None:
        self._look = look
        self._clock = clock
        self._seen: tuple[float, dict[str, list[str]]] = (float("-inf"), {})

    def _now(self) -> dict[str, list[str]]:
        now = self._clock.now()
        if not 0 <= now - self._seen[0] < PEOPLE_S:
            self._seen = (now, self._look())
        return self._seen[1]

    def __getitem__(self, group: str) -> list[str]:
        return self._now()[group]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())
