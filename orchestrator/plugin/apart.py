"""Runs code of a plugin that may take its time, or never end, in a thread of its own, so that the event loop goes on.

The thread is a daemon: one that never ends keeps nobody from stopping the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def run_apart(work: Callable[[], T], limit_s: float, name: str) -> T:
    """What `work` gives. Raises: what it raises; TimeoutError if it has not ended in time, and then it is left alone."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def settle(value: T | None, problem: BaseException | None) -> None:
        if future.done():
            return
        if problem is not None:
            future.set_exception(problem)
        else:
            future.set_result(value)  # type: ignore[arg-type]  # None only where T is None

    def run() -> None:
        value: T | None = None
        problem: BaseException | None = None
        try:
            value = context.run(work)
        except BaseException as error:  # it is raised where the result is awaited
            problem = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, value, problem)

    threading.Thread(target=run, name=name, daemon=True).start()
    async with asyncio.timeout(limit_s):
        return await future


def wait_apart(work: Callable[[], T], limit_s: float, name: str) -> T:
    """The same for a thread that may wait, without an event loop. Raises: as `run_apart`."""
    done: Future[T] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            done.set_result(context.run(work))
        except BaseException as error:  # it is raised where the result is waited for
            done.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return done.result(limit_s)
