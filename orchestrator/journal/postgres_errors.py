"""PostgreSQL's errors as errors of the store: what happened, to which database, and what to do. No password is ever shown."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict

from orchestrator.errors import OrchestratorError, StoreBusy, StoreError

RETRIED = frozenset({"40001", "40P01", "55P03"})  # serialization, deadlock, lock timeout: nothing was written
_AWAY = frozenset({"57P01", "57P02", "57P03", "53300", "25006"})  # stopping, starting, too many connections, a standby
_KNOWN: dict[str, tuple[str, str]] = {
    "53100": ("store.full", "the disk of the database is full; free some space, nothing that was acknowledged is lost"),
    "28P01": ("store.permission", "the password is wrong"),
    "28000": ("store.permission", "this user may not connect; look at pg_hba.conf"),
    "3D000": ("store.cannot_open", "there is no such database; create it with `createdb`"),
    "42501": (
        "store.permission",
        "this user may not do that; grant it the schema, or let an owner open the store once",
    ),
    "XX001": ("store.corrupt", "a page of the database is damaged; stop, and restore a backup"),
    "XX002": ("store.corrupt", "an index of the database is damaged; stop, and REINDEX or restore a backup"),
}


def place_of(dsn: str) -> str:
    """The database as messages name it: host, port and name only."""
    parts = conninfo_to_dict(dsn)
    hosts = str(parts.get("host") or "localhost").split(",")
    ports = str(parts.get("port") or "").split(",")
    ports = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
    places = (f"{host}:{port}" if port else host for host, port in zip(hosts, ports, strict=True))
    return f"postgresql://{','.join(places)}/{parts.get('dbname') or parts.get('user') or ''}"


def is_away(error: BaseException) -> bool:
    """Whether the database cannot be reached now, so that the same work can succeed later over a new connection."""
    if not isinstance(error, psycopg.Error):
        return isinstance(error, OSError)
    if error.sqlstate in _AWAY or (error.sqlstate or "").startswith("08"):
        return True
    return not error.sqlstate and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


def store_error(error: BaseException, place: str) -> OrchestratorError:
    """The error of the store behind an error of PostgreSQL or its driver."""
    if isinstance(error, OrchestratorError):
        return error
    state = getattr(error, "sqlstate", None) or ""
    text = " ".join(str(error).split())[:500]
    if state in RETRIED or state in _AWAY or state.startswith("08"):
        return StoreBusy(f"{place} cannot do this now, try again ({text})")
    if state in _KNOWN:
        code, advice = _KNOWN[state]
        return StoreError(f"{place}: {advice} ({text})", code=code)
    if not state and isinstance(error, psycopg.OperationalError):
        return StoreError(
            f"{place} cannot be reached; is it running, is the address right? ({text})", code="store.cannot_open"
        )
    return StoreError(f"{place}: {type(error).__name__}: {text}")
