"""Runs in a PostgreSQL database: many processes on many hosts share one journal, and it survives the loss of any of them.

The rows and their meaning are those of a SQLite file; see `postgres_threads` for connections and lost ones, `postgres_writes`
for how commits are grouped and fenced, `postgres_claims` for who takes which run. Needs the extra `[postgres]`.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

import psycopg

from orchestrator.errors import OrchestratorError
from orchestrator.journal import postgres_claims as claims
from orchestrator.journal import sqlite_reads as reads
from orchestrator.journal.postgres_bulk import is_bulky
from orchestrator.journal.postgres_commit import post, released
from orchestrator.journal.postgres_errors import place_of, store_error
from orchestrator.journal.postgres_listen import Listener, channel_of, hint
from orchestrator.journal.postgres_loading import Taken, load, load_all
from orchestrator.journal.postgres_operate import PostgresOperate
from orchestrator.journal.postgres_scope import Offer, Ring, Scope, Stranded
from orchestrator.journal.postgres_threads import Db, PgThread, Reading, Target
from orchestrator.journal.postgres_writer import Doing, Writer, committing
from orchestrator.journal.postgres_writes import Tx
from orchestrator.journal.sqlite_claims import host_and_process
from orchestrator.runtime.journal import FINAL, Batch, Claim, Committed, InboxEntry, Json, Loaded, Reserved

T = TypeVar("T")
SCHEMA = "orchestrator"
_sorted = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


class PostgresJournal(PostgresOperate):
    """A journal in a database.

    `dsn` is a libpq connection string or URL. `scope` says which due runs this process takes.
    `at_commit` is called in the writing thread with "before" and "after" each transaction; only a test harness gives one.

    Raises (when opened): StoreError for a database that cannot be reached, of another program or of a newer version.
    """

    def __init__(self, dsn: str, *, schema: str = SCHEMA, at_commit: Callable[[str], None] | None = None) -> None:
        self.place = place_of(dsn)
        self.own_pools: frozenset[str] = frozenset()  # placed steps are left to the workers of their pools
        self.scope = Scope()
        self._host, self._process = host_and_process()
        self._channel = channel_of(schema)
        target = Target(dsn, schema, self.place)
        self._work = Writer(self._tell, at_commit)
        try:
            with target.connect(migrates=True) as connection:
                self._work.sign_in(Db(connection))
            self._reader = PgThread(target, "orchestrator-journal-read", Reading())
            self._writer = PgThread(target, "orchestrator-journal-write", self._work)
        except psycopg.Error as error:
            raise store_error(error, self.place) from error
        self._listener = Listener(target)

    # The threads.

    def _change(self, work: Callable[[Tx], T], *run_ids: str) -> asyncio.Future[T]:
        self._listener.bump()
        return self._writer.submit(Doing(work, run_ids))

    def _look(self, work: Callable[[Db], T]) -> asyncio.Future[T]:
        return self._reader.submit(work)

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """A question whose statements are those for a SQLite file: a Db takes them."""
        return self._reader.submit(work)

    def _tell(self, run_ids: set[str]) -> None:
        self._reader.put(lambda db: hint(db, self._channel, run_ids))

    def on_change(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, from another thread, whenever somebody may have written."""
        self._listener.callbacks.append(callback)

    @property
    def reconnects(self) -> int:
        """How often a lost connection was made anew."""
        return self._reader.reconnects + self._writer.reconnects

    @property
    def groups(self) -> int:
        """How many transactions were written."""
        return self._writer.groups

    # Commits and claims.

    def commit(self, batch: Batch) -> asyncio.Future[Committed]:
        """Write a batch, or nothing. Raises: Fenced, JournalConflict, AdmissionRefused, StoreBusy, StoreError."""
        self._listener.bump()
        return self._writer.submit(batch if is_bulky(batch) else committing(batch))

    def commit_then(self, batch: Batch, tell: Callable[[Committed | None, Exception | None], None]) -> None:
        """The same, with `tell` called in the running loop instead of a future."""
        self._listener.bump()
        self._writer.submit_then(batch if is_bulky(batch) else committing(batch), tell)

    async def post(self, entry: InboxEntry) -> bool:
        """Put something into a run's inbox; False if it was there. Raises: UnknownRun, RunFinished."""
        return await self._change(lambda tx: post(tx, entry), entry.run_id)

    async def claim(
        self, worker: str, *, now: float, lease_s: float, run_id: str | None = None, limit: int = 1
    ) -> list[Claim]:
        """Take runs that are due and in this process's scope, or one by its id. Raises: UnknownRun, RunFinished."""

        def work(tx: Tx) -> list[Taken]:
            claims.announce(tx, worker, now, lease_s, (self._host, self._process))
            if run_id is not None:
                return claims.claim_one(tx, run_id, worker, now, self._host)
            return claims.claim_due(tx, worker, now, limit, self._host, self.scope)

        return await self._claim(work, *([run_id] if run_id is not None else []))

    async def _claim(self, work: Callable[[Tx], list[Taken]], *run_ids: str) -> list[Claim]:
        """Take runs and read what their claimer needs of them, all of it at once."""
        taken = await self._change(work, *run_ids)
        if not taken:
            return []
        try:
            return await self._look(lambda db: load_all(db, taken))
        except OrchestratorError:  # each is asked for again, and gets an error of its own
            return [claim for _, claim in taken]

    async def renew(self, worker: str, *, now: float, lease_s: float) -> None:
        """Extend every claim of a worker."""
        process = (self._host, self._process)
        self._work.workers[worker] = await self._change(lambda tx: claims.renew(tx, worker, now, lease_s, process))

    async def leave(self, worker: str) -> None:
        """Forget a worker; what it still holds is due at once."""

        def work(tx: Tx) -> None:
            owner = "(SELECT wk FROM workers WHERE name = ?)"
            sql = f"UPDATE runs SET owner = NULL, ready_at = 0, rung_at = NULL WHERE owner = {owner} RETURNING id"
            tx.told.update(row[0] for row in tx.write(sql, (worker,)))
            tx.write("DELETE FROM workers WHERE name = ?", (worker,))

        self._work.workers.pop(worker, None)
        await self._change(work)

    async def release(self, run_id: str, epoch: int, *, wake_at: float | None) -> None:
        """Give up a claim; a claim that was taken over already is left alone."""

        def work(tx: Tx) -> None:
            row = tx.row(run_id)
            if row is not None and row.epoch == epoch:
                sets, values = released(row.status, wake_at, 0.0)
                tx.write(f"UPDATE runs SET {sets} WHERE rk = ?", (*values, row.rk))

        await self._change(work, run_id)

    async def unpark(self, codes: Sequence[str], *, now: float) -> int:
        """Make runs due that were parked with one of these codes."""
        sql = (
            "UPDATE runs SET status = 'waiting', ready_at = ?, rung_at = NULL, outcome = NULL WHERE status = 'parked'"
            " AND (outcome::json #>> '{parked,code}') = ANY(?)"
        )
        return await self._change(lambda tx: tx.count(sql, (now, list(codes))))

    # What workers tell each other.

    async def offer(self, worker: str) -> None:
        """Say what this process can run, for those who find a run that nobody takes."""
        scope = self.scope
        data = {"can": sorted(scope.can or ()), "cannot": scope.cannot, "pools": sorted(scope.pools or ())}
        sql = "UPDATE workers SET offer = ? WHERE name = ?"
        await self._change(lambda tx: tx.count(sql, (_sorted(data), worker)))

    async def offers(self, *, now: float) -> list[Offer]:
        """What the live workers say that they can run."""
        return await self._look(lambda db: claims.offers(db, now))

    async def unseen_flows(self, *, now: float) -> list[str]:
        """Flow versions of due runs that this process has not looked at."""
        seen = [*(self.scope.can or ()), *self.scope.cannot]
        return await self._look(lambda db: claims.unseen_flows(db, now, self._host, seen))

    async def stranded(self, *, before: float, limit: int = 1000) -> list[Stranded]:
        """What has been due since before a time and this process cannot take; the runs of lost workers are due by then."""
        if await self._look(lambda db: claims.lost_workers(db, before, self._host)):
            await self._change(lambda tx: claims.give_back_lost(tx, before, self._host))
        return await self._look(lambda db: claims.stranded(db, before, self.scope, limit))

    async def claim_if_due(self, worker: str, run_id: str, *, now: float, lease_s: float) -> list[Claim]:
        """Take one run if it is due, nobody holds it, and it is in this process's scope."""

        def work(tx: Tx) -> list[Taken]:
            claims.announce(tx, worker, now, lease_s, (self._host, self._process))
            return claims.claim_if_due(tx, worker, run_id, now, self.scope)

        return await self._claim(work)

    async def claim_rung(
        self, worker: str, *, now: float, lease_s: float, rung_before: float, limit: int
    ) -> list[Claim]:
        """Take due runs whose dispatcher was asked before a time, in vain."""

        def work(tx: Tx) -> list[Taken]:
            claims.announce(tx, worker, now, lease_s, (self._host, self._process))
            return claims.claim_rung(tx, worker, now, rung_before, limit, self.scope)

        return await self._claim(work)

    async def decline(self, run_id: str, *, now: float) -> None:
        """A wake-up came to a process that cannot take the run: whoever can need not wait for the next ring."""
        sql = "UPDATE runs SET rung_at = 0 WHERE id = ? AND owner IS NULL AND ready_at <= ?"
        await self._change(lambda tx: tx.count(sql, (run_id, now)))

    async def take_rings(self, *, now: float, limit: int, again_s: float, ahead_s: float) -> list[Ring]:
        """Runs to wake through a dispatcher, each with a new ring number; those of lost workers are due."""

        def work(tx: Tx) -> list[Ring]:
            claims.give_back_lost(tx, now, self._host)
            return claims.take_rings(tx, now, limit, again_s, ahead_s, self.scope)

        return await self._change(work)

    # Reading runs.

    async def load(self, run_id: str) -> Loaded:
        """What a claimer needs to go on. Raises: UnknownRun; StoreError if ticks are missing."""
        return await self._look(lambda db: load(db, run_id))

    async def inbox(self, run_id: str) -> list[InboxEntry]:
        """What has come for a run and is not consumed, oldest first."""
        return await self._read(lambda db: reads.inbox(db, reads.run_key(db, run_id), run_id))

    async def mail(self, worker: str) -> list[str]:
        """The runs that a worker holds and for which something has come."""
        return await self._read(lambda db: reads.mail(db, worker))

    async def ahead(self, run_id: str) -> list[str]:
        """The runs that count in its flow's concurrency before a run that queues, the longest there first."""
        return await self._read(lambda db: reads.ahead(db, run_id))

    async def reply(self, run_id: str, dedup: str) -> tuple[bool, Json]:
        """Whether an inbox row was consumed, and what its consumer left for the sender."""
        return await self._read(lambda db: reads.reply(db, run_id, dedup))

    async def next_due(self, *, now: float) -> float | None:
        """When the next run is due that this process may take, or the next lease ends."""
        return await self._look(lambda db: claims.next_due(db, now, self._host, self.scope))

    async def ticks(self, run_id: str, after: int, limit: int) -> list[tuple[int, Json]]:
        """Committed ticks with a seq greater than `after`, oldest first. Raises: UnknownRun; StoreError if dropped."""

        def work(db: sqlite3.Connection) -> list[tuple[int, Json]]:
            return list(reads.ticks_from(db, reads.run_key(db, run_id), run_id, after + 1, limit))

        return await self._read(work)

    async def changes(self) -> int:
        """A number that is another whenever somebody may have written. Cost: no question to the database."""
        return self._listener.count()

    # Flows, ids, caches.

    async def put_flow(self, flow_hash: str, ir: Json, *, now: float) -> None:
        """Keep a version of a flow."""
        name = str(ir.get("name", "")) if isinstance(ir, dict) else ""
        sql = "INSERT INTO flows (hash, name, ir, created_at) VALUES (?,?,?,?) ON CONFLICT DO NOTHING"
        text = _sorted(ir)
        await self._change(lambda tx: tx.count(sql, (flow_hash, name, text, now)))

    async def get_flow(self, flow_hash: str) -> Json | None:
        """A version of a flow, also one that only a run that was started by another brought along."""

        def work(db: Db) -> Json | None:
            row = db.execute("SELECT ir FROM flows WHERE hash = ?", (flow_hash,)).fetchone()
            if row is not None:
                return json.loads(row[0])
            brought = db.execute(
                "SELECT meta FROM runs WHERE status = 'new' AND flow_hash = ? AND meta LIKE '{\"ir\":%' LIMIT 1",
                (flow_hash,),
            ).fetchone()
            return None if brought is None else json.loads(brought[0])["ir"]

        return await self._look(work)

    async def reserve(self, flow: str, key: str, digest: str, holder: str, *, now: float) -> Reserved:
        """Take an `id` for a call, or learn what is known under it."""

        def work(tx: Tx) -> Reserved:
            sql = "INSERT INTO ids (flow, key, digest, holder, at) VALUES (?,?,?,?,?) ON CONFLICT DO NOTHING"
            if tx.count(sql, (flow, key, digest, holder, now)):
                return Reserved("mine")
            row = tx.db.execute(
                "SELECT digest, holder, result FROM ids WHERE flow = ? AND key = ? FOR UPDATE", (flow, key)
            ).fetchone()
            if row is not None and row[0] != digest:
                return Reserved("conflict")
            if row is not None and row[2] is not None:
                return Reserved("done", json.loads(row[2])[0])
            if row is not None and row[1] != holder and _is_under_way(tx.db, row[1]):
                return Reserved("running")
            tx.write("UPDATE ids SET holder = ?, at = ? WHERE flow = ? AND key = ?", (holder, now, flow, key))
            return Reserved("mine")

        return await self._change(work)

    async def settle(self, flow: str, key: str, holder: str, result: Json, *, has_failed: bool = False) -> None:
        """Record the result under an `id`, or free it."""
        where = "WHERE flow = ? AND key = ? AND holder = ?"
        if has_failed:
            await self._change(lambda tx: tx.count(f"DELETE FROM ids {where}", (flow, key, holder)))
            return
        values = (_sorted([result]), flow, key, holder)
        await self._change(lambda tx: tx.count(f"UPDATE ids SET result = ? {where}", values))

    async def recall(self, scope: str, key: str, *, now: float) -> tuple[Json] | None:
        """What is cached under a key and has not expired."""

        def work(db: Db) -> tuple[Json] | None:
            row = db.execute(
                "SELECT value, expires_at FROM cached WHERE scope = ? AND key = ?", (scope, key)
            ).fetchone()
            if row is None or (row[1] is not None and row[1] <= now):
                return None
            return (json.loads(row[0]),)

        return await self._look(work)

    async def keep(self, scope: str, key: str, value: Json, *, expires_at: float | None) -> None:
        """Cache a value; the newest one stays."""
        sql = (
            "INSERT INTO cached (scope, key, value, expires_at) VALUES (?,?,?,?)"
            " ON CONFLICT (scope, key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at"
        )
        values = (scope, key, _sorted(value), expires_at)
        await self._change(lambda tx: tx.count(sql, values))

    async def aclose(self) -> None:
        """Finish what was accepted and close."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.close)

    def close(self) -> None:
        """The same, from synchronous code."""
        self._writer.close()
        self._listener.is_closed = True
        self._reader.put(self._work.forget)
        self._reader.put(lambda db: hint(db, self._channel, {""}))  # wakes the listener
        self._reader.close()
        self._listener.close()


def _is_under_way(db: Db, holder: str) -> bool:
    row = db.execute("SELECT status FROM runs WHERE id = ?", (holder.partition("/")[0],)).fetchone()
    return row is not None and row[0] not in FINAL
