"""Runs in this process's memory, by the same rules as in a file: for tests, for the simulator, and as the plain reading of
the protocol. Nothing outlives the object.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from orchestrator.errors import AdmissionRefused, JournalConflict, RunFinished, StoreError
from orchestrator.journal.audit import FIRST, AuditEntry, link
from orchestrator.journal.memory_queries import MemoryQueries
from orchestrator.journal.refusals import fenced, rewritten, unknown
from orchestrator.journal.store import TakenEntry
from orchestrator.runtime.journal import (
    COMMITTED,
    FINAL,
    AuditRow,
    Batch,
    Claim,
    Committed,
    InboxEntry,
    Json,
    Loaded,
    NewRun,
    RequestRow,
    Reserved,
)


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


class MemoryJournal(MemoryQueries):
    """A journal in memory."""

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
        self._next_rk = 1
        self._next_entry = 1
        self._changes = 0

    @property
    def _all(self) -> MemoryJournal:
        return self

    def commit(self, batch: Batch) -> asyncio.Future[Committed]:
        """Write a batch, or nothing. Raises: Fenced, JournalConflict, AdmissionRefused."""
        future: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        try:
            future.set_result(self.commit_now(batch))
        except StoreError as error:
            future.set_exception(error)
        return future

    def commit_now(self, batch: Batch) -> Committed:
        """The same, synchronously."""
        self._changes += 1
        for flow_hash, ir in batch.flows:
            self.flows.setdefault(flow_hash, (json.loads(json.dumps(ir)), batch.at))
        if batch.create is not None:
            run, is_queued = self._create(batch.create, batch)
            if is_queued:
                return Committed(is_queued=True)
        else:
            known = self.rows.get(batch.run_id)
            if known is None:
                raise unknown(batch.run_id)
            run = known
            if run.epoch != batch.epoch:
                raise fenced(batch)
            if run.status in FINAL:
                return COMMITTED
        if batch.ticks:
            if batch.first_seq in run.batches:
                if not _is_written(run, batch):
                    raise rewritten(batch)
                return COMMITTED
            if batch.first_seq != len(run.ticks):
                raise StoreError(f"run {batch.run_id!r}: tick {batch.first_seq} after {len(run.ticks)} ticks")
            run.batches[batch.first_seq] = len(batch.ticks)
            run.ticks.extend(batch.ticks)
        return self._rest(run, batch)

    def _rest(self, run: MemoryRun, batch: Batch) -> Committed:
        for entry_id, reply in batch.consumed:
            for item in run.inbox.values():
                if item.entry.id == entry_id:
                    item.is_done, item.reply = True, reply
        for child in batch.children:
            if child.run_id not in self.rows:
                self._create(child, batch)
        undelivered = tuple(post for post in batch.posts if not self._deliver(post))
        for request in batch.requests:
            self.put_request(run, request)
        for line in batch.audit:
            self.add_audit(line)
        if batch.snapshot is not None:
            run.snapshot = batch.snapshot
        if batch.flow_hash is not None:
            run.flow_hash = batch.flow_hash
        if batch.status is not None:
            self._set_status(run, batch.status, batch.at, batch.outcome)
        if batch.releases:
            self._release(run, batch.wake_at, batch.at)
        return Committed(undelivered) if undelivered else COMMITTED

    def _set_status(self, run: MemoryRun, status: str, at: float, outcome: Json) -> None:
        run.status = status
        run.outcome = json.loads(json.dumps(outcome))
        if status in FINAL:
            run.ended_at = at
            for item in run.inbox.values():
                item.is_done = True
            self.leave_admission(run, at)

    def _create(self, new: NewRun, batch: Batch) -> tuple[MemoryRun, bool]:
        known = self.rows.get(new.run_id)
        if known is not None:
            is_mine = new.run_id == batch.run_id and (known.epoch, known.owner) == (batch.epoch, batch.worker)
            if is_mine and batch.ticks and _is_written(known, batch):
                return known, False
            raise JournalConflict(f"a run {new.run_id!r} exists already", code="run.exists")
        if new.dedup is not None and new.dedup in self._by_dedup:
            other = self._by_dedup[new.dedup]
            raise JournalConflict(f"a run was started under the key {new.dedup!r}: {other}", code="run.duplicate")
        is_held = new.is_claimed
        if is_held and batch.worker not in self.leases:
            raise StoreError(f"worker {batch.worker!r} has not been announced; `renew` does that")
        is_queued = self._admit(new) if new.admission is not None else False
        is_held = is_held and not is_queued
        status = "queued" if is_queued else "running" if is_held and new.start is None else "new"
        run = self.add_run(new, status)
        if is_held:
            run.epoch, run.owner = 1, batch.worker
        elif not is_queued:
            run.ready_at = batch.at
        if new.admission is not None:
            run.is_admitted = not is_queued
        if new.start is not None:
            self.insert_entry(run, InboxEntry(new.run_id, "start", new.start, "start", new.created_at))
        return run, is_queued

    def add_run(self, new: NewRun, status: str) -> MemoryRun:
        """A new run. Raises: JournalConflict."""
        if new.run_id in self.rows:
            raise JournalConflict(f"a run {new.run_id!r} exists already", code="run.exists")
        run = self.rows[new.run_id] = MemoryRun(new, self._next_rk, status, flow_hash=new.flow_hash)
        self._next_rk += 1
        if new.dedup is not None:
            self._by_dedup[new.dedup] = new.run_id
        return run

    def forget_run(self, run_id: str) -> None:
        """Drop a run with all that belongs to it."""
        run = self.rows.pop(run_id)
        for number in [n for n, (owner, _) in self.request_keys.items() if owner == run_id]:
            del self.request_keys[number]
        if run.new.dedup is not None:
            self._by_dedup.pop(run.new.dedup, None)

    def _admit(self, new: NewRun) -> bool:
        rule = new.admission
        assert rule is not None
        others = [r for r in self.rows.values() if r.is_admitted is not None and _same_key(r.new, new)]
        active = sum(1 for r in others if r.is_admitted)
        limit = rule.limit
        is_full = limit is not None and (active >= limit or (rule.mode != "restart" and active != len(others)))
        if rule.mode == "single" and is_full:
            raise AdmissionRefused(new.flow, rule.key, others[0].new.run_id)
        if rule.mode == "restart":
            for other in others:
                data = {"reason": f"run {new.run_id} took its place"}
                entry = InboxEntry(other.new.run_id, "cancel", data, f"restart/{new.run_id}", new.created_at)
                self._post(other, entry)
        return is_full

    def admit_moved(self, new: NewRun, status: str, admission: tuple[str, bool] | None) -> tuple[str, bool | None]:
        """The status of a run from elsewhere, and whether it was let in: one that queued behind nobody is let in here."""
        if admission is None:
            return status, None
        is_in = admission[1] or not any(r.is_admitted and _same_key(r.new, new) for r in self.rows.values())
        return ("new" if is_in and status == "queued" else status), is_in

    def leave_admission(self, run: MemoryRun, now: float) -> None:
        """A run that counted against its flow's concurrency has gone: let the next in."""
        was_active, run.is_admitted = run.is_admitted, None
        if not was_active:
            return
        for other in sorted(self.rows.values(), key=lambda r: r.rk):
            if other.is_admitted is False and _same_key(other.new, run.new):
                other.is_admitted, other.status, other.ready_at = True, "new", now
                return

    # The inbox.

    async def post(self, entry: InboxEntry) -> bool:
        """Put something into a run's inbox; False if it was there. Raises: UnknownRun, RunFinished."""
        return self.post_now(entry)

    def post_now(self, entry: InboxEntry) -> bool:
        """The same, synchronously."""
        self._changes += 1
        run = self.find(entry.run_id)
        if run.status in FINAL:
            if entry.dedup in run.inbox:
                return False
            raise RunFinished(f"run {entry.run_id!r} has ended ({run.status}) and takes no more events")
        return self._post(run, entry)

    def _post(self, run: MemoryRun, entry: InboxEntry) -> bool:
        if not self.insert_entry(run, entry):
            return False
        if run.status == "queued":
            if entry.kind == "cancel":
                self._end_unstarted(run, entry)
            return True
        if run.status == "parked":
            if entry.kind not in ("cancel", "redo"):
                return True
            run.status, run.outcome = "waiting", None
        if run.owner is None:
            run.ready_at = entry.at
        return True

    def insert_entry(self, run: MemoryRun, entry: InboxEntry) -> bool:
        """Put something into an inbox; False if its dedup key was there."""
        if entry.dedup in run.inbox:
            return False
        kept = replace(entry, id=self._next_entry, data=json.loads(json.dumps(entry.data)))
        run.inbox[entry.dedup] = MemoryEntry(kept)
        self._next_entry += 1
        return True

    def insert_taken(self, run: MemoryRun, taken: TakenEntry) -> None:
        """Know what a run from elsewhere has taken."""
        self.insert_entry(run, InboxEntry(run.new.run_id, taken.kind, None, taken.dedup, taken.at))
        run.inbox[taken.dedup].is_done, run.inbox[taken.dedup].reply = True, taken.reply

    def _deliver(self, entry: InboxEntry) -> bool:
        run = self.rows.get(entry.run_id)
        if run is None or (run.status in FINAL and entry.dedup not in run.inbox):
            return entry.kind != "event"
        if run.status not in FINAL:
            self._post(run, entry)
        return True

    def _end_unstarted(self, run: MemoryRun, entry: InboxEntry) -> None:
        reason = entry.data.get("reason") or "the run was cancelled before it was admitted"
        error = {"code": "cancelled", "message": reason, "step": None, "attempt": 0, "details": None}
        self._set_status(run, "cancelled", entry.at, {"result": None, "type": None, "error": error})
        if run.new.parent is not None:
            run_id = run.new.run_id
            data = {"child": run_id, "status": "cancelled", "type": "", "value": None, "error": error}
            self._deliver(InboxEntry(run.new.parent, "child", data, f"child/{run_id}", entry.at))

    def put_request(self, run: MemoryRun, request: RequestRow) -> None:
        """Write what the inbox shows of a request."""
        if request.data is not None:
            if request.request_id not in run.requests:
                self.request_keys[max(self.request_keys, default=0) + 1] = (run.new.run_id, request.request_id)
            run.requests[request.request_id] = replace(request, flow=run.new.flow)
            return
        known = run.requests.get(request.request_id)
        if known is not None and known.state == "open":
            run.requests[request.request_id] = replace(known, state=request.state, closed_at=request.closed_at)

    def add_audit(self, line: AuditRow) -> None:
        """Append to the audit log."""
        previous = self.audit_log[-1].hash if self.audit_log else FIRST
        self.audit_log.append(AuditEntry(len(self.audit_log) + 1, line, link(previous, line)))

    # Claims.

    async def claim(
        self, worker: str, *, now: float, lease_s: float, run_id: str | None = None, limit: int = 1
    ) -> list[Claim]:
        """Take runs that are due, or one by its id. Raises: UnknownRun, RunFinished."""
        self.leases[worker] = now + lease_s
        if run_id is None:
            due = [r for r in self.rows.values() if r.owner is None and r.ready_at is not None and r.ready_at <= now]
            due.sort(key=lambda r: (r.ready_at, r.rk))
            lost = [r for r in self.rows.values() if r.owner not in (None, worker) and self._is_lost(r, now)]
            return [self._take(r, worker) for r in (*due, *lost)[:limit]]
        run = self.find(run_id)
        if run.status in FINAL:
            raise RunFinished(f"run {run_id!r} has ended ({run.status})")
        if run.status in ("parked", "queued"):
            return []
        if run.owner in (None, worker) or self._is_lost(run, now):
            return [self._take(run, worker)]
        return []

    def _is_lost(self, run: MemoryRun, now: float) -> bool:
        return run.owner is not None and self.leases.get(run.owner, 0.0) < now

    def _take(self, run: MemoryRun, worker: str) -> Claim:
        run.epoch += 1
        run.owner, run.ready_at = worker, None
        new = run.new
        return Claim(new.run_id, run.epoch, new.flow, run.flow_hash, new.kind, run.status, new.parent, new.meta)

    async def renew(self, worker: str, *, now: float, lease_s: float) -> None:
        """Extend every claim of a worker."""
        self.leases[worker] = now + lease_s

    async def leave(self, worker: str) -> None:
        """Forget a worker; what it still holds is due at once."""
        self.leases.pop(worker, None)
        for run in self.rows.values():
            if run.owner == worker:
                run.owner, run.ready_at = None, 0.0

    async def release(self, run_id: str, epoch: int, *, wake_at: float | None) -> None:
        """Give up a claim; a claim that was taken over already is left alone."""
        run = self.rows.get(run_id)
        if run is not None and run.epoch == epoch:
            self._release(run, wake_at, 0.0)

    def _release(self, run: MemoryRun, wake_at: float | None, now: float) -> None:
        run.owner = None
        if run.status in FINAL or run.status == "parked":
            run.ready_at = None
        elif any(not item.is_done for item in run.inbox.values()):
            run.ready_at = now
        else:
            run.ready_at = wake_at

    async def unpark(self, codes: Sequence[str], *, now: float) -> int:
        """Make runs due that were parked with one of these codes."""
        found = [r for r in self.rows.values() if r.status == "parked" and r.outcome["parked"]["code"] in codes]
        for run in found:
            run.status, run.ready_at, run.outcome = "waiting", now, None
        return len(found)

    async def next_due(self, *, now: float) -> float | None:
        """When the next run is due that nobody holds, or the next lease ends."""
        due = [r.ready_at for r in self.rows.values() if r.owner is None and r.ready_at is not None]
        due += [self.leases.get(r.owner, 0.0) for r in self.rows.values() if r.owner is not None]
        return min(due, default=None)

    # Reading.

    def find(self, run_id: str) -> MemoryRun:
        """A run. Raises: UnknownRun."""
        run = self.rows.get(run_id)
        if run is None:
            raise unknown(run_id)
        return run

    async def load(self, run_id: str) -> Loaded:
        """What a claimer needs to go on. Raises: UnknownRun."""
        run = self.find(run_id)
        base = run.snapshot[0] if run.snapshot is not None else 0
        ticks = [(seq, json.loads(text)) for seq, text in enumerate(run.ticks[base:], base)]
        return Loaded(run.snapshot, ticks, await self.inbox(run_id), sum(map(len, run.ticks[base:])))

    async def inbox(self, run_id: str) -> list[InboxEntry]:
        """What has come for a run and is not consumed, oldest first."""
        return sorted((i.entry for i in self.find(run_id).inbox.values() if not i.is_done), key=lambda e: e.id)

    async def mail(self, worker: str) -> list[str]:
        """The runs that a worker holds and for which something has come."""
        held = [r for r in self.rows.values() if r.owner == worker]
        return [r.new.run_id for r in held if any(not i.is_done for i in r.inbox.values())]

    async def ahead(self, run_id: str) -> list[str]:
        """The runs that count in its flow's concurrency before a run that queues, the longest there first."""
        run = self.rows.get(run_id)
        if run is None or run.is_admitted is not False:
            return []
        others = [r for r in self.rows.values() if r.is_admitted is not None and r.rk < run.rk]
        return [r.new.run_id for r in sorted(others, key=lambda r: r.rk) if _same_key(r.new, run.new)]

    async def reply(self, run_id: str, dedup: str) -> tuple[bool, Json]:
        """Whether an inbox row was consumed, and what its consumer left for the sender."""
        item = self.find(run_id).inbox.get(dedup)
        return (False, None) if item is None else (item.is_done, item.reply)

    async def ticks(self, run_id: str, after: int, limit: int) -> list[tuple[int, Json]]:
        """Committed ticks with a seq greater than `after`, oldest first. Raises: UnknownRun."""
        part = self.find(run_id).ticks[after + 1 : after + 1 + limit]
        return [(seq, json.loads(text)) for seq, text in enumerate(part, after + 1)]

    async def changes(self) -> int:
        """A number that is another whenever somebody may have written."""
        return self._changes

    # Flows, ids, caches.

    async def put_flow(self, flow_hash: str, ir: Json, *, now: float) -> None:
        """Keep a version of a flow."""
        self.flows.setdefault(flow_hash, (json.loads(json.dumps(ir)), now))

    async def get_flow(self, flow_hash: str) -> Json | None:
        """A version of a flow."""
        found = self.flows.get(flow_hash)
        return None if found is None else found[0]

    async def reserve(self, flow: str, key: str, digest: str, holder: str, *, now: float) -> Reserved:
        """Take an `id` for a call, or learn what is known under it."""
        known = self.ids.get((flow, key))
        if known is not None and known[0] != digest:
            return Reserved("conflict")
        if known is not None and known[2] is not None:
            return Reserved("done", known[2][0])
        if known is not None and known[1] != holder:
            run = self.rows.get(str(known[1]).partition("/")[0])
            if run is not None and run.status not in FINAL:
                return Reserved("running")
        self.ids[(flow, key)] = [digest, holder, None, now]
        return Reserved("mine")

    async def settle(self, flow: str, key: str, holder: str, result: Json, *, has_failed: bool = False) -> None:
        """Record the result under an `id`, or free it."""
        known = self.ids.get((flow, key))
        if known is None or known[1] != holder:
            return
        if has_failed:
            del self.ids[(flow, key)]
        else:
            known[2] = (json.loads(json.dumps(result)),)

    async def recall(self, scope: str, key: str, *, now: float) -> tuple[Json] | None:
        """What is cached under a key and has not expired."""
        known = self.cached.get((scope, key))
        if known is None or (known[1] is not None and known[1] <= now):
            return None
        return (known[0],)

    async def keep(self, scope: str, key: str, value: Json, *, expires_at: float | None) -> None:
        """Cache a value; the newest one stays."""
        self.cached[(scope, key)] = (json.loads(json.dumps(value)), expires_at)

    async def aclose(self) -> None:
        """Nothing to do: what is here stays as long as the object."""

    def close(self) -> None:
        """The same, from synchronous code."""


def _is_written(run: MemoryRun, batch: Batch) -> bool:
    return run.ticks[batch.first_seq : batch.first_seq + len(batch.ticks)] == batch.ticks


def _same_key(one: NewRun, other: NewRun) -> bool:
    return (
        one.flow == other.flow
        and one.admission is not None
        and other.admission is not None
        and one.admission.key == other.admission.key
    )
