"""Who holds a run: claims, leases, what a worker may take, and which due runs a dispatcher has been asked to wake.

A claim takes its row with SKIP LOCKED, so workers that look at the same moment take different runs and none waits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from orchestrator.errors import RunFinished
from orchestrator.journal.postgres_loading import Taken
from orchestrator.journal.postgres_scope import Offer, Ring, Scope, Stranded
from orchestrator.journal.postgres_threads import Db
from orchestrator.journal.postgres_writes import Tx
from orchestrator.journal.refusals import unknown
from orchestrator.journal.sqlite_claims import is_alive
from orchestrator.runtime.journal import FINAL, Claim

_WK = "(SELECT wk FROM workers WHERE name = ?)"
_TAKE = (
    f"UPDATE runs r SET epoch = r.epoch + 1, owner = {_WK}, ready_at = NULL, rung_at = NULL FROM ({{}}) d WHERE r.rk = d.rk"
    " RETURNING r.rk, r.id, r.epoch, r.flow, r.flow_hash, r.kind, r.status, r.parent, r.meta, r.owner"
)


def announce(tx: Tx, worker: str, now: float, lease_s: float, process: tuple[str, str]) -> Any:  # a cursor
    """Extend a worker's lease, or make the worker known; nothing is waited for."""
    return tx.write(
        "INSERT INTO workers (name, lease_until, host, pid) VALUES (?,?,?,?)"
        " ON CONFLICT (name) DO UPDATE SET lease_until = excluded.lease_until RETURNING wk",
        (worker, now + lease_s, *process),
    )


def renew(tx: Tx, worker: str, now: float, lease_s: float, process: tuple[str, str]) -> int:
    """The same; gives the worker's key."""
    row = announce(tx, worker, now, lease_s, process).fetchone()
    return int(row[0])


def lost_workers(db: Db, now: float, host: str) -> dict[int, str]:
    """Workers (key to name) that hold runs and whose lease has ended, or whose process on this host has."""
    rows = db.execute(
        "SELECT wk, lease_until, host, pid, name FROM workers w WHERE EXISTS (SELECT 1 FROM runs WHERE owner = w.wk)"
    ).fetchall()
    return {row[0]: row[4] for row in rows if row[1] < now or (host and row[2] == host and not is_alive(row[3]))}


def claim_if_due(tx: Tx, worker: str, run_id: str, now: float, scope: Scope) -> list[Taken]:
    """Take one run if it is due and nobody holds it."""
    where, values = scope.claimable()
    due = f"SELECT rk FROM runs WHERE id = ? AND owner IS NULL AND ready_at <= ?{where} FOR NO KEY UPDATE SKIP LOCKED"
    return [_taken(row) for row in tx.write(_TAKE.format(due), (worker, run_id, now, *values))]


def claim_rung(tx: Tx, worker: str, now: float, rung_before: float, limit: int, scope: Scope) -> list[Taken]:
    """Take due runs whose dispatcher was asked before a time, in vain."""
    where, values = scope.claimable()
    due = (
        f"SELECT rk FROM runs WHERE owner IS NULL AND ready_at IS NOT NULL AND ready_at <= ? AND rung_at < ?{where}"
        " ORDER BY ready_at LIMIT ? FOR NO KEY UPDATE SKIP LOCKED"
    )
    return [_taken(row) for row in tx.write(_TAKE.format(due), (worker, now, rung_before, *values, limit))]


def claim_due(tx: Tx, worker: str, now: float, limit: int, host: str, scope: Scope) -> list[Taken]:
    """Take runs that are due and nobody holds, the longest due first, then those of lost workers."""
    where, values = scope.claimable()
    due = (
        f"SELECT rk FROM runs WHERE owner IS NULL AND ready_at IS NOT NULL AND ready_at <= ?{where}"
        " ORDER BY ready_at LIMIT ? FOR NO KEY UPDATE SKIP LOCKED"
    )
    rows = tx.write(_TAKE.format(due), (worker, now, *values, limit)).fetchall()
    if len(rows) < limit:
        lost = [other for other, name in lost_workers(tx.db, now, host).items() if name != worker]
        if lost:
            held = f"SELECT rk FROM runs WHERE owner = ANY(?){where} LIMIT ? FOR NO KEY UPDATE SKIP LOCKED"
            rows += tx.write(_TAKE.format(held), (worker, lost, *values, limit - len(rows))).fetchall()
    return [_taken(row) for row in rows]


def claim_one(tx: Tx, run_id: str, worker: str, now: float, host: str) -> list[Taken]:
    """Take one run, due or not. Raises: UnknownRun, RunFinished."""
    row = tx.row(run_id)
    if row is None:
        raise unknown(run_id)
    if row.status in FINAL:
        raise RunFinished(f"run {run_id!r} has ended ({row.status})")
    if row.status in ("parked", "queued"):
        return []
    if row.owner is not None and row.owner != tx.worker(worker) and row.owner not in lost_workers(tx.db, now, host):
        return []
    taken = tx.write(_TAKE.format("SELECT ?::bigint AS rk"), (worker, row.rk)).fetchone()
    row.epoch, row.owner = taken[2], taken[9]
    return [_taken(taken)]


def _taken(row: Any) -> Taken:
    rk, run_id, epoch, flow, flow_hash, kind, status, parent, meta, _ = row
    data = None if meta is None else json.loads(meta)
    return rk, Claim(run_id, epoch, flow, flow_hash, kind, status, parent, data)


def give_back_lost(tx: Tx, now: float, host: str) -> int:
    """Make the runs of lost workers due, for a dispatcher to wake; gives how many."""
    lost = list(lost_workers(tx.db, now, host))
    if not lost:
        return 0
    sql = (
        "UPDATE runs SET owner = NULL, ready_at = ?, rung_at = NULL WHERE rk IN"
        " (SELECT rk FROM runs WHERE owner = ANY(?) FOR NO KEY UPDATE SKIP LOCKED)"
    )
    return tx.count(sql, (now, lost))


def take_rings(tx: Tx, now: float, limit: int, again_s: float, ahead_s: float, scope: Scope) -> list[Ring]:
    """Runs that are due within `ahead_s` and no dispatcher was asked for, or in vain for `again_s`; each gets a new number."""
    where, values = scope.possible()
    rows = tx.write(
        "UPDATE runs r SET ring = r.ring + 1, rung_at = greatest(r.ready_at, ?) FROM (SELECT rk FROM runs"
        " WHERE owner IS NULL AND ready_at IS NOT NULL AND ready_at <= ? AND (rung_at IS NULL OR rung_at < ?)"
        f"{where} ORDER BY ready_at LIMIT ? FOR NO KEY UPDATE SKIP LOCKED) d WHERE r.rk = d.rk"
        " RETURNING r.id, r.epoch, r.ring, r.pool, greatest(0, r.ready_at - ?)",
        (now, now + ahead_s, now - again_s, *values, limit, now),
    ).fetchall()
    return [Ring(*row) for row in rows]


def next_due(db: Db, now: float, host: str, scope: Scope) -> float | None:
    """When the next run is due that this process may take, or the next lease of a worker ends."""
    where, values = scope.possible()
    due = db.execute(
        f"SELECT ready_at FROM runs WHERE owner IS NULL AND ready_at IS NOT NULL{where} ORDER BY ready_at LIMIT 1",
        values,
    ).fetchone()
    rows = db.execute(
        "SELECT lease_until, host, pid FROM workers w WHERE EXISTS (SELECT 1 FROM runs WHERE owner = w.wk)"
    ).fetchall()
    found = [] if due is None else [float(due[0])]
    for lease_until, other, process in rows:
        is_lost = host and other == host and not is_alive(process)
        found.append(now if is_lost else lease_until)
    return min(found) if found else None


def unseen_flows(db: Db, now: float, host: str, seen: Sequence[str]) -> list[str]:
    """Flow versions of due runs, and of those of lost workers, that are not among those seen."""
    due = (
        "SELECT flow_hash FROM runs WHERE owner IS NULL AND ready_at IS NOT NULL AND ready_at <= ? AND flow_hash <> ALL(?)"
        " ORDER BY ready_at LIMIT 200"
    )
    lost = "SELECT flow_hash FROM runs WHERE owner = ANY(?) AND flow_hash <> ALL(?) LIMIT 200"
    known = list(seen)
    rows = db.execute(
        f"SELECT DISTINCT flow_hash FROM (({due}) UNION ALL ({lost})) found",
        (now, known, list(lost_workers(db, now, host)), known),
    )
    return [row[0] for row in rows]


def stranded(db: Db, before: float, scope: Scope, limit: int) -> list[Stranded]:
    """What has been due since before a time and this process cannot take, by flow version and pool."""
    pools = sorted(scope.pools or ())
    rows = db.execute(
        "SELECT flow, flow_hash, pool, array_agg(id ORDER BY ready_at) FROM (SELECT flow, flow_hash, pool, id, ready_at"
        " FROM runs WHERE owner IS NULL AND ready_at IS NOT NULL AND ready_at < ?"
        " AND (flow_hash = ANY(?) OR (pool IS NOT NULL AND pool <> ALL(?))) ORDER BY ready_at LIMIT ?) late GROUP BY 1, 2, 3",
        (before, sorted(scope.cannot), pools, limit),
    )
    return [Stranded(row[0], row[1], row[2], tuple(row[3])) for row in rows]


def offers(db: Db, now: float) -> list[Offer]:
    """What the live workers say that they can run."""
    rows = db.execute("SELECT name, offer FROM workers WHERE lease_until >= ? AND offer IS NOT NULL", (now,))
    found = []
    for name, text in rows:
        data = json.loads(text)
        found.append(Offer(name, frozenset(data["can"]), data["cannot"], frozenset(data["pools"])))
    return found
