"""Where in a run code is: call paths, and the task factory that numbers the tasks of a run. Knows no event, tick or storage.

Theory. A *frame* is a stretch of code that runs in order: the workflow function, a step's body, an inner workflow, or a task
made inside one of them. A call's path is its frame's path and its name with an ordinal among the calls of that name in the
frame, taken when the call is made and not when it is awaited: `research~1/fetch#0` is the first call of `fetch` in the second
task that ran `research`. Tasks are counted per name of their coroutine in the order of their making, so a task that a library
makes inside shifts nothing. The same code therefore finds the same paths again, whatever finished first.
"""

from __future__ import annotations

import asyncio
import weakref
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

from orchestrator.runtime.actor import Actor, current_cell

if TYPE_CHECKING:  # a pass makes frames
    from orchestrator.functional.passes import Pass

Loop = asyncio.AbstractEventLoop


class Frame:
    """One stretch of code. `step` is the frame of the innermost step around it (itself, if it is one)."""

    __slots__ = ("calls", "counts", "is_touched", "namespace", "outer_step", "overlay", "path", "run", "staged", "step")

    def __init__(self, run: Pass, path: str, step: Frame | None, namespace: str) -> None:
        self.run = run
        self.path = path  # "" or ending in "/"
        self.step = step
        self.namespace = namespace  # before the state keys of an inner workflow
        self.counts: dict[str, int] | None = None
        self.calls = 0  # step calls made in this frame
        self.is_touched = False  # something in it used the run
        self.outer_step: Frame | None = None
        self.staged: list[tuple[str, Any]] | None = None  # a step's reads and writes of state, by path
        self.overlay: dict[str, Any] | None = None  # what a step wrote and has not committed

    def next(self, name: str) -> int:
        """The ordinal of the next call of this name."""
        self.is_touched = True
        counts = self.counts
        if counts is None:
            self.counts = {name: 1}
            return 0
        number = counts.get(name, 0)
        counts[name] = number + 1
        return number

    def child_of_task(self, name: str) -> Frame:
        """The frame of a task that is made here."""
        counts = self.counts
        if counts is None:
            counts = self.counts = {}
        key = "~" + name
        number = counts.get(key, 0)
        counts[key] = number + 1
        return Frame(self.run, f"{self.path}{name}~{number}/", self.step, self.namespace)


current_frame: ContextVar[Frame | None] = ContextVar("orchestrator_frame", default=None)


def frame_here() -> Frame | None:
    """Where the calling code is; None outside of functional runs, also in another kind of run that was started inside one."""
    frame = current_frame.get()
    if frame is None:
        return None
    cell = current_cell.get()
    return frame if cell is not None and cell.run is frame.run.actor else None


def path_name(name: str) -> str:
    """A name as part of a path."""
    for mark, code in (("%", "%25"), ("/", "%2F"), ("#", "%23"), ("~", "%7E"), ("!", "%21")):
        name = name.replace(mark, code)
    return name


_DRIVER = Actor._drive.__code__  # the runtime's own tasks belong to no frame
_installed: weakref.WeakKeyDictionary[Loop, Numbering] = weakref.WeakKeyDictionary()


class Numbering:
    """The task factory of a loop while a functional workflow runs on it; hands on to the factory that was there before."""

    def __init__(self, before: Any) -> None:  # Any: the factory protocol of asyncio differs between Python versions
        self.before = before
        self.runs = 0

    def __call__(self, loop: Loop, coro: Any, **options: Any) -> Any:
        """Make a task; inside a run it gets a frame of its own."""
        frame = frame_here()
        child = None
        if frame is not None and not frame.run.is_released and getattr(coro, "cr_code", None) is not _DRIVER:
            context = options.get("context")
            if context is None or current_frame not in context or not _is_new(context[current_frame], frame):
                child = frame.child_of_task(path_name(getattr(coro, "__name__", type(coro).__name__)))
                context = copy_context() if context is None else context.copy()
                context.run(current_frame.set, child)
                options["context"] = context
        if self.before is not None:
            task = self.before(loop, coro, **options)
        else:
            task = asyncio.Task(coro, loop=loop, **options)
        if child is not None and frame is not None:
            frame.run.adopt(task, child, coro)
        return task


def _is_new(candidate: Frame | None, frame: Frame) -> bool:
    """Whether another Numbering, further out in a chain of factories, has made the frame of this task already."""
    return candidate is not None and candidate is not frame and candidate.counts is None and candidate.run is frame.run


def enter_loop(loop: Loop) -> Numbering:
    """Number tasks on a loop until the matching `leave_loop`."""
    numbering = _installed.get(loop)
    if numbering is None:
        numbering = _installed[loop] = Numbering(loop.get_task_factory())
        loop.set_task_factory(numbering)
    numbering.runs += 1
    return numbering


def leave_loop(loop: Loop, numbering: Numbering) -> None:
    """The inverse of `enter_loop`; the last one puts the factory back that was there before."""
    numbering.runs -= 1
    if numbering.runs == 0:
        _installed.pop(loop, None)
        if loop.get_task_factory() is numbering:
            loop.set_task_factory(numbering.before)
