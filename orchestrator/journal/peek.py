"""A look into a SQLite file from outside: opens it read-only, brings nothing up to date, holds no claim, needs no event loop."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from orchestrator.journal.schema import APPLICATION_ID, VERSION

FINAL = ("cancelled", "done", "failed", "timeout")
BUSY_S = 0.5


@dataclass(frozen=True, slots=True)
class OpenVersion:
    """Runs of one version of a flow that have not ended. `version` is the number that the flow file gave itself, or 0."""

    flow: str
    flow_hash: str
    version: int
    runs: int


def open_versions(file: Path) -> list[OpenVersion]:
    """The versions of flows that unfinished runs keep; nothing for a file that is not there or not of this version."""
    marks = ",".join("?" * len(FINAL))
    rows = _ask(
        file,
        "SELECT r.flow, r.flow_hash, f.ir, count(*) FROM runs r LEFT JOIN flows f ON f.hash = r.flow_hash"
        f" WHERE r.status NOT IN ({marks}) GROUP BY r.flow, r.flow_hash ORDER BY r.flow, min(r.created_at)",
        FINAL,
    )
    return [OpenVersion(flow, key, _number(ir), count) for flow, key, ir, count in rows]


def run_ids(file: Path, prefix: str, *, only_open: bool, limit: int = 50) -> list[tuple[str, str]]:
    """Runs whose id begins so, newest first, as (id, flow and status)."""
    marks = ",".join("?" * len(FINAL)) if only_open else ""
    rows = _ask(
        file,
        "SELECT id, flow || ' ' || status FROM runs WHERE substr(id, 1, ?) = ?"
        f"{f' AND status NOT IN ({marks})' if only_open else ''} ORDER BY rk DESC LIMIT ?",
        (len(prefix), prefix, *(FINAL if only_open else ()), limit),
    )
    return [(str(run), str(what)) for run, what in rows]


def _ask(file: Path, sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:  # rows of whatever is asked
    try:
        db = sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=BUSY_S)
        try:
            owner, version = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
            if (owner, version) != (APPLICATION_ID, VERSION):
                return []
            return db.execute(sql, values).fetchall()
        finally:
            db.close()
    except (sqlite3.Error, UnicodeDecodeError):  # a damaged file is told of by whoever needs it
        return []


def _number(ir: str | None) -> int:
    try:
        found = json.loads(ir).get("version", 0) if ir else 0
    except (ValueError, AttributeError):  # a damaged row
        return 0
    return found if isinstance(found, int) else 0
