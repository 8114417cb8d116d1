"""What operators and pages ask of a store, beyond what running needs: the `Store` protocol and its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.journal.audit import AuditEntry, AuditProof
from orchestrator.runtime.journal import AuditRow, InboxEntry, Journal, Json, RequestRow


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as lists show it. `due_at`: when it is due if nobody holds it; `holder`: the worker that does."""

    run_id: str
    flow: str
    flow_hash: str
    kind: str
    status: str
    created_at: float
    ended_at: float | None = None
    due_at: float | None = None
    holder: str | None = None
    parent: str | None = None
    root: str = ""
    epoch: int = 0
    dedup: str | None = None
    outcome: Json = None
    meta: Json = None
    rk: int = 0

    @property
    def error(self) -> Json:
        """The error record of a run that failed."""
        return self.outcome.get("error") if isinstance(self.outcome, dict) else None

    @property
    def parked(self) -> Json:
        """Why a parked run was set aside: {code, message, at}."""
        return self.outcome.get("parked") if isinstance(self.outcome, dict) else None


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs; what is None does not matter. `since` and `until` are about creation."""

    flow: str | None = None
    statuses: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None
    parent: str | None = None
    flow_hash: str | None = None
    roots_only: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Runs, newest first; `next` continues after them, None at the end."""

    rows: tuple[RunRow, ...]
    next: int | None = None


@dataclass(frozen=True, slots=True)
class FlowVersion:
    """A stored version of a flow, and how many of its runs have not ended."""

    flow: str
    flow_hash: str
    created_at: float
    open_runs: int


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A process that may hold runs."""

    name: str
    lease_until: float
    runs: int


@dataclass(frozen=True, slots=True)
class StoreStats:
    """How full a store is."""

    by_status: dict[str, int]
    open_requests: int
    audit_lines: int
    size_bytes: int
    workers: tuple[WorkerRow, ...]


@dataclass(frozen=True, slots=True)
class TriggerRow:
    """A registered trigger. kind: cron, event or webhook; `id` is `flow/number`; `next_at` is for cron."""

    id: str
    flow: str
    flow_hash: str
    kind: str
    spec: Json
    next_at: float | None = None
    last_at: float | None = None
    is_paused: bool = False


@dataclass(frozen=True, slots=True)
class TakenEntry:
    """Something that a run took from its inbox: what comes again under its dedup key is known by it. `reply` is its answer."""

    kind: str
    dedup: str
    at: float
    reply: Json = None


@dataclass(frozen=True, slots=True)
class StoredRun:
    """Everything of one run, for export and import. `ticks` are from `first_seq` on; `inbox` is what it has not taken yet,
    `taken` what it has. `admission`: the key that it counts under in its flow's concurrency, and whether it was let in."""

    row: RunRow
    flow: Json
    first_seq: int
    ticks: Sequence[Json]
    snapshot: tuple[int, str] | None = None
    requests: Sequence[RequestRow] = ()
    audit: Sequence[AuditRow] = field(default=())
    inbox: Sequence[InboxEntry] = ()
    taken: Sequence[TakenEntry] = ()
    admission: tuple[str, bool] | None = None


@dataclass(frozen=True, slots=True)
class StoredShelf:
    """What a store keeps beside its runs, for export and import: versions of flows as (hash, IR, created at), results under
    `id:` keys as (flow, key, digest, holder, [result] or None, at), cached values as (scope, key, value, expires at)."""

    flows: Sequence[tuple[str, Json, float]] = ()
    ids: Sequence[tuple[str, str, str, str, Json, float]] = ()
    cached: Sequence[tuple[str, str, Json, float | None]] = ()
    triggers: Sequence[TriggerRow] = ()


class Store(Journal, Protocol):
    """A journal that can be asked about, cleaned and moved."""

    async def runs(self, which: RunFilter, *, before: int | None = None, limit: int = 50) -> Page:
        """Runs, newest first. Cost: by index for flow, status and time."""
        ...

    async def run(self, run_id: str) -> RunRow:
        """One run. Raises: UnknownRun."""
        ...

    async def requests(
        self,
        names: Sequence[str] | None = None,
        *,
        state: str = "open",
        run_id: str | None = None,
        request_id: str | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[tuple[int, RequestRow]]:
        """Requests by state, oldest first, with a number to go on from. `names`: those who may answer, as `u:kim`, `g:legal`;
        requests without an audience count for everybody, those that exclude a named user do not. Cost: by index for state,
        `run_id` and `request_id`."""
        ...

    async def audit(self, *, run_id: str | None = None, after: int = 0, limit: int = 1000) -> list[AuditEntry]:
        """Lines of the audit log, oldest first."""
        ...

    async def verify_audit(self, kept: str | None = None) -> AuditProof:
        """Check the hash chain of the audit log, and that it has a line with the hash `kept`. Cost: O(lines)."""
        ...

    async def stats(self) -> StoreStats:
        """How full the store is. Cost: by index."""
        ...

    async def versions(self, flow: str | None = None) -> list[FlowVersion]:
        """Stored versions of flows, newest first."""
        ...

    async def overdue(self, *, now: float, by_s: float) -> list[RunRow]:
        """Runs that nobody has taken though they have been due for `by_s` seconds, and those of lost workers."""
        ...

    async def delete(self, run_ids: Sequence[str]) -> int:
        """Remove ended runs with all that belongs to them, but their audit lines. Raises: JournalConflict for one that
        has not ended; nothing is removed then."""
        ...

    async def prune(self, *, ended_before: float, limit: int = 500) -> int:
        """Remove up to `limit` runs that ended before; gives how many."""
        ...

    async def export_run(self, run_id: str) -> StoredRun:
        """Everything of a run. Raises: UnknownRun."""
        ...

    async def import_run(self, stored: StoredRun, *, now: float) -> None:
        """Add a run from elsewhere; one that has not ended is due at once, unless others of its flow are before it.
        Raises: JournalConflict if its id is there."""
        ...

    async def export_shelf(self) -> StoredShelf:
        """What is kept beside runs. Cost: O(size)."""
        ...

    async def import_shelf(self, shelf: StoredShelf) -> None:
        """Add what is not there; what is there under the same key stays."""
        ...

    async def set_triggers(self, flow: str, rows: Sequence[TriggerRow]) -> None:
        """Replace the triggers of a flow; one whose spec is as before keeps its times and its pause."""
        ...

    async def triggers(self, *, kind: str | None = None, due_by: float | None = None) -> list[TriggerRow]:
        """Registered triggers, or those that are due."""
        ...

    async def advance_trigger(
        self, id: str, *, was: float | None, next_at: float | None, last_at: float | None
    ) -> bool:
        """Set when a trigger is due next, if nobody has done so since it was due at `was`."""
        ...

    async def pause_trigger(self, id: str, *, is_paused: bool) -> bool:
        """Pause a trigger or let it go on; False if there is none."""
        ...
