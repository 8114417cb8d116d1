"""Runs in this process's memory, by the same rules as in a file: for tests, for the simulator, and as the plain reading of
the protocol. Nothing outlives the object.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from orchestrator.errors import AdmissionRefused, JournalConflict, RunFinished, StoreError
from orchestrator.journal.audit import FIRST, AuditEntry, link
from orchestrator.journal.memory_claims import MemoryClaims
from orchestrator.journal.memory_queries import MemoryQueries
from orchestrator.journal.memory_reads import MemoryReads
from orchestrator.journal.memory_rows import MemoryEntry, MemoryRun, same_key
from orchestrator.journal.refusals import fenced, rewritten, unknown
from orchestrator.journal.store import TakenEntry
from orchestrator.runtime.journal import (
    COMMITTED,
    FINAL,
    AuditRow,
    Batch,
    Committed,
    InboxEntry,
    Json,
    NewRun,
    RequestRow,
)


class MemoryJournal(MemoryClaims, MemoryReads, MemoryQueries):
    """A journal in memory."""

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
        for untold in batch.untold:
            self.notices.setdefault((untold.run_id, untold.request_id, untold.number), untold)
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
        others = [r for r in self.rows.values() if r.is_admitted is not None and same_key(r.new, new)]
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
        is_in = admission[1] or not any(r.is_admitted and same_key(r.new, new) for r in self.rows.values())
        return ("new" if is_in and status == "queued" else status), is_in

    def leave_admission(self, run: MemoryRun, now: float) -> None:
        """A run that counted against its flow's concurrency has gone: let the next in."""
        was_active, run.is_admitted = run.is_admitted, None
        if not was_active:
            return
        for other in sorted(self.rows.values(), key=lambda r: r.rk):
            if other.is_admitted is False and same_key(other.new, run.new):
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

    async def aclose(self) -> None:
        """Nothing to do: what is here stays as long as the object."""

    def close(self) -> None:
        """The same, from synchronous code."""


def _is_written(run: MemoryRun, batch: Batch) -> bool:
    return run.ticks[batch.first_seq : batch.first_seq + len(batch.ticks)] == batch.ticks
