"""A look into a SQLite file from outside: opens it read-only, brings nothing up to date, holds no claim, needs no event loop."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
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
    sql = (
        "SELECT r.flow, r.flow_hash, f.ir, count(*) FROM runs r LEFT JOIN flows f ON f.hash = r.flow_hash"
        f" WHERE r.status NOT IN ({marks}) GROUP BY r.flow, r.flow_hash ORDER BY r.flow, min(r.created_at)"
    )
    try:
        db = sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=BUSY_S)
        try:
            owner, version = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
            if (owner, version) != (APPLICATION_ID, VERSION):
                return []
            return [OpenVersion(flow, key, _number(ir), count) for flow, key, ir, count in db.execute(sql, FINAL)]
        finally:
            db.close()
    except sqlite3.Error:
        return []


def _number(ir: str | None) -> int:
    found = json.loads(ir).get("version", 0) if ir else 0
    return found if isinstance(found, int) else 0
