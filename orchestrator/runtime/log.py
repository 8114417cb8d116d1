"""The log of a run in memory, kept small, and how its readers see it.

Theory. The two ticks of a plain step (one that declares nothing to prepare and gives one event or none) are by far the most
common; in memory they stand in the log as tuples, and a streamed event stands for itself. `whole` makes the tick of any entry;
`Log` is the log with every entry made whole, so that only those who write and read it often know of the short forms.

Shape: (act, attempt, at, cause, step) is a StepStarted; (act, attempt, at, cause, event type or "", payload) a StepSettled
that emits this event or nothing; an instance of a tick class is itself; everything else is a streamed payload.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, get_args, overload

from orchestrator.runtime import ticks as t

if TYPE_CHECKING:  # who has a log
    from orchestrator.runtime.watched import Watched

STARTED, SETTLED = 5, 6  # lengths of the short forms
TICKS = frozenset(get_args(t.Tick))
Mark = tuple[int, int, int]  # from this place on, streamed events are of (activation, attempt)


def whole(entry: Any, seq: int) -> Any:
    """The tick that an entry stands for; a streamed payload is given back as it is."""
    if type(entry) is not tuple:
        return entry
    if len(entry) == STARTED:
        act, attempt, at, cause, step = entry
        return t.StepStarted(seq, at, cause, act, attempt, step)
    act, attempt, at, cause, name, value = entry
    return t.StepSettled(seq, at, cause, act, attempt, ((name, value, None),) if name else ())


class Log(Sequence[Any]):
    """The log of a live run as ticks, and streamed events as `(payload, act, attempt)`; grows with the run."""

    __slots__ = ("_run",)

    def __init__(self, run: Watched) -> None:
        self._run = run

    def __len__(self) -> int:
        return len(self._run.entries)

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self._at(i) for i in range(*place.indices(len(self)))]
        return self._at(place if place >= 0 else len(self) + place)

    def __iter__(self) -> Iterator[Any]:
        place = 0
        while place < len(self._run.entries):
            yield self._at(place)
            place += 1

    def _at(self, place: int) -> Any:
        run = self._run
        entry = run.entries[place]
        kind = type(entry)
        if kind is tuple:
            return whole(entry, run.base + place)
        if kind in TICKS:
            return entry
        marks = run.marks
        assert marks is not None
        _, act, attempt = marks[bisect_right(marks, place, key=_place_of) - 1]
        return entry, act, attempt


def _place_of(mark: Mark) -> int:
    return mark[0]
