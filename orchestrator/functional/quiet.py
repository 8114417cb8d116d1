"""When a run stands still: every task has ended or waits for an answer, or for a task that does.

A task that waits for something else is *busy*: a timer, a socket, a thread, another run. What a task waits for is read from
asyncio's own structures (`_fut_waiter`, the innermost suspended frame); an unknown future counts as busy, which is safe: the
pause only comes later. A task that never used the run and that nobody in the run waits for (a connection pool's reader) is in
the *background* and cannot hold up a pause for long.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from orchestrator.functional.frames import Frame

Task = asyncio.Task[Any]
Future = asyncio.Future[Any]

_PRIMITIVES = ("asyncio/locks.py", "asyncio/queues.py")


class Standing:
    """What the tasks of a run do. `is_runnable`: some task is about to run; `busy` is a future that one of them waits for."""

    __slots__ = ("background", "busy", "is_runnable")

    def __init__(self) -> None:
        self.is_runnable = False
        self.busy: Future | None = None
        self.background: Future | None = None


def look_at(tasks: Mapping[Task, Frame], blocked: Collection[Task]) -> Standing:
    """What a run's tasks do, apart from those in `blocked`, which wait for answers.

    Cost: O(tasks) if nothing is busy, else up to the first busy one.
    """
    standing = Standing()
    links = Links(tasks)
    idle: list[tuple[Task, Future]] = []
    for task, frame in tasks.items():
        if task in blocked or task.done():
            continue
        waiter: Future | None = getattr(task, "_fut_waiter", None)
        if waiter is None or waiter.done():
            standing.is_runnable = True
            return standing
        cause = links.outside_cause(task, waiter)
        if cause is None:
            continue
        if frame.is_touched:
            standing.busy = cause
            return standing
        idle.append((task, cause))
    if idle:
        awaited = links.awaited(blocked)
        for task, cause in idle:
            if task in awaited:
                standing.busy = cause
                return standing
            standing.background = cause
    return standing


def tasks_to_end(tasks: Mapping[Task, Frame], blocked: Collection[Task]) -> set[Task]:
    """The tasks that end with a run: those that used it, and what these wait for; the rest is in the background."""
    found = {task for task, frame in tasks.items() if frame.is_touched}
    if len(found) < len(tasks):
        found |= Links(tasks).awaited(blocked) & tasks.keys()
    return found


class Links:
    """What the tasks of a run wait for, as far as asyncio's structures show it at this moment."""

    def __init__(self, tasks: Mapping[Task, Frame]) -> None:
        self._tasks = tasks
        self._feeders: dict[int, list[Task]] | None = None

    def outside_cause(self, task: Task, waiter: Future) -> Future | None:
        """The future outside the run that a task waits for; None if it waits for the run's own tasks."""
        waits_for = self._waits_for(task, waiter)
        if waits_for is None:
            return waiter
        return next((f for f in waits_for if not f.done() and f not in self._tasks), None)

    def awaited(self, blocked: Collection[Task]) -> set[Task]:
        """The tasks that a task using the run waits for, directly or not."""
        found: set[Task] = set()
        todo = [t for t, frame in self._tasks.items() if frame.is_touched and not t.done() and t not in blocked]
        while todo:
            task = todo.pop()
            waiter = getattr(task, "_fut_waiter", None)
            if waiter is None:
                continue
            for other in self._waits_for(task, waiter) or ():
                if isinstance(other, asyncio.Task) and other not in found:
                    found.add(other)
                    todo.append(other)
        return found

    def _waits_for(self, task: Task, waiter: Future) -> Iterable[Future] | None:
        """What a task waits for; None if that cannot be found out, or is a timer."""
        if isinstance(waiter, asyncio.Task):
            return (waiter,)
        children = getattr(waiter, "_children", None)
        if children is not None:
            return tuple(children)
        frame = _innermost(task)
        if frame is not None:
            file, name, local = frame.f_code.co_filename.replace("\\", "/"), frame.f_code.co_name, frame.f_locals
            if file.endswith(_PRIMITIVES):
                return ()
            if file.endswith("asyncio/tasks.py") and name in ("sleep", "_wait"):
                return None if name == "sleep" else tuple(local.get("fs", ()))
            owned = getattr(local.get("self"), "_tasks", None)
            if name in ("__aexit__", "_aexit") and isinstance(owned, set):
                return tuple(owned)
        if self._feeders is None:
            self._feeders = _feeders(self._tasks)
        return self._feeders.get(id(waiter))


def _innermost(task: Task) -> Any:
    """The suspended frame that a task's coroutine chain ends in."""
    coro: Any = task.get_coro()
    frame = None
    while coro is not None:
        frame = (
            getattr(coro, "cr_frame", None)
            or getattr(coro, "ag_frame", None)
            or getattr(coro, "gi_frame", None)
            or frame
        )
        coro = getattr(coro, "cr_await", None) or getattr(coro, "ag_await", None) or getattr(coro, "gi_yieldfrom", None)
    return frame


def _feeders(tasks: Iterable[Task]) -> dict[int, list[Task]]:
    """For the id of a future: the tasks whose end completes it (`asyncio.shield`, `wait_for` before Python 3.12)."""
    found: dict[int, list[Task]] = {}
    for task in tasks:
        if task.done():
            continue
        for entry in getattr(task, "_callbacks", None) or ():
            callback = entry[0] if isinstance(entry, tuple) else entry
            for value in _held_by(callback):
                if isinstance(value, asyncio.Future):
                    found.setdefault(id(value), []).append(task)
    return found


def _held_by(callback: Any) -> Iterable[Any]:
    if isinstance(callback, functools.partial):
        yield from callback.args
    for cell in getattr(callback, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a cell that is still empty
            continue
