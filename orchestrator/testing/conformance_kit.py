"""What the checks of the conformance kit are made of: a registry, sample rows, and what a refusal is."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from orchestrator.errors import OrchestratorError
from orchestrator.journal.store import Store
from orchestrator.runtime.journal import (
    Admission,
    Batch,
    Claim,
    InboxEntry,
    Journal,
    NewRun,
)

Check = Callable[[Journal], Awaitable[None]]
StoreCheck = Callable[[Store], Awaitable[None]]
CHECKS: list[Check] = []
STORE_CHECKS: list[StoreCheck] = []
WORKER, OTHER = "worker-1", "worker-2"
NOW = 1_800_000_000.0
LEASE_S = 15.0


def check(function: Check) -> Check:
    """Add a function to the kit."""
    CHECKS.append(function)
    return function


def check_store(function: StoreCheck) -> StoreCheck:
    """Add a function about queries and operation to the kit."""
    STORE_CHECKS.append(function)
    return function


async def run_check(function: Check | StoreCheck, make: Callable[[], Any]) -> None:  # a Journal, or a Store
    """Run one check on a new journal, and close it."""
    journal = make()
    try:
        await journal.renew(WORKER, now=NOW, lease_s=LEASE_S)
        await function(journal)
    finally:
        await journal.aclose()


def tick(number: int, text: str = "") -> str:
    """A tick as JSON text; a journal does not look into it."""
    return json.dumps(["event", NOW, -1, f"T{number}", [text]])


def new_run(run_id: str, **fields: Any) -> NewRun:
    """A run as its creator describes it."""
    return NewRun(run_id, "flow", "hash-1", "yaml", NOW, root=run_id, **fields)


async def start(journal: Journal, run_id: str, ticks: int = 1, **fields: Any) -> None:
    """Create a run with a few ticks, held by WORKER with epoch 1."""
    texts = [tick(i) for i in range(ticks)]
    await journal.commit(Batch(run_id, 1, 0, NOW, WORKER, texts, create=new_run(run_id, **fields)))


def batch(run_id: str, first_seq: int, count: int = 1, epoch: int = 1, **fields: Any) -> Batch:
    """A commit of `count` ticks."""
    return Batch(run_id, epoch, first_seq, NOW, WORKER, [tick(first_seq + i) for i in range(count)], **fields)


def event(run_id: str, dedup: str, at: float = NOW, kind: str = "event") -> InboxEntry:
    """Something that comes for a run."""
    return InboxEntry(run_id, kind, {"type": "E", "value": dedup}, dedup, at)


async def refused(error: type[OrchestratorError], work: Awaitable[Any]) -> OrchestratorError:
    """The error that `work` raises, which must be of this type."""
    try:
        await work
    except error as found:
        return found
    raise AssertionError(f"it should have raised {error.__name__}")


async def seqs(journal: Journal, run_id: str) -> list[int]:
    """The numbers of a run's committed ticks."""
    return [seq for seq, _ in await journal.ticks(run_id, -1, 1_000_000)]


async def claim(journal: Journal, run_id: str, worker: str = WORKER, now: float = NOW) -> Claim | None:
    """Claim a run by its id."""
    found = await journal.claim(worker, now=now, lease_s=LEASE_S, run_id=run_id)
    return found[0] if found else None


async def admit(journal: Journal, run_id: str, rule: Admission) -> bool:
    """Create a run under a rule; whether it has to queue."""
    new = new_run(run_id, admission=rule, start=["started", NOW, -1])
    return (await journal.commit(Batch(run_id, 1, 0, NOW, WORKER, create=new))).is_queued


async def end(journal: Journal, run_id: str, epoch: int = 1) -> None:
    """End a run that was just created."""
    await journal.commit(Batch(run_id, epoch, 0, NOW, WORKER, [tick(0)], status="done", outcome={}, releases=True))
