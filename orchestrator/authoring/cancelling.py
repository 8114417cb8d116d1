"""Cancels the run of a handler, wherever it is: here, in its store, or in another process."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.following import until_over
from orchestrator.errors import OrchestratorError, RunFinished
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor

if TYPE_CHECKING:  # what begins runs makes handlers
    from orchestrator.authoring.run_start import Start

WHY = "the run was cancelled by its user"


class Cancelling:
    """Cancels a run at once where that is possible, and waits, if it is awaited, until its steps have left."""

    __slots__ = ("_children", "_start", "_task", "_timeout_s")

    def __init__(self, start: Start | None, timeout_s: float) -> None:
        self._children: list[Actor] = []
        self._start = start
        self._timeout_s = timeout_s
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Cancel it now, or as soon as it has begun or been found."""
        assert self._start is not None
        run = self._start.run
        if run is None or run.is_leaving:
            self._task = asyncio.get_running_loop().create_task(self._later(self._start))
            _cancelling.add(self._task)
            self._task.add_done_callback(_cancelling.discard)
        elif not run.is_over:
            self._children = list(_open_children(run)) if run.sink is not None else []
            run.apply(t.Cancel(0, 0.0, -1, "cancelled", WHY))

    async def _later(self, start: Start) -> None:
        if start.run is None and start.began is not None:
            try:
                await asyncio.shield(start.began)
            except OrchestratorError:
                return  # it never began
        run = start.run
        if run is not None and not run.is_leaving:
            if not run.is_over:
                run.apply(t.Cancel(0, 0.0, -1, "cancelled", WHY))
            return
        from orchestrator.authoring.run_service import RunService

        try:
            await RunService(start.engine).cancel(start.run_id or (run.run_id if run is not None else ""), WHY)
        except RunFinished:
            return

    def __await__(self) -> Generator[Any, Any, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        if self._task is not None:
            await asyncio.shield(self._task)
            await self._followed()
        run = self._start.run if self._start is not None else None
        if run is not None:
            if run.sink is not None and run.lost is None:
                await run.sink.barrier()
            await run.wait_closed(self._timeout_s)
        if self._children:  # their cancellation goes through the store
            ends = asyncio.gather(*(_end_of(child) for child in self._children), return_exceptions=True)
            await asyncio.wait({ends}, timeout=self._timeout_s)

    async def _followed(self) -> None:
        """Wait for the end of a run that another actor or process has cancelled."""
        if self._start is None or self._start.run is None:
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await until_over(self._start)
        except (TimeoutError, OrchestratorError):
            return


def _open_children(run: Actor) -> Iterator[Actor]:
    for child_id in run.state.children:
        child = run.engine.runs.get(child_id)
        if child is not None and not child.is_over:
            yield child
            yield from _open_children(child)


async def _end_of(run: Actor) -> None:
    await run.wait_finished()
    await run.wait_closed()


_cancelling: set[asyncio.Task[None]] = set()
