"""The simulator's journal with a real database beside it: each call goes to both, and both must say the same.

The database is asked in a thread of its own while virtual time stands still, so a seed gives the same history as without it.
Numbers of inbox rows are each journal's own; they are told apart by (run, dedup).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from orchestrator.errors import OrchestratorError
from orchestrator.journal.postgres import PostgresJournal
from orchestrator.runtime.journal import Batch, Claim, Committed, InboxEntry, Loaded
from tests.sim.simulation import Truth

SAME = [
    "renew",
    "leave",
    "release",
    "unpark",
    "reply",
    "put_flow",
    "get_flow",
    "reserve",
    "settle",
    "recall",
    "keep",
    "next_due",
    "ticks",
    "post",
]


class Twin(Truth):
    """Memory and PostgreSQL as one journal."""

    def __init__(self, journal: PostgresJournal) -> None:
        super().__init__()
        self.journal = journal
        self.calls = 0
        self._ids: dict[int, int] = {}  # an inbox row's number in memory -> in the database
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def ask(self, call: Coroutine[Any, Any, Any]) -> Any:
        """What the database says, or the error that it gives."""
        self.calls += 1
        try:
            return asyncio.run_coroutine_threadsafe(call, self._loop).result(30)
        except OrchestratorError as error:
            return error

    def end(self) -> None:
        """Close the database's side."""
        self.ask(self.journal.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def commit_now(self, batch: Batch) -> Committed:
        consumed = [(self._ids[number], reply) for number, reply in batch.consumed]
        other = self.ask(self._commit(replace(batch, consumed=consumed)))
        try:
            mine = super().commit_now(batch)
        except OrchestratorError as error:
            same(error, other, batch)
            raise
        same(mine, other, batch)
        return mine

    async def _commit(self, batch: Batch) -> Committed:
        return await self.journal.commit(batch)

    async def claim(self, worker: str, **options: Any) -> list[Claim]:
        other = self.ask(self.journal.claim(worker, **options))
        try:
            mine = await super().claim(worker, **options)
        except OrchestratorError as error:
            same(error, other, worker)
            raise
        assert not isinstance(other, OrchestratorError), other
        key = lambda claim: claim.run_id  # noqa: E731
        same(sorted(mine, key=key), sorted((replace(c, loaded=None) for c in other), key=key), worker)
        for claim in other:
            if claim.loaded is not None:
                self._same_loaded(await super().load(claim.run_id), claim.loaded, claim.run_id)
        return mine

    async def load(self, run_id: str) -> Loaded:
        mine = await super().load(run_id)
        self._same_loaded(mine, self.ask(self.journal.load(run_id)), run_id)
        return mine

    async def inbox(self, run_id: str) -> list[InboxEntry]:
        mine = await super().inbox(run_id)
        self._same_inbox(mine, self.ask(self.journal.inbox(run_id)), run_id)
        return mine

    async def mail(self, worker: str) -> list[str]:
        mine = await super().mail(worker)
        same(sorted(mine), sorted(self.ask(self.journal.mail(worker))), worker)
        return mine

    def _same_loaded(self, mine: Loaded, other: Loaded, run_id: str) -> None:
        same(mine.snapshot, other.snapshot, run_id)
        same(list(mine.ticks), list(other.ticks), run_id)
        self._same_inbox(mine.inbox, other.inbox, run_id)

    def _same_inbox(self, mine: Any, other: Any, run_id: str) -> None:
        same([replace(e, id=0) for e in mine], [replace(e, id=0) for e in other], run_id)
        self._ids.update(zip((e.id for e in mine), (e.id for e in other), strict=True))

    def compare_rows(self) -> None:
        """Every run's row, and the audit log, in both."""
        for run_id, run in self.rows.items():
            row = self.ask(self.journal.run(run_id))
            same(
                (run.status, run.epoch, run.owner, run.ready_at),
                (row.status, row.epoch, row.holder, row.due_at),
                run_id,
            )
            same(run.outcome, row.outcome, run_id)
        lines = self.ask(self.journal.audit(limit=100_000))
        assert sorted(e.hash for e in self.audit_log) == sorted(e.hash for e in lines), "the audit logs differ"


def _both(name: str) -> Any:
    async def call(self: Twin, *args: Any, **options: Any) -> Any:
        other = self.ask(getattr(self.journal, name)(*args, **options))
        try:
            mine = await getattr(Truth, name)(self, *args, **options)
        except OrchestratorError as error:
            same(error, other, (name, args))
            raise
        same(mine, other, (name, args))
        return mine

    return call


for _name in SAME:
    setattr(Twin, _name, _both(_name))


def same(mine: Any, other: Any, what: Any) -> None:
    """Both said this, or failed in the same way."""
    if isinstance(mine, OrchestratorError):
        assert (type(mine), mine.code) == (type(other), getattr(other, "code", None)), (what, mine, other)
    else:
        assert mine == other, f"{what}\n memory: {mine}\n database: {other}"
