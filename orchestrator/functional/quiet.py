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
    idle: list[tuple[Task, Future]] = []
    for task, frame in tasks.items():
        if task in blocked or task.done():
            continue
        waiter: Future | None = getattr(task, "_fut_waiter", None)
        if waiter is None or waiter.done():
            standing.is_runnable = True
            return standing
        cause = _outside_cause(task, waiter, tasks)
        if cause is None:
            continue
        if frame.is_touched:
            standing.busy = cause
            return standing
        idle.append((task, cause))
    if idle:
        awaited = awaited_tasks(tasks)
        for task, cause in idle:
            if task in awaited:
                standing.busy = cause
                return standing
            standing.background = cause
    return standing


def _outside_cause(task: Task, waiter: Future, tasks: Mapping[Task, Frame]) -> Future | None:
    """The future outside the run that a task waits for; None if it waits for the run's own tasks."""
    known, waits_for = _waits_for(task, waiter, tasks)
    if not known:
        return waiter
    return next((f for f in waits_for if not f.done() and f not in tasks), None)


def _waits_for(task: Task, waiter: Future, tasks: Iterable[Task]) -> tuple[bool, Iterable[Future]]:
    """What a task waits for, and whether that could be found out."""
    if isinstance(waiter, asyncio.Task):
        return True, (waiter,)
    children = getattr(waiter, "_children", None)
    if children is not None:
        return True, tuple(children)
    frame = _innermost(task)
    if frame is not None:
        file, name, local = frame.f_code.co_filename.replace("\\", "/"), frame.f_code.co_name, frame.f_locals
        if file.endswith(_PRIMITIVES):
            return True, ()
        if name == "_wait" and file.endswith("asyncio/tasks.py"):
            return True, tuple(local.get("fs", ()))
        owned = getattr(local.get("self"), "_tasks", None)
        if name in ("__aexit__", "_aexit") and isinstance(owned, set):
            return True, tuple(owned)
    feeders = [other for other in tasks if not other.done() and _completes(other, waiter)]
    return bool(feeders), feeders


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


def _completes(task: Task, waiter: Future) -> bool:
    """Whether the end of a task completes a future (`asyncio.shield`, `wait_for` before Python 3.12)."""
    for entry in getattr(task, "_callbacks", None) or ():
        callback = entry[0] if isinstance(entry, tuple) else entry
        if isinstance(callback, functools.partial) and any(arg is waiter for arg in callback.args):
            return True
        for cell in getattr(callback, "__closure__", None) or ():
            try:
                if cell.cell_contents is waiter:
                    return True
            except ValueError:  # a cell that is still empty
                continue
    return False


def awaited_tasks(tasks: Mapping[Task, Frame]) -> set[Future]:
    """The tasks that a task using the run waits for, directly or not."""
    found: set[Future] = set()
    todo = [task for task, frame in tasks.items() if frame.is_touched and not task.done()]
    while todo:
        task = todo.pop()
        waiter = getattr(task, "_fut_waiter", None)
        if waiter is None:
            continue
        for other in _waits_for(task, waiter, tasks)[1]:
            if other not in found and isinstance(other, asyncio.Task):
                found.add(other)
                todo.append(other)
    return found
