"""Many commits as few statements: those that append ticks, take from the inbox, move the run's row or make a new run.

Theory. Most commits of a busy process are alike: a run begins, a step ends, a run ends. What they hold goes over as columns, one
value per run, so that a group of any size costs one round trip, and the database and this process work off one statement
instead of several per run. Whatever is different (posts, children, requests, audit lines, snapshots, long texts, admission) is
written one by one by `postgres_commit`; so is every commit that does not find its run as it should be, which gives the same
errors.

Invariants
 B1  everything of a commit hangs on its ticks being new: repeated, it writes nothing (journal, J2).
 B2  a run's row is locked by a statement of its own before the one that looks into its inbox: a post that was waited for is
     seen, so the run it came for is due at once (J4).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import OrchestratorError
from orchestrator.journal.blobs import LONG
from orchestrator.journal.db_threads import Job
from orchestrator.journal.postgres_threads import Db
from orchestrator.journal.postgres_writes import Tx, dumps, is_written
from orchestrator.journal.refusals import fenced, rewritten, unknown
from orchestrator.runtime.journal import COMMITTED, FINAL, Batch

_FINAL = "(" + ", ".join(f"'{status}'" for status in sorted(FINAL)) + ")"
_COLUMNS = "unnest(?::text[], ?::int[], ?::int[], ?::text[]"
_HELD = "SELECT h.id, h.epoch, h.rk, w.rk FROM held h LEFT JOIN written w ON w.rk = h.rk"
_APPEND = (
    f"WITH v AS (SELECT * FROM {_COLUMNS}) AS v (id, epoch, seq, body)),"
    " held AS (SELECT r.rk, v.id, v.epoch, v.seq, v.body FROM runs r JOIN v ON v.id = r.id AND v.epoch = r.epoch"
    " ORDER BY r.rk FOR NO KEY UPDATE OF r),"
    " written AS (INSERT INTO ticks (rk, seq, body) SELECT rk, seq, body FROM held ON CONFLICT DO NOTHING RETURNING rk) "
    + _HELD
)
_LOCK = "SELECT 1 FROM runs WHERE id = ANY(?) ORDER BY rk FOR NO KEY UPDATE"
_ADVANCE = (
    "WITH taken AS (SELECT * FROM unnest(?::bigint[], ?::text[]) AS t (id, reply)),"
    f" v AS (SELECT * FROM {_COLUMNS}, ?::text[], ?::text[], ?::float8[], ?::bool[], ?::float8[])"
    " AS v (id, epoch, seq, body, status, outcome, at, frees, wake)),"
    " held AS (SELECT r.rk, r.status AS before, v.* FROM runs r JOIN v ON v.id = r.id AND v.epoch = r.epoch"
    f" WHERE r.status NOT IN {_FINAL} AND NOT (r.admitted AND coalesce(v.status, '') IN {_FINAL})),"
    " written AS (INSERT INTO ticks (rk, seq, body) SELECT rk, seq, body FROM held ON CONFLICT DO NOTHING RETURNING rk),"
    " now AS (SELECT h.*, coalesce(h.status, h.before) AS after FROM held h JOIN written w ON w.rk = h.rk),"
    " consumed AS (UPDATE inbox i SET done = 1, data = NULL, reply = t.reply FROM taken t, written w"
    " WHERE i.id = t.id AND i.rk = w.rk),"
    f" gone AS (UPDATE inbox i SET done = 1, data = NULL FROM now n WHERE n.after IN {_FINAL} AND i.rk = n.rk AND i.done = 0"
    " AND i.id NOT IN (SELECT id FROM taken)),"
    " moved AS (UPDATE runs r SET status = n.after,"
    f" ended_at = CASE WHEN n.after IN {_FINAL} THEN n.at ELSE r.ended_at END,"
    " outcome = CASE WHEN n.status IS NULL THEN r.outcome ELSE n.outcome END,"
    " owner = CASE WHEN n.frees THEN NULL ELSE r.owner END, rung_at = CASE WHEN n.frees THEN NULL ELSE r.rung_at END,"
    f" ready_at = CASE WHEN NOT n.frees THEN r.ready_at WHEN n.after IN {_FINAL} THEN NULL"
    " WHEN EXISTS (SELECT 1 FROM inbox i WHERE i.rk = r.rk AND i.done = 0 AND i.id NOT IN (SELECT id FROM taken)) THEN n.at"
    " ELSE n.wake END FROM now n WHERE r.rk = n.rk AND (n.frees OR n.status IS NOT NULL)) " + _HELD
)
_CREATE = (
    "WITH v AS (SELECT * FROM unnest(?::text[], ?::text[], ?::text[], ?::text[], ?::float8[], ?::float8[], ?::text[],"
    " ?::text[], ?::text[], ?::text[], ?::text[], ?::text[])"
    " AS v (id, flow, flow_hash, kind, ready_at, created_at, parent, root, dedup, meta, pool, start)),"
    " made AS (INSERT INTO runs (id, flow, flow_hash, kind, status, epoch, ready_at, created_at, parent, root, dedup, meta,"
    " pool, ring) SELECT id, flow, flow_hash, kind, 'new', 0, ready_at, created_at, parent, root, dedup, meta, pool, 1 FROM v"
    " ON CONFLICT DO NOTHING RETURNING rk, id, created_at),"
    " mailed AS (INSERT INTO inbox (rk, kind, data, dedup, at) SELECT m.rk, 'start', v.start, 'start', m.created_at"
    " FROM made m JOIN v ON v.id = m.id) SELECT id FROM made"
)


def is_bulky(batch: Batch) -> bool:
    """Whether a batch can be written together with others: it moves its own run, or makes one that nobody holds."""
    if batch.posts or batch.children or batch.requests or batch.audit or batch.flows or batch.snapshot is not None:
        return False
    new = batch.create
    if new is not None:
        return not (batch.ticks or new.is_claimed or new.start is None or new.admission is not None)
    return bool(batch.ticks) and batch.flow_hash is None and batch.status != "parked"


@dataclass(frozen=True, slots=True)
class Sent:
    """Commits that are on their way, and the cursor that will have what came of them."""

    jobs: Sequence[Job]
    found: Any  # a cursor, or None where nothing had to be sent
    long: Sequence[Job]

    def settle(self, db: Db) -> list[Job]:
        """Give those that were written their outcome; the others, which have to be written one by one."""
        rows = [] if self.found is None else self.found.fetchall()
        held = {(row[0], row[1]) for row in rows}
        before = {row[0]: row[2] for row in rows if row[3] is None}  # J2: something stands there already
        left = list(self.long)
        for job in self.jobs:
            run_id = job.work.run_id
            if (run_id, job.work.epoch) not in held:
                left.append(job)
            elif run_id in before and not is_written(db, before[run_id], job.work):
                job.error = rewritten(job.work)
            else:
                job.outcome = COMMITTED
        return left


def send(db: Db, jobs: Iterable[Job]) -> Sent:
    """Send commits that make no run, in a transaction: ticks alone as one statement, more than ticks as two."""
    short: list[Job] = []
    long: list[Job] = []
    for job in jobs:
        (long if _size(job.work) > LONG else short).append(job)
    if not short:
        return Sent(short, None, long)
    batches: list[Batch] = [job.work for job in short]
    ticks: list[list[Any]] = [
        [batch.run_id for batch in batches],
        [batch.epoch for batch in batches],
        [batch.first_seq for batch in batches],
        ["[" + ",".join(batch.ticks) + "]" for batch in batches],
    ]
    if all(batch.is_plain for batch in batches):
        return Sent(short, db.execute(_APPEND, ticks), long)
    db.execute(_LOCK, (ticks[0],))  # B2
    taken = [entry for batch in batches for entry in batch.consumed]
    values = (
        [entry_id for entry_id, _ in taken],
        [None if reply is None else dumps(reply) for _, reply in taken],
        *ticks,
        [batch.status for batch in batches],
        [None if batch.outcome is None else dumps(batch.outcome) for batch in batches],
        [batch.at for batch in batches],
        [batch.releases for batch in batches],
        [batch.wake_at for batch in batches],
    )
    return Sent(short, db.execute(_ADVANCE, values), long)


def create_all(tx: Tx, jobs: Sequence[Job]) -> list[Job]:
    """Make new runs; gives the commits whose run or key is there, which have to be looked at one by one."""
    rows = []
    for job in jobs:
        new, batch = job.work.create, job.work
        meta = None if new.meta is None else dumps(new.meta)
        told = (new.parent, new.root or new.run_id, new.dedup, meta, new.pool, dumps(new.start))
        rows.append((new.run_id, new.flow, new.flow_hash, new.kind, batch.at, new.created_at, *told))
    made = {row[0] for row in tx.write(_CREATE, [list(column) for column in zip(*rows, strict=True)])}
    tx.told |= made
    left = []
    for job in jobs:
        if job.work.create.run_id in made:
            made.discard(job.work.create.run_id)  # a second one of the same name was not made
            job.outcome = COMMITTED
        else:
            left.append(job)
    return left


def refusal(db: Db, batch: Batch) -> OrchestratorError:
    """Why a run was not found as a commit needs it."""
    found = db.execute("SELECT 1 FROM runs WHERE id = ?", (batch.run_id,)).fetchone()
    return fenced(batch) if found is not None else unknown(batch.run_id)


def _size(batch: Batch) -> int:
    return sum(map(len, batch.ticks)) + len(batch.ticks) + 1
