"""Storages of other makers, which know whole checkpoints only: each append saves one that holds everything so far."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime

from orchestrator.functional.entries import Entry, kind_of, seq_of
from orchestrator.functional.memory import check_order
from orchestrator.functional.record_log import (
    CheckpointStorage,
    RecordLog,
    WorkflowCheckpoint,
    checkpoint_id_of,
    workflow_of,
)


class SnapshotStorage(RecordLog):
    """A record log over any object with the methods of `CheckpointStorage`.

    Cost: as that object makes it; a checkpoint grows with its run, so n steps cost O(n²) bytes in a storage that copies.
    """

    def __init__(self, inner: CheckpointStorage) -> None:
        self.inner = inner
        self._runs: dict[str, list[Entry]] = {}

    def append(self, run_id: str, entries: list[Entry]) -> Awaitable[None] | None:
        """Save a checkpoint. Raises: JournalConflict, and what the storage raises."""
        run = self._runs.setdefault(run_id, [])
        check_order(run_id, seq_of(run[-1]) if run else -1, entries)
        previous = checkpoint_id_of(run_id, seq_of(run[-1])) if run else None
        run.extend(entries)
        last = run[-1]
        at = datetime.fromtimestamp(last[2], UTC).isoformat(timespec="microseconds")
        name = checkpoint_id_of(run_id, seq_of(last))
        held = list(run)
        if kind_of(last) == "settled":
            del self._runs[run_id]
        return self._save(WorkflowCheckpoint(workflow_of(held[0]), run_id, name, previous, at, held, len(held)))

    async def _save(self, checkpoint: WorkflowCheckpoint) -> None:
        await self.inner.save(checkpoint)

    async def read(self, run_id: str) -> Sequence[Entry] | None:
        """All entries of a run, or None."""
        known = self._runs.get(run_id)
        return known if known is not None else await self._find(run_id)

    async def _find(self, run_id: str) -> Sequence[Entry] | None:
        return None

    async def load(self, checkpoint_id: str) -> WorkflowCheckpoint:
        """The checkpoint of an id, from the storage. Raises: what the storage raises."""
        checkpoint = await self.inner.load(checkpoint_id)
        self._runs.setdefault(checkpoint.run_id, [checkpoint.entries[i] for i in range(checkpoint.count)])
        return checkpoint

    async def run_ids(self, workflow_name: str) -> list[str]:
        """The runs of a workflow that this object has written or loaded, and the one saved last."""
        latest = await self.inner.get_latest(workflow_name=workflow_name)
        if latest is not None and latest.run_id not in self._runs:
            self._runs[latest.run_id] = [latest.entries[i] for i in range(latest.count)]
        return [run_id for run_id, entries in self._runs.items() if workflow_of(entries[0]) == workflow_name]

    async def hidden(self, run_id: str) -> set[int]:
        """Never any: the storage deletes by itself."""
        return set()
