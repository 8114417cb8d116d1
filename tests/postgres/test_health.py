"""The doctor of a database says what it saw, and nothing that is fine is called wrong."""

from __future__ import annotations

import asyncio
import time

import psycopg

from orchestrator.journal.open import open_journal, parse_store_url
from orchestrator.journal.postgres_health import check_database
from orchestrator.runtime.journal import Batch
from orchestrator.testing.conformance_kit import start
from tests.support.postgres import Server


def levels(url: str) -> dict[str, tuple[str, str]]:
    return {finding.name: (finding.level, finding.message) for finding in check_database(url)}


def test_a_healthy_store_has_no_warning(url: str) -> None:
    open_journal(url).close()
    found = check_database(url)
    assert {finding.level for finding in found} == {"ok"}, found
    assert {"server", "durability", "clock", "notifications", "schema", "commits", "runs"} <= {f.name for f in found}


def test_a_store_that_is_not_there_yet_and_one_that_cannot_be_reached_are_told_apart(server: Server) -> None:
    assert levels(server.new_schema())["schema"][0] == "warning"
    found = check_database("postgresql://kim:s3cret@127.0.0.1:1/x?connect_timeout=1")
    assert [finding.level for finding in found] == ["error"] and "s3cret" not in found[0].message


def test_late_and_parked_runs_are_counted_with_their_reason(url: str) -> None:
    async def main() -> None:
        journal = open_journal(url)
        await journal.renew("worker-1", now=time.time(), lease_s=60)
        for name in "ab":
            await start(journal, name)
        await journal.release("a", 1, wake_at=1.0)
        reason = {"parked": {"code": "run.unbound", "message": "nothing is registered as `x.y` here"}}
        await journal.commit(Batch("b", 1, 1, 1.0, "worker-1", status="parked", outcome=reason, releases=True))
        await journal.aclose()

    asyncio.run(main())
    found = levels(url)
    assert found["runs"][1].startswith("1 runs have been due") and "`x.y`" in found["parked"][1]


def test_a_transaction_that_was_left_open_is_seen(url: str) -> None:
    with psycopg.connect(parse_store_url(url).dsn) as forgotten:
        forgotten.execute("SELECT 1")
        import orchestrator.journal.postgres_health as health

        kept, health.IDLE_S = health.IDLE_S, 0.0
        try:
            assert levels(url)["transactions"][0] == "warning"
        finally:
            health.IDLE_S = kept
