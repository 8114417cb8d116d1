"""The loop beside the runs of one engine: renews its lease, reads mail, wakes what is due, and lets go of what is cold.

It polls one number of the journal and one index; it holds no timer or task per waiting run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from orchestrator.errors import OrchestratorError

if TYPE_CHECKING:  # the engine owns its keeper
    from orchestrator.runtime.durable import DurableEngine

POLL_S = 0.1
LOOK_S = 1.0  # nothing was told for so long: look all the same
SWEEP_LIMIT = 100
log = logging.getLogger("orchestrator.engine")


class Keeper:
    """Keeps the claims of an engine alive and its runs awake."""

    def __init__(self, engine: DurableEngine, poll_s: float) -> None:
        self._engine = engine
        self._poll_s = poll_s
        self._loop: asyncio.Task[None] | None = None
        self._opening: asyncio.Lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._tasks: dict[asyncio.Task[Any], None] = {}  # in order, so that a simulation repeats
        self._given_up: list[tuple[str, int, float | None]] = []
        self._changes = -1
        self._due: float | None = None  # when the next run is due, as it was found at `_looked_at`
        self._looked_at = -LOOK_S
        self._renewed_at = 0.0
        self._is_open = False
        self._is_closed = False
        self._has_unparked = False

    async def open(self) -> None:
        """Announce the worker and begin to keep; does nothing the second time. Raises: StoreBusy, StoreError."""
        self.begin()
        if self._is_open:
            return
        async with self._opening:
            if not self._is_open:
                await self._renew()
                self._is_open = True

    def begin(self) -> None:
        """Begin to keep; the worker is announced as soon as the store takes it."""
        if self._loop is None and not self._is_closed:
            self._loop = asyncio.get_running_loop().create_task(self._keep())

    def wake(self) -> None:
        """Look again at once."""
        self._looked_at = -LOOK_S
        self._wake.set()

    def unpark(self) -> None:
        """Try runs again that were parked for want of code, soon."""
        self._has_unparked = False
        self.wake()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something beside; what the store refuses is logged, and done again when it is due."""
        if self._is_closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

    async def _guarded(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            await work
        except OrchestratorError as error:
            log.warning("worker %s: %s", self._engine.worker, error)

    def give_up_later(self, run_id: str, epoch: int, wake_at: float | None) -> None:
        """Release a claim as soon as the store takes it."""
        self._given_up.append((run_id, epoch, wake_at))
        self.wake()

    async def close(self) -> None:
        """Stop keeping; what was begun is finished."""
        self._is_closed = True
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def abandon(self) -> None:
        """Stop at once, without a word to the journal."""
        self._is_closed, self._is_open = True, False
        for task in [*self._tasks, *([self._loop] if self._loop is not None else [])]:
            task.cancel()
        self._loop = None

    async def leave(self) -> None:
        """Sign the worker off; what it still holds is due at once."""
        if self._is_open:
            self._is_open = False
            try:
                await self._engine.journal.leave(self._engine.worker)
            except OrchestratorError as error:  # its lease ends by itself
                log.warning("worker %s: %s", self._engine.worker, error)

    async def _keep(self) -> None:
        engine = self._engine
        while not self._is_closed:
            pause = self._poll_s
            try:
                due = await self._round()
                if due is not None:
                    pause = min(pause, max(0.0, due - engine.clock.now()))
            except OrchestratorError as error:
                log.warning("worker %s: %s", engine.worker, error)
                pause = max(1.0, self._poll_s)
            if self._wake.is_set():
                pause = 0.0
            self._wake.clear()
            if not pause:
                await asyncio.sleep(0)
                continue
            try:
                async with asyncio.timeout(pause):  # not wait_for, which in 3.11 may swallow a cancellation
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _round(self) -> float | None:
        engine = self._engine
        now = engine.clock.now()
        if now - self._renewed_at >= engine.lease_s / 3:
            await self._renew()
            self._is_open = True
        if engine.serves and not self._has_unparked:
            await engine.journal.unpark(engine.retried_codes, now=now)
            self._has_unparked = True
        while self._given_up:
            run_id, epoch, wake_at = self._given_up[0]  # others may come while it is released
            await engine.journal.release(run_id, epoch, wake_at=wake_at)
            del self._given_up[0]
        changes = await engine.journal.changes()
        is_changed = changes != self._changes
        if is_changed:
            self._changes = changes
            if engine.sinks:
                for run_id in await engine.journal.mail(engine.worker):
                    await engine.read_inbox(run_id)
        if engine.has_queued:
            await engine.take_queued()
        self._let_go_of_cold(now)
        if not engine.serves:
            return None
        is_known = not is_changed and now - self._looked_at < LOOK_S
        if is_known and (self._due is None or self._due > now):
            return self._due
        due = await engine.journal.next_due(now=now)
        while due is not None and due <= now and await engine.sweep(SWEEP_LIMIT):
            due = await engine.journal.next_due(now=now)
        if due is not None and due <= now:  # not to be had now: ask again at the next round
            return None
        self._due, self._looked_at = due, now
        return due

    async def _renew(self) -> None:
        engine = self._engine
        now = engine.clock.now()
        await engine.journal.renew(engine.worker, now=now, lease_s=engine.lease_s)
        self._renewed_at = now

    def _let_go_of_cold(self, now: float) -> None:
        engine = self._engine
        for sink in list(engine.sinks.values()):
            actor = sink.actor
            if sink.pins or sink.is_dirty or sink.is_releasing or not actor.rests or not engine.serves:
                sink.idle_since = now if not actor.rests else sink.idle_since or now
            elif not sink.idle_since:
                sink.idle_since = now
            elif now - sink.idle_since >= engine.keep_warm_s:
                sink.is_releasing = True
                self.spawn(engine.give_up(actor, sink))
