"""What a journal in memory holds: the rows of runs and what stands beside them."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.journal.audit import AuditEntry
from orchestrator.journal.refusals import unknown
from orchestrator.runtime.journal import InboxEntry, Json, NewRun, RequestRow, Untold


@dataclass(slots=True)
class MemoryEntry:
    """An inbox row."""

    entry: InboxEntry
    is_done: bool = False
    reply: Json = None


@dataclass(slots=True)
class MemoryRun:
    """A run's row with everything that belongs to it."""

    new: NewRun
    rk: int
    status: str
    epoch: int = 0
    owner: str | None = None
    ready_at: float | None = None
    flow_hash: str = ""
    ended_at: float | None = None
    outcome: Json = None
    ticks: list[str] = field(default_factory=list)
    batches: dict[int, int] = field(default_factory=dict)  # first_seq -> number of ticks
    first_seq: int = 0  # ticks before were dropped before it was imported
    snapshot: tuple[int, str] | None = None
    inbox: dict[str, MemoryEntry] = field(default_factory=dict)  # by dedup
    requests: dict[str, RequestRow] = field(default_factory=dict)
    is_admitted: bool | None = None  # None: the flow has no concurrency mode


class MemoryRows:
    """The rows, and how one is found."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, MemoryRun] = {}
        self.flows: dict[str, tuple[Json, float]] = {}
        self.audit_log: list[AuditEntry] = []
        self.leases: dict[str, float] = {}
        self.request_keys: dict[int, tuple[str, str]] = {}  # number -> (run, request)
        self._by_dedup: dict[str, str] = {}
        self.ids: dict[tuple[str, str], list[Json]] = {}
        self.cached: dict[tuple[str, str], tuple[Json, float | None]] = {}
        self.notices: dict[tuple[str, str, int], Untold] = {}
        self._next_rk = 1
        self._next_entry = 1
        self._changes = 0

    def find(self, run_id: str) -> MemoryRun:
        """A run. Raises: UnknownRun."""
        run = self.rows.get(run_id)
        if run is None:
            raise unknown(run_id)
        return run


def same_key(one: NewRun, other: NewRun) -> bool:
    """Whether two runs count against the same limit of a flow."""
    return (
        one.flow == other.flow
        and one.admission is not None
        and other.admission is not None
        and one.admission.key == other.admission.key
    )
