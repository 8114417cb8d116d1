"""Which engine runs a workflow: the one in memory, or that of a store given as a URL, a Journal or an engine."""

from __future__ import annotations

from typing import Any

from orchestrator.errors import UsageError
from orchestrator.runtime.engine import Engine, current_engine


def engine_of(store: Any) -> Engine:  # a URL, a Journal or an engine
    """The engine of a store; without one, that of the running loop, in memory.

    Raises: UsageError for what is no store.
    """
    if store is None:
        return current_engine()
    if isinstance(store, Engine):
        return store
    raise UsageError(
        f"store={store!r} is no store that class workflows can run on; give an engine, or leave it out to run in memory"
    )


async def post_to_store(engine: Engine, run_id: str, event: Any) -> None:
    """Put an event into a run of a durable store."""
    raise NotImplementedError
