"""Lost connections, restarts, other processes at the same time: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any, cast

import psycopg
import pytest

from orchestrator.errors import Fenced, StoreError, UsageError
from orchestrator.journal.db_threads import Job
from orchestrator.journal.open import open_journal, parse_store_url
from orchestrator.journal.postgres import PostgresJournal
from orchestrator.journal.postgres_bulk import send
from orchestrator.journal.postgres_threads import Db, Target
from orchestrator.runtime.journal import AuditRow, Batch
from orchestrator.testing.conformance import LEASE_S, NOW, OTHER, WORKER, batch, event, new_run, seqs, start, tick
from tests.support.postgres import Server


def journal_at(url: str, **options: Any) -> PostgresJournal:
    journal = open_journal(url, **options)
    assert isinstance(journal, PostgresJournal)
    return journal


def break_connections(url: str) -> int:
    """End every connection of the program from the server's side."""
    with psycopg.connect(parse_store_url(url).dsn, autocommit=True) as admin:
        sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'orchestrator'"
        row = admin.execute(sql).fetchone()
    assert row is not None
    return int(row[0])


class BreakAt:
    """Breaks every connection at the nth commit, before or after it."""

    def __init__(self, url: str, when: str) -> None:
        self.url, self.when, self.is_armed, self.broken = url, when, False, 0

    def __call__(self, when: str) -> None:
        if self.is_armed and when == self.when:
            self.is_armed = False
            self.broken = break_connections(self.url)
            if when == "after":  # the answer to the COMMIT got lost on its way
                raise psycopg.OperationalError("server closed the connection unexpectedly")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_whose_connection_breaks_is_made_exactly_once(url: str, when: str) -> None:
    async def main() -> None:
        cut = BreakAt(url, when)
        journal = journal_at(url, at_commit=cut)
        await journal.renew(WORKER, now=NOW, lease_s=LEASE_S)
        await start(journal, "r")
        cut.is_armed = True
        await journal.commit(batch("r", 1, 2))
        cut.is_armed = True
        lines = [AuditRow(NOW, "r", "kim", "x", None)]
        made = await journal.commit(batch("r", 3, posts=[event("ghost", "p")], audit=lines))
        assert [entry.run_id for entry in made.undelivered] == ["ghost"]
        assert (await seqs(journal, "r"), len(await journal.audit())) == ([0, 1, 2, 3], 1)
        assert cut.broken > 0 and journal.reconnects >= 2
        await journal.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_claim_whose_answer_is_lost_holds_no_run_unseen(url: str, when: str) -> None:
    async def main() -> None:
        cut = BreakAt(url, when)
        journal = journal_at(url, at_commit=cut)
        await journal.renew(WORKER, now=NOW, lease_s=LEASE_S)
        for name in "ab":
            await start(journal, name)
            await journal.release(name, 1, wake_at=NOW)
        cut.is_armed = True
        taken = await journal.claim(OTHER, now=NOW, lease_s=LEASE_S, limit=1)
        held = [name for name in "ab" if (await journal.run(name)).holder == OTHER]
        assert [c.run_id for c in taken] == held and taken[0].epoch == 2
        await journal.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_of_the_database_loses_nothing_that_was_acknowledged(url: str, server: Server, mode: str) -> None:
    async def work(journal: PostgresJournal, name: str) -> int:
        await start(journal, name)
        for seq in range(1, 150):
            await journal.commit(batch(name, seq))
        return 150

    async def main() -> None:
        journal = journal_at(url)
        await journal.renew(WORKER, now=NOW, lease_s=LEASE_S)
        works = [asyncio.ensure_future(work(journal, f"r{i}")) for i in range(10)]
        await asyncio.sleep(0.05)
        await asyncio.to_thread(server.stop, mode)
        assert not all(w.done() for w in works)
        await asyncio.to_thread(server.start)
        up = asyncio.get_running_loop().time()
        assert await asyncio.gather(*works) == [150] * 10
        assert asyncio.get_running_loop().time() - up < 3
        for number in range(10):
            assert await seqs(journal, f"r{number}") == list(range(150))
        await journal.aclose()

    asyncio.run(main())


def test_two_processes_that_write_to_each_others_runs_both_get_through(url: str) -> None:
    async def main() -> None:
        first, second = journal_at(url), journal_at(url)
        for journal, worker in ((first, WORKER), (second, OTHER)):
            await journal.renew(worker, now=NOW, lease_s=LEASE_S)
        for number in range(6):
            await start(first, f"a{number}")
            made = Batch(f"b{number}", 1, 0, NOW, OTHER, [tick(0)], create=new_run(f"b{number}"))
            await second.commit(made)

        async def chat(journal: PostgresJournal, mine: str, other: str, number: int) -> None:
            for seq in range(1, 12):
                posts = [event(f"{other}{(number + k) % 6}", f"{mine}{number}/{seq}/{k}") for k in range(3)]
                lines = [AuditRow(NOW, f"{mine}{number}", "", "sent", seq)]
                await journal.commit(batch(f"{mine}{number}", seq, posts=posts, audit=lines))

        await asyncio.gather(
            *(chat(first, "a", "b", n) for n in range(6)), *(chat(second, "b", "a", n) for n in range(6))
        )
        assert [len(await first.inbox(f"{x}{n}")) for x in "ab" for n in range(6)] == [33] * 12
        proof = await second.verify_audit()
        assert proof.is_intact and proof.lines == 132
        await first.aclose()
        await second.aclose()

    asyncio.run(main())


def test_workers_that_claim_at_once_take_different_runs(url: str) -> None:
    async def main() -> None:
        journals = [journal_at(url) for _ in range(3)]
        await journals[0].renew(WORKER, now=NOW, lease_s=LEASE_S)
        for number in range(30):
            await start(journals[0], f"r{number}")
            await journals[0].release(f"r{number}", 1, wake_at=NOW)

        async def take(number: int) -> list[str]:
            found: list[str] = []
            while len(found) < 30:
                got = await journals[number].claim(f"w{number}", now=NOW, lease_s=LEASE_S, limit=3)
                if not got:
                    return found
                found += [c.run_id for c in got]
            return found

        taken = [name for found in await asyncio.gather(*map(take, range(3))) for name in found]
        assert sorted(taken) == sorted(f"r{n}" for n in range(30))
        for journal in journals:
            await journal.aclose()

    asyncio.run(main())


def test_a_claim_during_a_commit_fences_it_or_comes_after_it(url: str) -> None:
    """The race that a fence is for, many times: what the zombie wrote is in the log that the new holder read."""

    async def main() -> None:
        first, second = journal_at(url), journal_at(url)
        await first.renew(WORKER, now=NOW, lease_s=LEASE_S)
        for number in range(25):
            await start(first, f"r{number}")
            late = asyncio.ensure_future(first.commit(batch(f"r{number}", 1)))
            (taken,) = await second.claim(OTHER, now=NOW + 99, lease_s=LEASE_S, run_id=f"r{number}")
            read = [seq for seq, _ in (await second.load(f"r{number}")).ticks]
            try:
                await late
            except Fenced:
                assert read == [0]
            else:
                assert read == [0, 1]
            await second.commit(batch(f"r{number}", len(read), epoch=taken.epoch))
        await first.aclose()
        await second.aclose()

    asyncio.run(main())


def test_a_commit_that_has_seen_its_epoch_holds_off_every_claim(url: str) -> None:
    """Between the look at the epoch and the end of the commit nobody can take the run over."""

    async def main() -> None:
        journal, parsed = journal_at(url), parse_store_url(url)
        await journal.renew(WORKER, now=NOW, lease_s=LEASE_S)
        await start(journal, "r")
        with Target(parsed.dsn, parsed.schema, "here").connect() as slow:
            slow.execute("BEGIN")
            send(Db(slow), [Job(batch("r", 1), cast(Any, None), cast(Any, None))])
            claiming = asyncio.ensure_future(journal.claim(OTHER, now=NOW + 99, lease_s=LEASE_S, run_id="r"))
            await asyncio.sleep(0.2)
            assert not claiming.done()
            slow.execute("COMMIT")
        assert [taken.epoch for taken in await claiming] == [2]
        assert [seq for seq, _ in (await journal.load("r")).ticks] == [0, 1]
        await journal.aclose()

    asyncio.run(main())


def test_a_post_is_heard_of_by_other_processes(url: str) -> None:
    async def main() -> None:
        first, second = journal_at(url), journal_at(url)
        heard = threading.Event()
        await first.renew(WORKER, now=NOW, lease_s=LEASE_S)
        await start(first, "r")
        await asyncio.sleep(0.2)
        before = await second.changes()
        second.on_change(heard.set)
        assert await second.changes() == before
        await first.post(event("r", "e"))
        assert await asyncio.to_thread(heard.wait, 5) and await second.changes() != before
        await first.aclose()
        await second.aclose()

    asyncio.run(main())


def test_a_database_that_is_not_there_is_told_without_its_password() -> None:
    with pytest.raises(StoreError) as found:
        open_journal("postgresql://kim:s3cret@127.0.0.1:1/db?connect_timeout=1")
    assert found.value.code == "store.cannot_open"
    assert "s3cret" not in str(found.value) and "127.0.0.1:1/db" in str(found.value)


def test_a_schema_of_another_program_or_of_a_newer_version_is_left_alone(url: str, server: Server) -> None:
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute("CREATE SCHEMA IF NOT EXISTS theirs")
        admin.execute("CREATE TABLE IF NOT EXISTS theirs.things (n integer)")
    with pytest.raises(StoreError, match="belongs to another program"):
        open_journal(f"{server.url()}&schema=theirs")
    open_journal(url).close()
    parsed = parse_store_url(url)
    with psycopg.connect(parsed.dsn, autocommit=True) as admin:
        admin.execute(f"UPDATE {parsed.schema}.journal_version SET version = 999".encode())
    with pytest.raises(StoreError, match="newer version"):
        open_journal(url)


def test_a_missing_driver_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("orchestrator.journal.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"orchestrator-flows\[postgres\]") as found:
        open_journal("postgresql://localhost/x")
    assert found.value.code == "store.no_driver"


def test_urls_are_taken_apart() -> None:
    parsed = parse_store_url("postgres://kim@db:5433/flows?sslmode=require&schema=prod&durability=relaxed")
    assert parsed.dsn == "postgresql://kim@db:5433/flows?sslmode=require"
    assert (parsed.schema, parsed.is_strict, parsed.path) == ("prod", False, None)
    with pytest.raises(UsageError, match="schema=Robert"):
        parse_store_url("postgresql://db/x?schema=Robert'); DROP")
