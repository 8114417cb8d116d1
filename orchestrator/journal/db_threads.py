"""The two threads of a SQLite journal: one that writes, in grouped transactions, and one that reads.

Theory. A transaction with `synchronous=FULL` costs an fsync whatever it holds, so everything that waits when the writer comes
round goes into one. Jobs are independent: each has a savepoint, so one that fails (a fenced commit, a conflict) takes nothing
of its neighbours with it; if the transaction as a whole fails, its jobs are tried one by one and each gets its own error.
Plain commits, which only append ticks, are written by few large statements, because Python's lock is given up at each.

A file that cannot be written is not damaged: SQLite's own rollback leaves it at the last commit.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from orchestrator.errors import StoreError
from orchestrator.journal.schema import migrate
from orchestrator.journal.sqlite_errors import store_error

Work = Callable[[sqlite3.Connection], Any]  # what a job gives depends on the job
BUSY_MS = 5_000
GROUP_LIMIT = 2_000
WAL_PAGES = 4_000


@dataclass(slots=True)
class Job:
    """One piece of work and who waits for it: a future, or a function that is called in the loop with (outcome, error)."""

    work: Any  # Work, or what `bulk` of the writer takes
    tell: asyncio.Future[Any] | Callable[[Any, Exception | None], None]
    loop: asyncio.AbstractEventLoop
    outcome: Any = None
    error: Exception | None = None


Bulk = Callable[[sqlite3.Connection, list[Job]], None]


class DbThread:
    """A thread with a connection of its own that works off jobs in order."""

    def __init__(self, path: Path, name: str, run: Callable[[sqlite3.Connection, list[Job]], None]) -> None:
        self._path = path
        self._run = run
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._opened: SimpleQueue[Exception | None] = SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()
        error = self._opened.get()
        if error is not None:
            raise store_error(error, str(path)) from error

    def submit(self, work: Any) -> asyncio.Future[Any]:
        """Have a job done; the future belongs to the running loop.

        Raises: StoreError when the journal is closed.
        """
        if self._is_closed:
            raise StoreError(f"{self._path}: the store has been closed", code="store.closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._jobs.put(Job(work, future, loop))
        return future

    def submit_then(self, work: Any, tell: Callable[[Any, Exception | None], None]) -> None:
        """Have a job done, and `tell` called in the running loop; one turn of the loop sooner than a future's callbacks.

        Raises: StoreError when the journal is closed.
        """
        if self._is_closed:
            raise StoreError(f"{self._path}: the store has been closed", code="store.closed")
        self._jobs.put(Job(work, tell, asyncio.get_running_loop()))

    def close(self) -> None:
        """Finish what was accepted and end the thread."""
        if not self._is_closed:
            self._is_closed = True
            self._jobs.put(None)
            self._thread.join()

    def _work(self) -> None:
        try:
            connection = connect(self._path)
        except Exception as error:
            self._opened.put(error)
            return
        self._opened.put(None)
        for jobs in groups_of(self._jobs, GROUP_LIMIT):
            self._run(connection, jobs)
            deliver(jobs)
        connection.close()


def connect(path: Path) -> sqlite3.Connection:
    """A connection with the pragmas of a journal, its schema brought up to date."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        migrate(connection, str(path))
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode.lower() != "wal":
            raise StoreError(f"{path}: this place cannot hold a write-ahead log (it is {mode})", code="store.no_wal")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


class GroupWriter:
    """Runs groups of jobs as one transaction; `at_commit` is called with "before" and "after" (a harness kills there)."""

    def __init__(self, path: Path, bulk: Bulk, at_commit: Callable[[str], None] | None) -> None:
        self._place = str(path)
        self._bulk = bulk
        self._at_commit = at_commit

    def __call__(self, connection: sqlite3.Connection, jobs: list[Job]) -> None:
        """Do the jobs; each gets its outcome or its error."""
        try:
            connection.execute("BEGIN IMMEDIATE")
            plain = [job for job in jobs if not callable(job.work)]
            for job in jobs:
                if callable(job.work):
                    _do(connection, job, self._place)
            if plain:
                self._bulk(connection, plain)
            if self._at_commit is not None:
                self._at_commit("before")
            connection.execute("COMMIT")
            if self._at_commit is not None:
                self._at_commit("after")
        except Exception as error:  # the top of a thread: whatever it is, those who wait must hear of it
            _roll_back(connection)
            if len(jobs) == 1:
                jobs[0].outcome, jobs[0].error = None, store_error(error, self._place)
                return
            for job in jobs:
                job.outcome = job.error = None
                self(connection, [job])


def _do(connection: sqlite3.Connection, job: Job, place: str) -> None:
    connection.execute("SAVEPOINT job")
    try:
        job.outcome = job.work(connection)
    except Exception as error:
        if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError):
            raise
        job.error = store_error(error, place)
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def _roll_back(connection: sqlite3.Connection) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        return  # SQLite has rolled back by itself, or will when the file is opened again


def read_jobs(place: str) -> Callable[[sqlite3.Connection, list[Job]], None]:
    """What the reading thread does with its jobs: each alone."""

    def run(connection: sqlite3.Connection, jobs: list[Job]) -> None:
        for job in jobs:
            try:
                job.outcome = job.work(connection)
            except Exception as error:  # the top of a thread
                job.error = store_error(error, place)

    return run


def groups_of(queue: SimpleQueue[Job | None], limit: int) -> Iterator[list[Job]]:
    """What waits each time the one who works it off comes round, at most `limit` jobs; ends after the None in the queue."""
    is_open = True
    while is_open:
        first = queue.get()
        if first is None:
            return
        jobs = [first]
        while len(jobs) < limit and not queue.empty():
            job = queue.get()
            if job is None:
                is_open = False
                break
            jobs.append(job)
        yield jobs


def deliver(jobs: list[Job]) -> None:
    """Tell those who wait; a loop that has been closed is not told."""
    if not jobs:
        return
    first = jobs[0].loop
    if len(jobs) == 1 or all(job.loop is first for job in jobs):
        _call(first, jobs)
        return
    by_loop: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, mine in by_loop.items():
        _call(loop, mine)


def _call(loop: asyncio.AbstractEventLoop, jobs: list[Job]) -> None:
    try:
        loop.call_soon_threadsafe(_tell, jobs)
    except RuntimeError:  # the loop is closed: nobody waits any more
        return


def _tell(jobs: list[Job]) -> None:
    for job in jobs:
        tell = job.tell
        if not isinstance(tell, asyncio.Future):
            tell(job.outcome, job.error)
        elif tell.done():
            continue
        elif job.error is not None:
            tell.set_exception(job.error)
        else:
            tell.set_result(job.outcome)
