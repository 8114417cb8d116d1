"""What the reading thread looks up for the runtime: a run's snapshot, ticks and inbox, and what is due."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from orchestrator.errors import StoreError
from orchestrator.journal.blobs import splice
from orchestrator.journal.refusals import unknown
from orchestrator.journal.sqlite_claims import lost_workers
from orchestrator.runtime.journal import InboxEntry, Json, Loaded


def run_key(db: sqlite3.Connection, run_id: str) -> int:
    """The rk of a run. Raises: UnknownRun."""
    row = db.execute("SELECT rk FROM runs WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        raise unknown(run_id)
    return int(row[0])


def load(db: sqlite3.Connection, run_id: str) -> Loaded:
    """A run's newest snapshot, the ticks after it, and its inbox.

    Raises: UnknownRun; StoreError if ticks are missing or cannot be read.
    """
    rk = run_key(db, run_id)
    row = db.execute("SELECT seq, body, cuts FROM snapshots WHERE rk = ? ORDER BY seq DESC LIMIT 1", (rk,)).fetchone()
    snapshot = None if row is None else (row[0], whole(db, row[1], row[2]))
    base = 0 if row is None else row[0]
    ticks = list(ticks_from(db, rk, run_id, base))
    size = db.execute("SELECT sum(length(body)) FROM ticks WHERE rk = ? AND seq >= ?", (rk, base)).fetchone()[0]
    return Loaded(snapshot, ticks, inbox(db, rk, run_id), size or 0)


def ticks_from(
    db: sqlite3.Connection, rk: int, run_id: str, start: int, limit: int = 1 << 60
) -> Iterable[tuple[int, Json]]:
    """Ticks with a seq of at least `start`, in order and without a gap."""
    first = db.execute("SELECT max(seq) FROM ticks WHERE rk = ? AND seq <= ?", (rk, start)).fetchone()[0]
    rows = db.execute(
        "SELECT seq, body, cuts FROM ticks WHERE rk = ? AND seq >= ? ORDER BY seq",
        (rk, first if first is not None else start),
    )
    return unpack(db, run_id, rows, start, limit)


def unpack(
    db: sqlite3.Connection, run_id: str, rows: Iterable[Any], start: int, limit: int = 1 << 60
) -> Iterable[tuple[int, Json]]:
    """The ticks in rows of (seq, body, cuts), from `start` on. Raises: StoreError for a gap."""
    expected: int | None = None
    count = 0
    for seq, body, cuts in rows:
        if (expected is not None and seq != expected) or (expected is None and seq > start):
            raise StoreError(
                f"run {run_id!r} lacks ticks {expected or start} to {seq - 1}: they were dropped by retention, or the file "
                "is damaged",
                code="store.pruned",
            )
        batch = json.loads(whole(db, body, cuts) if cuts is not None else body)
        for place, tick in enumerate(batch):
            if seq + place >= start:
                if count >= limit:
                    return
                count += 1
                yield seq + place, tick
        expected = seq + len(batch)


def inbox(db: sqlite3.Connection, rk: int, run_id: str) -> list[InboxEntry]:
    """Unconsumed rows, oldest first."""
    rows = db.execute("SELECT id, kind, data, dedup, at FROM inbox WHERE rk = ? AND done = 0 ORDER BY id", (rk,))
    return [InboxEntry(run_id, kind, json.loads(data), dedup, at, id) for id, kind, data, dedup, at in rows]


def reply(db: sqlite3.Connection, run_id: str, dedup: str) -> tuple[bool, Json]:
    """Whether an inbox row was consumed, and its reply."""
    rk = run_key(db, run_id)
    row = db.execute("SELECT done, reply FROM inbox WHERE rk = ? AND dedup = ?", (rk, dedup)).fetchone()
    if row is None:
        return False, None
    return bool(row[0]), None if row[1] is None else json.loads(row[1])


def mail(db: sqlite3.Connection, worker: str) -> list[str]:
    """The runs that a worker holds and for which something has come."""
    rows = db.execute(
        "SELECT DISTINCT r.id FROM inbox i JOIN runs r ON r.rk = i.rk"
        " WHERE i.done = 0 AND r.owner = (SELECT wk FROM workers WHERE name = ?)",
        (worker,),
    )
    return [row[0] for row in rows]


def ahead(db: sqlite3.Connection, run_id: str) -> list[str]:
    """The runs that count in its flow's concurrency before a run that queues."""
    rows = db.execute(
        "SELECT r.id FROM admission q JOIN admission a ON a.flow = q.flow AND a.key = q.key AND a.rk < q.rk"
        " JOIN runs r ON r.rk = a.rk WHERE q.active = 0 AND q.rk = (SELECT rk FROM runs WHERE id = ?) ORDER BY a.rk",
        (run_id,),
    )
    return [row[0] for row in rows]


def next_due(db: sqlite3.Connection, now: float, host: str) -> float | None:
    """When the next run is due that nobody holds, or the next lease of a worker ends."""
    due = db.execute("SELECT min(ready_at) FROM runs WHERE owner IS NULL AND ready_at IS NOT NULL").fetchone()[0]
    lease = db.execute(
        "SELECT min(lease_until) FROM workers w WHERE EXISTS (SELECT 1 FROM runs WHERE owner = w.wk)"
    ).fetchone()[0]
    if lost_workers(db, now, host):
        return now
    found = [x for x in (due, lease) if x is not None]
    return min(found) if found else None


def whole(db: sqlite3.Connection, body: str, cuts: str | None) -> str:
    """A stored text with the long strings that were taken out of it."""
    if cuts is None:
        return body
    places: list[Any] = json.loads(cuts)
    wanted = {key for _, key in places}
    blobs: dict[str, str] = {}
    for key in wanted:
        row = db.execute("SELECT body FROM blobs WHERE hash = ?", (key,)).fetchone()
        if row is None:
            raise StoreError(f"the blob {key[:12]} is missing; the file is damaged", code="store.corrupt")
        blobs[key] = row[0]
    return splice(body, [(offset, key) for offset, key in places], blobs)
