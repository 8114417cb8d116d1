"""Has something closed when its event loop ends: connections and stores that live as long as the loop does. Knows no run.

`asyncio.run` and its kin close the async generators of a loop last, after its tasks; a suspended one is what is used here.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable

_suspended: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, list[AsyncGenerator[None, None]]] = (
    weakref.WeakKeyDictionary()
)
_owners: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, set[int]] = weakref.WeakKeyDictionary()


def at_loop_end_once(owner: object, close: Callable[[], Awaitable[None]]) -> None:
    """The same, once per loop for an owner."""
    owners = _owners.setdefault(asyncio.get_running_loop(), set())
    if id(owner) not in owners:
        owners.add(id(owner))
        at_loop_end(close)


def at_loop_end(close: Callable[[], Awaitable[None]]) -> None:
    """Have `close` awaited when the running loop shuts down."""
    waiting = _wait(close)
    try:
        waiting.asend(None).send(None)  # up to its `yield`; the loop knows the generator from now on
    except StopIteration:
        _suspended.setdefault(asyncio.get_running_loop(), []).append(waiting)


async def _wait(close: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await close()
