"""Where runs are kept, as users say it."""

from __future__ import annotations

from typing import Any

from orchestrator.functional.errors import RunArgumentError
from orchestrator.functional.record_log import CheckpointStorage, RecordLog
from orchestrator.functional.snapshots import SnapshotStorage


def places_of(checkpoint_storage: CheckpointStorage | RecordLog | None, store: Any) -> tuple[RecordLog | None, Any]:
    """Where runs are kept: a checkpoint storage, or a store that an engine runs on. Raises: RunArgumentError, UsageError."""
    if checkpoint_storage is not None and store is not None:
        raise RunArgumentError("checkpoint_storage and store both say where a run is kept; give one of them")
    given = checkpoint_storage if checkpoint_storage is not None else store
    if given is None or isinstance(given, RecordLog):
        return given, None
    if isinstance(given, str) and given.startswith("file:///"):
        from orchestrator.functional.files import FileCheckpointStorage

        return FileCheckpointStorage(given.removeprefix("file:///")), None
    if checkpoint_storage is None:
        if isinstance(store, str):
            from orchestrator.journal.open import parse_store_url

            parse_store_url(store)
        return None, store
    if isinstance(given, CheckpointStorage):
        return SnapshotStorage(given), None
    raise RunArgumentError(
        f"{type(given).__name__} is no checkpoint storage: it lacks the methods of CheckpointStorage"
    )
