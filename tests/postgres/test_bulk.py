"""Commits of many runs that are written together: few statements, and each has the outcome that it would have alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from orchestrator.errors import Fenced, JournalConflict, UnknownRun
from orchestrator.journal.open import open_journal, parse_store_url
from orchestrator.journal.postgres import PostgresJournal
from orchestrator.journal.postgres_commit import post
from orchestrator.journal.postgres_threads import Db, Target
from orchestrator.journal.postgres_writes import Tx
from orchestrator.runtime.journal import COMMITTED, Admission, Batch, InboxEntry
from orchestrator.testing.conformance import LEASE_S, NOW, OTHER, WORKER, batch, event, new_run, seqs, start


@asynccontextmanager
async def open_at(url: str) -> AsyncIterator[PostgresJournal]:
    journal = open_journal(url)
    assert isinstance(journal, PostgresJournal)
    try:
        await journal.renew(WORKER, now=NOW, lease_s=LEASE_S)
        yield journal
    finally:
        await journal.aclose()


async def together(journal: PostgresJournal, batches: Sequence[Batch]) -> list[Any]:
    """The outcomes of commits that are one group."""
    gate = threading.Event()
    busy = journal._change(lambda tx: gate.wait(10))
    await asyncio.sleep(0.05)
    sent = [asyncio.ensure_future(journal.commit(each)) for each in batches]
    gate.set()
    await busy
    return await asyncio.gather(*sent, return_exceptions=True)


def new(run_id: str, **fields: Any) -> Batch:
    """A commit that makes a run for whoever takes it."""
    made = new_run(run_id, start={"n": 1}, is_claimed=False, **fields)
    return Batch(run_id, 0, 0, NOW, WORKER, create=made)


def test_a_hundred_runs_begin_and_end_in_a_handful_of_statements(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    statements: list[str] = []
    execute = Db.execute

    def counted(self: Db, statement: str, values: Any = ()) -> Any:
        statements.append(statement)
        return execute(self, statement, values)

    async def main() -> None:
        async with open_at(url) as journal:
            names = [f"r{n}" for n in range(100)]
            monkeypatch.setattr(Db, "execute", counted)
            assert await together(journal, [new(name) for name in names]) == [COMMITTED] * 100
            claims = await journal.claim(WORKER, now=NOW, lease_s=LEASE_S, limit=100)
            assert sorted(c.run_id for c in claims) == sorted(names) and all(c.loaded for c in claims)
            begun = [
                batch(c.run_id, 0, status="running", consumed=[(e.id, None) for e in c.loaded.inbox])
                for c in claims
                if c.loaded is not None
            ]
            assert await together(journal, begun) == [COMMITTED] * 100
            ended = [batch(name, 1, status="done", outcome={"n": 1}, releases=True) for name in names]
            assert await together(journal, ended) == [COMMITTED] * 100
            monkeypatch.undo()
            assert len(statements) < 30
            assert (await journal.stats()).by_status == {"done": 100}
            assert [await seqs(journal, name) for name in names] == [[0, 1]] * 100
            assert [e.done for e in await journal._look(inbox_of)] == [True] * 100

    asyncio.run(main())


class Entry:
    """An inbox row as the table has it."""

    def __init__(self, done: int, data: str | None) -> None:
        self.done = done == 1 and data is None


def inbox_of(db: Db) -> list[Entry]:
    return [Entry(*row) for row in db.execute("SELECT done, data FROM inbox")]


def test_each_commit_of_a_group_has_its_own_outcome(url: str) -> None:
    async def main() -> None:
        async with open_at(url) as journal:
            for name in ("good", "old", "again", "other", "over", "limited"):
                rule = {"admission": Admission("queue", "k")} if name == "limited" else {}
                await start(journal, name, **rule)
            await journal.commit(batch("again", 1, status="waiting"))
            await journal.commit(batch("other", 1, 2))
            last = batch("over", 1, status="done", releases=True, outcome={"n": 1})
            await journal.commit(last)
            found = await together(
                journal,
                [
                    batch("good", 1, status="waiting", releases=True, wake_at=NOW + 5),
                    batch("old", 1, epoch=7, status="waiting"),
                    batch("again", 1, status="waiting"),
                    batch("other", 1, status="waiting"),
                    last,
                    batch("ghost", 1, status="waiting"),
                    batch("limited", 1, status="done", releases=True),
                ],
            )
            kinds = [one if one is COMMITTED else type(one) for one in found]
            assert kinds == [COMMITTED, Fenced, COMMITTED, JournalConflict, COMMITTED, UnknownRun, COMMITTED]
            good = await journal.run("good")
            assert (good.status, good.holder, good.due_at) == ("waiting", None, NOW + 5)
            assert (await journal.run("old")).status == "running" and await seqs(journal, "old") == [0]
            assert (await journal.run("other")).status == "running"
            assert (await journal.run("limited")).status == "done"

    asyncio.run(main())


def test_the_next_run_is_admitted_when_one_of_a_group_ends(url: str) -> None:
    async def main() -> None:
        async with open_at(url) as journal:
            rule = Admission("queue", "k")
            await start(journal, "first", admission=rule)
            await start(journal, "plain")
            await journal.commit(new("second", admission=rule))
            assert (await journal.run("second")).status == "queued"
            ends = [batch(name, 1, status="done", releases=True) for name in ("plain", "first")]
            assert await together(journal, ends) == [COMMITTED] * 2
            assert (await journal.run("second")).status == "new"

    asyncio.run(main())


def test_of_two_runs_of_one_name_or_key_in_a_group_one_is_made(url: str) -> None:
    async def main() -> None:
        async with open_at(url) as journal:
            batches = [new("a"), new("a"), new("b", dedup="k"), new("c", dedup="k")]
            found = await together(journal, batches)
            assert [type(one) for one in found].count(JournalConflict) == 2
            assert found[0] is COMMITTED and found[2] is COMMITTED
            assert [one.code for one in (found[1], found[3])] == ["run.exists", "run.duplicate"]
            assert (await journal.stats()).by_status == {"new": 2}

    asyncio.run(main())


@pytest.mark.parametrize("status", ["waiting", "done"])
def test_a_release_that_waits_for_a_post_sees_it(url: str, status: str) -> None:
    """B2: the post holds the run's row when the commit comes; its entry must not be overlooked."""

    async def main() -> None:
        parsed = parse_store_url(url)
        assert parsed.dsn is not None
        async with open_at(url) as journal:
            await start(journal, "r")
            with Target(parsed.dsn, parsed.schema, "here").connect() as slow:
                slow.execute("BEGIN")
                assert post(Tx(Db(slow), {}), event("r", "late"))
                leaving = asyncio.ensure_future(journal.commit(batch("r", 1, status=status, releases=True)))
                await asyncio.sleep(0.2)
                assert not leaving.done()
                slow.execute("COMMIT")
            await leaving
            assert (await journal.run("r")).due_at == (NOW if status == "waiting" else None)
            assert await journal.reply("r", "late") == (status == "done", None)

    asyncio.run(main())


def test_what_the_group_consumes_does_not_wake_the_run_and_the_rest_does(url: str) -> None:
    async def main() -> None:
        async with open_at(url) as journal:
            entries: dict[str, list[InboxEntry]] = {}
            for name in ("all", "some"):
                await start(journal, name)
                for number in range(2):
                    await journal.post(event(name, f"e{number}"))
                entries[name] = await journal.inbox(name)
            taken = {name: [(e.id, {"ok": True}) for e in found] for name, found in entries.items()}
            leave = {"status": "waiting", "releases": True, "wake_at": NOW + 9}
            batches = [
                batch("all", 1, consumed=taken["all"], **leave),
                batch("some", 1, consumed=taken["some"][:1], **leave),
            ]
            assert await together(journal, batches) == [COMMITTED] * 2
            assert [(await journal.run(name)).due_at for name in ("all", "some")] == [NOW + 9, NOW]
            assert await journal.reply("all", "e1") == (True, {"ok": True})
            assert await journal.reply("some", "e1") == (False, None)
            assert [c.run_id for c in await journal.claim(OTHER, now=NOW, lease_s=LEASE_S, limit=9)] == ["some"]

    asyncio.run(main())
