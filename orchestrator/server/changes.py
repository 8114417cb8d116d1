"""From what happens to runs and requests to notes on the bus and counts; a busy run is told of a few times a second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from orchestrator.server.book import ENDED, RequestRow, RunRow
from orchestrator.server.class_questions import note_of
from orchestrator.server.memory_book import Record

if TYPE_CHECKING:  # the desk owns one of these
    from orchestrator.server.desk import Desk

Json = Any  # plain JSON
NOTE_EVERY_S = 0.1


class ChangeNotes:
    """Listens to the books of a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pending: dict[str, Json] = {}  # notes of runs that are about to be told

    def run_created(self, record: Record) -> None:
        """A run in memory began."""
        self._desk.metrics.run_started(self._desk.memory.row(record).flow)
        self._desk.spawn(self._note_run(record))

    async def _note_run(self, record: Record) -> None:
        """Tell of a run whenever it has moved on, not more often than every `NOTE_EVERY_S`."""
        actor, desk = record.actor, self._desk
        seen = -2
        while True:
            end = record.end
            row = desk.memory.row(record)
            if end != seen:
                seen = end
                self._tell({"run_id": row.run_id, "flow": row.flow, "status": row.status, "seq": end - 1})
            if actor.is_over or record.actor is not actor or record.is_released:
                if actor.is_over:
                    desk.metrics.run_ended(row.flow, row.status)
                return
            if record.end == seen:
                await actor.wait_for_more()
            await asyncio.sleep(NOTE_EVERY_S)

    def stored_run_changed(self, row: RunRow, seq: int, is_new: bool) -> None:
        """Something of a run was committed here; what comes within a moment is told as one."""
        if is_new:
            self._desk.metrics.run_started(row.flow)
        if row.status in ENDED:
            self._desk.metrics.run_ended(row.flow, row.status)
        if not self._pending:
            asyncio.get_running_loop().call_later(NOTE_EVERY_S, self._publish_pending)
        self._pending[row.run_id] = {"run_id": row.run_id, "flow": row.flow, "status": row.status, "seq": seq}

    def _publish_pending(self) -> None:
        pending, self._pending = self._pending, {}
        for data in pending.values():
            self._tell(data)

    def _tell(self, note: Json) -> None:
        """Tell of a run, and of its questions where it is one that asks."""
        self._desk.bus.publish("run", note)
        if self._desk.class_questions.asks(note["flow"]):
            self._desk.bus.publish("request", note_of(note["run_id"], note["flow"]))

    def changed_elsewhere(self) -> None:
        """Another process has committed something."""
        self._desk.bus.publish("run", {"run_id": None})

    def request_changed(self, row: RequestRow) -> None:
        """A request was opened, answered, changed or closed."""
        if row.state != "open":
            self._desk.metrics.request_closed(row.state)
        note = {"id": row.id, "run_id": row.run_id, "flow": row.flow, "step": row.step, "state": row.state}
        self._desk.bus.publish("request", note | {"revision": row.revision})
