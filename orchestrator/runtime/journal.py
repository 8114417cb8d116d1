"""What the runtime needs of a journal: the protocol and its records. Implementations: orchestrator.journal.

Truth is here: a run is its ticks. One `commit` is one transaction, conditional on the claim's epoch, and all or nothing. The
inbox carries what comes from outside a run (its start, events, answers, ends of children, cancels); a row is consumed by the
commit that holds the tick it became, so an acknowledged event is applied exactly once. Everything stored is JSON text.

Invariants of every implementation (held by `orchestrator.testing.conformance`)
 J1  a commit with an epoch that is not the run's raises Fenced and writes nothing.
 J2  a commit that is repeated (same run, epoch and first_seq) succeeds and writes nothing, so an unknown outcome is resolved
     by committing again.
 J3  a run is claimed by one worker at a time; a claim raises its epoch.
 J4  a run that is released with unconsumed inbox rows is due at once.
 J5  an inbox row is accepted once per (run, dedup), also after it was consumed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Json = Any  # plain JSON

FINAL = frozenset({"done", "failed", "cancelled", "timeout"})
"""Statuses of a run that has ended. Others: new, queued, running, waiting, stopping, cleaning, parked."""


@dataclass(frozen=True, slots=True)
class Admission:
    """How many runs of a flow and key may be under way: mode parallel, queue, restart or single."""

    mode: str
    key: str
    max: int | None = None

    @property
    def limit(self) -> int | None:
        """How many may be under way at once; None for no limit."""
        return self.max if self.mode == "parallel" else self.max or 1


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be created.

    `start` is its first tick as JSON, put into its inbox for whoever claims it; without it the creator goes on with ticks of
    its own. `is_claimed`: the worker that commits holds it from the start. `pool`: whose workers alone may take it.
    """

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
    admission: Admission | None = None
    is_claimed: bool = True
    pool: str | None = None


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """Something that came for a run. kind: start, event, answer, child, cancel or redo; `dedup` is unique per run."""

    run_id: str
    kind: str
    data: Json
    dedup: str
    at: float
    id: int = 0


@dataclass(frozen=True, slots=True)
class RequestRow:
    """An open or closed request to people, as the inbox shows it. `state`: open, decided, timeout, undecided, cancelled.

    `audience` is who may answer, as `u:name` and `g:group`; empty if anybody may.
    """

    run_id: str
    request_id: str
    step: str
    state: str
    data: Json
    opened_at: float
    due_at: float | None = None
    closed_at: float | None = None
    audience: tuple[str, ...] = ()
    flow: str = ""


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

    `ticks` are JSON texts from `first_seq` on. `status` is the run's new status (None: as before). With `releases` the claim
    is given up in the same transaction, and the run is due at `wake_at`. `create` makes the run itself. `consumed` are inbox
    ids with what their sender may want to know. `outcome` is the result of an ended run or the reason of a parked one.
    """

    run_id: str
    epoch: int
    first_seq: int
    at: float
    worker: str = ""
    ticks: Sequence[str] = ()
    status: str | None = None
    wake_at: float | None = None
    create: NewRun | None = None
    consumed: Sequence[tuple[int, Json]] = ()
    posts: Sequence[InboxEntry] = ()
    children: Sequence[NewRun] = ()
    requests: Sequence[RequestRow] = ()
    audit: Sequence[AuditRow] = ()
    snapshot: tuple[int, str] | None = None
    outcome: Json = None
    releases: bool = False
    flow_hash: str | None = None  # the run moves to this version
    flows: Sequence[tuple[str, Json]] = ()  # versions that its runs need: (hash, IR)

    @property
    def is_plain(self) -> bool:
        """Whether it holds ticks and nothing else: the common case."""
        return (
            self.status is None
            and not self.releases
            and self.create is None
            and not self.consumed
            and not self.posts
            and not self.children
            and not self.requests
            and not self.audit
            and self.snapshot is None
            and self.flow_hash is None
            and not self.flows
        )


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit says: the posts that found no run to take them, and whether a created run has to queue."""

    undelivered: tuple[InboxEntry, ...] = ()
    is_queued: bool = False


COMMITTED = Committed()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A run's last snapshot as (seq, JSON text), the ticks after it as (seq, JSON), and its unconsumed inbox in order."""

    snapshot: tuple[int, str] | None
    ticks: Sequence[tuple[int, Json]]
    inbox: Sequence[InboxEntry]
    tail_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to commit for a run, until somebody claims it with a higher epoch.

    `loaded` is what `load` would give, where the journal brought it along.
    """

    run_id: str
    epoch: int
    flow: str
    flow_hash: str
    kind: str
    status: str
    parent: str | None
    meta: Json
    loaded: Loaded | None = None


@dataclass(frozen=True, slots=True)
class Reserved:
    """What is known under an `id`: state is mine (make the call), done, running, or conflict (other inputs)."""

    state: str
    result: Json = None


class Journal(Protocol):
    """Where runs are kept. Methods may be called from any event loop; what they await is done when it is durable.

    Raises: StoreBusy (trying again can succeed), StoreError; nothing is written when a method raises, except that a commit
    that raises a StoreError other than StoreBusy, Fenced and JournalConflict has an unknown outcome.
    """

    def commit(self, batch: Batch) -> Awaitable[Committed]:
        """Write a batch, or nothing. Raises: Fenced, JournalConflict (a run of this id or dedup key exists)."""
        ...

    async def post(self, entry: InboxEntry) -> bool:
        """Put something into a run's inbox; False if its dedup key was there. Raises: UnknownRun, RunFinished."""
        ...

    async def claim(
        self, worker: str, *, now: float, lease_s: float, run_id: str | None = None, limit: int = 1
    ) -> list[Claim]:
        """Take runs that are due, or one by its id whether it is due or not; raises their epoch.

        Never one that another worker holds whose lease lasts, a parked or ended one, or one that queues for admission.
        By id also one that this worker holds itself. Raises: UnknownRun, RunFinished if asked by id.
        """
        ...

    async def renew(self, worker: str, *, now: float, lease_s: float) -> None:
        """Extend every claim of a worker."""
        ...

    async def leave(self, worker: str) -> None:
        """Forget a worker; what it still holds is due at once."""
        ...

    async def load(self, run_id: str) -> Loaded:
        """What a claimer needs to go on. Raises: UnknownRun; StoreError if ticks are missing."""
        ...

    async def inbox(self, run_id: str) -> list[InboxEntry]:
        """What has come for a run and is not consumed, oldest first."""
        ...

    async def mail(self, worker: str) -> list[str]:
        """The runs that a worker holds and for which something has come."""
        ...

    async def ahead(self, run_id: str) -> list[str]:
        """The runs that count in its flow's concurrency before a run that queues, the longest there first."""
        ...

    async def reply(self, run_id: str, dedup: str) -> tuple[bool, Json]:
        """Whether an inbox row was consumed, and what its consumer left for the sender."""
        ...

    async def release(self, run_id: str, epoch: int, *, wake_at: float | None) -> None:
        """Give up a claim; a claim that was taken over already is left alone."""
        ...

    async def next_due(self, *, now: float) -> float | None:
        """When the next run is due that nobody holds, or the next lease ends; by index. None if there is neither."""
        ...

    async def unpark(self, codes: Sequence[str], *, now: float) -> int:
        """Make runs due that were parked with one of these codes; gives how many."""
        ...

    async def ticks(self, run_id: str, after: int, limit: int) -> list[tuple[int, Json]]:
        """Committed ticks with a seq greater than `after`, oldest first. Raises: UnknownRun; StoreError if pruned."""
        ...

    async def put_flow(self, flow_hash: str, ir: Json, *, now: float) -> None:
        """Keep a version of a flow."""
        ...

    async def get_flow(self, flow_hash: str) -> Json | None:
        """A version of a flow."""
        ...

    async def reserve(self, flow: str, key: str, digest: str, holder: str, *, now: float) -> Reserved:
        """Take an `id` for a call, or learn what is known under it. A holder whose run has ended holds nothing."""
        ...

    async def settle(self, flow: str, key: str, holder: str, result: Json, *, has_failed: bool = False) -> None:
        """Record the result under an `id`, or free it."""
        ...

    async def recall(self, scope: str, key: str, *, now: float) -> tuple[Json] | None:
        """What is cached under a key and has not expired."""
        ...

    async def keep(self, scope: str, key: str, value: Json, *, expires_at: float | None) -> None:
        """Cache a value; the newest one stays."""
        ...

    async def log(self, lines: Sequence[AuditRow]) -> None:
        """Add lines to the audit log for what was done outside of runs, or to runs that have ended."""
        ...

    async def changes(self) -> int:
        """A number that is another whenever somebody may have written."""
        ...

    async def aclose(self) -> None:
        """Finish what was accepted and close."""
        ...
