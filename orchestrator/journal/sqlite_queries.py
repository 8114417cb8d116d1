"""The questions of operators and pages to a SQLite file. Every list is by index and paged."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from orchestrator.journal import sqlite_reads as reads
from orchestrator.journal.audit import AuditEntry, AuditProof, verify
from orchestrator.journal.sqlite_claims import lost_workers
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
from orchestrator.runtime.journal import FINAL, AuditRow, Json, RequestRow

T = TypeVar("T")
_RUN = (
    "r.id, r.flow, r.flow_hash, r.kind, r.status, r.created_at, r.ended_at, r.ready_at,"
    " (SELECT name FROM workers w WHERE w.wk = r.owner), r.parent, r.root, r.epoch, r.dedup, r.outcome, r.meta, r.rk"
)


class SqliteQueries:
    """The reading half of `Store` over a SQLite file."""

    _host: str

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        raise NotImplementedError

    async def runs(self, which: RunFilter, *, before: int | None = None, limit: int = 50) -> Page:
        """Runs, newest first."""
        where, values = _where(which)
        if before is not None:
            where.append("r.rk < ?")
            values.append(before)
        clause = " WHERE " + " AND ".join(where) if where else ""

        def work(db: sqlite3.Connection) -> Page:
            found = db.execute(f"SELECT {_RUN} FROM runs r{clause} ORDER BY r.rk DESC LIMIT ?", (*values, limit + 1))
            rows = [_run_row(row) for row in found]
            return Page(tuple(rows[:limit]), rows[limit - 1].rk if len(rows) > limit else None)

        return await self._read(work)

    async def run(self, run_id: str) -> RunRow:
        """One run. Raises: UnknownRun."""
        return await self._read(lambda db: run_row(db, run_id))

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
        where = ["q.state = ?", "q.qk > ?"]
        values: list[Any] = [state, after]
        if run_id is not None:
            where.append("q.rk = (SELECT rk FROM runs WHERE id = ?)")
            values.append(run_id)
        if request_id is not None:
            where.append("q.request = ?")
            values.append(request_id)
        if names is not None and state == "open":
            marks = ",".join("?" * (len(names) + 1))
            where.append(f"q.qk IN (SELECT qk FROM audience WHERE name IN ({marks}))")
            values += ["*", *names]
        users = {name[2:] for name in names or () if name.startswith("u:")}
        sql = (
            "SELECT q.qk, r.id, q.request, q.step, q.state, q.data, q.opened_at, q.due_at, q.closed_at, q.flow"
            f" FROM requests q JOIN runs r ON r.rk = q.rk WHERE {' AND '.join(where)} ORDER BY q.qk LIMIT ?"
        )

        def work(db: sqlite3.Connection) -> list[tuple[int, RequestRow]]:
            found = [(row[0], _request_row(db, row)) for row in db.execute(sql, (*values, limit)).fetchall()]
            return [(qk, row) for qk, row in found if not users & excluded(row.data)]

        return await self._read(work)

    async def audit(self, *, run_id: str | None = None, after: int = 0, limit: int = 1000) -> list[AuditEntry]:
        """Lines of the audit log, oldest first."""
        return await self._read(lambda db: _audit(db, run_id, after, limit))

    async def verify_audit(self, kept: str | None = None) -> AuditProof:
        """Check the hash chain of the audit log, and that it has a line with this hash."""

        def work(db: sqlite3.Connection) -> AuditProof:
            row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()
            last = row[0] if row is not None and isinstance(row[0], int) else 0
            return verify(_every_line(db), kept=kept, last=last)

        return await self._read(work)

    async def stats(self) -> StoreStats:
        """How full the store is."""

        def work(db: sqlite3.Connection) -> StoreStats:
            by_status = dict(db.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall())
            requests = db.execute("SELECT count(*) FROM requests WHERE state = 'open'").fetchone()[0]
            lines = db.execute("SELECT coalesce(max(id), 0) FROM audit").fetchone()[0]
            pages, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
            workers = db.execute(
                "SELECT name, lease_until, (SELECT count(*) FROM runs WHERE owner = wk) FROM workers ORDER BY name"
            )
            return StoreStats(by_status, requests, lines, pages * size, tuple(WorkerRow(*row) for row in workers))

        return await self._read(work)

    async def versions(self, flow: str | None = None) -> list[FlowVersion]:
        """Stored versions of flows, newest first."""
        clause, values = ("WHERE f.name = ?", (flow,)) if flow is not None else ("", ())
        final = ",".join(f"'{status}'" for status in sorted(FINAL))
        sql = (
            "SELECT f.name, f.hash, f.created_at, (SELECT count(*) FROM runs r WHERE r.flow = f.name"
            f" AND r.flow_hash = f.hash AND r.status NOT IN ({final})) FROM flows f {clause} ORDER BY f.created_at DESC, f.hash"
        )
        return await self._read(lambda db: [FlowVersion(*row) for row in db.execute(sql, values)])

    async def overdue(self, *, now: float, by_s: float) -> list[RunRow]:
        """Runs that nobody has taken though they are due, and those of lost workers."""

        def work(db: sqlite3.Connection) -> list[RunRow]:
            rows = db.execute(
                f"SELECT {_RUN} FROM runs r WHERE r.owner IS NULL AND r.ready_at IS NOT NULL AND r.ready_at < ?"
                " ORDER BY r.ready_at LIMIT 1000",
                (now - by_s,),
            ).fetchall()
            for wk in lost_workers(db, now - by_s, self._host):
                rows += db.execute(f"SELECT {_RUN} FROM runs r WHERE r.owner = ? LIMIT 1000", (wk,)).fetchall()
            return [_run_row(row) for row in rows]

        return await self._read(work)

    async def export_run(self, run_id: str) -> StoredRun:
        """Everything of a run. Raises: UnknownRun."""

        def work(db: sqlite3.Connection) -> StoredRun:
            row = run_row(db, run_id)
            flow = db.execute("SELECT ir FROM flows WHERE hash = ?", (row.flow_hash,)).fetchone()
            first = db.execute("SELECT coalesce(min(seq), 0) FROM ticks WHERE rk = ?", (row.rk,)).fetchone()[0]
            ticks = [tick for _, tick in reads.ticks_from(db, row.rk, run_id, first)]
            snapshot = reads.load(db, run_id).snapshot
            found = db.execute(
                "SELECT q.qk, r.id, q.request, q.step, q.state, q.data, q.opened_at, q.due_at, q.closed_at, q.flow"
                " FROM requests q JOIN runs r ON r.rk = q.rk WHERE q.rk = ? ORDER BY q.qk",
                (row.rk,),
            ).fetchall()
            requests = [_request_row(db, item) for item in found]
            lines = [entry.row for entry in _audit(db, run_id, 0, 1 << 60)]
            return StoredRun(
                row,
                None if flow is None else json.loads(flow[0]),
                first,
                ticks,
                snapshot,
                requests,
                lines,
                reads.inbox(db, row.rk, run_id),
                _taken(db, row.rk),
                _admission(db, row.rk),
            )

        return await self._read(work)

    async def export_shelf(self) -> StoredShelf:
        """What is kept beside runs."""

        def work(db: sqlite3.Connection) -> StoredShelf:
            flows = db.execute("SELECT hash, ir, created_at FROM flows ORDER BY created_at, hash").fetchall()
            ids = db.execute("SELECT flow, key, digest, holder, result, at FROM ids ORDER BY flow, key").fetchall()
            cached = db.execute("SELECT scope, key, value, expires_at FROM cached ORDER BY scope, key").fetchall()
            triggers = db.execute(
                "SELECT id, flow, flow_hash, kind, spec, next_at, last_at, paused FROM triggers ORDER BY id"
            ).fetchall()
            return StoredShelf(
                [(name, json.loads(ir), at) for name, ir, at in flows],
                [(*row[:4], None if row[4] is None else json.loads(row[4]), row[5]) for row in ids],
                [(scope, key, json.loads(value), until) for scope, key, value, until in cached],
                [trigger_row(row) for row in triggers],
            )

        return await self._read(work)

    async def triggers(self, *, kind: str | None = None, due_by: float | None = None) -> list[TriggerRow]:
        """Registered triggers, or those that are due."""
        where = ["1"]
        values: list[Any] = []
        if kind is not None:
            where.append("kind = ?")
            values.append(kind)
        if due_by is not None:
            where.append("paused = 0 AND next_at IS NOT NULL AND next_at <= ?")
            values.append(due_by)
        sql = (
            "SELECT id, flow, flow_hash, kind, spec, next_at, last_at, paused FROM triggers"
            f" WHERE {' AND '.join(where)} ORDER BY next_at, id"
        )
        return await self._read(lambda db: [trigger_row(row) for row in db.execute(sql, values)])


def run_row(db: sqlite3.Connection, run_id: str) -> RunRow:
    """One run. Raises: UnknownRun."""
    rk = reads.run_key(db, run_id)
    return _run_row(db.execute(f"SELECT {_RUN} FROM runs r WHERE r.rk = ?", (rk,)).fetchone())


def trigger_row(row: Any) -> TriggerRow:
    """A row of the table of triggers."""
    return TriggerRow(row[0], row[1], row[2], row[3], json.loads(row[4]), row[5], row[6], bool(row[7]))


def excluded(data: Json) -> set[str]:
    """Who can never answer a request."""
    to = data.get("to") if isinstance(data, dict) else None
    return set(to.get("not", ())) if isinstance(to, dict) else set()


def _taken(db: sqlite3.Connection, rk: int) -> list[TakenEntry]:
    rows = db.execute("SELECT kind, dedup, at, reply FROM inbox WHERE rk = ? AND done <> 0 ORDER BY id", (rk,))
    return [
        TakenEntry(kind, dedup, at, None if reply is None else json.loads(reply)) for kind, dedup, at, reply in rows
    ]


def _admission(db: sqlite3.Connection, rk: int) -> tuple[str, bool] | None:
    row = db.execute("SELECT key, active FROM admission WHERE rk = ?", (rk,)).fetchone()
    return None if row is None else (row[0], bool(row[1]))


def _where(which: RunFilter) -> tuple[list[str], list[Any]]:
    where: list[str] = []
    values: list[Any] = []
    for column, value in (("flow", which.flow), ("parent", which.parent), ("flow_hash", which.flow_hash)):
        if value is not None:
            where.append(f"r.{column} = ?")
            values.append(value)
    if which.statuses:
        where.append(f"r.status IN ({','.join('?' * len(which.statuses))})")
        values += which.statuses
    if which.since is not None:
        where.append("r.created_at >= ?")
        values.append(which.since)
    if which.until is not None:
        where.append("r.created_at < ?")
        values.append(which.until)
    if which.roots_only:
        where.append("r.parent IS NULL")
    return where, values


def _run_row(row: Any) -> RunRow:
    values: list[Any] = list(row)
    values[13:15] = (None if text is None else json.loads(text) for text in row[13:15])
    return RunRow(*values)


def _request_row(db: sqlite3.Connection, row: Any) -> RequestRow:
    qk, run_id, request, step, state, data, opened_at, due_at, closed_at, flow = row
    names = tuple(
        r[0] for r in db.execute("SELECT name FROM audience WHERE qk = ? AND name <> '*' ORDER BY name", (qk,))
    )
    plain = None if data is None else json.loads(data)
    return RequestRow(run_id, request, step, state, plain, opened_at, due_at, closed_at, names, flow)


def _audit(db: sqlite3.Connection, run_id: str | None, after: int, limit: int) -> list[AuditEntry]:
    clause, values = ("AND run = ?", (run_id,)) if run_id is not None else ("", ())
    rows = db.execute(
        f"SELECT id, at, run, actor, action, data, hash FROM audit WHERE id > ? {clause} ORDER BY id LIMIT ?",
        (after, *values, limit),
    )
    return [_audit_entry(row) for row in rows]


def _every_line(db: sqlite3.Connection) -> Any:
    return map(_audit_entry, db.execute("SELECT id, at, run, actor, action, data, hash FROM audit ORDER BY id"))


def _audit_entry(row: Any) -> AuditEntry:
    try:
        data = json.loads(row[5])
    except (TypeError, ValueError):
        data = row[5]  # somebody has written something else here; `verify` says so
    return AuditEntry(row[0], AuditRow(row[1], row[2], row[3], row[4], data), row[6])
