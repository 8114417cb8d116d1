"""Who tells which worker to wake which run. A dispatcher may lose, repeat or delay what it is told: only the journal counts.

What is due, or was held by a worker that is lost, is found by every worker's sweep, so a wake-up that got lost costs time and
nothing else. A wake-up too many finds a run that is not due, or that another worker holds, and does nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # a worker has a dispatcher
    from orchestrator.dispatch.worker import Worker


BITE = 24  # runs taken at a time, and twice as many while there are as many


class Dispatcher(Protocol):
    """Brings due runs to workers."""

    async def start(self, worker: Worker) -> None:
        """Begin to wake runs on this worker. Raises: StoreError if it cannot."""
        ...

    async def sweep(self, worker: Worker, room: int) -> int:
        """Have what is due woken, here or elsewhere; gives how many runs this worker took. Room: how many it may take."""
        ...

    async def aclose(self) -> None:
        """Wake nothing more here."""
        ...


class LocalDispatcher:
    """Every worker takes what is due itself: no queue beside the journal."""

    def __init__(self) -> None:
        self._bite = BITE

    async def start(self, worker: Worker) -> None:
        """Nothing to begin."""

    async def sweep(self, worker: Worker, room: int) -> int:
        """Take due runs, a few at a time, so that workers that start together share them."""
        taken = await worker.take_due(min(room, self._bite))
        self._bite = 2 * BITE if taken >= min(room, BITE) else BITE
        return taken

    async def aclose(self) -> None:
        """Nothing to end."""
