"""What operators ask of and change in a PostgreSQL journal, where the statements differ from those for a SQLite file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from orchestrator.errors import JournalConflict
from orchestrator.ir.codec import flow_from_json
from orchestrator.journal.audit import AuditProof, verify
from orchestrator.journal.postgres_commit import put_request
from orchestrator.journal.postgres_threads import Db
from orchestrator.journal.postgres_writes import BLOB_LOCK, Tx
from orchestrator.journal.refusals import unknown
from orchestrator.journal.sqlite_operate import CHUNK, admitted, rows_beside, shelf_rows
from orchestrator.journal.sqlite_queries import SqliteQueries, _every_line, trigger_row
from orchestrator.journal.store import StoredRun, StoredShelf, StoreStats, TriggerRow, WorkerRow
from orchestrator.runtime.journal import FINAL, AuditRow
from orchestrator.runtime.placed import pool_of

T = TypeVar("T")
_dumps = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


class PostgresOperate(SqliteQueries):
    """The `Store` half of a PostgreSQL journal; questions whose SQL is the same are those of a SQLite file."""

    def _change(self, work: Callable[[Tx], T], *run_ids: str) -> asyncio.Future[T]:
        raise NotImplementedError

    def _look(self, work: Callable[[Db], T]) -> asyncio.Future[T]:
        raise NotImplementedError

    async def log(self, lines: Sequence[AuditRow]) -> None:
        """Add lines to the audit log."""
        await self._change(lambda tx: tx.audit.extend(lines))

    async def verify_audit(self, kept: str | None = None) -> AuditProof:
        """Check the hash chain of the audit log, and that it has a line with this hash."""
        return await self._look(lambda db: verify(_every_line(cast(Any, db)), kept=kept))

    async def stats(self) -> StoreStats:
        """How full the store is."""

        def work(db: Db) -> StoreStats:
            by_status = dict(db.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall())
            requests = _one(db, "SELECT count(*) FROM requests WHERE state = 'open'")
            lines = _one(db, "SELECT coalesce(max(id), 0) FROM audit")
            size = _one(
                db,
                "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c"
                " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relkind = 'r'",
            )
            workers = db.execute(
                "SELECT name, lease_until, (SELECT count(*) FROM runs WHERE owner = wk) FROM workers ORDER BY name"
            )
            return StoreStats(by_status, requests, lines, size, tuple(WorkerRow(*row) for row in workers))

        return await self._look(work)

    async def triggers(self, *, kind: str | None = None, due_by: float | None = None) -> list[TriggerRow]:
        """Registered triggers, or those that are due."""
        where, values = ["true"], list[Any]()
        if kind is not None:
            where.append("kind = ?")
            values.append(kind)
        if due_by is not None:
            where.append("paused = 0 AND next_at IS NOT NULL AND next_at <= ?")
            values.append(due_by)
        sql = (
            "SELECT id, flow, flow_hash, kind, spec, next_at, last_at, paused FROM triggers"
            f" WHERE {' AND '.join(where)} ORDER BY next_at NULLS FIRST, id"
        )
        return await self._look(lambda db: [trigger_row(row) for row in db.execute(sql, values)])

    async def delete(self, run_ids: Sequence[str]) -> int:
        """Remove ended runs. Raises: UnknownRun, JournalConflict."""

        def work(tx: Tx) -> int:
            keys = []
            for run_id in run_ids:
                row = tx.row(run_id)
                if row is None:
                    raise unknown(run_id)
                if row.status not in FINAL:
                    message = f"run {run_id!r} has not ended ({row.status}); cancel it first"
                    raise JournalConflict(message, code="run.open")
                keys.append(row.rk)
            return _remove(tx, keys)

        return await self._change(work, *run_ids)

    async def prune(self, *, ended_before: float, limit: int = 500) -> int:
        """Remove runs that ended before, oldest first."""

        def work(tx: Tx) -> int:
            rows = tx.db.execute(
                "SELECT rk FROM runs WHERE ended_at IS NOT NULL AND ended_at < ? ORDER BY ended_at LIMIT ?"
                " FOR UPDATE SKIP LOCKED",
                (ended_before, limit),
            )
            return _remove(tx, [row[0] for row in rows])

        return await self._change(work)

    async def import_run(self, stored: StoredRun, *, now: float) -> None:
        """Add a run from elsewhere. Raises: JournalConflict."""
        await self._change(lambda tx: _import(tx, stored, now), stored.row.run_id)

    async def import_shelf(self, shelf: StoredShelf) -> None:
        """Add what is not there."""

        def work(tx: Tx) -> None:
            for sql, values in shelf_rows(shelf):
                tx.write(sql, values)

        await self._change(work)

    async def set_triggers(self, flow: str, rows: Sequence[TriggerRow]) -> None:
        """Replace the triggers of a flow; one whose spec is as before keeps its times and its pause."""

        def work(tx: Tx) -> None:
            found = tx.db.execute(
                "SELECT id, flow, flow_hash, kind, spec, next_at, last_at, paused FROM triggers WHERE flow = ? FOR UPDATE",
                (flow,),
            )
            known = {row[0]: trigger_row(row) for row in found}
            for row in rows:
                old = known.pop(row.id, None)
                kept = old if old is not None and (old.kind, old.spec) == (row.kind, row.spec) else row
                times = (kept.next_at, kept.last_at, int(kept.is_paused))
                tx.write(
                    "INSERT INTO triggers (id, flow, flow_hash, kind, spec, next_at, last_at, paused) VALUES (?,?,?,?,?,?,?,?)"
                    " ON CONFLICT (id) DO UPDATE SET flow = excluded.flow, flow_hash = excluded.flow_hash,"
                    " kind = excluded.kind, spec = excluded.spec, next_at = excluded.next_at, last_at = excluded.last_at,"
                    " paused = excluded.paused",
                    (row.id, row.flow, row.flow_hash, row.kind, _dumps(row.spec), *times),
                )
            tx.write("DELETE FROM triggers WHERE id = ANY(?)", (list(known),))

        await self._change(work)

    async def advance_trigger(
        self, id: str, *, was: float | None, next_at: float | None, last_at: float | None
    ) -> bool:
        """Set when a trigger is due next, if nobody has done so since."""
        sql = "UPDATE triggers SET next_at = ?, last_at = ? WHERE id = ? AND next_at IS NOT DISTINCT FROM ?::double precision"
        return await self._change(lambda tx: bool(tx.count(sql, (next_at, last_at, id, was))))

    async def pause_trigger(self, id: str, *, is_paused: bool) -> bool:
        """Pause a trigger or let it go on."""
        sql = "UPDATE triggers SET paused = ? WHERE id = ?"
        return await self._change(lambda tx: bool(tx.count(sql, (int(is_paused), id))))


def _one(db: Db, sql: str) -> int:
    row = db.execute(sql).fetchone()
    assert row is not None
    return int(row[0])


def _remove(tx: Tx, keys: list[int]) -> int:
    if not keys:
        return 0
    tx.write("SELECT pg_advisory_xact_lock(?)", (BLOB_LOCK,))
    tx.write("DELETE FROM audience WHERE qk IN (SELECT qk FROM requests WHERE rk = ANY(?))", (keys,))
    hashes = [row[0] for row in tx.write("DELETE FROM blob_refs WHERE rk = ANY(?) RETURNING hash", (keys,))]
    for table in ("ticks", "snapshots", "inbox", "requests", "admission", "runs"):
        tx.write(f"DELETE FROM {table} WHERE rk = ANY(?)", (keys,))
    tx.write(
        "DELETE FROM blobs b WHERE hash = ANY(?) AND NOT EXISTS (SELECT 1 FROM blob_refs r WHERE r.hash = b.hash)",
        (hashes,),
    )
    return len(keys)


def _import(tx: Tx, stored: StoredRun, now: float) -> None:
    row = stored.row
    if tx.row(row.run_id) is not None:
        raise JournalConflict(f"a run {row.run_id!r} exists already", code="run.exists")
    if stored.admission is not None:
        tx.db.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 1))", (f"{row.flow}\n{stored.admission[0]}",))
    status, is_in = admitted(tx.db, stored)
    due = None if status in FINAL or status in ("parked", "queued") else now
    brought = row.meta.get("ir") if stored.flow is None and isinstance(row.meta, dict) else stored.flow
    rk = tx.write(
        "INSERT INTO runs (id, flow, flow_hash, kind, status, epoch, ready_at, created_at, ended_at, parent, root, dedup,"
        f" outcome, meta, pool, admitted) VALUES ({','.join('?' * 16)}) RETURNING rk",
        (
            *(row.run_id, row.flow, row.flow_hash, row.kind, status, row.epoch, due, row.created_at, row.ended_at),
            *(row.parent, row.root or row.run_id, row.dedup, _dumps(row.outcome), _dumps(row.meta)),
            None if brought is None else pool_of(flow_from_json(brought)),
            stored.admission is not None,
        ),
    ).fetchone()[0]
    if stored.flow is not None:
        tx.write(
            "INSERT INTO flows (hash, name, ir, created_at) VALUES (?,?,?,?) ON CONFLICT DO NOTHING",
            (row.flow_hash, row.flow, _dumps(stored.flow), now),
        )
    for start in range(0, len(stored.ticks), CHUNK):
        text = json.dumps(stored.ticks[start : start + CHUNK], separators=(",", ":"))
        body, cuts = tx.stored(rk, text)
        values = (rk, stored.first_seq + start, body, cuts)
        tx.write("INSERT INTO ticks (rk, seq, body, cuts) VALUES (?,?,?,?)", values)
    if stored.snapshot is not None:
        body, cuts = tx.stored(rk, stored.snapshot[1])
        values = (rk, stored.snapshot[0], body, cuts)
        tx.write("INSERT INTO snapshots (rk, seq, body, cuts) VALUES (?,?,?,?)", values)
    for request in stored.requests:
        put_request(tx, rk, request)
    for entry in stored.inbox:
        tx.insert_entry(rk, entry)
    for sql, beside in rows_beside(rk, stored, is_in):
        tx.write(sql, beside)
    tx.audit += stored.audit
    if due is not None:
        tx.told.add(row.run_id)
