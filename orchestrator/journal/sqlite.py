"""Runs in a SQLite file: stdlib only, write-ahead log, every commit on the disk when it is acknowledged.

Several processes of one host may use one file. Writes go through one thread per process and are grouped; see `db_threads`.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from orchestrator.journal import sqlite_reads as reads
from orchestrator.journal.db_threads import DbThread, GroupWriter, read_jobs
from orchestrator.journal.sqlite_claims import claim_due, claim_one, host_and_process
from orchestrator.journal.sqlite_operate import SqliteOperate
from orchestrator.journal.sqlite_queries import SqliteQueries
from orchestrator.journal.sqlite_writes import Writes, put_flow, release
from orchestrator.runtime.journal import FINAL, Batch, Claim, Committed, InboxEntry, Json, Loaded, Reserved

T = TypeVar("T")
_dumps = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


class SqliteJournal(SqliteQueries, SqliteOperate):
    """A journal in a file.

    `at_commit` is called in the writing thread with "before" and "after" each transaction; only a test harness gives one.

    Raises (when opened): StoreError for a file that cannot be opened, is damaged, of another program or of a newer version.
    """

    def __init__(self, path: Path, *, at_commit: Callable[[str], None] | None = None) -> None:
        self.path = path
        self._writes = Writes()
        self._host, self._process = host_and_process()
        self._writer = DbThread(path, "orchestrator-journal-write", GroupWriter(path, self._writes.append, at_commit))
        self._reader = DbThread(path, "orchestrator-journal-read", read_jobs(str(path)))

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        return self._writer.submit(work)

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        return self._reader.submit(work)

    async def on_writer(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run something on the writing connection, in a transaction of its own group: for checks and repairs."""
        return await self._write(work)

    # Commits and claims.

    def commit(self, batch: Batch) -> asyncio.Future[Committed]:
        """Write a batch, or nothing. Raises: Fenced, JournalConflict, AdmissionRefused, StoreBusy, StoreError."""
        if batch.is_plain:
            return self._writer.submit(batch)
        return self._write(lambda db: self._writes.commit(db, batch))

    def commit_then(self, batch: Batch, tell: Callable[[Committed | None, Exception | None], None]) -> None:
        """The same, with `tell` called in the running loop instead of a future."""
        self._writer.submit_then(batch if batch.is_plain else lambda db: self._writes.commit(db, batch), tell)

    async def post(self, entry: InboxEntry) -> bool:
        """Put something into a run's inbox; False if it was there. Raises: UnknownRun, RunFinished."""
        return await self._write(lambda db: self._writes.post(db, entry))

    async def claim(
        self, worker: str, *, now: float, lease_s: float, run_id: str | None = None, limit: int = 1
    ) -> list[Claim]:
        """Take runs that are due, or one by its id. Raises: UnknownRun, RunFinished."""

        def work(db: sqlite3.Connection) -> list[Claim]:
            self._writes.renew(db, worker, now, lease_s, self._host, self._process)
            wk = self._writes.worker(db, worker)
            if run_id is not None:
                return claim_one(db, run_id, wk, now, self._host, json.loads)
            return claim_due(db, wk, now, limit, self._host, json.loads)

        return await self._write(work)

    async def renew(self, worker: str, *, now: float, lease_s: float) -> None:
        """Extend every claim of a worker."""
        await self._write(lambda db: self._writes.renew(db, worker, now, lease_s, self._host, self._process))

    async def leave(self, worker: str) -> None:
        """Forget a worker; what it still holds is due at once."""

        def work(db: sqlite3.Connection) -> None:
            owner = "(SELECT wk FROM workers WHERE name = ?)"
            db.execute(f"UPDATE runs SET owner = NULL, ready_at = 0 WHERE owner = {owner}", (worker,))
            db.execute("DELETE FROM workers WHERE name = ?", (worker,))
            self._writes.forget_worker(worker)

        await self._write(work)

    async def release(self, run_id: str, epoch: int, *, wake_at: float | None) -> None:
        """Give up a claim; a claim that was taken over already is left alone."""

        def work(db: sqlite3.Connection) -> None:
            row = db.execute("SELECT rk FROM runs WHERE id = ? AND epoch = ?", (run_id, epoch)).fetchone()
            if row is not None:
                release(db, row[0], wake_at, 0.0)

        await self._write(work)

    async def unpark(self, codes: Sequence[str], *, now: float) -> int:
        """Make runs due that were parked with one of these codes."""
        marks = ",".join("?" * len(codes))

        def work(db: sqlite3.Connection) -> int:
            return db.execute(
                "UPDATE runs SET status = 'waiting', ready_at = ?, outcome = NULL WHERE status = 'parked'"
                f" AND json_extract(outcome, '$.parked.code') IN ({marks})",
                (now, *codes),
            ).rowcount

        return await self._write(work)

    # Reading runs.

    async def load(self, run_id: str) -> Loaded:
        """What a claimer needs to go on. Raises: UnknownRun; StoreError if ticks are missing."""
        return await self._read(lambda db: reads.load(db, run_id))

    async def inbox(self, run_id: str) -> list[InboxEntry]:
        """What has come for a run and is not consumed, oldest first."""
        return await self._read(lambda db: reads.inbox(db, reads.run_key(db, run_id), run_id))

    async def mail(self, worker: str) -> list[str]:
        """The runs that a worker holds and for which something has come."""
        return await self._read(lambda db: reads.mail(db, worker))

    async def ahead(self, run_id: str) -> list[str]:
        """The runs that count in its flow's concurrency before a run that queues, the longest there first."""
        return await self._read(lambda db: reads.ahead(db, run_id))

    async def reply(self, run_id: str, dedup: str) -> tuple[bool, Json]:
        """Whether an inbox row was consumed, and what its consumer left for the sender."""
        return await self._read(lambda db: reads.reply(db, run_id, dedup))

    async def next_due(self, *, now: float) -> float | None:
        """When the next run is due that nobody holds, or the next lease ends."""
        return await self._read(lambda db: reads.next_due(db, now, self._host))

    async def ticks(self, run_id: str, after: int, limit: int) -> list[tuple[int, Json]]:
        """Committed ticks with a seq greater than `after`, oldest first. Raises: UnknownRun; StoreError if dropped."""

        def work(db: sqlite3.Connection) -> list[tuple[int, Json]]:
            return list(reads.ticks_from(db, reads.run_key(db, run_id), run_id, after + 1, limit))

        return await self._read(work)

    async def changes(self) -> int:
        """A number that is another whenever somebody may have written."""
        return await self._read(lambda db: int(db.execute("PRAGMA data_version").fetchone()[0]))

    # Flows, ids, caches.

    async def put_flow(self, flow_hash: str, ir: Json, *, now: float) -> None:
        """Keep a version of a flow."""
        await self._write(lambda db: put_flow(db, flow_hash, ir, now))

    async def get_flow(self, flow_hash: str) -> Json | None:
        """A version of a flow."""

        def work(db: sqlite3.Connection) -> Json | None:
            row = db.execute("SELECT ir FROM flows WHERE hash = ?", (flow_hash,)).fetchone()
            return None if row is None else json.loads(row[0])

        return await self._read(work)

    async def reserve(self, flow: str, key: str, digest: str, holder: str, *, now: float) -> Reserved:
        """Take an `id` for a call, or learn what is known under it."""

        def work(db: sqlite3.Connection) -> Reserved:
            row = db.execute(
                "SELECT digest, holder, result FROM ids WHERE flow = ? AND key = ?", (flow, key)
            ).fetchone()
            if row is not None and row[0] != digest:
                return Reserved("conflict")
            if row is not None and row[2] is not None:
                return Reserved("done", json.loads(row[2])[0])
            if row is not None and row[1] != holder and _is_under_way(db, row[1]):
                return Reserved("running")
            db.execute(
                "INSERT OR REPLACE INTO ids (flow, key, digest, holder, at) VALUES (?,?,?,?,?)",
                (flow, key, digest, holder, now),
            )
            return Reserved("mine")

        return await self._write(work)

    async def settle(self, flow: str, key: str, holder: str, result: Json, *, has_failed: bool = False) -> None:
        """Record the result under an `id`, or free it."""

        def work(db: sqlite3.Connection) -> None:
            if has_failed:
                db.execute("DELETE FROM ids WHERE flow = ? AND key = ? AND holder = ?", (flow, key, holder))
            else:
                db.execute(
                    "UPDATE ids SET result = ? WHERE flow = ? AND key = ? AND holder = ?",
                    (_dumps([result]), flow, key, holder),
                )

        await self._write(work)

    async def recall(self, scope: str, key: str, *, now: float) -> tuple[Json] | None:
        """What is cached under a key and has not expired."""

        def work(db: sqlite3.Connection) -> tuple[Json] | None:
            row = db.execute(
                "SELECT value, expires_at FROM cached WHERE scope = ? AND key = ?", (scope, key)
            ).fetchone()
            if row is None or (row[1] is not None and row[1] <= now):
                return None
            return (json.loads(row[0]),)

        return await self._read(work)

    async def keep(self, scope: str, key: str, value: Json, *, expires_at: float | None) -> None:
        """Cache a value; the newest one stays."""
        text = _dumps(value)
        await self._write(
            lambda db: (
                db.execute(
                    "INSERT OR REPLACE INTO cached (scope, key, value, expires_at) VALUES (?,?,?,?)",
                    (scope, key, text, expires_at),
                ).rowcount
            )
        )

    async def aclose(self) -> None:
        """Finish what was accepted and close."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.close)

    def close(self) -> None:
        """The same, from synchronous code."""
        self._writer.close()
        self._reader.close()


def _is_under_way(db: sqlite3.Connection, holder: str) -> bool:
    row = db.execute("SELECT status FROM runs WHERE id = ?", (holder.partition("/")[0],)).fetchone()
    return row is not None and row[0] not in FINAL
