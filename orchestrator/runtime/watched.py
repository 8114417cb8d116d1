"""The side of a live run that others look at: its log, who waits for more of it or for its end, and whether bodies are alive.

It changes nothing in the run; the actor tells it when the log has grown, when the run has ended, and of each driver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.runtime.log import Log, Mark
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.reduction import Reduction
from orchestrator.runtime.state import RunState, Status

if TYPE_CHECKING:  # a run in memory has no sink
    from orchestrator.runtime.sinks import Sink


class Watched(Reduction):
    """What an actor is to its readers."""

    __slots__ = ("__dict__", "_end_waiters", "_tasks", "_waiters", "entries")
    # What few runs need stands here until a run has its own.
    base = 0  # the seq of the first entry of the log
    sink: Sink | None = None  # where a durable run's ticks go
    lost: BaseException | None = None  # why the run does not go on here, though it has not ended
    marks: list[Mark] | None = None  # whose the streamed events of the log are

    def __init__(self, plan: FlowPlan, state: RunState) -> None:
        super().__init__(plan, state)
        self.entries: list[Any] = []  # the log in its short forms (runtime.log); seq = base + index
        self._waiters: list[asyncio.Future[None]] | None = None
        self._end_waiters: list[asyncio.Future[None]] | None = None
        self._tasks: asyncio.Task[None] | set[asyncio.Task[None]] | None = None  # drivers; one alone needs no set

    @property
    def is_over(self) -> bool:
        """Whether the run has ended (and readers may know it)."""
        return self.state.is_over and (self.sink is None or self.sink.is_settled)

    @property
    def is_leaving(self) -> bool:
        """Whether its process has let go of it, or is about to: what is applied now would be lost."""
        return self.sink is not None and (self.lost is not None or self.sink.is_releasing)

    @property
    def log(self) -> Sequence[Any]:
        """Its ticks, and streamed events as `(payload, act, attempt)`; those of an actor that came from a journal from `base`."""
        return self.entries if self.sink is not None else Log(self)

    @property
    def next_seq(self) -> int:
        """The number of the next tick."""
        return self.base + len(self.entries) if self.sink is None else self.state.seq

    def show_later(self, entry: Any) -> None:
        """Stream what `MAKERS` makes of an entry when somebody reads it; only in memory, of a run that nobody relays."""
        self.entries.append(entry)
        if self._waiters:
            self.wake_readers()

    def wake_if_read(self) -> None:
        """The same as `wake_readers`, cheap when nobody waits."""
        if self._waiters:
            self.wake_readers()

    # Readers.

    def wait_for_more(self) -> asyncio.Future[None]:
        """A future that is done when the log has grown or the run has ended."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(future)
        return future

    def wake_readers(self) -> None:
        """Tell those who wait that the log has grown or the run has ended."""
        waiters, self._waiters = self._waiters, None
        for future in waiters or ():
            if not future.done():
                future.set_result(None)

    async def wait_finished(self) -> Status:
        """Wait until the run has ended; raises what interrupted it, if it will never end here."""
        while not self.is_over:
            if self.lost is not None:
                raise self.lost
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if self._end_waiters is None:
                self._end_waiters = []
            self._end_waiters.append(future)
            await future
        return self.state.status

    def _wake_ended(self) -> None:
        waiters, self._end_waiters = self._end_waiters, None
        for future in waiters or ():
            if not future.done():
                future.set_result(None)

    async def wait_closed(self, timeout_s: float | None = None) -> bool:
        """Wait until every body of an ended run has left; tells whether all did in that time."""
        here = current_task_or_none()
        left = [task for task in self._drivers if not task.done() and task is not here]
        if not left:
            return True
        _, late = await asyncio.wait(left, timeout=timeout_s)
        return not late

    # Drivers.

    @property
    def has_drivers(self) -> bool:
        """Whether a task of this run is alive: it runs a body, waits in one, or is about to."""
        return bool(self._tasks)

    def _join(self, task: asyncio.Task[None]) -> None:
        tasks = self._tasks
        if tasks is None:
            self._tasks = task
        elif isinstance(tasks, set):
            tasks.add(task)
        else:
            self._tasks = {tasks, task}

    @property
    def _drivers(self) -> Collection[asyncio.Task[None]]:
        tasks = self._tasks
        return () if tasks is None else tasks if isinstance(tasks, set) else (tasks,)

    def _leave(self, task: asyncio.Task[None] | None) -> None:
        tasks = self._tasks
        if tasks is task:
            self._tasks = None
        elif isinstance(tasks, set):
            tasks.discard(task)
            if not tasks:
                self._tasks = None


def current_task_or_none() -> asyncio.Task[Any] | None:
    """The task that runs, if an event loop does."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
