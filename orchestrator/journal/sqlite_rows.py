"""Statements for single rows of a SQLite file, inside of a transaction of the writer: claims given up, the audit log, inboxes,
requests, versions of flows."""

from __future__ import annotations

import json
import sqlite3

from orchestrator.journal.audit import FIRST, link
from orchestrator.journal.blobs import cut
from orchestrator.journal.outbox import forget_untold
from orchestrator.runtime.journal import (
    FINAL,
    AuditRow,
    Batch,
    InboxEntry,
    Json,
    RequestRow,
)

_dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def release(db: sqlite3.Connection, rk: int, wake_at: float | None, now: float) -> None:
    """Give up a claim; J4."""
    row = db.execute("SELECT status FROM runs WHERE rk = ?", (rk,)).fetchone()
    if row[0] in FINAL or row[0] == "parked":
        wake_at = None
    elif db.execute("SELECT 1 FROM inbox WHERE rk = ? AND done = 0 LIMIT 1", (rk,)).fetchone() is not None:
        wake_at = now
    db.execute("UPDATE runs SET owner = NULL, ready_at = ? WHERE rk = ?", (wake_at, rk))


def leave_admission(db: sqlite3.Connection, rk: int, now: float) -> None:
    """A run that counted against its flow's concurrency has gone: let the next in."""
    row = db.execute("SELECT flow, key, active FROM admission WHERE rk = ?", (rk,)).fetchone()
    if row is None:
        return
    db.execute("DELETE FROM admission WHERE rk = ?", (rk,))
    if not row[2]:
        return
    following = db.execute(
        "SELECT rk FROM admission WHERE flow = ? AND key = ? AND active = 0 ORDER BY rk LIMIT 1", row[:2]
    ).fetchone()
    if following is not None:
        db.execute("UPDATE admission SET active = 1 WHERE rk = ?", following)
        db.execute("UPDATE runs SET status = 'new', ready_at = ? WHERE rk = ?", (now, following[0]))


def add_audit(db: sqlite3.Connection, line: AuditRow) -> None:
    """Append to the audit log."""
    row = db.execute("SELECT hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    digest = link(row[0] if row is not None else FIRST, line)
    db.execute(
        "INSERT INTO audit (at, run, actor, action, data, hash) VALUES (?,?,?,?,?,?)",
        (line.at, line.run_id, line.actor, line.action, _dumps(line.data), digest),
    )


def insert_entry(db: sqlite3.Connection, rk: int, entry: InboxEntry) -> bool:
    """Put something into an inbox; False if its dedup key was there."""
    cursor = db.execute(
        "INSERT OR IGNORE INTO inbox (rk, kind, data, dedup, at) VALUES (?,?,?,?,?)",
        (rk, entry.kind, _dumps(entry.data), entry.dedup, entry.at),
    )
    return cursor.rowcount == 1


def put_request(db: sqlite3.Connection, rk: int, request: RequestRow) -> None:
    """Write what the inbox shows of a request."""
    row = db.execute("SELECT qk FROM requests WHERE rk = ? AND request = ?", (rk, request.request_id)).fetchone()
    if request.data is None:  # it was closed
        if row is not None:
            db.execute(
                "UPDATE requests SET state = ?, closed_at = ? WHERE qk = ? AND state = 'open'",
                (request.state, request.closed_at, row[0]),
            )
            db.execute("DELETE FROM audience WHERE qk = ?", row)
            forget_untold(db.execute, rk, request.request_id)
        return
    values = (request.step, request.state, _dumps(request.data), request.opened_at, request.due_at, request.closed_at)
    if row is None:
        qk = db.execute(
            "INSERT INTO requests (rk, request, flow, step, state, data, opened_at, due_at, closed_at)"
            " VALUES (?,?,(SELECT flow FROM runs WHERE rk = ?),?,?,?,?,?,?)",
            (rk, request.request_id, rk, *values),
        ).lastrowid
    else:
        qk = row[0]
        db.execute(
            "UPDATE requests SET step=?, state=?, data=?, opened_at=?, due_at=?, closed_at=? WHERE qk = ?",
            (*values, qk),
        )
        db.execute("DELETE FROM audience WHERE qk = ?", (qk,))
    if request.state != "open":
        forget_untold(db.execute, rk, request.request_id)
    else:
        for name in request.audience or ("*",):
            db.execute("INSERT OR IGNORE INTO audience (name, qk) VALUES (?,?)", (name, qk))


def put_flow(db: sqlite3.Connection, flow_hash: str, ir: Json, now: float) -> None:
    """Keep a version of a flow."""
    name = str(ir.get("name", "")) if isinstance(ir, dict) else ""
    db.execute(
        "INSERT OR IGNORE INTO flows (hash, name, ir, created_at) VALUES (?,?,?,?)", (flow_hash, name, _dumps(ir), now)
    )


def is_written(db: sqlite3.Connection, rk: int, batch: Batch) -> bool:
    """Whether the ticks of a batch are those that stand at its place."""
    row = db.execute("SELECT body FROM ticks WHERE rk = ? AND seq = ?", (rk, batch.first_seq)).fetchone()
    return row is not None and row[0] == cut("[" + ",".join(batch.ticks) + "]")[0]


def holding(db: sqlite3.Connection, claims: list[tuple[int, int]]) -> set[int]:
    """The rks of claims whose epoch is the run's."""
    if len(claims) == 1:
        row = db.execute("SELECT epoch FROM runs WHERE rk = ?", (claims[0][0],)).fetchone()
        return {claims[0][0]} if row is not None and row[0] == claims[0][1] else set()
    marks = ",".join(["(?,?)"] * len(claims))
    text = db.execute(
        f"WITH v(rk, epoch) AS (VALUES {marks})"
        " SELECT group_concat(r.rk) FROM v JOIN runs r ON r.rk = v.rk AND r.epoch = v.epoch",
        [x for claim in claims for x in claim],
    ).fetchone()[0]
    return {int(x) for x in text.split(",")} if text else set()
