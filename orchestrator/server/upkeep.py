"""What a server does with its store beside runs: ended ones are removed when they are old enough. The audit log says so."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.runtime.journal import AuditRow

if TYPE_CHECKING:  # the desk starts this
    from orchestrator.server.desk import Desk

LOG = logging.getLogger("orchestrator.upkeep")
DAY_S = 86_400.0
EVERY_S = 3_600.0
AT_ONCE = 500  # runs in one transaction, so that others get their turn between


async def prune_runs(desk: Desk, days: float, by: str) -> int:
    """Remove runs that ended more than `days` days ago; gives how many. Raises: UsageError without a store, StoreError."""
    if desk.store is None:
        raise UsageError("runs are kept in the memory of this process; there is no store to remove them from")
    if not 1 <= days <= 36_500:
        raise UsageError("give days, from 1 to 36,500", code="store.days")
    store, before, count = desk.store.store, desk.clock.now() - days * DAY_S, 0
    while removed := await store.prune(ended_before=before, limit=AT_ONCE):
        count += removed
    if count:
        await store.log([AuditRow(desk.clock.now(), "", by, "store.prune", {"days": days, "runs": count})])
    return count


async def keep_pruned(desk: Desk) -> None:
    """Remove old runs now and every hour, as `[store] keep_days` says at that time."""
    while True:
        days = desk.project.config.store_keep_days if desk.project is not None else None
        if days is not None:
            try:
                await prune_runs(desk, days, "")
            except OrchestratorError as error:  # the store may be away; the next hour tries again
                LOG.warning("old runs could not be removed: %s", error)
        woken = asyncio.Event()
        timer = desk.clock.call_at(desk.clock.now() + EVERY_S, woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()
