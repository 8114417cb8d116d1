"""One transaction of the writing connection: the rows it holds locked, what it writes, what others are told of it afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.errors import StoreError
from orchestrator.journal.audit import FIRST, link
from orchestrator.journal.blobs import LONG, cut
from orchestrator.journal.postgres_threads import Db
from orchestrator.runtime.journal import AuditRow, Batch, InboxEntry

AUDIT_LOCK, BLOB_LOCK = 0x6F726301, 0x6F726302
LOCKED = "id, rk, epoch, status, owner, parent, admitted"
dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


@dataclass(slots=True)
class Row:
    """A run's row as this transaction holds it locked."""

    id: str
    rk: int
    epoch: int
    status: str
    owner: int | None
    parent: str | None
    admitted: bool


@dataclass(slots=True)
class Tx:
    """One transaction: its locked rows, what comes at its end, and what others are told when it is done."""

    db: Db
    workers: dict[str, int]
    rows: dict[str, Row | None] = field(default_factory=dict)
    audit: list[AuditRow] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    has_written: bool = False
    is_careful: bool = True

    def row(self, run_id: str) -> Row | None:
        """A run's row, locked now if it was not yet."""
        if run_id not in self.rows:
            self.lock([run_id])
        return self.rows[run_id]

    def lock(self, run_ids: Iterable[str]) -> None:
        """Lock rows in the order of their keys."""
        wanted = [run_id for run_id in run_ids if run_id not in self.rows]
        if wanted:
            found = self.db.execute(
                f"SELECT {LOCKED} FROM runs WHERE id = ANY(?) ORDER BY rk FOR NO KEY UPDATE", (wanted,)
            )
            self._keep(wanted, found)

    def begin(self, name: str, number: int, run_ids: list[str]) -> None:
        """Number the transaction and lock what it is about (P1), in one statement."""
        found = self.db.execute(
            "WITH numbered AS (UPDATE writers SET n = ?, at = now() WHERE name = ?)"
            f" SELECT {LOCKED} FROM runs WHERE id = ANY(?) ORDER BY rk FOR NO KEY UPDATE",
            (number, name, run_ids),
        )
        self._keep(run_ids, found)

    def _keep(self, wanted: Iterable[str], found: Iterable[Any]) -> None:
        self.rows.update(dict.fromkeys(wanted))
        self.rows.update((row[0], Row(*row)) for row in found)

    def write(self, statement: str, values: Iterable[Any] = ()) -> Any:  # a cursor
        """Run a statement that changes something. It is only waited for where its rows are looked at."""
        self.has_written = True
        return self.db.execute(statement, tuple(values))

    def count(self, statement: str, values: Iterable[Any] = ()) -> int:
        """Run a statement that changes something, and give how many rows it changed."""
        return len(self.write(f"{statement} RETURNING 1", values).fetchall())

    def stored(self, rk: int, text: str) -> tuple[str, str | None]:
        """A text as it is kept, and where long strings were taken out of it."""
        if len(text) <= LONG:
            return text, None
        short, cuts, blobs = cut(text)
        if blobs:  # whoever deletes blobs waits for this transaction, and sees its references then
            self.write("SELECT pg_advisory_xact_lock_shared(?)", (BLOB_LOCK,))
        for key, body in blobs.items():
            self.write("INSERT INTO blobs (hash, body) VALUES (?,?) ON CONFLICT DO NOTHING", (key, body))
            self.write("INSERT INTO blob_refs (rk, hash) VALUES (?,?) ON CONFLICT DO NOTHING", (rk, key))
        return short, dumps(cuts) if cuts else None

    def insert_entry(self, rk: int, entry: InboxEntry) -> bool:
        """Put something into an inbox; False if its dedup key was there."""
        sql = "INSERT INTO inbox (rk, kind, data, dedup, at) VALUES (?,?,?,?,?) ON CONFLICT (rk, dedup) DO NOTHING"
        return self.count(sql, (rk, entry.kind, dumps(entry.data), entry.dedup, entry.at)) == 1

    def worker(self, name: str) -> int:
        """The wk of a worker. Raises: StoreError for one that never renewed."""
        known = self.workers.get(name)
        if known is None:
            row = self.db.execute("SELECT wk FROM workers WHERE name = ?", (name,)).fetchone()
            if row is None:
                raise StoreError(f"worker {name!r} has not been announced; `renew` does that")
            known = row[0]
        return known

    def finish(self) -> None:
        """Write the audit lines of the whole group, each bound to the one before."""
        if not self.audit:
            return
        self.db.execute("SELECT pg_advisory_xact_lock(?)", (AUDIT_LOCK,))
        last = self.db.execute("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
        number, digest = last if last is not None else (0, FIRST)
        for line in self.audit:
            number, digest = number + 1, link(digest, line)
            self.db.execute(
                "INSERT INTO audit (id, at, run, actor, action, data, hash) VALUES (?,?,?,?,?,?,?)",
                (number, line.at, line.run_id, line.actor, line.action, dumps(line.data), digest),
            )


def is_written(db: Db, rk: int, batch: Batch) -> bool:
    """Whether the ticks of a batch are those that stand at its place."""
    row = db.execute("SELECT body FROM ticks WHERE rk = ? AND seq = ?", (rk, batch.first_seq)).fetchone()
    return row is not None and row[0] == cut("[" + ",".join(batch.ticks) + "]")[0]
