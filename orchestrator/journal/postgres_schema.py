"""The tables of a PostgreSQL journal and the steps from each version to the next. They stand in a schema of their own.

The columns mean what they mean in a SQLite file (orchestrator.journal.schema). What is more:
 runs.pool            the pool whose workers alone may take the run (a placed step); null for any worker
 runs.ring, rung_at   how often a dispatcher was asked to wake the run, and when it was last asked
 workers.offer        what the worker says that it can run: {"can": [flow hash], "cannot": {hash: reason}, "pools": [name]}
 writers              the number of the last transaction of each writing connection: how an unknown outcome is read back
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from orchestrator.errors import StoreError

LOCK = 0x6F726368  # "orch": one process migrates at a time

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE runs (
        rk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL UNIQUE, flow text NOT NULL,
        flow_hash text NOT NULL, kind text NOT NULL, status text NOT NULL, epoch integer NOT NULL, owner integer,
        ready_at double precision, created_at double precision NOT NULL, ended_at double precision, parent text,
        root text NOT NULL, dedup text UNIQUE, outcome text, meta text, pool text, admitted boolean NOT NULL DEFAULT false,
        ring integer NOT NULL DEFAULT 0, rung_at double precision
    ) WITH (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.05);
    CREATE INDEX runs_ready ON runs (ready_at) WHERE owner IS NULL AND ready_at IS NOT NULL;
    CREATE INDEX runs_owner ON runs (owner) WHERE owner IS NOT NULL;
    CREATE INDEX runs_flow ON runs (flow, status, rk);
    CREATE INDEX runs_status ON runs (status, rk);
    CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL;
    CREATE INDEX runs_parent ON runs (parent) WHERE parent IS NOT NULL;
    CREATE TABLE ticks (rk bigint NOT NULL, seq integer NOT NULL, body text NOT NULL, cuts text, PRIMARY KEY (rk, seq));
    CREATE TABLE snapshots (rk bigint NOT NULL, seq integer NOT NULL, body text NOT NULL, cuts text, PRIMARY KEY (rk, seq));
    CREATE TABLE inbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, rk bigint NOT NULL, kind text NOT NULL, data text,
        dedup text NOT NULL, at double precision NOT NULL, done integer NOT NULL DEFAULT 0, reply text, UNIQUE (rk, dedup)
    ) WITH (autovacuum_vacuum_scale_factor = 0.05);
    CREATE INDEX inbox_open ON inbox (rk) WHERE done = 0;
    CREATE TABLE requests (
        qk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, rk bigint NOT NULL, request text NOT NULL, flow text NOT NULL,
        step text NOT NULL, state text NOT NULL, data text, opened_at double precision NOT NULL, due_at double precision,
        closed_at double precision, UNIQUE (rk, request)
    );
    CREATE INDEX requests_state ON requests (state, qk);
    CREATE TABLE audience (name text NOT NULL, qk bigint NOT NULL, PRIMARY KEY (name, qk));
    CREATE INDEX audience_of ON audience (qk);
    CREATE TABLE audit (
        id bigint PRIMARY KEY, at double precision NOT NULL, run text NOT NULL, actor text NOT NULL, action text NOT NULL,
        data text, hash text NOT NULL
    );
    CREATE INDEX audit_run ON audit (run);
    CREATE TABLE flows (hash text PRIMARY KEY, name text NOT NULL, ir text NOT NULL, created_at double precision NOT NULL);
    CREATE INDEX flows_name ON flows (name, created_at);
    CREATE TABLE blobs (hash text PRIMARY KEY, body text NOT NULL);
    CREATE TABLE blob_refs (rk bigint NOT NULL, hash text NOT NULL, PRIMARY KEY (rk, hash));
    CREATE INDEX blob_refs_of ON blob_refs (hash);
    CREATE TABLE ids (
        flow text NOT NULL, key text NOT NULL, digest text NOT NULL, holder text NOT NULL, result text,
        at double precision NOT NULL, PRIMARY KEY (flow, key)
    );
    CREATE TABLE cached (
        scope text NOT NULL, key text NOT NULL, value text NOT NULL, expires_at double precision, PRIMARY KEY (scope, key)
    );
    CREATE TABLE admission (rk bigint PRIMARY KEY, flow text NOT NULL, key text NOT NULL, active integer NOT NULL);
    CREATE INDEX admission_key ON admission (flow, key, active, rk);
    CREATE TABLE workers (
        wk integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE, lease_until double precision NOT NULL,
        host text, pid text, offer text
    ) WITH (fillfactor = 50);
    CREATE TABLE triggers (
        id text PRIMARY KEY, flow text NOT NULL, flow_hash text NOT NULL, kind text NOT NULL, spec text NOT NULL,
        next_at double precision, last_at double precision, paused integer NOT NULL DEFAULT 0
    );
    CREATE INDEX triggers_next ON triggers (next_at) WHERE next_at IS NOT NULL AND paused = 0;
    CREATE INDEX triggers_kind ON triggers (kind);
    CREATE TABLE writers (name text PRIMARY KEY, n bigint NOT NULL, at timestamptz NOT NULL DEFAULT now())
        WITH (fillfactor = 25);
    """,
    "CREATE INDEX requests_name ON requests (request, state, qk);",
    """
    CREATE TABLE notices (
        rk bigint NOT NULL, request text NOT NULL, number integer NOT NULL, what text NOT NULL, due_at double precision NOT NULL,
        PRIMARY KEY (rk, request, number)
    );
    CREATE INDEX notices_due ON notices (due_at);
    """,
)
VERSION = len(MIGRATIONS)


def migrate(connection: psycopg.Connection[Any], schema: str, place: str) -> None:
    """Bring a schema to the newest version, in one transaction; made if it is not there.

    Raises: StoreError for a schema of another program or of a newer version; it is left as it is.
    """
    name = sql.Identifier(schema)
    with connection.transaction():
        if _version(connection, schema, place) == VERSION:
            return
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        version = _version(connection, schema, place)
        if version == 0:
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(name))
            connection.execute("CREATE TABLE IF NOT EXISTS journal_version (version integer NOT NULL)")
            connection.execute("INSERT INTO journal_version VALUES (0)")
        for number in range(version, VERSION):
            for statement in MIGRATIONS[number].split(";"):
                if statement.strip():
                    connection.execute(statement.encode())
        connection.execute("UPDATE journal_version SET version = %s", (VERSION,))


def _version(connection: psycopg.Connection[Any], schema: str, place: str) -> int:
    tables = connection.execute(
        "SELECT count(*) FILTER (WHERE tablename = 'journal_version'), count(*) FROM pg_tables WHERE schemaname = %s",
        (schema,),
    ).fetchone()
    assert tables is not None
    if not tables[0] and tables[1]:
        raise StoreError(
            f"{place}: schema {schema!r} belongs to another program; name another one with `?schema=`",
            code="store.not_ours",
        )
    if not tables[0]:
        return 0
    row = connection.execute("SELECT version FROM journal_version").fetchone()
    version = int(row[0]) if row is not None else 0
    if version > VERSION:
        raise StoreError(
            f"{place} was written by a newer version of orchestrator (schema {version}, this one knows {VERSION}); "
            "upgrade orchestrator, or use another schema",
            code="store.newer",
        )
    return version
