"""The log of a run in memory, kept small, and how its readers see it.

Theory. The two ticks of a plain step (one that declares nothing to prepare and gives one event or none) are by far the most
common, and in a function its recorded calls; in memory they stand in the log as tuples, and a streamed event stands for
itself. `whole` makes the tick of any entry; `Log` is the log with every entry made whole, so that only those who write and
read it often know of the short forms. A tuple of atoms, or of such tuples, is nothing that the cyclic garbage collector walks.

Shape: (act, attempt, at, cause, step) is a StepStarted; (act, attempt, at, cause, event type or "", payload) a StepSettled
that emits this event or nothing; (act, at, cause, path, value, data, writes) a Progress; eight fields that begin with (kind,
act, attempt) a streamed payload that `MAKERS[kind]` makes of the entry for each reader; an instance of a tick class is itself;
everything else is a streamed payload.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, get_args, overload

from orchestrator.runtime import ticks as t

if TYPE_CHECKING:  # who has a log
    from orchestrator.runtime.watched import Watched

STARTED, SETTLED, PROGRESS, SHOWN = 5, 6, 7, 8  # lengths of the short forms
TICKS = frozenset(get_args(t.Tick))
Mark = tuple[int, int, int]  # from this place on, streamed events are of (activation, attempt)
MAKERS: dict[
    str, Callable[[Any], Any]
] = {}  # kind -> what makes a streamed payload of an entry, when somebody reads it


def whole(entry: Any, seq: int) -> Any:
    """The tick that an entry stands for, or `(payload, act, attempt)`; a payload that stands for itself is given back."""
    if type(entry) is not tuple:
        return entry
    size = len(entry)
    if size == STARTED:
        act, attempt, at, cause, step = entry
        return t.StepStarted(seq, at, cause, act, attempt, step)
    if size == PROGRESS:
        act, at, cause, path, value, data, writes = entry
        return t.Progress(seq, at, cause, act, path, value, writes, data)
    if size == SHOWN:
        return MAKERS[entry[0]](entry), entry[1], entry[2]
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
