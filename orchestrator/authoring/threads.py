"""Sync steps in threads. Context variables follow; a timed-out thread cannot be stopped, so it keeps its place until it ends.

While a thread that was given up on still runs, it counts against `num_workers` of its step. Its context raises RunReleased.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any

from orchestrator.authoring.definition import StepDef
from orchestrator.authoring.run_data import RunData
from orchestrator.runtime.actor import current_cell

Result = Any  # what a step returns


def run_in_thread(step: StepDef) -> Callable[..., Coroutine[Any, Any, Result]]:
    """A coroutine function that calls the sync function of a step in a thread."""
    func, name, limit = step.func, step.name, step.num_workers

    async def call(*args: Any, **kwargs: Any) -> Result:
        cell = current_cell.get()
        assert cell is not None
        data: RunData = cell.run.data
        await _wait_for_place(data, name, limit)
        loop = asyncio.get_running_loop()
        context = copy_context()
        future = loop.run_in_executor(None, lambda: context.run(func, *args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if not future.done():
                _leave_behind(data, name, future)
            raise

    return call


async def _wait_for_place(data: RunData, step: str, limit: int | None) -> None:
    """Wait until threads that were left behind make room for one more."""
    while limit is not None and data.threads is not None and data.threads.get(step, 0) >= limit:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        data.thread_waiters = [*(data.thread_waiters or ()), future]
        await future


def _leave_behind(data: RunData, step: str, future: asyncio.Future[Result]) -> None:
    threads = data.threads = data.threads if data.threads is not None else {}
    threads[step] = threads.get(step, 0) + 1

    def ended(done: asyncio.Future[Result]) -> None:
        threads[step] -= 1
        if not done.cancelled():
            done.exception()  # nobody else will look at it
        waiters, data.thread_waiters = data.thread_waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    future.add_done_callback(ended)
