"""What the tests of the class API share: events, a virtual engine, and a check that nothing is left running."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from orchestrator import Event, WorkflowHandler
from orchestrator.runtime.clock import VirtualClock
from orchestrator.runtime.engine import Engine


class A(Event):
    n: int = 0


class B(Event):
    n: int = 0


class C(Event):
    n: int = 0


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine function and see that no task is left when it ends."""

    async def checked() -> Any:
        result = await main()
        left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task() and not t.done()]
        assert left == []
        return result

    return asyncio.run(checked())


def virtual() -> tuple[Engine, VirtualClock]:
    """An engine in memory whose time stands still until it is moved."""
    clock = VirtualClock()
    return Engine(clock=clock), clock


async def settle(turns: int = 20) -> None:
    """Let everything that can run, run."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def forward(clock: VirtualClock, seconds: float) -> None:
    """Let things run, move the time, let things run."""
    await settle()
    clock.advance(seconds)
    await settle()


async def drain(handler: WorkflowHandler, **options: Any) -> list[Any]:
    """The whole stream of a run."""
    return [event async for event in handler.stream_events(**options)]
