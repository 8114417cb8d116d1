"""What the writer thread does inside of a transaction. Functions over a connection; a typed error means nothing was written."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from orchestrator.errors import AdmissionRefused, JournalConflict, RunFinished, StoreError, UnknownRun
from orchestrator.journal.blobs import LONG, cut
from orchestrator.journal.db_threads import Job
from orchestrator.journal.outbox import put_untold
from orchestrator.journal.refusals import fenced, rewritten, unknown
from orchestrator.journal.sqlite_rows import (
    add_audit,
    holding,
    insert_entry,
    is_written,
    leave_admission,
    put_flow,
    put_request,
    release,
)
from orchestrator.runtime.journal import (
    COMMITTED,
    FINAL,
    Batch,
    Committed,
    InboxEntry,
    NewRun,
)

KEEP_TICKS = 100_000
_dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Writes:
    """The statements of the writer, with what it remembers of runs and workers. Used by one thread only."""

    def __init__(self) -> None:
        self._keys: dict[str, int] = {}  # run id -> rk
        self._workers: dict[str, int] = {}

    # Commits.

    def append(self, db: sqlite3.Connection, jobs: list[Job]) -> None:
        """Write plain commits: check their epochs and append their ticks, in as few statements as can be."""
        rows: list[tuple[int, Batch, Job]] = []
        for job in jobs:
            try:
                rows.append((self._key(db, job.work.run_id), job.work, job))
            except UnknownRun as error:
                job.error = error
        for start in range(0, len(rows), 64):
            part = rows[start : start + 64]
            held = holding(db, [(rk, batch.epoch) for rk, batch, _ in part])
            values: list[Any] = []
            for rk, batch, job in part:
                if rk not in held:
                    job.error = fenced(batch)
                    continue
                body, cuts = self.stored(db, rk, "[" + ",".join(batch.ticks) + "]")
                values += (rk, batch.first_seq, body, cuts)
                job.outcome = COMMITTED
            if values:
                marks = ",".join(["(?,?,?,?)"] * (len(values) // 4))
                made = db.execute(f"INSERT OR IGNORE INTO ticks (rk, seq, body, cuts) VALUES {marks}", values).rowcount
                if made < len(values) // 4:  # J2: some were written before
                    for rk, batch, job in part:
                        if job.error is None and not is_written(db, rk, batch):
                            job.outcome, job.error = None, rewritten(batch)

    def commit(self, db: sqlite3.Connection, batch: Batch) -> Committed:
        """Write a batch of any kind."""
        for flow_hash, ir in batch.flows:
            put_flow(db, flow_hash, ir, batch.at)
        new = batch.create
        if new is not None:
            rk, is_queued = self._create(db, new, batch)
            if is_queued:
                return Committed(is_queued=True)
        else:
            rk = self._key(db, batch.run_id)
            row = db.execute("SELECT epoch, status FROM runs WHERE rk = ?", (rk,)).fetchone()
            if row is None or row[0] != batch.epoch:
                raise fenced(batch)
            if row[1] in FINAL:  # J2: what ended the run has been written
                return COMMITTED
        if batch.ticks and not self._add_ticks(db, rk, batch):
            return COMMITTED
        undelivered = self._add_rest(db, rk, batch)
        return Committed(undelivered) if undelivered else COMMITTED

    def _add_ticks(self, db: sqlite3.Connection, rk: int, batch: Batch) -> bool:
        body, cuts = self.stored(db, rk, "[" + ",".join(batch.ticks) + "]")
        cursor = db.execute(
            "INSERT OR IGNORE INTO ticks (rk, seq, body, cuts) VALUES (?,?,?,?)", (rk, batch.first_seq, body, cuts)
        )
        if cursor.rowcount == 0 and not is_written(db, rk, batch):
            raise rewritten(batch)
        return cursor.rowcount == 1

    def _add_rest(self, db: sqlite3.Connection, rk: int, batch: Batch) -> tuple[InboxEntry, ...]:
        for entry_id, reply in batch.consumed:
            db.execute(
                "UPDATE inbox SET done = 1, data = NULL, reply = ? WHERE id = ? AND rk = ?",
                (None if reply is None else _dumps(reply), entry_id, rk),
            )
        for child in batch.children:
            if self._find(db, child.run_id) is None:
                self._create(db, child, batch)
        undelivered = tuple(post for post in batch.posts if not self._deliver(db, post))
        for request in batch.requests:
            put_request(db, rk, request)
        for item in batch.untold:
            put_untold(db.execute, rk, item)
        for line in batch.audit:
            add_audit(db, line)
        if batch.snapshot is not None:
            self._put_snapshot(db, rk, *batch.snapshot)
        if batch.flow_hash is not None:
            db.execute("UPDATE runs SET flow_hash = ? WHERE rk = ?", (batch.flow_hash, rk))
        if batch.status is not None:
            self._set_status(db, rk, batch)
        if batch.releases:
            release(db, rk, batch.wake_at, batch.at)
            self._keys.pop(batch.run_id, None)
        return undelivered

    def _set_status(self, db: sqlite3.Connection, rk: int, batch: Batch) -> None:
        is_over = batch.status in FINAL
        outcome = None if batch.outcome is None else _dumps(batch.outcome)
        db.execute(
            "UPDATE runs SET status = ?, ended_at = ?, outcome = ? WHERE rk = ?",
            (batch.status, batch.at if is_over else None, outcome, rk),
        )
        if is_over:
            db.execute("UPDATE inbox SET done = 1, data = NULL WHERE rk = ? AND done = 0", (rk,))
            leave_admission(db, rk, batch.at)

    def _create(self, db: sqlite3.Connection, new: NewRun, batch: Batch) -> tuple[int, bool]:
        known = self._known(db, new)
        if known is not None:
            is_mine = new.run_id == batch.run_id and known[1:] == (batch.epoch, self.worker(db, batch.worker))
            if is_mine and batch.ticks and is_written(db, known[0], batch):
                return known[0], False  # J2
            raise JournalConflict(f"a run {new.run_id!r} exists already", code="run.exists")
        is_queued = False
        if new.admission is not None:
            is_queued = self._admit(db, new)
        is_held = new.is_claimed and not is_queued
        status = "queued" if is_queued else "running" if is_held and new.start is None else "new"
        cursor = db.execute(
            "INSERT INTO runs (id, flow, flow_hash, kind, status, epoch, owner, ready_at, created_at, parent, root, dedup, meta)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                new.run_id,
                new.flow,
                new.flow_hash,
                new.kind,
                status,
                1 if is_held else 0,
                self.worker(db, batch.worker) if is_held else None,
                None if is_held or is_queued else batch.at,
                new.created_at,
                new.parent,
                new.root or new.run_id,
                new.dedup,
                None if new.meta is None else _dumps(new.meta),
            ),
        )
        rk = cursor.lastrowid
        assert rk is not None
        self._keys[new.run_id] = rk
        if new.admission is not None:
            key = (rk, new.flow, new.admission.key, 0 if is_queued else 1)
            db.execute("INSERT INTO admission (rk, flow, key, active) VALUES (?,?,?,?)", key)
        if new.start is not None:
            entry = InboxEntry(new.run_id, "start", new.start, "start", new.created_at)
            insert_entry(db, rk, entry)
        return rk, is_queued

    def _known(self, db: sqlite3.Connection, new: NewRun) -> tuple[int, int, int | None] | None:
        row = db.execute("SELECT rk, epoch, owner FROM runs WHERE id = ?", (new.run_id,)).fetchone()
        if row is None and new.dedup is not None:
            row = db.execute("SELECT id FROM runs WHERE dedup = ?", (new.dedup,)).fetchone()
            if row is not None:
                raise JournalConflict(f"a run was started under the key {new.dedup!r}: {row[0]}", code="run.duplicate")
        return None if row is None else (row[0], row[1], row[2])

    def _admit(self, db: sqlite3.Connection, new: NewRun) -> bool:
        """Whether the run has to queue. Raises: AdmissionRefused."""
        rule = new.admission
        assert rule is not None
        others = db.execute(
            "SELECT r.rk, r.id, a.active FROM admission a JOIN runs r ON r.rk = a.rk"
            " WHERE a.flow = ? AND a.key = ? ORDER BY a.rk",
            (new.flow, rule.key),
        ).fetchall()
        active = sum(1 for row in others if row[2])
        if rule.limit is None or (active < rule.limit and (rule.mode == "restart" or active == len(others))):
            is_full = False
        else:
            is_full = True
        if rule.mode == "single" and is_full:
            raise AdmissionRefused(new.flow, rule.key, others[0][1])
        if rule.mode == "restart":
            for rk, run_id, _ in others:
                data = {"reason": f"run {new.run_id} took its place"}
                self._post(db, rk, InboxEntry(run_id, "cancel", data, f"restart/{new.run_id}", new.created_at))
        return is_full

    # The inbox.

    def post(self, db: sqlite3.Connection, entry: InboxEntry) -> bool:
        """Put something into a run's inbox. Raises: UnknownRun, RunFinished."""
        row = db.execute("SELECT rk, status FROM runs WHERE id = ?", (entry.run_id,)).fetchone()
        if row is None:
            raise unknown(entry.run_id)
        if row[1] in FINAL:
            known = db.execute("SELECT 1 FROM inbox WHERE rk = ? AND dedup = ?", (row[0], entry.dedup)).fetchone()
            if known is not None:
                return False
            raise RunFinished(f"run {entry.run_id!r} has ended ({row[1]}) and takes no more events")
        return self._post(db, row[0], entry)

    def _deliver(self, db: sqlite3.Connection, entry: InboxEntry) -> bool:
        try:
            self.post(db, entry)
        except (UnknownRun, RunFinished):
            return entry.kind != "event"  # ends of children and cancels need nobody
        return True

    def _post(self, db: sqlite3.Connection, rk: int, entry: InboxEntry) -> bool:
        if not insert_entry(db, rk, entry):
            return False
        status = db.execute("SELECT status FROM runs WHERE rk = ?", (rk,)).fetchone()[0]
        if status == "queued":
            if entry.kind == "cancel":
                self._end_unstarted(db, rk, entry)
        elif status != "parked" or entry.kind in ("cancel", "redo"):
            if status == "parked":
                db.execute("UPDATE runs SET status = 'waiting', outcome = NULL WHERE rk = ?", (rk,))
            db.execute("UPDATE runs SET ready_at = ? WHERE rk = ? AND owner IS NULL", (entry.at, rk))
        return True

    def _end_unstarted(self, db: sqlite3.Connection, rk: int, entry: InboxEntry) -> None:
        reason = entry.data.get("reason") or "the run was cancelled before it was admitted"
        error = {"code": "cancelled", "message": reason, "step": None, "attempt": 0, "details": None}
        outcome = {"result": None, "type": None, "error": error}
        row = db.execute("SELECT id, parent FROM runs WHERE rk = ?", (rk,)).fetchone()
        batch = Batch(row[0], 0, 0, entry.at, status="cancelled", outcome=outcome)
        self._set_status(db, rk, batch)
        if row[1] is not None:
            data = {"child": row[0], "status": "cancelled", "type": "", "value": None, "error": error}
            self._deliver(db, InboxEntry(row[1], "child", data, f"child/{row[0]}", entry.at))

    # Workers.

    def renew(self, db: sqlite3.Connection, worker: str, now: float, lease_s: float, host: str, pid: str) -> None:
        """Extend a worker's lease, or make the worker known."""
        cursor = db.execute("UPDATE workers SET lease_until = ? WHERE name = ?", (now + lease_s, worker))
        if cursor.rowcount == 0:
            db.execute(
                "INSERT INTO workers (name, lease_until, host, pid) VALUES (?,?,?,?)",
                (worker, now + lease_s, host, pid),
            )
            self._workers.pop(worker, None)

    def worker(self, db: sqlite3.Connection, worker: str) -> int:
        """The wk of a worker. Raises: StoreError for one that never renewed."""
        known = self._workers.get(worker)
        if known is None:
            row = db.execute("SELECT wk FROM workers WHERE name = ?", (worker,)).fetchone()
            if row is None:
                raise StoreError(f"worker {worker!r} has not been announced; `renew` does that")
            known = self._workers[worker] = row[0]
        return known

    def forget_worker(self, worker: str) -> None:
        """Drop what is remembered of a worker."""
        self._workers.pop(worker, None)

    # Small parts.

    def key(self, db: sqlite3.Connection, run_id: str) -> int:
        """The rk of a run. Raises: UnknownRun."""
        return self._key(db, run_id)

    def forget(self, run_ids: Sequence[str]) -> None:
        """Drop what is remembered of runs that were deleted."""
        for run_id in run_ids:
            self._keys.pop(run_id, None)

    def _key(self, db: sqlite3.Connection, run_id: str) -> int:
        known = self._keys.get(run_id)
        if known is None:
            known = self._find(db, run_id)
            if known is None:
                raise unknown(run_id)
            self._keys[run_id] = known
        return known

    @staticmethod
    def _find(db: sqlite3.Connection, run_id: str) -> int | None:
        row = db.execute("SELECT rk FROM runs WHERE id = ?", (run_id,)).fetchone()
        return None if row is None else int(row[0])

    @staticmethod
    def stored(db: sqlite3.Connection, rk: int, text: str) -> tuple[str, str | None]:
        """A text as it is kept, and where long strings were taken out of it."""
        if len(text) <= LONG:
            return text, None
        short, cuts, blobs = cut(text)
        for key, body in blobs.items():
            db.execute("INSERT OR IGNORE INTO blobs (hash, body) VALUES (?,?)", (key, body))
            db.execute("INSERT OR IGNORE INTO blob_refs (rk, hash) VALUES (?,?)", (rk, key))
        return short, _dumps(cuts) if cuts else None

    def _put_snapshot(self, db: sqlite3.Connection, rk: int, seq: int, text: str) -> None:
        """Keep the newest snapshot, and older ones as places to start from when ticks before them are dropped."""
        body, cuts = self.stored(db, rk, text)
        kept = [r[0] for r in db.execute("SELECT seq FROM snapshots WHERE rk = ? ORDER BY seq", (rk,))]
        if len(kept) >= 2 and seq - kept[-2] >= KEEP_TICKS:
            db.execute("DELETE FROM ticks WHERE rk = ? AND seq < ?", (rk, kept[-2]))
            db.execute("DELETE FROM snapshots WHERE rk = ? AND seq < ?", (rk, kept[-2]))
            kept = kept[-2:]
        elif len(kept) >= 2 and kept[-1] - kept[-2] < KEEP_TICKS:
            db.execute("DELETE FROM snapshots WHERE rk = ? AND seq = ?", (rk, kept[-1]))
        db.execute("INSERT OR REPLACE INTO snapshots (rk, seq, body, cuts) VALUES (?,?,?,?)", (rk, seq, body, cuts))
