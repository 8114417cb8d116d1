"""A checkpoint storage in a SQLite file: one row per entry; runs of many workflows and processes share the file."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import sqlite3
import threading
import weakref
from collections.abc import Awaitable, Sequence
from contextvars import Context
from typing import Any

from orchestrator.errors import StoreBusy, StoreError
from orchestrator.functional.entries import Entry, is_first, kind_of, seq_of, write_json
from orchestrator.functional.memory import check_order
from orchestrator.functional.record_log import RecordLog, RunSummary, summarise, workflow_of

_SCHEMA = """
CREATE TABLE IF NOT EXISTS function_run (
    run_id TEXT PRIMARY KEY, workflow TEXT NOT NULL, at REAL NOT NULL, ended TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS function_run_open ON function_run (workflow, at) WHERE ended IS NULL;
CREATE INDEX IF NOT EXISTS function_run_workflow ON function_run (workflow, at);
CREATE TABLE IF NOT EXISTS function_entry (
    run_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (run_id, seq)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS function_entry_question ON function_entry (run_id, seq) WHERE kind IN ('started', 'wait', 'event');
CREATE TABLE IF NOT EXISTS function_hidden (run_id TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (run_id, seq)) WITHOUT ROWID;
"""

GROUP_SIZE = 64
GROUP_S = 0.005
_AT_ONCE = frozenset({"started", "wait", "event", "settled", "cancel"})
_Job = tuple[str, list[Entry], "concurrent.futures.Future[None]"]


class SQLiteCheckpointStorage(RecordLog):
    """Keeps runs in a SQLite file, which is made if it is not there.

    An entry is on disk before the run goes on; entries of runs that wait at the same time share one write. With
    `is_relaxed`, finished steps are written in groups of 64 or after 5 ms, and not forced to the disk: the last few steps
    before a crash may be computed again. Questions, answers and ends are always written at once.

    Example: workflow(checkpoint_storage=SQLiteCheckpointStorage("runs.db"))(my_function)
    """

    def __init__(self, path: str | os.PathLike[str], *, is_relaxed: bool = False) -> None:
        self.path = os.fspath(path)
        self.is_relaxed = is_relaxed
        self._lock = threading.Lock()
        self._queue: list[_Job] = []
        self._is_writing = False
        self._late: list[tuple[str, list[Entry]]] = []
        self._late_count = 0
        self._refused: dict[str, StoreError] = {}
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None
        self._writer = self._connect()
        self._reader = self._connect()
        weakref.finalize(self, _close_both, self._writer, self._reader)

    def close(self) -> None:
        """Finish what was accepted and close the file."""
        self._write_late()
        if self._pool is not None:
            self._pool.shutdown()
        _close_both(self._writer, self._reader)

    def append(self, run_id: str, entries: list[Entry]) -> Awaitable[None] | None:
        """Keep entries. Raises: JournalConflict if their seq is taken, StoreBusy, StoreError."""
        if self.is_relaxed:
            self._append_relaxed(run_id, entries)
            return None
        job: concurrent.futures.Future[None] = concurrent.futures.Future()
        with self._lock:
            self._queue.append((run_id, entries, job))
            if not self._is_writing:
                self._is_writing = True
                if self._pool is None:
                    self._pool = concurrent.futures.ThreadPoolExecutor(1, "checkpoints")
                self._pool.submit(self._drain)
        return asyncio.wrap_future(job)

    async def read(self, run_id: str) -> Sequence[Entry] | None:
        """All entries of a run, or None."""
        rows = self._rows("SELECT body FROM function_entry WHERE run_id = ? ORDER BY seq", run_id)
        return [json.loads(body) for (body,) in rows] or None

    async def run_ids(self, workflow_name: str) -> list[str]:
        """The runs of a workflow, the least recently started first."""
        rows = self._rows("SELECT run_id FROM function_run WHERE workflow = ? ORDER BY at", workflow_name)
        return [run_id for (run_id,) in rows]

    async def summaries(self, workflow_name: str) -> list[RunSummary]:
        """The runs of a workflow that have not ended, with their questions; read by index."""
        rows = self._rows(
            "SELECT e.run_id, e.body FROM function_run r JOIN function_entry e ON e.run_id = r.run_id "
            "AND e.kind IN ('started', 'wait', 'event') WHERE r.workflow = ? AND r.ended IS NULL ORDER BY r.at, e.run_id, e.seq",
            workflow_name,
        )
        runs: dict[str, list[Entry]] = {}
        for run_id, body in rows:
            runs.setdefault(run_id, []).append(json.loads(body))
        return [summarise(run_id, entries) for run_id, entries in runs.items()]

    async def hidden(self, run_id: str) -> set[int]:
        """The seqs whose checkpoints were deleted."""
        return {seq for (seq,) in self._rows("SELECT seq FROM function_hidden WHERE run_id = ?", run_id)}

    async def hide(self, run_id: str, seq: int) -> None:
        """Delete a checkpoint."""
        with self._lock, self._writer:
            self._writer.execute("INSERT OR IGNORE INTO function_hidden VALUES (?, ?)", (run_id, seq))

    async def drop(self, run_id: str) -> None:
        """Remove a run."""
        with self._lock, self._writer:
            for table in ("function_entry", "function_run", "function_hidden"):
                self._writer.execute(f"DELETE FROM {table} WHERE run_id = ?", (run_id,))

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self.path, timeout=10, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'NORMAL' if self.is_relaxed else 'FULL'}")
            connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise StoreError(f"the checkpoint file {self.path} cannot be opened: {error}") from error
        return connection

    def _append_relaxed(self, run_id: str, entries: list[Entry]) -> None:
        self._late.append((run_id, entries))
        must_write = kind_of(entries[-1]) in _AT_ONCE
        self._late_count += len(entries)
        if self._late_count >= GROUP_SIZE or must_write:
            self._write_late()
        elif self._late_count == len(entries):
            asyncio.get_running_loop().call_later(GROUP_S, self._write_late, context=Context())
        refused = self._refused.pop(run_id, None)
        if refused is not None:
            raise refused

    def _write_late(self) -> None:
        """Write what was grouped; a refusal reaches the run it concerns at its next append."""
        late, self._late, self._late_count = self._late, [], 0
        if not late:
            return
        with self._lock:
            try:
                self._write(late)
            except StoreError:
                self._write_each(late)

    def _write_each(self, late: list[tuple[str, list[Entry]]]) -> None:
        for run_id, entries in late:
            if run_id in self._refused:
                continue
            try:
                self._write([(run_id, entries)])
            except StoreError as error:
                self._refused[run_id] = error

    def _rows(self, query: str, value: str) -> list[Any]:
        self._write_late()
        try:
            return self._reader.execute(query, (value,)).fetchall()
        except sqlite3.Error as error:
            raise _store_error(self.path, error) from error

    def _drain(self) -> None:
        while True:
            with self._lock:
                jobs, self._queue = self._queue, []
                if not jobs:
                    self._is_writing = False
                    return
            try:
                self._write([(run_id, entries) for run_id, entries, _ in jobs])
            except Exception:  # one of them is refused: each on its own, so that only the guilty one fails
                for run_id, entries, job in jobs:
                    try:
                        self._write([(run_id, entries)])
                    except Exception as error:  # handed to the run that waits for it
                        job.set_exception(error)
                    else:
                        job.set_result(None)
            else:
                for _, _, job in jobs:
                    job.set_result(None)

    def _write(self, batch: list[tuple[str, list[Entry]]]) -> None:
        """One transaction."""
        connection = self._writer
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                for run_id, entries in batch:
                    self._insert(connection, run_id, entries)
            except BaseException:
                connection.rollback()
                raise
            connection.commit()
        except sqlite3.Error as error:
            raise _store_error(self.path, error) from error

    def _insert(self, connection: sqlite3.Connection, run_id: str, entries: list[Entry]) -> None:
        found = connection.execute("SELECT max(seq) FROM function_entry WHERE run_id = ?", (run_id,)).fetchone()
        check_order(run_id, -1 if found[0] is None else found[0], entries)
        first = entries[0]
        if is_first(first):
            row = (run_id, workflow_of(first), first[2])
            connection.execute("INSERT INTO function_run (run_id, workflow, at) VALUES (?, ?, ?)", row)
        connection.executemany(
            "INSERT INTO function_entry VALUES (?, ?, ?, ?)",
            [(run_id, seq_of(e), kind_of(e), write_json(e)) for e in entries],
        )
        ended = kind_of(entries[-1])
        if ended in ("settled", "cancel"):
            connection.execute("UPDATE function_run SET ended = ? WHERE run_id = ?", (ended, run_id))


def _close_both(writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
    reader.close()
    writer.close()


def _store_error(path: str, error: sqlite3.Error) -> StoreError:
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return StoreBusy(f"another process holds the checkpoint file {path}; try again")
    return StoreError(f"the checkpoint file {path} refused: {error}")
