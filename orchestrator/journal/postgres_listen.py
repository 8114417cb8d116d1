"""Hears of changes that other processes make: one connection that listens, and hints that are sent beside the commits.

A hint is the id of a run for which something has come, and nothing else; whoever hears it looks into the tables. Hints may be
lost: every worker looks by itself now and then. They are sent after the commit in a transaction of their own that waits for no
disk, because PostgreSQL lets one transaction with a notification commit at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql

from orchestrator.errors import StoreError
from orchestrator.journal.postgres_threads import Db, Target

MANY = 20
PAUSE_S = 0.25
LOOK_S = 1.0


def channel_of(schema: str) -> str:
    """The name under which a journal's hints go."""
    return f"{schema}_runs"[:63]


def hint(db: Db, channel: str, run_ids: set[str]) -> None:
    """Tell every listening process; of many runs only that there are some."""
    payloads = sorted(run_ids) if len(run_ids) <= MANY else [""]
    with db.connection.transaction():
        db.execute("SET LOCAL synchronous_commit = off")
        db.execute("SELECT pg_notify(?, p) FROM unnest(?::text[]) AS p", (channel, payloads))


class Listener:
    """Counts hints, and calls back (from its own thread) at each; while it is not connected it counts at every look."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._channel = channel_of(target.schema)
        self._heard = 0
        self._is_deaf = True
        self.is_closed = False
        self._connection: psycopg.Connection[Any] | None = None
        self.callbacks: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._loop, name="orchestrator-journal-listen", daemon=True)
        self._thread.start()

    def count(self) -> int:
        """A number that is another whenever somebody may have told something."""
        if self._is_deaf:
            self._heard += 1
        return self._heard

    def bump(self) -> None:
        """This process has written something itself."""
        self._heard += 1

    def close(self) -> None:
        """End the thread."""
        self.is_closed = True
        self._thread.join(timeout=5)

    def _loop(self) -> None:
        while not self.is_closed:
            try:
                self._connection = self._target.connect()
                self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
                self._is_deaf = False
                self._tell()
                self._listen(self._connection)
            except (psycopg.Error, OSError, StoreError):
                self._is_deaf = True
                time.sleep(PAUSE_S)
            finally:
                self._is_deaf = True
                if self._connection is not None:
                    self._connection.close()

    def _listen(self, connection: psycopg.Connection[Any]) -> None:
        while not self.is_closed:
            for _ in connection.notifies(timeout=LOOK_S, stop_after=1):
                self._tell()

    def _tell(self) -> None:
        self._heard += 1
        for callback in list(self.callbacks):
            callback()
