"""Files that cannot be used give clear errors and are left as they are; what was acknowledged is there afterwards."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from orchestrator.errors import StoreBusy, StoreError, UsageError
from orchestrator.journal import db_threads
from orchestrator.journal.open import open_journal, parse_store_url
from orchestrator.journal.schema import VERSION
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.runtime.journal import Batch
from orchestrator.testing.conformance_kit import LEASE_S, NOW, WORKER, batch, new_run, refused, seqs, start, tick


def on_file(path: Path, work: Callable[[SqliteJournal], Awaitable[None]]) -> None:
    async def main() -> None:
        journal = SqliteJournal(path)
        try:
            await journal.renew(WORKER, now=NOW, lease_s=LEASE_S)
            await work(journal)
        finally:
            await journal.aclose()

    asyncio.run(main())


async def make_run(journal: SqliteJournal) -> None:
    await start(journal, "r", ticks=3)


async def has_run(journal: SqliteJournal) -> None:
    assert await seqs(journal, "r") == [0, 1, 2]


def refusal_of(path: Path) -> StoreError:
    with pytest.raises(StoreError) as caught:
        SqliteJournal(path)
    return caught.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def test_what_was_committed_is_there_after_a_restart(path: Path) -> None:
    on_file(path, make_run)
    on_file(path, has_run)


def test_a_file_of_something_else_is_left_alone(path: Path) -> None:
    path.write_text("this is a diary, not a database. " * 50)
    before = path.read_bytes()
    assert refusal_of(path).code == "store.not_a_database" and str(path) in str(refusal_of(path))
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE mail (body TEXT)")
    other.close()
    before = path.read_bytes()
    assert refusal_of(path).code == "store.not_ours"
    assert path.read_bytes() == before


def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    on_file(path, make_run)
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {VERSION + 1}")
    other.close()
    assert refusal_of(path).code == "store.newer" and "upgrade orchestrator" in str(refusal_of(path))
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {VERSION}")
    other.close()
    on_file(path, has_run)


def test_a_damaged_file_says_so_and_what_to_do(path: Path) -> None:
    on_file(path, make_run)
    data = bytearray(path.read_bytes())
    data[4096 * 2 : 4096 * 6] = os.urandom(4096 * 4)
    path.write_bytes(data)

    async def work(journal: SqliteJournal) -> None:
        await journal.load("r")

    with pytest.raises(StoreError, match="restore a backup") as caught:
        on_file(path, work)
    assert caught.value.code == "store.corrupt"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal_of(tmp_path / "no" / "runs.db").code == "store.cannot_open"


def test_a_read_only_file_is_refused_and_left_as_it_is(path: Path) -> None:
    on_file(path, make_run)
    code = """
import os, sys
from pathlib import Path
from orchestrator.errors import StoreError
from orchestrator.journal.sqlite import SqliteJournal
os.setgid(65534)
os.setuid(65534)
try:
    SqliteJournal(Path(sys.argv[1]))
except StoreError as error:
    print(error.code)
"""
    if os.getuid() != 0:
        pytest.skip("only root can become somebody who may not write")
    path.chmod(0o444)
    path.parent.chmod(0o555)
    for folder in list(path.parents)[:4]:
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() in ("store.read_only", "store.cannot_open"), done.stderr
    path.chmod(0o644)
    on_file(path, has_run)


def test_a_full_disk_is_said_and_nothing_acknowledged_is_lost(path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        await make_run(journal)
        limit = "PRAGMA max_page_count = 60"
        await journal.on_writer(lambda db: db.execute(limit).fetchone())
        written = 3
        with pytest.raises(StoreError) as caught:
            for number in range(3, 10_000):
                await journal.commit(Batch("r", 1, number, NOW, WORKER, [tick(number, "x" * 5_000)]))
                written += 1
        assert caught.value.code == "store.full" and "disk is full" in str(caught.value)
        assert await seqs(journal, "r") == list(range(written))
        await journal.on_writer(lambda db: db.execute("PRAGMA max_page_count = 4000").fetchone())
        await journal.commit(batch("r", written))

    on_file(path, work)


def test_a_locked_file_is_busy_and_then_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db_threads, "BUSY_MS", 20)

    async def work(journal: SqliteJournal) -> None:
        await make_run(journal)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await refused(StoreBusy, journal.commit(batch("r", 3)))
        assert await seqs(journal, "r") == [0, 1, 2]
        other.execute("ROLLBACK")
        other.close()
        await journal.commit(batch("r", 3))

    on_file(path, work)


def test_two_processes_share_a_file(path: Path) -> None:
    async def main() -> None:
        one, two = SqliteJournal(path), SqliteJournal(path)
        for journal, worker in ((one, "a"), (two, "b")):
            await journal.renew(worker, now=NOW, lease_s=LEASE_S)

        async def work(journal: SqliteJournal, worker: str) -> None:
            new = new_run(worker)
            await journal.commit(Batch(worker, 1, 0, NOW, worker, [tick(0)], create=new))
            for number in range(1, 60):
                await journal.commit(Batch(worker, 1, number, NOW, worker, [tick(number)]))

        await asyncio.gather(work(one, "a"), work(two, "b"))
        assert await seqs(one, "b") == await seqs(two, "a") == list(range(60))
        await one.aclose()
        await two.aclose()

    asyncio.run(main())


def test_a_changed_line_of_the_audit_log_is_found(path: Path) -> None:
    async def write(journal: SqliteJournal) -> None:
        from orchestrator.runtime.journal import AuditRow

        await journal.log([AuditRow(NOW + i, "r", "kim", "answer.answer", {"verdict": "reject"}) for i in range(5)])
        assert (await journal.verify_audit()).is_intact

    async def check(journal: SqliteJournal) -> None:
        proof = await journal.verify_audit()
        assert (proof.is_intact, proof.broken_at, proof.lines) == (False, 3, 2)

    on_file(path, write)
    with sqlite3.connect(path) as other:
        other.execute("""UPDATE audit SET data = '{"verdict":"approve"}' WHERE id = 3""")
    other.close()
    on_file(path, check)


def test_a_line_that_is_gone_is_found(path: Path) -> None:
    async def write(journal: SqliteJournal) -> None:
        from orchestrator.runtime.journal import AuditRow

        await journal.log([AuditRow(NOW + i, "r", "kim", "x", None) for i in range(5)])

    async def check(journal: SqliteJournal) -> None:
        assert (await journal.verify_audit()).broken_at == 4

    on_file(path, write)
    with sqlite3.connect(path) as other:
        other.execute("DELETE FROM audit WHERE id = 3")
    other.close()
    on_file(path, check)


def test_the_same_long_text_is_kept_once(path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        long = "x" * 200_000
        texts = [tick(n, long) for n in range(10)]
        await journal.commit(Batch("r", 1, 0, NOW, WORKER, texts, create=new_run("r")))
        stats = await journal.stats()
        assert stats.size_bytes < 600_000
        assert [row[4] for _, row in await journal.ticks("r", -1, 99)] == [[long]] * 10

    on_file(path, work)


def test_an_old_prefix_is_dropped_once_a_run_is_very_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.journal.sqlite_writes.KEEP_TICKS", 20)

    async def work(journal: SqliteJournal) -> None:
        await start(journal, "r")
        for number in range(1, 100):
            snapshot = (number + 1, '{"s":1}') if number % 5 == 0 else None
            await journal.commit(batch("r", number, snapshot=snapshot))
        with pytest.raises(StoreError, match="dropped by retention"):
            await journal.ticks("r", -1, 200)
        assert [s for s, _ in await journal.ticks("r", 78, 200)] == list(range(79, 100))
        assert (await journal.load("r")).snapshot == (96, '{"s":1}')

    on_file(path, work)


@pytest.mark.parametrize(
    ("url", "scheme", "path", "is_strict"),
    [
        ("memory:", "memory", None, True),
        ("sqlite:///runs.db", "sqlite", Path("runs.db"), True),
        ("sqlite:////var/lib/a%20b.db?durability=relaxed", "sqlite", Path("/var/lib/a b.db"), False),
    ],
)
def test_a_url_says_where_runs_are_kept(url: str, scheme: str, path: Path | None, is_strict: bool) -> None:
    found = parse_store_url(url)
    assert (found.scheme, found.path, found.is_strict) == (scheme, path, is_strict)


@pytest.mark.parametrize(
    "url", ["runs.db", "sqlite://", "sqlite:///a.db?durability=lazy", "sqlite:///a.db?x=1", "redis://h"]
)
def test_a_url_that_names_no_store_is_refused_with_the_forms_there_are(url: str) -> None:
    with pytest.raises(UsageError):
        open_journal(url)


def test_a_run_that_was_held_by_a_clock_that_ran_ahead_is_taken_after_a_restart_of_the_host(path: Path) -> None:
    async def hold(journal: SqliteJournal) -> None:
        year = 365 * 86_400.0
        await journal.renew("gone", now=NOW + year, lease_s=15.0)
        await journal.commit(Batch("r", 1, 0, NOW + year, "gone", [tick(0, "")], create=new_run("r")))

    async def take(journal: SqliteJournal) -> None:
        assert [c.run_id for c in await journal.claim("other", now=NOW, lease_s=15.0)] == ["r"]

    on_file(path, hold)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE workers SET host = 'another boot of this machine'")
    db.close()
    on_file(path, take)
