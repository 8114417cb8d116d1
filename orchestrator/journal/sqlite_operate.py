"""What operators change in a SQLite file: deletion and retention, import, triggers, lines of the audit log."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from orchestrator.errors import JournalConflict
from orchestrator.journal.refusals import unknown
from orchestrator.journal.sqlite_queries import trigger_row
from orchestrator.journal.sqlite_writes import Writes, add_audit, insert_entry, put_request
from orchestrator.journal.store import StoredRun, StoredShelf, TriggerRow
from orchestrator.runtime.journal import FINAL, AuditRow

T = TypeVar("T")
_dumps = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode
CHUNK = 500  # ticks per row of an imported run


class SqliteOperate:
    """The changing half of `Store` over a SQLite file."""

    _writes: Writes

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        raise NotImplementedError

    async def log(self, lines: Sequence[AuditRow]) -> None:
        """Add lines to the audit log."""

        def work(db: sqlite3.Connection) -> None:
            for line in lines:
                add_audit(db, line)

        await self._write(work)

    async def delete(self, run_ids: Sequence[str]) -> int:
        """Remove ended runs. Raises: UnknownRun, JournalConflict."""

        def work(db: sqlite3.Connection) -> int:
            keys = []
            for run_id in run_ids:
                row = db.execute("SELECT rk, status FROM runs WHERE id = ?", (run_id,)).fetchone()
                if row is None:
                    raise unknown(run_id)
                if row[1] not in FINAL:
                    raise JournalConflict(f"run {run_id!r} has not ended ({row[1]}); cancel it first", code="run.open")
                keys.append(row[0])
            return self._remove(db, keys, run_ids)

        return await self._write(work)

    async def prune(self, *, ended_before: float, limit: int = 500) -> int:
        """Remove runs that ended before, oldest first."""

        def work(db: sqlite3.Connection) -> int:
            rows = db.execute(
                "SELECT rk, id FROM runs WHERE ended_at IS NOT NULL AND ended_at < ? ORDER BY ended_at LIMIT ?",
                (ended_before, limit),
            ).fetchall()
            return self._remove(db, [row[0] for row in rows], [row[1] for row in rows])

        return await self._write(work)

    def _remove(self, db: sqlite3.Connection, keys: Sequence[int], run_ids: Sequence[str]) -> int:
        for rk in keys:
            db.execute("DELETE FROM audience WHERE qk IN (SELECT qk FROM requests WHERE rk = ?)", (rk,))
            shared = db.execute("SELECT hash FROM blob_refs WHERE rk = ?", (rk,)).fetchall()
            for table in ("ticks", "snapshots", "inbox", "requests", "blob_refs", "admission", "runs"):
                db.execute(f"DELETE FROM {table} WHERE rk = ?", (rk,))
            for row in shared:
                db.execute("DELETE FROM blobs WHERE hash = ? AND hash NOT IN (SELECT hash FROM blob_refs)", row)
        self._writes.forget(run_ids)
        return len(keys)

    async def import_run(self, stored: StoredRun, *, now: float) -> None:
        """Add a run from elsewhere. Raises: JournalConflict."""
        await self._write(lambda db: self._import(db, stored, now))

    def _import(self, db: sqlite3.Connection, stored: StoredRun, now: float) -> None:
        row = stored.row
        if db.execute("SELECT 1 FROM runs WHERE id = ?", (row.run_id,)).fetchone() is not None:
            raise JournalConflict(f"a run {row.run_id!r} exists already", code="run.exists")
        status, is_in = admitted(db, stored)
        due = None if status in FINAL or status in ("parked", "queued") else now
        rk = db.execute(
            "INSERT INTO runs (id, flow, flow_hash, kind, status, epoch, ready_at, created_at, ended_at, parent, root, dedup,"
            " outcome, meta) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                *(
                    row.run_id,
                    row.flow,
                    row.flow_hash,
                    row.kind,
                    status,
                    row.epoch,
                    due,
                    row.created_at,
                    row.ended_at,
                ),
                *(row.parent, row.root or row.run_id, row.dedup, _dumps(row.outcome), _dumps(row.meta)),
            ),
        ).lastrowid
        assert rk is not None
        if stored.flow is not None:
            db.execute(
                "INSERT OR IGNORE INTO flows (hash, name, ir, created_at) VALUES (?,?,?,?)",
                (row.flow_hash, row.flow, _dumps(stored.flow), now),
            )
        for start in range(0, len(stored.ticks), CHUNK):
            body, cuts = self._writes.stored(db, rk, _dumps_plain(stored.ticks[start : start + CHUNK]))
            place = (rk, stored.first_seq + start, body, cuts)
            db.execute("INSERT INTO ticks (rk, seq, body, cuts) VALUES (?,?,?,?)", place)
        if stored.snapshot is not None:
            body, cuts = self._writes.stored(db, rk, stored.snapshot[1])
            snapshot = (rk, stored.snapshot[0], body, cuts)
            db.execute("INSERT INTO snapshots (rk, seq, body, cuts) VALUES (?,?,?,?)", snapshot)
        for request in stored.requests:
            put_request(db, rk, request)
        for entry in stored.inbox:
            insert_entry(db, rk, entry)
        for sql, values in rows_beside(rk, stored, is_in):
            db.execute(sql, values)
        for line in stored.audit:
            add_audit(db, line)

    async def import_shelf(self, shelf: StoredShelf) -> None:
        """Add what is not there."""

        def work(db: sqlite3.Connection) -> None:
            for sql, values in shelf_rows(shelf):
                db.execute(sql, values)

        await self._write(work)

    async def set_triggers(self, flow: str, rows: Sequence[TriggerRow]) -> None:
        """Replace the triggers of a flow; one whose spec is as before keeps its times and its pause."""

        def work(db: sqlite3.Connection) -> None:
            found = db.execute(
                "SELECT id, flow, flow_hash, kind, spec, next_at, last_at, paused FROM triggers WHERE flow = ?", (flow,)
            )
            known = {row[0]: trigger_row(row) for row in found}
            for row in rows:
                old = known.pop(row.id, None)
                kept = old if old is not None and (old.kind, old.spec) == (row.kind, row.spec) else row
                db.execute(
                    "INSERT OR REPLACE INTO triggers (id, flow, flow_hash, kind, spec, next_at, last_at, paused)"
                    " VALUES (?,?,?,?,?,?,?,?)",
                    _trigger_values(row, kept),
                )
            for gone in known:
                db.execute("DELETE FROM triggers WHERE id = ?", (gone,))

        await self._write(work)

    async def advance_trigger(
        self, id: str, *, was: float | None, next_at: float | None, last_at: float | None
    ) -> bool:
        """Set when a trigger is due next, if nobody has done so since."""

        def work(db: sqlite3.Connection) -> bool:
            sql = "UPDATE triggers SET next_at = ?, last_at = ? WHERE id = ? AND next_at IS ?"
            return db.execute(sql, (next_at, last_at, id, was)).rowcount == 1

        return await self._write(work)

    async def pause_trigger(self, id: str, *, is_paused: bool) -> bool:
        """Pause a trigger or let it go on."""

        def work(db: sqlite3.Connection) -> bool:
            return db.execute("UPDATE triggers SET paused = ? WHERE id = ?", (int(is_paused), id)).rowcount == 1

        return await self._write(work)


def _trigger_values(row: TriggerRow, kept: TriggerRow) -> tuple[Any, ...]:
    spec = _dumps(row.spec)
    return (row.id, row.flow, row.flow_hash, row.kind, spec, kept.next_at, kept.last_at, int(kept.is_paused))


def _dumps_plain(value: Any) -> str:  # JSON
    return json.dumps(value, separators=(",", ":"))


# Of a run and a shelf from elsewhere; the statements are those of both databases.


def admitted(db: Any, stored: StoredRun) -> tuple[str, bool]:  # Any: a connection to either database
    """The status of a run from elsewhere, and whether it was let in: one that queued behind nobody is let in here."""
    row, admission = stored.row, stored.admission
    if admission is None or admission[1] or row.status != "queued":
        return row.status, True
    before = db.execute(
        "SELECT 1 FROM admission WHERE flow = ? AND key = ? AND active = 1 LIMIT 1", (row.flow, admission[0])
    ).fetchone()
    return ("new", True) if before is None else ("queued", False)


def rows_beside(rk: int, stored: StoredRun, is_in: bool) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """What to write of what a run has taken, and of its place among the runs of its flow."""
    for entry in stored.taken:
        reply = None if entry.reply is None else _dumps(entry.reply)
        yield (
            "INSERT INTO inbox (rk, kind, data, dedup, at, done, reply) VALUES (?,?,NULL,?,?,1,?)",
            (rk, entry.kind, entry.dedup, entry.at, reply),
        )
    if stored.admission is not None:
        sql = "INSERT INTO admission (rk, flow, key, active) VALUES (?,?,?,?)"
        yield sql, (rk, stored.row.flow, stored.admission[0], int(is_in))


def shelf_rows(shelf: StoredShelf) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """What to write of a shelf."""
    for name, ir, at in shelf.flows:
        title = str(ir.get("name", "")) if isinstance(ir, dict) else ""
        sql = "INSERT INTO flows (hash, name, ir, created_at) VALUES (?,?,?,?) ON CONFLICT DO NOTHING"
        yield sql, (name, title, _dumps(ir), at)
    for flow, key, digest, holder, result, at in shelf.ids:
        sql = "INSERT INTO ids (flow, key, digest, holder, result, at) VALUES (?,?,?,?,?,?) ON CONFLICT DO NOTHING"
        yield sql, (flow, key, digest, holder, None if result is None else _dumps(result), at)
    for scope, key, value, until in shelf.cached:
        sql = "INSERT INTO cached (scope, key, value, expires_at) VALUES (?,?,?,?) ON CONFLICT DO NOTHING"
        yield sql, (scope, key, _dumps(value), until)
    for t in shelf.triggers:
        yield (
            "INSERT INTO triggers (id, flow, flow_hash, kind, spec, next_at, last_at, paused) VALUES (?,?,?,?,?,?,?,?)"
            " ON CONFLICT DO NOTHING",
            (t.id, t.flow, t.flow_hash, t.kind, _dumps(t.spec), t.next_at, t.last_at, int(t.is_paused)),
        )
