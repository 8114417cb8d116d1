"""The questions and changes of operators over a journal in memory; the plain reading of `Store`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.errors import JournalConflict
from orchestrator.journal.audit import AuditEntry, AuditProof, verify
from orchestrator.journal.sqlite_queries import excluded
from orchestrator.journal.store import (
    FlowVersion,
    Page,
    RunFilter,
    RunRow,
    StoredRun,
    StoredShelf,
    StoreStats,
    TakenEntry,
    TriggerRow,
    WorkerRow,
)
from orchestrator.runtime.journal import FINAL, Admission, AuditRow, NewRun, RequestRow

if TYPE_CHECKING:  # the journal is made of this
    from orchestrator.journal.memory import MemoryJournal, MemoryRun


class MemoryQueries:
    """What `Store` adds to `Journal`, over the dictionaries of a `MemoryJournal`."""

    def __init__(self) -> None:
        self._triggers: dict[str, TriggerRow] = {}

    @property
    def _all(self) -> MemoryJournal:
        raise NotImplementedError

    async def runs(self, which: RunFilter, *, before: int | None = None, limit: int = 50) -> Page:
        """Runs, newest first."""
        found = [self._row(r) for r in self._all.rows.values() if before is None or r.rk < before]
        rows = sorted((r for r in found if _fits(r, which)), key=lambda r: -r.rk)
        return Page(tuple(rows[:limit]), rows[limit - 1].rk if len(rows) > limit else None)

    async def run(self, run_id: str) -> RunRow:
        """One run. Raises: UnknownRun."""
        return self._row(self._all.find(run_id))

    def _row(self, run: MemoryRun) -> RunRow:
        new = run.new
        return RunRow(
            new.run_id,
            new.flow,
            run.flow_hash,
            new.kind,
            run.status,
            new.created_at,
            run.ended_at,
            run.ready_at,
            run.owner,
            new.parent,
            new.root or new.run_id,
            run.epoch,
            new.dedup,
            run.outcome,
            new.meta,
            run.rk,
        )

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
        """Requests by state and audience, oldest first."""
        users = {name[2:] for name in names or () if name.startswith("u:")}
        found = []
        for key, row in sorted(self._all.request_keys.items()):
            request = self._all.rows[row[0]].requests.get(row[1]) if row[0] in self._all.rows else None
            if request is None or request.state != state or key <= after or run_id not in (None, request.run_id):
                continue
            if request_id not in (None, request.request_id):
                continue
            is_asked = names is None or state != "open" or not request.audience or set(names) & set(request.audience)
            if is_asked and not users & excluded(request.data):
                found.append(
                    (key, replace(request, audience=tuple(sorted(request.audience)) if state == "open" else ()))
                )
        return found[:limit]

    async def audit(self, *, run_id: str | None = None, after: int = 0, limit: int = 1000) -> list[AuditEntry]:
        """Lines of the audit log, oldest first."""
        lines = self._all.audit_log[after:]
        return [x for x in lines if run_id in (None, x.row.run_id)][:limit]

    async def log(self, lines: Sequence[AuditRow]) -> None:
        """Add lines to the audit log."""
        for line in lines:
            self._all.add_audit(line)

    async def verify_audit(self, kept: str | None = None) -> AuditProof:
        """Check the hash chain of the audit log, and that it has a line with this hash."""
        return verify(self._all.audit_log, kept=kept)

    async def stats(self) -> StoreStats:
        """How full the store is."""
        by_status: dict[str, int] = {}
        for run in self._all.rows.values():
            by_status[run.status] = by_status.get(run.status, 0) + 1
        requests = sum(1 for r in self._all.rows.values() for q in r.requests.values() if q.state == "open")
        size = sum(len(text) for r in self._all.rows.values() for text in r.ticks)
        workers = tuple(
            WorkerRow(name, until, sum(1 for r in self._all.rows.values() if r.owner == name))
            for name, until in sorted(self._all.leases.items())
        )
        return StoreStats(by_status, requests, len(self._all.audit_log), size, workers)

    async def versions(self, flow: str | None = None) -> list[FlowVersion]:
        """Stored versions of flows, newest first."""
        found = []
        for flow_hash, (ir, at) in self._all.flows.items():
            name = str(ir.get("name", ""))
            runs = [r for r in self._all.rows.values() if r.new.flow == name and r.flow_hash == flow_hash]
            if flow in (None, name):
                found.append(FlowVersion(name, flow_hash, at, sum(1 for r in runs if r.status not in FINAL)))
        return sorted(found, key=lambda v: (-v.created_at, v.flow_hash))

    async def overdue(self, *, now: float, by_s: float) -> list[RunRow]:
        """Runs that nobody has taken though they are due, and those of lost workers."""
        all_ = self._all
        late = [r for r in all_.rows.values() if r.owner is None and r.ready_at is not None and r.ready_at < now - by_s]
        late.sort(key=lambda r: r.ready_at or 0.0)
        lost = [r for r in all_.rows.values() if r.owner is not None and all_.leases.get(r.owner, 0.0) < now - by_s]
        return [self._row(r) for r in (*late, *lost)]

    async def delete(self, run_ids: Sequence[str]) -> int:
        """Remove ended runs. Raises: UnknownRun, JournalConflict."""
        for run_id in run_ids:
            run = self._all.find(run_id)
            if run.status not in FINAL:
                raise JournalConflict(f"run {run_id!r} has not ended ({run.status}); cancel it first", code="run.open")
        for run_id in run_ids:
            self._all.forget_run(run_id)
        return len(run_ids)

    async def prune(self, *, ended_before: float, limit: int = 500) -> int:
        """Remove runs that ended before, oldest first."""
        ended = [r for r in self._all.rows.values() if r.ended_at is not None and r.ended_at < ended_before]
        ended.sort(key=lambda r: r.ended_at or 0.0)
        for run in ended[:limit]:
            self._all.forget_run(run.new.run_id)
        return len(ended[:limit])

    async def export_run(self, run_id: str) -> StoredRun:
        """Everything of a run. Raises: UnknownRun."""
        run = self._all.find(run_id)
        flow = self._all.flows.get(run.flow_hash)
        lines = [x.row for x in self._all.audit_log if x.row.run_id == run_id]
        ticks = [json.loads(text) for text in run.ticks[run.first_seq :]]
        return StoredRun(
            self._row(run),
            None if flow is None else flow[0],
            run.first_seq,
            ticks,
            run.snapshot,
            list(run.requests.values()),
            lines,
            await self._all.inbox(run_id),
            [TakenEntry(e.entry.kind, d, e.entry.at, e.reply) for d, e in run.inbox.items() if e.is_done],
            None if run.new.admission is None or run.is_admitted is None else (run.new.admission.key, run.is_admitted),
        )

    async def import_run(self, stored: StoredRun, *, now: float) -> None:
        """Add a run from elsewhere. Raises: JournalConflict."""
        row = stored.row
        new = NewRun(
            row.run_id,
            row.flow,
            row.flow_hash,
            row.kind,
            row.created_at,
            parent=row.parent,
            root=row.root,
            dedup=row.dedup,
            meta=row.meta,
            admission=None if stored.admission is None else Admission("queue", stored.admission[0]),
        )
        status, is_in = self._all.admit_moved(new, row.status, stored.admission)
        run = self._all.add_run(new, status)
        run.is_admitted = is_in
        run.epoch, run.ended_at, run.outcome = row.epoch, row.ended_at, row.outcome
        run.ready_at = None if status in FINAL or status in ("parked", "queued") else now
        run.first_seq = stored.first_seq
        run.ticks = [""] * stored.first_seq + [json.dumps(tick) for tick in stored.ticks]
        run.snapshot = stored.snapshot
        if stored.flow is not None:
            self._all.flows.setdefault(row.flow_hash, (stored.flow, now))
        for request in stored.requests:
            self._all.put_request(run, request)
        for entry in stored.inbox:
            self._all.insert_entry(run, entry)
        for taken in stored.taken:
            self._all.insert_taken(run, taken)
        for line in stored.audit:
            self._all.add_audit(line)

    async def export_shelf(self) -> StoredShelf:
        """What is kept beside runs."""
        ids = [
            (flow, key, digest, holder, None if result is None else list(result), at)
            for (flow, key), (digest, holder, result, at) in self._all.ids.items()
        ]
        return StoredShelf(
            [(name, ir, at) for name, (ir, at) in self._all.flows.items()],
            ids,
            [(scope, key, value, until) for (scope, key), (value, until) in self._all.cached.items()],
            await self.triggers(),
        )

    async def import_shelf(self, shelf: StoredShelf) -> None:
        """Add what is not there."""
        for name, ir, at in shelf.flows:
            await self._all.put_flow(name, ir, now=at)
        for flow, key, digest, holder, result, at in shelf.ids:
            self._all.ids.setdefault((flow, key), [digest, holder, None if result is None else tuple(result), at])
        for scope, key, value, until in shelf.cached:
            self._all.cached.setdefault((scope, key), (value, until))
        for row in shelf.triggers:
            self._triggers.setdefault(row.id, row)

    async def set_triggers(self, flow: str, rows: Sequence[TriggerRow]) -> None:
        """Replace the triggers of a flow; one whose spec is as before keeps its times and its pause."""
        known = {id: row for id, row in self._triggers.items() if row.flow == flow}
        for id in known:
            del self._triggers[id]
        for row in rows:
            old = known.get(row.id)
            if old is not None and (old.kind, old.spec) == (row.kind, row.spec):
                row = replace(row, next_at=old.next_at, last_at=old.last_at, is_paused=old.is_paused)
            self._triggers[row.id] = row

    async def triggers(self, *, kind: str | None = None, due_by: float | None = None) -> list[TriggerRow]:
        """Registered triggers, or those that are due."""
        found = [t for t in self._triggers.values() if kind in (None, t.kind)]
        if due_by is not None:
            found = [t for t in found if not t.is_paused and t.next_at is not None and t.next_at <= due_by]
        return sorted(found, key=lambda t: (t.next_at is not None, t.next_at or 0.0, t.id))

    async def advance_trigger(
        self, id: str, *, was: float | None, next_at: float | None, last_at: float | None
    ) -> bool:
        """Set when a trigger is due next, if nobody has done so since."""
        row = self._triggers.get(id)
        if row is None or row.next_at != was:
            return False
        self._triggers[id] = replace(row, next_at=next_at, last_at=last_at)
        return True

    async def pause_trigger(self, id: str, *, is_paused: bool) -> bool:
        """Pause a trigger or let it go on."""
        row = self._triggers.get(id)
        if row is None:
            return False
        self._triggers[id] = replace(row, is_paused=is_paused)
        return True


def _fits(row: RunRow, which: RunFilter) -> bool:
    return (
        which.flow in (None, row.flow)
        and (not which.statuses or row.status in which.statuses)
        and (which.since is None or row.created_at >= which.since)
        and (which.until is None or row.created_at < which.until)
        and which.parent in (None, row.parent)
        and which.flow_hash in (None, row.flow_hash)
        and not (which.roots_only and row.parent is not None)
    )
