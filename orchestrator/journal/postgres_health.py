"""Looks a PostgreSQL store over for its operator: settings that lose data, room, clocks, latency, and what is left lying."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from orchestrator.errors import OrchestratorError
from orchestrator.journal.open import parse_store_url
from orchestrator.journal.postgres_errors import place_of, store_error
from orchestrator.journal.postgres_schema import VERSION
from orchestrator.journal.postgres_threads import Target

OLDEST = 140000  # PostgreSQL 14
CONNECTIONS = 3  # of one process
SKEW_S, SLOW_COMMIT_S, LATE_S, IDLE_S = 1.0, 0.05, 60.0, 300.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. level: ok, warning or error; `advice` says what to do about it."""

    level: str
    name: str
    message: str
    advice: str = ""


def check_database(url: str) -> list[Finding]:
    """Everything worth knowing about the database behind a store's URL. Writes nothing but a row of its own and removes it."""
    parsed = parse_store_url(url)
    target = Target(parsed.dsn, parsed.schema, place_of(parsed.dsn))
    try:
        with target.connect() as connection:
            return list(_checks(connection, parsed.schema))
    except (psycopg.Error, OSError, OrchestratorError) as error:
        return [Finding("error", "database", str(store_error(error, target.place)))]


def _checks(connection: psycopg.Connection[Any], schema: str) -> Iterator[Finding]:
    yield _server(connection)
    yield from _settings(connection)
    yield _room(connection)
    yield _clock(connection)
    yield _idle_transactions(connection)
    yield _hints(connection)
    if _one(connection, "SELECT to_regclass(%s) IS NULL", f"{schema}.journal_version"):
        yield Finding(
            "warning", "schema", f"there is no journal in schema `{schema}` yet", "the first start of a run makes it"
        )
        return
    version = _one(connection, "SELECT version FROM journal_version")
    if version > VERSION:
        yield Finding("error", "schema", f"version {version}, this program knows {VERSION}", "upgrade this program")
        return
    yield Finding("ok", "schema", f"`{schema}`, version {version}")
    yield _latency(connection)
    yield from _runs(connection)


def _server(connection: psycopg.Connection[Any]) -> Finding:
    number, text = connection.info.server_version, str(_one(connection, "SHOW server_version"))
    if number < OLDEST:
        return Finding("error", "server", f"PostgreSQL {text}", "use 14 or newer")
    if _one(connection, "SELECT pg_is_in_recovery()"):
        return Finding("error", "server", f"PostgreSQL {text} is a standby: nothing can be written", "name the primary")
    if _one(connection, "SHOW server_encoding") != "UTF8":
        return Finding("error", "server", "the database is not encoded in UTF-8", "create it with `-E UTF8`")
    return Finding("ok", "server", f"PostgreSQL {text}")


def _settings(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    for name in ("fsync", "full_page_writes"):
        if _one(connection, f"SHOW {name}") == "off":
            yield Finding("error", name, "it is off: a power failure can lose or damage everything", f"set {name} = on")
    default = _one(connection, "SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'")
    if default == "off":
        yield Finding("warning", "synchronous_commit", "it is off by default; the journal switches it on for itself")
    else:
        yield Finding("ok", "durability", f"synchronous_commit = {default}")


def _room(connection: psycopg.Connection[Any]) -> Finding:
    used = _one(connection, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
    limit = int(_one(connection, "SHOW max_connections")) - int(_one(connection, "SHOW superuser_reserved_connections"))
    left = (limit - used) // CONNECTIONS
    message = f"{used} of {limit} connections are in use; room for {max(0, left)} more processes of {CONNECTIONS}"
    advice = "raise max_connections, or end what is idle"
    return Finding("ok", "connections", message) if left >= 2 else Finding("warning", "connections", message, advice)


def _clock(connection: psycopg.Connection[Any]) -> Finding:
    before = time.time()
    there = float(_one(connection, "SELECT extract(epoch FROM clock_timestamp())"))
    skew = there - (before + time.time()) / 2
    message = f"this host and the database differ by {abs(skew):.3f} s"
    if abs(skew) > SKEW_S:
        return Finding("warning", "clock", message, "run NTP on both; a lease is only as long as clocks agree")
    return Finding("ok", "clock", message)


def _idle_transactions(connection: psycopg.Connection[Any]) -> Finding:
    oldest = _one(
        connection,
        "SELECT coalesce(max(extract(epoch FROM now() - xact_start)), 0) FROM pg_stat_activity"
        " WHERE datname = current_database() AND state LIKE 'idle in transaction%%'",
    )
    if oldest > IDLE_S:
        advice = "end it: until then dead rows pile up and every claim gets slower"
        return Finding("warning", "transactions", f"a transaction has been left open for {oldest:.0f} s", advice)
    return Finding("ok", "transactions", "none is left open")


def _hints(connection: psycopg.Connection[Any]) -> Finding:
    connection.execute("LISTEN orchestrator_doctor")
    connection.execute("SELECT pg_notify('orchestrator_doctor', '')")
    heard = list(connection.notifies(timeout=2, stop_after=1))
    connection.execute("UNLISTEN orchestrator_doctor")
    if heard:
        return Finding("ok", "notifications", "they arrive")
    advice = "connect to PostgreSQL itself, or to a pooler in session mode: wake-ups come by polling only"
    return Finding("warning", "notifications", "they do not arrive", advice)


def _latency(connection: psycopg.Connection[Any]) -> Finding:
    times = []
    for number in range(11):
        began = time.perf_counter()
        connection.execute(
            "INSERT INTO writers (name, n) VALUES ('doctor', %s) ON CONFLICT (name) DO UPDATE SET n = excluded.n",
            (number,),
        )
        times.append(time.perf_counter() - began)
    connection.execute("DELETE FROM writers WHERE name = 'doctor'")
    middle = statistics.median(times)
    message = f"a commit takes {middle * 1000:.1f} ms: at most {1 / middle:.0f} durable steps per second in one run"
    if middle > SLOW_COMMIT_S:
        return Finding("warning", "commits", message, "use a faster disk, or a database that is nearer")
    return Finding("ok", "commits", message)


def _runs(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    now = time.time()
    live = _one(connection, "SELECT count(*) FROM workers WHERE lease_until >= %s AND offer IS NOT NULL", now)
    late = _one(connection, "SELECT count(*) FROM runs WHERE owner IS NULL AND ready_at < %s", now - LATE_S)
    if late:
        advice = "start more workers" if live else "start one: `orchestrator worker --store …`"
        yield Finding(
            "warning", "runs", f"{late} runs have been due for over {LATE_S:.0f} s; {live} workers are up", advice
        )
    else:
        yield Finding("ok", "runs", f"none is late; {live} workers are up")
    parked = connection.execute(
        "SELECT outcome::json #>> '{parked,message}', count(*) FROM runs WHERE status = 'parked'"
        " GROUP BY 1 ORDER BY 2 DESC LIMIT 5"
    )
    for message, count in parked:
        yield Finding(
            "warning", "parked", f"{count} runs are set aside: {message}", "`orchestrator runs ls --status parked`"
        )


def _one(connection: psycopg.Connection[Any], statement: str, *values: object) -> Any:  # of the column's type
    row = connection.execute(statement.encode(), values or None).fetchone()
    assert row is not None
    return row[0]
