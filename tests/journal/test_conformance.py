"""Every journal does what the kit says."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from orchestrator.journal.memory import MemoryJournal
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.testing.conformance import CHECKS, STORE_CHECKS, Check, run_check


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("check", [*CHECKS, *STORE_CHECKS], ids=lambda check: check.__name__)
def test_a_journal_conforms(check: Check, kind: str, tmp_path: Path) -> None:
    asyncio.run(run_check(check, MemoryJournal if kind == "memory" else lambda: SqliteJournal(tmp_path / "runs.db")))
