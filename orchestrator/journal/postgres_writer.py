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

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from psycopg.errors import PipelineAborted, UniqueViolation

from orchestrator.errors import OrchestratorError
from orchestrator.journal.db_threads import Job
from orchestrator.journal.postgres_bulk import create_all, send
from orchestrator.journal.postgres_commit import commit, runs_of
from orchestrator.journal.postgres_threads import Db
from orchestrator.journal.postgres_writes import Tx
from orchestrator.runtime.journal import Batch


@dataclass(slots=True)
class Doing:
    """A job that is more than a commit like others: what it does in the transaction, and the runs it is about."""

    work: Callable[[Tx], Any]
    run_ids: tuple[str, ...] = ()


def committing(batch: Batch) -> Doing:
    """A commit that is written by itself."""
    return Doing(partial(commit, batch=batch), runs_of(batch))


class Writer:
    """Runs groups of jobs; `tell` is given the ids of runs for which something has come, once that is committed.

    A job's work is a Doing, or a Batch that can be written together with others. `at_commit` is called with "before" and
    "after" each transaction; only a test harness gives one.
    """

    def __init__(self, tell: Callable[[set[str]], None], at_commit: Callable[[str], None] | None) -> None:
        self.workers: dict[str, int] = {}  # name -> wk, of committed rows
        self._name = os.urandom(12).hex()
        self._number = 0
        self._tell = tell
        self._at_commit = at_commit
        self._is_numbered = False

    def run(self, db: Db, jobs: list[Job]) -> None:
        """Do a group. Raises: psycopg.Error, and nothing was done, or was_done tells, or doing it again finds it done."""
        if all(isinstance(job.work, Batch) and job.work.create is None for job in jobs):
            jobs = self._advance(db, jobs)
            if not jobs:
                return
            for job in jobs:
                job.work = committing(job.work)
        self._is_numbered = True
        self._number += 1
        try:
            self._write(db, jobs, is_careful=False)
        except (UniqueViolation, PipelineAborted):
            for job in jobs:
                job.outcome = job.error = None
            self._write(db, jobs, is_careful=True)

    def _advance(self, db: Db, jobs: list[Job]) -> list[Job]:
        """Write commits together that find themselves if they are repeated; gives those that have to be written alone."""
        self._is_numbered = False
        self._signal("before")
        with db.connection.pipeline():
            if all(job.work.is_plain for job in jobs):
                sent = send(db, jobs)
            else:
                with db.connection.transaction():
                    sent = send(db, jobs)
        self._signal("after")
        return sent.settle(db)

    def _write(self, db: Db, jobs: list[Job], *, is_careful: bool) -> None:
        doing = [job for job in jobs if isinstance(job.work, Doing)]
        new = [job for job in jobs if isinstance(job.work, Batch) and job.work.create is not None]
        moving = [job for job in jobs if isinstance(job.work, Batch) and job.work.create is None]
        named = sorted({run_id for job in doing for run_id in job.work.run_ids})
        with db.connection.pipeline(), db.connection.transaction():
            tx = Tx(db, self.workers, is_careful=is_careful)
            tx.begin(self._name, self._number, named)
            for job in doing:
                _do(tx, job, job.work.work, is_alone=len(jobs) == 1)
            left = create_all(tx, new) if new else []
            left += send(db, moving).settle(db) if moving else []
            tx.lock(sorted({run_id for job in left for run_id in runs_of(job.work)}))
            for job in left:
                _do(tx, job, partial(commit, batch=job.work), is_alone=len(jobs) == 1)
            tx.finish()
            self._signal("before")
        self._signal("after")
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


def _do(tx: Tx, job: Job, work: Callable[[Tx], Any], *, is_alone: bool) -> None:
    tx.has_written = False
    lines = len(tx.audit)
    try:
        job.outcome = work(tx)
    except OrchestratorError as error:
        if tx.has_written and not is_alone:
            raise _OneByOne from error
        if tx.has_written:
            raise
        del tx.audit[lines:]
        job.error = error
