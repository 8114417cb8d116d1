"""The threads of a PostgreSQL journal: one connection that writes, one that reads, each worked off in order.

Theory. What waits when the writer comes round goes into one transaction, so that concurrent runs share its round trips and its
flush. A connection that breaks is made anew, with growing pauses, and the work is done again: those who wait for it notice a
delay and nothing else. Only after `OUTAGE_S` do they get StoreBusy, which the runtime tries again by itself.

Invariants
 P1  a transaction whose outcome is unknown (the connection broke at its end) is not repeated before its number was read back:
     each holds the number that its writer counts, so either the number is there and so is everything else, or neither is.
     A group of commits that move their own runs finds its own rows if it is repeated (journal, J2); it has no number.
 P2  reading back locks the writer's row, so it waits for a transaction of a lost connection that is still being committed.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any, Protocol

import psycopg
from psycopg import sql

from orchestrator.errors import OrchestratorError, StoreBusy, StoreError
from orchestrator.journal.db_threads import Job, deliver, groups_of
from orchestrator.journal.postgres_errors import RETRIED, is_away, store_error
from orchestrator.journal.postgres_schema import migrate

OUTAGE_S = 30.0
CLOSING_S = 2.0
GROUP_LIMIT = 500
CONFLICTS = 20
_NOBODY: Any = None  # in place of the future and loop of a job for which nobody waits


class Db:
    """A connection that takes the statements of `orchestrator.journal.sqlite_*`, whose placeholders are question marks."""

    __slots__ = ("connection",)
    _known: dict[str, bytes] = {}

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def execute(self, statement: str, values: Sequence[Any] = ()) -> psycopg.Cursor[Any]:
        """Run a statement; the cursor has `fetchone`, `fetchall` and can be iterated."""
        text = self._known.get(statement)
        if text is None:
            text = statement.replace("%", "%%").replace("?", "%s").encode()
            if len(self._known) < 1000:
                self._known[statement] = text
        return self.connection.execute(text, values)


class Work(Protocol):
    """What a thread does with the jobs that wait."""

    def run(self, db: Db, jobs: list[Job]) -> None:
        """Do them all: each gets its outcome or its error. Raises: psycopg.Error, and nothing was done."""
        ...

    def was_done(self, db: Db) -> bool:
        """Whether what `run` did last, before the connection broke, was done after all."""
        ...


class PgThread:
    """A thread with a connection of its own that works off jobs in order, over as many connections as it takes."""

    def __init__(self, target: Target, name: str, work: Work) -> None:
        self._target = target
        self._work = work
        self._connection: psycopg.Connection[Any] | None = None
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._is_closed = False
        self.reconnects = 0
        self.groups = 0
        self._connection = target.connect()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Any) -> asyncio.Future[Any]:
        """Have a job done; the future belongs to the running loop. Raises: StoreError when the journal is closed."""
        if self._is_closed:
            raise StoreError(f"{self._target.place}: the store has been closed", code="store.closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._jobs.put(Job(work, future, loop))
        return future

    def submit_then(self, work: Any, tell: Callable[[Any, Exception | None], None]) -> None:
        """Have a job done, and `tell` called in the running loop; one turn of the loop sooner than a future's callbacks.

        Raises: StoreError when the journal is closed.
        """
        if self._is_closed:
            raise StoreError(f"{self._target.place}: the store has been closed", code="store.closed")
        self._jobs.put(Job(work, tell, asyncio.get_running_loop()))

    def put(self, work: Any) -> None:
        """Have a job done for which nobody waits."""
        if not self._is_closed:
            self._jobs.put(Job(work, _NOBODY, _NOBODY))

    def close(self) -> None:
        """Finish what was accepted and end the thread."""
        if not self._is_closed:
            self._is_closed = True
            self._jobs.put(None)
            self._thread.join()

    def _loop(self) -> None:
        for jobs in groups_of(self._jobs, GROUP_LIMIT):
            self.groups += 1
            self._do(jobs)
            deliver([job for job in jobs if job.loop is not _NOBODY])
        if self._connection is not None:
            self._connection.close()

    def _do(self, jobs: list[Job]) -> None:
        """Do jobs whatever happens to the connection; a failure that is not the connection's is pinned to its own job."""
        is_unknown, conflicts, pauses, since = False, 0, _pauses(), time.monotonic()
        while True:
            try:
                if self._connection is None:
                    self._connection = self._target.connect()
                    self.reconnects += 1
                db = Db(self._connection)
                if is_unknown and self._work.was_done(db):
                    return
                is_unknown = False
                for job in jobs:
                    job.outcome = job.error = None
                self._work.run(db, jobs)
                return
            except Exception as error:  # the top of a thread: whatever it is, those who wait must hear of it
                if is_away(error):
                    is_unknown = True
                    self._drop()
                    if time.monotonic() - since > (CLOSING_S if self._is_closed else OUTAGE_S):
                        self._fail(jobs, StoreBusy(f"{self._target.place} has been away for a while ({_line(error)})"))
                        return
                    time.sleep(next(pauses))
                    continue
                self._roll_back()
                if getattr(error, "sqlstate", None) in RETRIED and conflicts < CONFLICTS:
                    conflicts += 1
                    time.sleep(random.uniform(0, 0.01 * conflicts))
                    if conflicts < 3 or len(jobs) == 1:
                        continue
                if len(jobs) == 1:
                    self._fail(jobs, error)
                    return
                for job in jobs:
                    self._do([job])
                return

    def _fail(self, jobs: list[Job], error: Exception) -> None:
        for job in jobs:
            job.outcome, job.error = None, store_error(error, self._target.place)

    def _roll_back(self) -> None:
        if self._connection is not None:
            try:
                self._connection.rollback()
            except psycopg.Error:
                self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Target:
    """Where the database is, and the schema of the journal in it."""

    def __init__(self, dsn: str, schema: str, place: str) -> None:
        self.dsn = dsn
        self.schema = schema
        self.place = place

    def connect(self, *, migrates: bool = False) -> psycopg.Connection[Any]:
        """A new connection in the journal's schema. Raises: psycopg.Error; StoreError for a schema that is not ours."""
        connection = psycopg.connect(
            self.dsn,
            autocommit=True,
            connect_timeout=10,
            application_name="orchestrator",
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
        )
        try:
            if migrates:
                self._refuse_shared(connection)
            connection.execute(sql.SQL("SET search_path TO {}, pg_catalog").format(sql.Identifier(self.schema)))
            connection.execute("SET idle_in_transaction_session_timeout = '60s'")
            row = connection.execute("SHOW synchronous_commit").fetchone()
            if row is not None and row[0] == "off":
                connection.execute("SET synchronous_commit = on")
            if migrates:
                migrate(connection, self.schema, self.place)
        except BaseException:
            connection.close()
            raise
        return connection

    def _refuse_shared(self, connection: psycopg.Connection[Any]) -> None:
        """Settings, prepared statements and LISTEN belong to a server's process; a pooler in transaction mode deals those out
        anew for every transaction, so two connections that are both open are seen to have one."""
        first = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert first is not None
        if first[0] == connection.info.backend_pid:
            return  # no pooler between
        with psycopg.connect(self.dsn, autocommit=True, connect_timeout=10, prepare_threshold=None) as other:
            second = other.execute("SELECT pg_backend_pid()").fetchone()
        if second == first:
            raise StoreError(
                f"{self.place}: a pooler in transaction mode stands before the database; connect to PostgreSQL itself,"
                " or set `pool_mode = session` for this database",
                code="store.pooler",
            )


class Reading:
    """Work that only looks, or that may be done twice: each job alone, in no transaction."""

    def run(self, db: Db, jobs: list[Job]) -> None:
        """Do them one after another."""
        for job in jobs:
            try:
                job.outcome = job.work(db)
            except OrchestratorError as error:
                job.error = error

    def was_done(self, db: Db) -> bool:
        """Reading again is harmless."""
        return False


def _pauses() -> Iterator[float]:
    pause = 0.02
    while True:
        yield pause * random.uniform(0.75, 1.25)
        pause = min(0.5, pause * 2)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
