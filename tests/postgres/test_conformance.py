"""A PostgreSQL journal does what the kit says."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.journal.open import open_journal
from orchestrator.testing.conformance import CHECKS, STORE_CHECKS, Check, run_check


@pytest.mark.parametrize("check", [*CHECKS, *STORE_CHECKS], ids=lambda check: check.__name__)
def test_a_postgres_journal_conforms(check: Check, url: str) -> None:
    asyncio.run(run_check(check, lambda: open_journal(url)))
