"""The hash chain of the audit log: every line is bound to all lines before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.runtime.journal import AuditRow

FIRST = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A stored line of the audit log."""

    id: int
    row: AuditRow
    hash: str


@dataclass(frozen=True, slots=True)
class AuditProof:
    """What `verify` found: how many lines fit, the first that does not, the newest hash (to be kept elsewhere), and whether a
    hash that was kept is that of a line (None: none was asked for)."""

    lines: int
    broken_at: int | None
    head: str
    has_kept: bool | None = None

    @property
    def is_intact(self) -> bool:
        """Whether every line fits the one before, and the line of the kept hash is among them."""
        return self.broken_at is None and self.has_kept is not False


def link(previous: str, row: AuditRow) -> str:
    """The hash of a line that follows `previous`."""
    text = json.dumps(
        [previous, repr(float(row.at)), row.run_id, row.actor, row.action, row.data],
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(text.encode()).hexdigest()


def verify(entries: Iterable[AuditEntry], *, kept: str | None = None, last: int | None = None) -> AuditProof:
    """Check lines in order of their ids, from the first one kept. A line that is gone from the middle breaks the chain.

    `kept` is the hash of a line as somebody has noted it: lines that were cut off, or a log that was written anew from an
    earlier place, lack it. `last` is the id of the newest line, where the store knows it from elsewhere.
    """
    previous, count, last_id = FIRST, 0, 0
    has_kept = None if kept is None else kept == FIRST
    for entry in entries:
        if entry.id != last_id + 1 or not _fits(previous, entry):
            return AuditProof(count, entry.id, previous, has_kept)
        previous, last_id = entry.hash, entry.id
        has_kept = has_kept or (None if kept is None else previous == kept)
        count += 1
    return AuditProof(count, last_id + 1 if last is not None and last > last_id else None, previous, has_kept)


def _fits(previous: str, entry: AuditEntry) -> bool:
    try:
        return link(previous, entry.row) == entry.hash
    except (TypeError, ValueError):  # something that is no time, or no JSON
        return False
