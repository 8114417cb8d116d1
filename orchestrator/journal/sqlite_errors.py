"""SQLite's errors as errors of the store: what happened, to which file, and what to do."""

from __future__ import annotations

import sqlite3

from orchestrator.errors import OrchestratorError, StoreBusy, StoreError

_BY_CODE: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: ("store.full", "the disk is full; free some space, nothing that was acknowledged is lost"),
    sqlite3.SQLITE_READONLY: ("store.read_only", "the file or its folder is read-only; nothing was written"),
    sqlite3.SQLITE_CANTOPEN: (
        "store.cannot_open",
        "the file cannot be opened; does its folder exist, may it be written?",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "store.corrupt",
        "the file is damaged; stop, copy it with its -wal file, and restore a backup or try `sqlite3 FILE .recover`",
    ),
    sqlite3.SQLITE_NOTADB: ("store.not_a_database", "the file is no SQLite database; nothing was changed"),
    sqlite3.SQLITE_IOERR: ("store.io", "reading or writing the file failed; look at the disk and the system's log"),
    sqlite3.SQLITE_PERM: ("store.permission", "this user may not use the file"),
}


def store_error(error: Exception, place: str) -> OrchestratorError:
    """The error of the store behind an error of SQLite."""
    if isinstance(error, OrchestratorError):
        return error
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(f"{place} is locked by another process; try again")
    known = _BY_CODE.get(primary)
    if known is not None:
        return StoreError(f"{place}: {known[1]} ({error})", code=known[0])
    return StoreError(f"{place}: {type(error).__name__}: {error}")
