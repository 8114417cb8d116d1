"""Where the ticks of a run go that is kept in a checkpoint storage: one entry each, appended in order.

Events that are only shown take numbers and are not kept. So that a run which is read back gives no number twice, it goes on
`UNKEPT` numbers after its last entry, and an entry is kept early enough that no more than these are ever shown after one.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any

from orchestrator.functional.entries import Entry, entry_of
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor

if TYPE_CHECKING:  # storages know workflows' results
    from orchestrator.functional.record_log import RecordLog
    from orchestrator.functional.session import RunSession


UNKEPT = 10_000
_MARK_EVERY = 1_000


class RecordSink:
    """The `Sink` of a functional run."""

    def __init__(self, actor: Actor, storage: RecordLog) -> None:
        self.actor = actor
        self.storage = storage
        self._codec = actor.plan.codec
        self.outbox: list[t.Command] = []
        self._entries: list[Entry] = []
        self._busy: asyncio.Future[None] | None = None
        self._is_due = False
        self._kept_seq = actor.state.seq
        self._broken: BaseException | None = None

    @property
    def is_settled(self) -> bool:
        """An end may be told at once: the session flushes before it tells."""
        return True

    @property
    def is_releasing(self) -> bool:
        """Never: nobody claims runs of a checkpoint storage."""
        return False

    def add(self, tick: t.Tick) -> None:
        """A tick is about to be applied; readers may see it at once."""
        is_mark = type(tick) is t.Streamed and tick.seq - self._kept_seq >= _MARK_EVERY
        if is_mark or type(tick) is not t.Streamed:
            self._entries.append(entry_of(tick, self._codec, self.actor.plan.ir.name))
            self._kept_seq = tick.seq
        if is_mark:
            self._flush_shortly()
        self.actor.entries.append(tick)
        self.actor.wake_readers()

    def hold(self, command: t.Command) -> None:
        """A command that reaches outside of the run waits for the next flush."""
        self.outbox.append(command)

    async def barrier(self) -> bool:
        """Append everything applied so far. Raises: what the storage raises."""
        await self.flush()
        return True

    def must_flush(self, is_pure: bool) -> bool:
        """Never: the body flushes by itself, where a refusal of the storage reaches the caller."""
        return False

    async def flush(self) -> None:
        """Append everything applied so far, then do what was waiting for it. Raises: what the storage raises."""
        while True:
            if self._broken is not None:
                raise self._broken
            if self._busy is not None:
                await asyncio.shield(self._busy)
                continue
            if not self._entries and not self.outbox:
                return
            entries, self._entries = self._entries, []
            outbox, self.outbox = self.outbox, []
            if entries:
                await self._append(entries)
            for command in outbox:
                self.actor.perform(command)

    async def _append(self, entries: list[Entry]) -> None:
        try:
            pending = self.storage.append(self.actor.run_id, entries)
            if pending is None:
                return
            self._busy = asyncio.get_running_loop().create_future()
            try:
                await asyncio.shield(pending)
            finally:
                busy, self._busy = self._busy, None
                busy.set_result(None)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._broken = error
            session: RunSession = self.actor.data
            session.fail(error)
            raise

    def flush_soon(self) -> None:
        """An end of the run is waiting to be told: commit it, whoever applied it."""
        if self.outbox:
            self._flush_shortly()

    def _flush_shortly(self) -> None:
        if not self._is_due and self._broken is None:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._start_flush, context=Context())

    def _start_flush(self) -> None:
        self._is_due = False
        task = asyncio.get_running_loop().create_task(self.flush())
        self._flushing = task
        task.add_done_callback(_look)

    def type_of(self, value: Any) -> str:
        """The event type of a streamed payload."""
        return str(self._codec.stream_type(value))


def _look(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # the session was told already
