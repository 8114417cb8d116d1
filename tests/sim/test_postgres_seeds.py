"""The same histories over a real PostgreSQL, compared with the model call by call; SIM_SEEDS / 100 of them in `make sim`."""

from __future__ import annotations

import os

import pytest

from orchestrator.journal.open import open_journal
from orchestrator.journal.postgres import PostgresJournal
from tests.sim.simulation import simulate
from tests.sim.test_seeds import PINNED
from tests.sim.twin import Twin
from tests.support.postgres import server_or_skip

SEEDS = max(8, int(os.environ.get("SIM_SEEDS", "0")) // 100)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [*range(SEEDS), *PINNED])
def test_the_database_says_what_the_model_says(seed: int) -> None:
    journal = open_journal(server_or_skip().new_schema())
    assert isinstance(journal, PostgresJournal)
    twin = Twin(journal)
    try:
        simulate(seed, twin)
        twin.compare_rows()
        assert twin.calls > 50
    finally:
        twin.end()
