"""What a commit writes beside its ticks: the run's row, children, posts, requests, snapshots, admission. All inside of a Tx."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from orchestrator.errors import AdmissionRefused, JournalConflict, RunFinished, UnknownRun
from orchestrator.journal.outbox import forget_untold, put_untold
from orchestrator.journal.postgres_writes import SOON_S, Row, Tx, dumps, is_written
from orchestrator.journal.refusals import fenced, rewritten, unknown
from orchestrator.journal.sqlite_writes import KEEP_TICKS
from orchestrator.runtime.journal import COMMITTED, FINAL, Batch, Committed, InboxEntry, Json, NewRun, RequestRow

OPEN_INBOX = "EXISTS (SELECT 1 FROM inbox WHERE inbox.rk = runs.rk AND done = 0)"


def runs_of(batch: Batch) -> tuple[str, ...]:
    """The runs that a commit is about: their rows are locked before anything is written."""
    return (batch.run_id, *(post.run_id for post in batch.posts), *(child.run_id for child in batch.children))


def commit(tx: Tx, batch: Batch) -> Committed:
    """Write a batch of any kind. Raises: Fenced, UnknownRun, JournalConflict, AdmissionRefused."""
    for flow_hash, ir in batch.flows:
        put_flow(tx, flow_hash, ir, batch.at)
    if batch.create is not None:
        row, is_queued = create(tx, batch.create, batch)
        if is_queued:
            return Committed(is_queued=True)
    else:
        found = tx.row(batch.run_id)
        if found is None:
            raise unknown(batch.run_id)
        row = found
        if row.epoch != batch.epoch:
            raise fenced(batch)
        if row.status in FINAL:  # J2: what ended the run has been written
            return COMMITTED
    if batch.ticks and not _add_ticks(tx, row.rk, batch):
        return COMMITTED
    undelivered = _add_rest(tx, row, batch)
    return Committed(undelivered) if undelivered else COMMITTED


def _add_ticks(tx: Tx, rk: int, batch: Batch) -> bool:
    body, cuts = tx.stored(rk, "[" + ",".join(batch.ticks) + "]")
    if not tx.is_careful:  # if something stands there, the statement fails and the group is done again with care
        tx.write("INSERT INTO ticks (rk, seq, body, cuts) VALUES (?,?,?,?)", (rk, batch.first_seq, body, cuts))
        return True
    sql = "INSERT INTO ticks (rk, seq, body, cuts) VALUES (?,?,?,?) ON CONFLICT DO NOTHING"
    is_new = tx.count(sql, (rk, batch.first_seq, body, cuts)) == 1
    if not is_new and not is_written(tx.db, rk, batch):
        raise rewritten(batch)
    return is_new


def put_flow(tx: Tx, flow_hash: str, ir: Json, now: float) -> None:
    """Keep a version of a flow."""
    name = str(ir.get("name", "")) if isinstance(ir, dict) else ""
    sql = "INSERT INTO flows (hash, name, ir, created_at) VALUES (?,?,?,?) ON CONFLICT DO NOTHING"
    tx.write(sql, (flow_hash, name, dumps(ir), now))


def _add_rest(tx: Tx, row: Row, batch: Batch) -> tuple[InboxEntry, ...]:
    if batch.consumed:
        ids = [entry_id for entry_id, _ in batch.consumed]
        replies = [None if reply is None else dumps(reply) for _, reply in batch.consumed]
        tx.write(
            "UPDATE inbox SET done = 1, data = NULL, reply = v.reply FROM unnest(?::bigint[], ?::text[]) AS v (id, reply)"
            " WHERE inbox.id = v.id AND rk = ?",
            (ids, replies, row.rk),
        )
    for child in batch.children:
        if tx.row(child.run_id) is None:
            create(tx, child, batch)
    undelivered = tuple(entry for entry in batch.posts if not deliver(tx, entry))
    for request in batch.requests:
        put_request(tx, row.rk, request)
    for item in batch.untold:
        put_untold(tx.write, row.rk, item)
    tx.audit += batch.audit
    if batch.snapshot is not None:
        _put_snapshot(tx, row.rk, *batch.snapshot)
    if batch.status is not None or batch.releases or batch.flow_hash is not None:
        _set_row(tx, row, batch)
    return undelivered


def _set_row(tx: Tx, row: Row, batch: Batch) -> None:
    sets: list[str] = []
    values: list[Any] = []
    status = batch.status or row.status
    if batch.flow_hash is not None:
        sets.append("flow_hash = ?")
        values.append(batch.flow_hash)
    if batch.status is not None:
        sets.append("status = ?, ended_at = ?, outcome = ?")
        outcome = None if batch.outcome is None else dumps(batch.outcome)
        values += [status, batch.at if status in FINAL else None, outcome]
    if batch.releases:
        release_sets, release_values = released(status, batch.wake_at, batch.at)
        sets.append(release_sets)
        values += release_values
        row.owner = None
        if batch.wake_at is not None and batch.wake_at < batch.at + SOON_S:
            tx.told.add(row.id)
    update = f"UPDATE runs SET {', '.join(sets)} WHERE rk = ?"
    if batch.status is not None and status in FINAL:
        gone = "WITH gone AS (UPDATE inbox SET done = 1, data = NULL WHERE rk = ? AND done = 0) "
        tx.write(gone + update, (row.rk, *values, row.rk))
        row.status = status
        leave_admission(tx, row, batch.at)
    else:
        tx.write(update, (*values, row.rk))
        row.status = status


def released(status: str, wake_at: float | None, now: float) -> tuple[str, list[Any]]:
    """How a row is set whose claim is given up; J4."""
    if status in FINAL or status == "parked":
        return "owner = NULL, ready_at = NULL, rung_at = NULL", []
    return f"owner = NULL, rung_at = NULL, ready_at = CASE WHEN {OPEN_INBOX} THEN ? ELSE ? END::double precision", [
        now,
        wake_at,
    ]


def create(tx: Tx, new: NewRun, batch: Batch) -> tuple[Row, bool]:
    """Make a run's row; whether it has to queue. Raises: JournalConflict, AdmissionRefused."""
    known = tx.row(new.run_id)
    owner = tx.worker(batch.worker) if new.is_claimed else None
    if known is not None:
        is_mine = new.run_id == batch.run_id and (known.epoch, known.owner) == (batch.epoch, owner)
        if is_mine and batch.ticks and is_written(tx.db, known.rk, batch):
            return known, False  # J2
        raise JournalConflict(f"a run {new.run_id!r} exists already", code="run.exists")
    if new.dedup is not None:
        other = tx.db.execute("SELECT id FROM runs WHERE dedup = ?", (new.dedup,)).fetchone()
        if other is not None:
            raise JournalConflict(f"a run was started under the key {new.dedup!r}: {other[0]}", code="run.duplicate")
    is_queued = new.admission is not None and _admit(tx, new)
    is_held = new.is_claimed and not is_queued
    status = "queued" if is_queued else "running" if is_held and new.start is None else "new"
    mail = [] if new.start is None else [("start", dumps(new.start), "start", new.created_at)]
    found = tx.write(
        "WITH made AS (INSERT INTO runs (id, flow, flow_hash, kind, status, epoch, owner, ready_at, created_at, parent, root,"
        f" dedup, meta, pool, admitted, ring) VALUES ({','.join('?' * 16)}) ON CONFLICT DO NOTHING RETURNING rk)"
        + (
            ", mailed AS (INSERT INTO inbox (rk, kind, data, dedup, at) SELECT rk, ?, ?, ?, ? FROM made)"
            if mail
            else ""
        )
        + " SELECT rk FROM made",
        (
            *(new.run_id, new.flow, new.flow_hash, new.kind, status, 1 if is_held else 0, owner if is_held else None),
            *(
                None if is_held or is_queued else batch.at,
                new.created_at,
                new.parent,
                new.root or new.run_id,
                new.dedup,
            ),
            None if new.meta is None else dumps(new.meta),
            *(new.pool, new.admission is not None, 0 if is_held else 1),
            *(mail[0] if mail else ()),
        ),
    ).fetchone()
    if found is None:  # somebody else made it since we looked
        raise JournalConflict(f"a run {new.run_id!r} was made at the same time", code="run.exists")
    has_admission = new.admission is not None
    row = Row(new.run_id, found[0], 1 if is_held else 0, status, owner if is_held else None, new.parent, has_admission)
    tx.rows[new.run_id] = row
    if new.admission is not None:
        tx.write(
            "INSERT INTO admission (rk, flow, key, active) VALUES (?,?,?,?)",
            (row.rk, new.flow, new.admission.key, 0 if is_queued else 1),
        )
    if not is_held and not is_queued:
        tx.told.add(new.run_id)
    return row, is_queued


def _admit(tx: Tx, new: NewRun) -> bool:
    """Whether the run has to queue. Raises: AdmissionRefused."""
    rule = new.admission
    assert rule is not None
    tx.db.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 1))", (f"{new.flow}\n{rule.key}",))
    others = tx.db.execute(
        "SELECT r.id, a.active FROM admission a JOIN runs r ON r.rk = a.rk WHERE a.flow = ? AND a.key = ? ORDER BY a.rk",
        (new.flow, rule.key),
    ).fetchall()
    active = sum(1 for row in others if row[1])
    has_room = rule.limit is None or (active < rule.limit and (rule.mode == "restart" or active == len(others)))
    if rule.mode == "single" and not has_room:
        raise AdmissionRefused(new.flow, rule.key, others[0][0])
    if rule.mode == "restart":
        for run_id, _ in others:
            data = {"reason": f"run {new.run_id} took its place"}
            row = tx.row(run_id)
            if row is not None and row.status not in FINAL:
                _post(tx, row, InboxEntry(run_id, "cancel", data, f"restart/{new.run_id}", new.created_at))
    return not has_room


def leave_admission(tx: Tx, row: Row, now: float) -> None:
    """A run that counted against its flow's concurrency has gone: let the next in."""
    if not row.admitted:
        return
    left = tx.write("DELETE FROM admission WHERE rk = ? RETURNING flow, key, active", (row.rk,)).fetchone()
    if left is None or not left[2]:
        return
    tx.db.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 1))", (f"{left[0]}\n{left[1]}",))
    following = tx.db.execute(
        "SELECT a.rk, r.id FROM admission a JOIN runs r ON r.rk = a.rk WHERE a.flow = ? AND a.key = ? AND a.active = 0"
        " ORDER BY a.rk LIMIT 1",
        left[:2],
    ).fetchone()
    if following is not None:
        tx.write("UPDATE admission SET active = 1 WHERE rk = ?", (following[0],))
        tx.write("UPDATE runs SET status = 'new', ready_at = ?, rung_at = NULL WHERE rk = ?", (now, following[0]))
        tx.told.add(following[1])


# The inbox.


def post(tx: Tx, entry: InboxEntry) -> bool:
    """Put something into a run's inbox; False if it was there. Raises: UnknownRun, RunFinished."""
    row = tx.row(entry.run_id)
    if row is None:
        raise unknown(entry.run_id)
    if row.status in FINAL:
        known = tx.db.execute("SELECT 1 FROM inbox WHERE rk = ? AND dedup = ?", (row.rk, entry.dedup)).fetchone()
        if known is not None:
            return False
        raise RunFinished(f"run {entry.run_id!r} has ended ({row.status}) and takes no more events")
    return _post(tx, row, entry)


def deliver(tx: Tx, entry: InboxEntry) -> bool:
    """The same for what a commit sends: False if an event found no run to take it."""
    try:
        post(tx, entry)
    except (UnknownRun, RunFinished):
        return entry.kind != "event"  # ends of children and cancels need nobody
    return True


def _post(tx: Tx, row: Row, entry: InboxEntry) -> bool:
    if not tx.insert_entry(row.rk, entry):
        return False
    tx.told.add(row.id)
    if row.status == "queued":
        if entry.kind == "cancel":
            _end_unstarted(tx, row, entry)
        return True
    if row.status == "parked":
        if entry.kind not in ("cancel", "redo"):
            return True
        row.status = "waiting"
        tx.write("UPDATE runs SET status = 'waiting', outcome = NULL WHERE rk = ?", (row.rk,))
    if row.owner is None:
        tx.write("UPDATE runs SET ready_at = ?, ring = ring + 1, rung_at = NULL WHERE rk = ?", (entry.at, row.rk))
    return True


def _end_unstarted(tx: Tx, row: Row, entry: InboxEntry) -> None:
    reason = entry.data.get("reason") or "the run was cancelled before it was admitted"
    error = {"code": "cancelled", "message": reason, "step": None, "attempt": 0, "details": None}
    outcome = {"result": None, "type": None, "error": error}
    _set_row(tx, row, replace(Batch(row.id, 0, 0, entry.at, status="cancelled"), outcome=outcome))
    if row.parent is not None:
        data = {"child": row.id, "status": "cancelled", "type": "", "value": None, "error": error}
        deliver(tx, InboxEntry(row.parent, "child", data, f"child/{row.id}", entry.at))


# Requests and snapshots.


def put_request(tx: Tx, rk: int, request: RequestRow) -> None:
    """Write what the inbox shows of a request."""
    if request.data is None:  # it was closed
        closed = tx.write(
            "UPDATE requests SET state = ?, closed_at = ? WHERE rk = ? AND request = ? AND state = 'open' RETURNING qk",
            (request.state, request.closed_at, rk, request.request_id),
        ).fetchone()
        if closed is not None:
            tx.write("DELETE FROM audience WHERE qk = ?", closed)
            forget_untold(tx.write, rk, request.request_id)
        return
    values = (request.step, request.state, dumps(request.data), request.opened_at, request.due_at, request.closed_at)
    row = tx.write(
        "INSERT INTO requests (rk, request, flow, step, state, data, opened_at, due_at, closed_at)"
        " VALUES (?,?,(SELECT flow FROM runs WHERE rk = ?),?,?,?,?,?,?) ON CONFLICT (rk, request) DO UPDATE SET"
        " step = excluded.step, state = excluded.state, data = excluded.data, opened_at = excluded.opened_at,"
        " due_at = excluded.due_at, closed_at = excluded.closed_at RETURNING qk",
        (rk, request.request_id, rk, *values),
    ).fetchone()
    tx.write("DELETE FROM audience WHERE qk = ?", row)
    if request.state != "open":
        forget_untold(tx.write, rk, request.request_id)
    else:
        names = list(dict.fromkeys(request.audience or ("*",)))
        tx.write("INSERT INTO audience (name, qk) SELECT unnest(?::text[]), ?", (names, row[0]))


def _put_snapshot(tx: Tx, rk: int, seq: int, text: str) -> None:
    """Keep the newest snapshot, and older ones as places to start from when ticks before them are dropped."""
    body, cuts = tx.stored(rk, text)
    kept = [r[0] for r in tx.db.execute("SELECT seq FROM snapshots WHERE rk = ? ORDER BY seq", (rk,))]
    if len(kept) >= 2 and seq - kept[-2] >= KEEP_TICKS:
        tx.write("DELETE FROM ticks WHERE rk = ? AND seq < ?", (rk, kept[-2]))
        tx.write("DELETE FROM snapshots WHERE rk = ? AND seq < ?", (rk, kept[-2]))
    elif len(kept) >= 2 and kept[-1] - kept[-2] < KEEP_TICKS:
        tx.write("DELETE FROM snapshots WHERE rk = ? AND seq = ?", (rk, kept[-1]))
    tx.write(
        "INSERT INTO snapshots (rk, seq, body, cuts) VALUES (?,?,?,?)"
        " ON CONFLICT (rk, seq) DO UPDATE SET body = excluded.body, cuts = excluded.cuts",
        (rk, seq, body, cuts),
    )
