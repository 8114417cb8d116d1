"""What every journal must do, as checks anybody can run against an implementation of their own. Knows no test framework.

Example:
    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_my_journal(check, tmp_path):
        asyncio.run(run_check(check, lambda: MyJournal(tmp_path / "runs")))

`J1` to `J5` are the invariants of `orchestrator.runtime.journal`. A check raises AssertionError with what it saw.
"""

from __future__ import annotations

from orchestrator.testing import conformance_rules, conformance_runs, conformance_store
from orchestrator.testing.conformance_kit import CHECKS, STORE_CHECKS, Check, StoreCheck, run_check

__all__ = ["CHECKS", "PARTS", "STORE_CHECKS", "Check", "StoreCheck", "run_check"]

PARTS = (conformance_runs, conformance_rules, conformance_store)  # importing them fills CHECKS and STORE_CHECKS
