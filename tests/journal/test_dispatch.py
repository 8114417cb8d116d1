"""The local dispatcher brings runs to their end over every journal."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from orchestrator.journal.memory import MemoryJournal
from orchestrator.journal.open import open_journal
from orchestrator.testing.dispatch_kit import DISPATCH_CHECKS, DispatchCheck, Setting, run_dispatch_check
from tests.support.postgres import server_or_skip


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres"])
@pytest.mark.parametrize("check", DISPATCH_CHECKS, ids=lambda check: check.__name__)
def test_the_local_dispatcher_conforms(check: DispatchCheck, kind: str, tmp_path: Path) -> None:
    match kind:
        case "memory":
            setting = Setting(tmp_path, MemoryJournal)
        case "sqlite":
            setting = Setting(tmp_path, lambda: open_journal(f"sqlite:///{tmp_path}/runs.db"))
        case _:
            url = server_or_skip().new_schema()
            setting = Setting(tmp_path, lambda: open_journal(url))
    asyncio.run(run_dispatch_check(check, setting))
