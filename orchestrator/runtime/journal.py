"""What the runtime needs of a journal: the protocol and its records. Implementations: orchestrator.journal.

Truth is here: a run is its ticks. One `commit` is one transaction, conditional on the claim's epoch, and all or nothing. The
inbox carries what comes from outside a run (events, answers, ends of children, cancels); a row is consumed by the commit that
holds the tick it became, so an acknowledged event is applied exactly once. Everything stored is JSON text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Json = Any  # plain JSON


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be created. `start` is its first tick as JSON; a child is started by whoever claims it."""

    run_id: str
    flow: str
    flow_hash: str
    kind: str
    created_at: float
    start: Json = None
    parent: str | None = None
    root: str | None = None
    dedup: str | None = None
    meta: Json = None


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """Something that came for a run. kind: start, event, answer, child or cancel; `dedup` is unique per run."""

    run_id: str
    kind: str
    data: Json
    dedup: str
    at: float
    id: int = 0


@dataclass(frozen=True, slots=True)
class RequestRow:
    """An open or closed request to people, as the inbox shows it. `state`: open, decided, timeout, undecided, cancelled."""

    run_id: str
    request_id: str
    step: str
    state: str
    data: Json
    opened_at: float
    due_at: float | None = None
    closed_at: float | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One line of the audit log; the journal adds the hash chain."""

    at: float
    run_id: str
    actor: str
    action: str
    data: Json


@dataclass(slots=True)
class Batch:
    """What one commit writes.

    `ticks` are JSON texts from `first_seq` on. `status` and `wake_at` (the earliest timer) go into the run's row; with
    `releases` the claim is given up in the same transaction. `create` makes the run itself.
    """

    run_id: str
    epoch: int
    first_seq: int
    at: float
    ticks: list[str] = field(default_factory=list)
    status: str = "running"
    wake_at: float | None = None
    create: NewRun | None = None
    consumed: list[int] = field(default_factory=list)
    posts: list[InboxEntry] = field(default_factory=list)
    children: list[NewRun] = field(default_factory=list)
    requests: list[RequestRow] = field(default_factory=list)
    audit: list[AuditRow] = field(default_factory=list)
    snapshot: tuple[int, str] | None = None
    outcome: Json = None
    releases: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to commit for a run, until somebody claims it with a higher epoch."""

    run_id: str
    epoch: int
    flow: str
    flow_hash: str
    kind: str
    status: str
    parent: str | None
    meta: Json


@dataclass(frozen=True, slots=True)
class Loaded:
    """A run's last snapshot, the ticks after it as (seq, JSON text), and its unconsumed inbox in order."""

    snapshot: tuple[int, str] | None
    ticks: Sequence[tuple[int, str]]
    inbox: Sequence[InboxEntry]


class Journal(Protocol):
    """Where runs are kept. All methods may be called from the engine's event loop only.

    Raises: StoreBusy, StoreError; nothing is written when a method raises.
    """

    async def commit(self, batch: Batch) -> None:
        """Write a batch, or nothing. Raises: Fenced, JournalConflict (a run of this id exists)."""
        ...

    async def post(self, entry: InboxEntry) -> bool:
        """Put something into a run's inbox; False if its dedup key was there. Raises: UnknownRun, RunFinished."""
        ...

    async def claim(
        self, worker: str, *, now: float, lease_s: float, run_id: str | None = None, limit: int = 1
    ) -> list[Claim]:
        """Take runs that are due (or one by id) and nobody holds; raises their epoch."""
        ...

    async def renew(self, worker: str, *, now: float, lease_s: float) -> None:
        """Extend every claim of a worker."""
        ...

    async def load(self, run_id: str) -> Loaded:
        """What a claimer needs to go on. Raises: UnknownRun."""
        ...

    async def inbox(self, run_id: str, after: int) -> list[InboxEntry]:
        """What has come for a run since an inbox id."""
        ...

    async def release(self, run_id: str, epoch: int, *, wake_at: float | None) -> None:
        """Give up a claim; a claim that was taken over already is left alone."""
        ...

    async def next_due(self) -> float | None:
        """When the next run nobody holds is due, by index; None if none waits for a time."""
        ...

    async def ticks(self, run_id: str, after: int, limit: int) -> list[tuple[int, str]]:
        """Committed ticks with a seq greater than `after`, oldest first. Raises: UnknownRun."""
        ...

    async def put_flow(self, flow_hash: str, ir: Json) -> None:
        """Keep a version of a flow."""
        ...

    async def get_flow(self, flow_hash: str) -> Json | None:
        """A version of a flow."""
        ...

    async def changes(self) -> int:
        """A number that grows whenever another process may have written."""
        ...

    async def aclose(self) -> None:
        """Finish what was accepted and close."""
        ...
