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
    """What `verify` found: how many lines fit, the first that does not, and the newest hash (to be kept elsewhere)."""

    lines: int
    broken_at: int | None
    head: str

    @property
    def is_intact(self) -> bool:
        """Whether every line fits the one before."""
        return self.broken_at is None


def link(previous: str, row: AuditRow) -> str:
    """The hash of a line that follows `previous`."""
    text = json.dumps(
        [previous, repr(float(row.at)), row.run_id, row.actor, row.action, row.data],
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(text.encode()).hexdigest()


def verify(entries: Iterable[AuditEntry]) -> AuditProof:
    """Check lines in order of their ids, from the first one kept. A line that is gone from the middle breaks the chain."""
    previous, count, last_id = FIRST, 0, 0
    for entry in entries:
        if entry.id != last_id + 1 or link(previous, entry.row) != entry.hash:
            return AuditProof(count, entry.id, previous)
        previous, last_id = entry.hash, entry.id
        count += 1
    return AuditProof(count, None, previous)
