"""Who holds a run in a SQLite file: claims, leases, and processes of this host that have died."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from orchestrator.errors import RunFinished
from orchestrator.journal.refusals import unknown
from orchestrator.runtime.journal import FINAL, Claim, Json

_CLAIM = "rk, id, epoch, flow, flow_hash, kind, status, parent, meta"


LONGEST_LEASE_S = 3600.0  # many times that of any worker


def host_and_process() -> tuple[str, str]:
    """This process as other processes of the host can look for it; empty where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{os.readlink('/proc/self/ns/pid')}", f"{os.getpid()}:{_start_time(os.getpid())}"
    except OSError:
        return "", ""


def is_alive(process: str) -> bool:
    """Whether a process of this host still runs."""
    pid, _, started = process.partition(":")
    try:
        return _start_time(int(pid)) == started
    except (OSError, ValueError, IndexError):
        return False


def _start_time(pid: int) -> str:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return "dead" if fields[0] in ("Z", "X") else fields[19]


def lost_workers(db: sqlite3.Connection, now: float, host: str) -> list[int]:
    """Workers that hold runs and whose lease has ended, or whose process on this host has.

    A lease of before a restart of this host that ends in hours was made by a clock that ran ahead.
    """
    rows = db.execute(
        "SELECT wk, lease_until, host, pid FROM workers w WHERE EXISTS (SELECT 1 FROM runs WHERE owner = w.wk)"
    ).fetchall()
    return [
        wk
        for wk, until, at_host, process in rows
        if until < now or (host and (not is_alive(process) if at_host == host else until > now + LONGEST_LEASE_S))
    ]


def claim_due(db: sqlite3.Connection, wk: int, now: float, limit: int, host: str, loads: Any) -> list[Claim]:
    """Take runs that are due and nobody holds, the longest due first, then those of lost workers."""
    rows = db.execute(
        f"SELECT {_CLAIM} FROM runs WHERE owner IS NULL AND ready_at IS NOT NULL AND ready_at <= ?"
        " ORDER BY ready_at LIMIT ?",
        (now, limit),
    ).fetchall()
    if len(rows) < limit:
        for lost in lost_workers(db, now, host):
            if lost != wk:
                rows += db.execute(
                    f"SELECT {_CLAIM} FROM runs WHERE owner = ? LIMIT ?", (lost, limit - len(rows))
                ).fetchall()
    return [_take(db, row, wk, loads) for row in rows]


def claim_one(db: sqlite3.Connection, run_id: str, wk: int, now: float, host: str, loads: Any) -> list[Claim]:
    """Take one run, due or not. Raises: UnknownRun, RunFinished."""
    row = db.execute(f"SELECT {_CLAIM}, owner FROM runs WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        raise unknown(run_id)
    status, owner = row[6], row[9]
    if status in FINAL:
        raise RunFinished(f"run {run_id!r} has ended ({status})")
    if status in ("parked", "queued"):
        return []
    if owner is not None and owner != wk and owner not in lost_workers(db, now, host):
        return []
    return [_take(db, row, wk, loads)]


def _take(db: sqlite3.Connection, row: Any, wk: int, loads: Any) -> Claim:
    rk, run_id, epoch, flow, flow_hash, kind, status, parent, meta = row[:9]
    db.execute("UPDATE runs SET epoch = ?, owner = ?, ready_at = NULL WHERE rk = ?", (epoch + 1, wk, rk))
    found: Json = None if meta is None else loads(meta)
    return Claim(run_id, epoch + 1, flow, flow_hash, kind, status, parent, found)
