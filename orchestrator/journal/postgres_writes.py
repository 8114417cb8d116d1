"""What the writing connection does: groups of commits, posts and other work as one transaction each.

Theory. A group begins by locking the rows of all runs it names, in one statement and in the order of their keys, so that two
groups of two processes do not wait for each other in a circle; who loses nevertheless (a row that only turns up later) is
told so by PostgreSQL and does its group again. With the lock held a run's epoch is read, so a claim that comes later waits and
one that came before is seen: J1. No job has a savepoint: one that is refused before it wrote anything is refused alone; if it
had written, or a statement failed, the transaction is rolled back and its jobs are done one by one. Ticks are written without
looking at what came of it, which saves a round trip each; where some stand already (J2) the group is done again with care.
Lines of the audit log are written last, because each needs the one before it and so lets one writer in at a time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from psycopg.errors import PipelineAborted, UniqueViolation

from orchestrator.errors import OrchestratorError, StoreError
from orchestrator.journal.audit import FIRST, link
from orchestrator.journal.blobs import LONG, cut
from orchestrator.journal.db_threads import Job
from orchestrator.journal.postgres_threads import Db
from orchestrator.journal.refusals import fenced, rewritten, unknown
from orchestrator.runtime.journal import COMMITTED, AuditRow, Batch, InboxEntry

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


@dataclass(slots=True)
class Doing:
    """A job that is more than a plain commit: what it does in the transaction, and the runs it is about."""

    work: Callable[[Tx], Any]
    run_ids: tuple[str, ...] = ()


class Writer:
    """Runs groups of jobs; `tell` is given the ids of runs for which something has come, once that is committed.

    `at_commit` is called with "before" and "after" each transaction; only a test harness gives one.
    """

    def __init__(self, tell: Callable[[set[str]], None], at_commit: Callable[[str], None] | None) -> None:
        self.workers: dict[str, int] = {}  # name -> wk, of committed rows
        self._name = os.urandom(12).hex()
        self._number = 0
        self._tell = tell
        self._at_commit = at_commit
        self._told: set[str] = set()
        self._is_numbered = False

    def run(self, db: Db, jobs: list[Job]) -> None:
        """Do a group. Raises: psycopg.Error, and nothing was done, or was_done tells."""
        self._told = set()
        plain = [job for job in jobs if isinstance(job.work, Batch)]
        self._is_numbered = len(plain) < len(jobs)
        if not self._is_numbered:
            self._signal("before")
            append(db, plain)
            self._signal("after")
            return
        self._number += 1
        try:
            self._write(db, jobs, plain, is_careful=False)
        except (UniqueViolation, PipelineAborted):
            for job in jobs:
                job.outcome = job.error = None
            self._write(db, jobs, plain, is_careful=True)

    def _write(self, db: Db, jobs: list[Job], plain: list[Job], *, is_careful: bool) -> None:
        with_more = [job for job in jobs if isinstance(job.work, Doing)]
        named = sorted({run_id for job in with_more for run_id in job.work.run_ids})
        with db.connection.pipeline(), db.connection.transaction():
            tx = Tx(db, self.workers, is_careful=is_careful)
            tx.begin(self._name, self._number, named)
            for job in with_more:
                tx.has_written = False
                lines = len(tx.audit)
                try:
                    job.outcome = job.work.work(tx)
                except OrchestratorError as error:
                    if tx.has_written and len(jobs) > 1:
                        raise _OneByOne from error
                    if tx.has_written:
                        raise
                    del tx.audit[lines:]
                    job.error = error
            if plain:
                append(db, plain)
            tx.finish()
            self._signal("before")
        self._signal("after")
        self._told = tx.told
        if tx.told:
            self._tell(tx.told)

    def was_done(self, db: Db) -> bool:
        """Whether the last group was committed though its connection broke (P1, P2)."""
        if not self._is_numbered:
            return False
        row = db.execute("SELECT n FROM writers WHERE name = ? FOR UPDATE", (self._name,)).fetchone()
        return row is not None and row[0] == self._number

    def sign_in(self, db: Db) -> None:
        """Make the row that `was_done` locks, before the first transaction needs it."""
        db.execute("INSERT INTO writers (name, n) VALUES (?, 0)", (self._name,))

    def forget(self, db: Db) -> None:
        """Remove this writer's number, and those of writers that have not written for a day."""
        db.execute("DELETE FROM writers WHERE name = ? OR at < now() - interval '1 day'", (self._name,))

    def _signal(self, when: str) -> None:
        if self._at_commit is not None:
            self._at_commit(when)


class _OneByOne(Exception):
    """A job was refused after it had written: the group is rolled back, and each job tried alone."""


def append(db: Db, jobs: list[Job]) -> None:
    """Write plain commits, which only append ticks, as one statement: lock, fence, insert."""
    values: list[list[Any]] = [[], [], [], []]
    long: list[tuple[Batch, str]] = []
    for job in jobs:
        batch: Batch = job.work
        text = "[" + ",".join(batch.ticks) + "]"
        if len(text) > LONG:
            long.append((batch, text))
            continue
        for column, value in zip(values, (batch.run_id, batch.epoch, batch.first_seq, text), strict=True):
            column.append(value)
    held: set[tuple[str, int]] = set()
    before: dict[str, int] = {}
    if values[0]:
        rows = db.execute(
            "WITH v AS (SELECT * FROM unnest(?::text[], ?::int[], ?::int[], ?::text[]) AS v (id, epoch, seq, body)),"
            " held AS (SELECT r.rk, v.id, v.epoch, v.seq, v.body FROM runs r JOIN v ON v.id = r.id AND v.epoch = r.epoch"
            " ORDER BY r.rk FOR NO KEY UPDATE OF r),"
            " written AS (INSERT INTO ticks (rk, seq, body) SELECT rk, seq, body FROM held ON CONFLICT DO NOTHING"
            " RETURNING rk) SELECT h.id, h.epoch, h.rk, w.rk FROM held h LEFT JOIN written w ON w.rk = h.rk",
            values,
        ).fetchall()
        held = {(row[0], row[1]) for row in rows}
        before = {row[0]: row[2] for row in rows if row[3] is None}  # J2: something stands there already
    for batch, text in long:
        _append_long(db, batch, text, held, before)
    for job in jobs:
        if (job.work.run_id, job.work.epoch) not in held:
            job.error = _refusal(db, job.work)
        elif job.work.run_id in before and not is_written(db, before[job.work.run_id], job.work):
            job.error = rewritten(job.work)
        else:
            job.outcome = COMMITTED


def _append_long(db: Db, batch: Batch, text: str, held: set[tuple[str, int]], before: dict[str, int]) -> None:
    with db.connection.transaction():
        tx = Tx(db, {})
        row = tx.row(batch.run_id)
        if row is None or row.epoch != batch.epoch:
            return
        body, cuts = tx.stored(row.rk, text)
        sql = "INSERT INTO ticks (rk, seq, body, cuts) VALUES (?,?,?,?) ON CONFLICT DO NOTHING"
        if tx.count(sql, (row.rk, batch.first_seq, body, cuts)) == 0:
            before[batch.run_id] = row.rk
    held.add((batch.run_id, batch.epoch))


def is_written(db: Db, rk: int, batch: Batch) -> bool:
    """Whether the ticks of a batch are those that stand at its place."""
    row = db.execute("SELECT body FROM ticks WHERE rk = ? AND seq = ?", (rk, batch.first_seq)).fetchone()
    return row is not None and row[0] == cut("[" + ",".join(batch.ticks) + "]")[0]


def _refusal(db: Db, batch: Batch) -> OrchestratorError:
    found = db.execute("SELECT 1 FROM runs WHERE id = ?", (batch.run_id,)).fetchone()
    return fenced(batch) if found is not None else unknown(batch.run_id)
