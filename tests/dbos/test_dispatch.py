"""The DBOS dispatcher brings runs to their end, whatever happens to its activations."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from orchestrator.journal.open import open_journal, parse_store_url
from orchestrator.testing.dispatch_kit import DISPATCH_CHECKS, DispatchCheck, Setting, run_dispatch_check

dbos = pytest.importorskip("dbos", reason="dbos cannot be had here; it comes with the extra [dbos]")


@pytest.mark.parametrize("check", DISPATCH_CHECKS, ids=lambda check: check.__name__)
def test_the_dbos_dispatcher_conforms(check: DispatchCheck, url: str, tmp_path: Path) -> None:
    from orchestrator.dispatch.dbos import DbosDispatcher

    setting = Setting(tmp_path, lambda: open_journal(url), lambda: DbosDispatcher(parse_store_url(url).dsn))
    asyncio.run(run_dispatch_check(check, setting))
