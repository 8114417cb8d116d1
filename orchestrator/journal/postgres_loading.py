"""What a claimer needs of a run: its newest snapshot, the ticks after it, its inbox. For many runs as for one.

The ticks begin with the row that a snapshot cuts through, if there is one. A run that nobody has begun has only an inbox.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from orchestrator.errors import OrchestratorError
from orchestrator.journal import sqlite_reads as reads
from orchestrator.journal.postgres_threads import Db
from orchestrator.journal.refusals import unknown
from orchestrator.runtime.journal import Claim, InboxEntry, Loaded

Taken = tuple[int, Claim]
"""A claim with the key of its run's row."""

_KEYS = "unnest(?::bigint[]) AS k (rk)"
_BASE = "coalesce((SELECT max(seq) FROM snapshots s WHERE s.rk = k.rk), 0)"
_FIRST = f"coalesce((SELECT max(seq) FROM ticks f WHERE f.rk = k.rk AND f.seq <= {_BASE}), 0)"
_SNAPSHOTS = (
    f"SELECT k.rk, s.seq, s.body, s.cuts FROM {_KEYS}, LATERAL (SELECT seq, body, cuts FROM snapshots WHERE rk = k.rk"
    " ORDER BY seq DESC LIMIT 1) s"
)
_TICKS = (
    f"SELECT k.rk, t.seq, t.body, t.cuts FROM {_KEYS} JOIN ticks t ON t.rk = k.rk AND t.seq >= {_FIRST} ORDER BY 1, 2"
)
_INBOX = f"SELECT k.rk, i.id, i.kind, i.data, i.dedup, i.at FROM {_KEYS} JOIN inbox i ON i.rk = k.rk AND i.done = 0 ORDER BY i.id"


def load(db: Db, run_id: str) -> Loaded:
    """One run. Raises: UnknownRun; StoreError if ticks are missing or cannot be read."""
    row = db.execute("SELECT rk FROM runs WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        raise unknown(run_id)
    return _put_together(db, run_id, *_rows(db, [row[0]], [row[0]])[row[0]])


def load_all(db: Db, taken: Sequence[Taken]) -> list[Claim]:
    """The claims with what was loaded; one that cannot be read is left without, and says why when it is asked for alone."""
    rows = _rows(db, [rk for rk, _ in taken], [rk for rk, claim in taken if claim.status != "new"])
    found = []
    for rk, claim in taken:
        try:
            found.append(replace(claim, loaded=_put_together(db, claim.run_id, *rows[rk])))
        except OrchestratorError:
            found.append(claim)
    return found


def _rows(db: Db, keys: list[int], begun: list[int]) -> dict[int, tuple[list[Any], list[Any], list[Any]]]:
    """Rows of snapshots, ticks and inboxes by run, asked for in one go."""
    found: dict[int, tuple[list[Any], list[Any], list[Any]]] = {rk: ([], [], []) for rk in keys}
    with db.connection.pipeline():
        cursors = [db.execute(sql, (begun,)) if begun else () for sql in (_SNAPSHOTS, _TICKS)]
        cursors.append(db.execute(_INBOX, (keys,)))
    for kind, rows in enumerate(cursors):
        for rk, *row in rows:
            found[rk][kind].append(row)
    return found


def _put_together(db: Db, run_id: str, snapshots: list[Any], ticks: list[Any], entries: list[Any]) -> Loaded:
    plain: Any = db  # as for a SQLite file
    snapshot = None
    for seq, body, cuts in snapshots:
        snapshot = (int(seq), reads.whole(plain, body, cuts))
    start = 0 if snapshot is None else snapshot[0]
    inbox = [InboxEntry(run_id, kind, json.loads(data), dedup, at, id) for id, kind, data, dedup, at in entries]
    size = sum(len(body) for seq, body, _ in ticks if seq >= start)
    return Loaded(snapshot, list(reads.unpack(plain, run_id, ticks, start)), inbox, size)
