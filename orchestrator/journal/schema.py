"""The tables of a SQLite journal and the steps from each version to the next. A file of a newer version is left alone.

runs       one row per run; `ready_at`: when it is due if nobody holds it. `rk` stands for the run in the other tables
ticks      one row per commit: a JSON array of ticks from `seq` on; `cuts` says where long strings were taken out (blobs)
inbox      what came for a run; `done` rows keep their dedup key and the consumer's reply
workers    who holds runs, and until when
admission  runs of flows with a concurrency mode: under way or queued, in order of creation
"""

from __future__ import annotations

import sqlite3

from orchestrator.errors import StoreError

APPLICATION_ID = 0x6F726368  # "orch"

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE runs (
        rk INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, flow TEXT NOT NULL, flow_hash TEXT NOT NULL,
        kind TEXT NOT NULL, status TEXT NOT NULL, epoch INTEGER NOT NULL, owner INTEGER, ready_at REAL, created_at REAL NOT NULL,
        ended_at REAL, parent TEXT, root TEXT NOT NULL, dedup TEXT, outcome TEXT, meta TEXT
    );
    CREATE INDEX runs_ready ON runs (ready_at) WHERE owner IS NULL AND ready_at IS NOT NULL;
    CREATE INDEX runs_owner ON runs (owner) WHERE owner IS NOT NULL;
    CREATE INDEX runs_flow ON runs (flow, status, created_at);
    CREATE INDEX runs_created ON runs (created_at);
    CREATE INDEX runs_status ON runs (status, created_at);
    CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL;
    CREATE INDEX runs_parent ON runs (parent) WHERE parent IS NOT NULL;
    CREATE UNIQUE INDEX runs_dedup ON runs (dedup) WHERE dedup IS NOT NULL;
    CREATE TABLE ticks (rk INTEGER NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL, cuts TEXT, PRIMARY KEY (rk, seq))
        WITHOUT ROWID;
    CREATE TABLE snapshots (rk INTEGER NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL, cuts TEXT,
        PRIMARY KEY (rk, seq));
    CREATE TABLE inbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, rk INTEGER NOT NULL, kind TEXT NOT NULL, data TEXT, dedup TEXT NOT NULL,
        at REAL NOT NULL, done INTEGER NOT NULL DEFAULT 0, reply TEXT
    );
    CREATE UNIQUE INDEX inbox_dedup ON inbox (rk, dedup);
    CREATE INDEX inbox_open ON inbox (rk) WHERE done = 0;
    CREATE TABLE requests (
        qk INTEGER PRIMARY KEY, rk INTEGER NOT NULL, request TEXT NOT NULL, flow TEXT NOT NULL, step TEXT NOT NULL,
        state TEXT NOT NULL, data TEXT, opened_at REAL NOT NULL, due_at REAL, closed_at REAL
    );
    CREATE UNIQUE INDEX requests_of ON requests (rk, request);
    CREATE INDEX requests_state ON requests (state, opened_at);
    CREATE TABLE audience (name TEXT NOT NULL, qk INTEGER NOT NULL, PRIMARY KEY (name, qk)) WITHOUT ROWID;
    CREATE INDEX audience_of ON audience (qk);
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, run TEXT NOT NULL, actor TEXT NOT NULL,
        action TEXT NOT NULL, data TEXT, hash TEXT NOT NULL
    );
    CREATE INDEX audit_run ON audit (run);
    CREATE TABLE flows (hash TEXT PRIMARY KEY, name TEXT NOT NULL, ir TEXT NOT NULL, created_at REAL NOT NULL);
    CREATE INDEX flows_name ON flows (name, created_at);
    CREATE TABLE blobs (hash TEXT PRIMARY KEY, body TEXT NOT NULL);
    CREATE TABLE blob_refs (rk INTEGER NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (rk, hash)) WITHOUT ROWID;
    CREATE INDEX blob_refs_of ON blob_refs (hash);
    CREATE TABLE ids (
        flow TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL, holder TEXT NOT NULL, result TEXT, at REAL NOT NULL,
        PRIMARY KEY (flow, key)
    ) WITHOUT ROWID;
    CREATE TABLE cached (
        scope TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, expires_at REAL, PRIMARY KEY (scope, key)
    ) WITHOUT ROWID;
    CREATE TABLE admission (rk INTEGER PRIMARY KEY, flow TEXT NOT NULL, key TEXT NOT NULL, active INTEGER NOT NULL);
    CREATE INDEX admission_key ON admission (flow, key, active, rk);
    CREATE TABLE workers (
        wk INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, lease_until REAL NOT NULL, host TEXT, pid TEXT
    );
    CREATE TABLE triggers (
        id TEXT PRIMARY KEY, flow TEXT NOT NULL, flow_hash TEXT NOT NULL, kind TEXT NOT NULL, spec TEXT NOT NULL,
        next_at REAL, last_at REAL, paused INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX triggers_next ON triggers (next_at) WHERE next_at IS NOT NULL AND paused = 0;
    CREATE INDEX triggers_kind ON triggers (kind);
    """,
    "CREATE INDEX requests_name ON requests (request, state, qk);",
    """
    CREATE TABLE notices (
        rk INTEGER NOT NULL, request TEXT NOT NULL, number INTEGER NOT NULL, what TEXT NOT NULL, due_at REAL NOT NULL,
        PRIMARY KEY (rk, request, number)
    ) WITHOUT ROWID;
    CREATE INDEX notices_due ON notices (due_at);
    """,
)
VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, place: str) -> None:
    """Bring a file to the newest version, in one transaction.

    Raises: StoreError for a database of another program or of a newer version; it is left as it is.
    """
    version = _version_of(connection, place)
    if version == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number in range(_version_of(connection, place), VERSION):  # another process may have been faster
            for statement in MIGRATIONS[number].split(";"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version_of(connection: sqlite3.Connection, place: str) -> int:
    owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    has_tables = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None
    if owner != APPLICATION_ID and has_tables:
        raise StoreError(
            f"{place} is a database of another program; name a file that does not exist yet", code="store.not_ours"
        )
    if version > VERSION:
        raise StoreError(
            f"{place} was written by a newer version of orchestrator (schema {version}, this one knows {VERSION}); "
            "upgrade orchestrator, or use another file",
            code="store.newer",
        )
    return version
