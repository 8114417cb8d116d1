"""A checkpoint storage in memory: gone with the process, otherwise like the others (it takes only what JSON can hold)."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from orchestrator.errors import JournalConflict
from orchestrator.functional.entries import Entry, is_first, seq_of
from orchestrator.functional.record_log import RecordLog, workflow_of


class InMemoryCheckpointStorage(RecordLog):
    """Keeps runs in this object.

    Example: workflow(checkpoint_storage=InMemoryCheckpointStorage())(my_function)
    """

    def __init__(self) -> None:
        self._runs: dict[str, list[Entry]] = {}
        self._hidden: dict[str, set[int]] = {}

    def append(self, run_id: str, entries: list[Entry]) -> Awaitable[None] | None:
        """Keep entries. Raises: JournalConflict if their seq is taken."""
        run = self._runs.setdefault(run_id, [])
        check_order(run_id, seq_of(run[-1]) if run else -1, entries)
        run.extend(entries)
        return None

    async def read(self, run_id: str) -> Sequence[Entry] | None:
        """All entries of a run, or None."""
        return self._runs.get(run_id)

    async def run_ids(self, workflow_name: str) -> list[str]:
        """The runs of a workflow, the least recently started first."""
        return [run_id for run_id, entries in self._runs.items() if workflow_of(entries[0]) == workflow_name]

    async def hidden(self, run_id: str) -> set[int]:
        """The seqs whose checkpoints were deleted."""
        return self._hidden.get(run_id, set())

    async def hide(self, run_id: str, seq: int) -> None:
        """Delete a checkpoint."""
        self._hidden.setdefault(run_id, set()).add(seq)

    async def drop(self, run_id: str) -> None:
        """Remove a run."""
        self._runs.pop(run_id, None)
        self._hidden.pop(run_id, None)


def check_order(run_id: str, last_seq: int, entries: list[Entry]) -> None:
    """Refuse entries that come after something this process has not seen. Raises: JournalConflict."""
    if seq_of(entries[0]) <= last_seq or is_first(entries[0]) != (last_seq < 0):
        raise JournalConflict(
            f"run {run_id} was continued elsewhere (its record {seq_of(entries[0])} exists already); what was done here since "
            "is not kept. Let one process at a time answer or resume a run"
        )
