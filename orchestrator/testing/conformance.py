"""What every journal must do, as checks anybody can run against an implementation of their own. Knows no test framework.

Example:
    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_my_journal(check, tmp_path):
        asyncio.run(run_check(check, lambda: MyJournal(tmp_path / "runs")))

`J1` to `J5` are the invariants of `orchestrator.runtime.journal`. A check raises AssertionError with what it saw.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from orchestrator.errors import AdmissionRefused, Fenced, JournalConflict, OrchestratorError, RunFinished, UnknownRun
from orchestrator.journal.store import RunFilter, Store, TriggerRow
from orchestrator.runtime.journal import (
    Admission,
    AuditRow,
    Batch,
    Claim,
    InboxEntry,
    Journal,
    NewRun,
    RequestRow,
)

Check = Callable[[Journal], Awaitable[None]]
StoreCheck = Callable[[Store], Awaitable[None]]
CHECKS: list[Check] = []
STORE_CHECKS: list[StoreCheck] = []
WORKER, OTHER = "worker-1", "worker-2"
NOW = 1_800_000_000.0
LEASE_S = 15.0


def check(function: Check) -> Check:
    """Add a function to the kit."""
    CHECKS.append(function)
    return function


def check_store(function: StoreCheck) -> StoreCheck:
    """Add a function about queries and operation to the kit."""
    STORE_CHECKS.append(function)
    return function


async def run_check(function: Check | StoreCheck, make: Callable[[], Any]) -> None:  # a Journal, or a Store
    """Run one check on a new journal, and close it."""
    journal = make()
    try:
        await journal.renew(WORKER, now=NOW, lease_s=LEASE_S)
        await function(journal)
    finally:
        await journal.aclose()


def tick(number: int, text: str = "") -> str:
    """A tick as JSON text; a journal does not look into it."""
    return json.dumps(["event", NOW, -1, f"T{number}", [text]])


def new_run(run_id: str, **fields: Any) -> NewRun:
    """A run as its creator describes it."""
    return NewRun(run_id, "flow", "hash-1", "yaml", NOW, root=run_id, **fields)


async def start(journal: Journal, run_id: str, ticks: int = 1, **fields: Any) -> None:
    """Create a run with a few ticks, held by WORKER with epoch 1."""
    texts = [tick(i) for i in range(ticks)]
    await journal.commit(Batch(run_id, 1, 0, NOW, WORKER, texts, create=new_run(run_id, **fields)))


def batch(run_id: str, first_seq: int, count: int = 1, epoch: int = 1, **fields: Any) -> Batch:
    """A commit of `count` ticks."""
    return Batch(run_id, epoch, first_seq, NOW, WORKER, [tick(first_seq + i) for i in range(count)], **fields)


def event(run_id: str, dedup: str, at: float = NOW, kind: str = "event") -> InboxEntry:
    """Something that comes for a run."""
    return InboxEntry(run_id, kind, {"type": "E", "value": dedup}, dedup, at)


async def refused(error: type[OrchestratorError], work: Awaitable[Any]) -> OrchestratorError:
    """The error that `work` raises, which must be of this type."""
    try:
        await work
    except error as found:
        return found
    raise AssertionError(f"it should have raised {error.__name__}")


async def seqs(journal: Journal, run_id: str) -> list[int]:
    """The numbers of a run's committed ticks."""
    return [seq for seq, _ in await journal.ticks(run_id, -1, 1_000_000)]


async def claim(journal: Journal, run_id: str, worker: str = WORKER, now: float = NOW) -> Claim | None:
    """Claim a run by its id."""
    found = await journal.claim(worker, now=now, lease_s=LEASE_S, run_id=run_id)
    return found[0] if found else None


@check
async def ticks_come_back_in_order_and_from_any_place(journal: Journal) -> None:
    """Batches of any size are one gapless log."""
    await start(journal, "r", ticks=2)
    await journal.commit(batch("r", 2, 3))
    await journal.commit(batch("r", 5))
    assert await seqs(journal, "r") == [0, 1, 2, 3, 4, 5]
    assert await journal.ticks("r", 2, 2) == [(3, json.loads(tick(3))), (4, json.loads(tick(4)))]
    assert await journal.ticks("r", 5, 10) == []


@check
async def a_commit_with_an_old_epoch_is_fenced_and_writes_nothing(journal: Journal) -> None:
    """J1, for plain commits and for those that carry more."""
    await start(journal, "r")
    await journal.claim(OTHER, now=NOW + 100, lease_s=LEASE_S, run_id="r")
    await refused(Fenced, journal.commit(batch("r", 1)))
    audit = [AuditRow(NOW, "r", "kim", "x", None)]
    await refused(Fenced, journal.commit(batch("r", 1, status="waiting", audit=audit, posts=[event("r", "p")])))
    assert await seqs(journal, "r") == [0]
    assert await journal.inbox("r") == []


@check
async def a_commit_of_a_run_that_is_not_there_is_refused(journal: Journal) -> None:
    """Nothing is made by the way."""
    await refused(OrchestratorError, journal.commit(batch("ghost", 0)))
    await refused(UnknownRun, journal.load("ghost"))


@check
async def a_repeated_commit_succeeds_and_writes_nothing(journal: Journal) -> None:
    """J2: how an unknown outcome is resolved."""
    await start(journal, "r")
    await start(journal, "r")
    for _ in range(2):
        await journal.commit(batch("r", 1, 2))
        await journal.commit(batch("r", 3, posts=[event("r", "p")], status="waiting"))
    assert await seqs(journal, "r") == [0, 1, 2, 3]
    assert [e.dedup for e in await journal.inbox("r")] == ["p"]


@check
async def a_commit_over_other_ticks_is_a_conflict(journal: Journal) -> None:
    """J2 is for the same commit only."""
    await start(journal, "r")
    await journal.commit(batch("r", 1))
    await refused(JournalConflict, journal.commit(Batch("r", 1, 1, NOW, WORKER, [tick(99)])))
    await refused(JournalConflict, journal.commit(Batch("r", 1, 1, NOW, WORKER, [tick(99)], status="waiting")))
    await refused(JournalConflict, journal.commit(Batch("r", 1, 0, NOW, WORKER, [tick(9)], create=new_run("r"))))
    assert await journal.ticks("r", 0, 9) == [(1, json.loads(tick(1)))]


@check
async def a_repeated_last_commit_succeeds(journal: Journal) -> None:
    """J2, where the claim was given up with the commit."""
    await start(journal, "r")
    for _ in range(2):
        await journal.commit(batch("r", 1, status="done", outcome={"result": 1}, releases=True))
    assert await seqs(journal, "r") == [0, 1]


@check
async def a_second_run_of_the_same_id_or_key_is_a_conflict(journal: Journal) -> None:
    """Ids and dedup keys are used once."""
    await start(journal, "r", dedup="order-1")
    await journal.renew(OTHER, now=NOW, lease_s=LEASE_S)
    again = Batch("r", 1, 0, NOW, OTHER, [tick(9)], create=new_run("r"))
    await refused(JournalConflict, journal.commit(again))
    await refused(JournalConflict, start(journal, "s", dedup="order-1"))
    assert await journal.ticks("r", -1, 9) == [(0, json.loads(tick(0)))]
    await refused(UnknownRun, journal.load("s"))


@check
async def a_failing_commit_takes_nothing_of_its_neighbours(journal: Journal) -> None:
    """Commits that share a transaction are independent."""
    await start(journal, "a")
    await start(journal, "b")
    await start(journal, "c")
    await journal.claim(OTHER, now=NOW + 100, lease_s=LEASE_S, run_id="b")
    good = journal.commit(batch("a", 1))
    bad = journal.commit(batch("b", 1))
    twice = journal.commit(Batch("a", 7, 0, NOW, WORKER, [tick(0)], create=new_run("a")))
    other = journal.commit(batch("c", 1, status="waiting"))
    await good
    await refused(Fenced, bad)
    await refused(JournalConflict, twice)
    await other
    assert (await seqs(journal, "a"), await seqs(journal, "b"), await seqs(journal, "c")) == ([0, 1], [0], [0, 1])


@check
async def a_run_is_held_by_one_worker_until_its_lease_ends(journal: Journal) -> None:
    """J3."""
    await start(journal, "r")
    assert await claim(journal, "r", OTHER) is None
    assert await journal.claim(OTHER, now=NOW, lease_s=LEASE_S) == []
    taken = await claim(journal, "r", OTHER, NOW + LEASE_S + 1)
    assert taken is not None and taken.epoch == 2 and taken.flow_hash == "hash-1"


@check
async def renewing_keeps_every_claim_of_a_worker(journal: Journal) -> None:
    """One lease per worker, however many runs it holds."""
    await start(journal, "a")
    await start(journal, "b")
    await journal.renew(WORKER, now=NOW + 10, lease_s=LEASE_S)
    assert await journal.claim(OTHER, now=NOW + 20, lease_s=LEASE_S, limit=9) == []
    assert len(await journal.claim(OTHER, now=NOW + 26, lease_s=LEASE_S, limit=9)) == 2


@check
async def what_a_worker_holds_is_due_when_it_leaves(journal: Journal) -> None:
    """An orderly end needs no lease to run out."""
    await start(journal, "r")
    await journal.leave(WORKER)
    assert [c.run_id for c in await journal.claim(OTHER, now=NOW, lease_s=LEASE_S)] == ["r"]


@check
async def a_released_run_is_due_at_its_time_and_not_before(journal: Journal) -> None:
    """A waiting run is a row with a due time."""
    await start(journal, "r")
    await journal.commit(batch("r", 1, status="waiting", releases=True, wake_at=NOW + 60))
    assert await journal.next_due(now=NOW) == NOW + 60
    assert await journal.claim(OTHER, now=NOW + 59, lease_s=LEASE_S) == []
    assert [c.epoch for c in await journal.claim(OTHER, now=NOW + 60, lease_s=LEASE_S)] == [2]


@check
async def a_run_without_a_due_time_waits_for_its_inbox(journal: Journal) -> None:
    """A post makes it due."""
    await start(journal, "r")
    await journal.release("r", 1, wake_at=None)
    assert await journal.next_due(now=NOW) is None
    assert await journal.post(event("r", "e", NOW + 5))
    assert [c.run_id for c in await journal.claim(OTHER, now=NOW + 5, lease_s=LEASE_S)] == ["r"]


@check
async def a_run_that_is_released_with_mail_is_due_at_once(journal: Journal) -> None:
    """J4: what came while it was being given up is not forgotten."""
    await start(journal, "a")
    await start(journal, "b")
    await journal.post(event("a", "e"))
    await journal.post(event("b", "e"))
    await journal.commit(batch("a", 1, status="waiting", releases=True))
    await journal.release("b", 1, wake_at=NOW + 1000)
    assert len(await journal.claim(OTHER, now=NOW, lease_s=LEASE_S, limit=9)) == 2


@check
async def a_late_release_of_an_old_claim_is_ignored(journal: Journal) -> None:
    """The one who took over keeps the run."""
    await start(journal, "r")
    await claim(journal, "r", OTHER, NOW + 100)
    await journal.release("r", 1, wake_at=NOW)
    assert await journal.claim("worker-3", now=NOW + 101, lease_s=LEASE_S) == []


@check
async def an_inbox_row_is_accepted_once_and_consumed_with_its_tick(journal: Journal) -> None:
    """J5, and the reply that its sender reads."""
    await start(journal, "r")
    assert [await journal.post(event("r", "e")) for _ in range(2)] == [True, False]
    (entry,) = await journal.inbox("r")
    assert (entry.kind, entry.data["value"]) == ("event", "e") and await journal.mail(WORKER) == ["r"]
    assert await journal.reply("r", "e") == (False, None)
    await journal.commit(batch("r", 1, consumed=[(entry.id, {"ok": True})]))
    assert await journal.inbox("r") == [] and await journal.mail(WORKER) == []
    assert await journal.reply("r", "e") == (True, {"ok": True})
    assert await journal.post(event("r", "e")) is False


@check
async def nothing_is_posted_to_a_run_that_ended_or_is_unknown(journal: Journal) -> None:
    """Said at once, except for what was accepted before."""
    await start(journal, "r")
    await journal.post(event("r", "early"))
    await journal.commit(batch("r", 1, status="done", outcome={}, releases=True))
    await refused(RunFinished, journal.post(event("r", "late")))
    assert await journal.post(event("r", "early")) is False
    await refused(UnknownRun, journal.post(event("ghost", "e")))
    await refused(RunFinished, journal.claim(OTHER, now=NOW, lease_s=LEASE_S, run_id="r"))
    assert await journal.claim(OTHER, now=NOW + 9999, lease_s=LEASE_S) == []


@check
async def posts_and_children_are_part_of_the_commit(journal: Journal) -> None:
    """What a run sends and starts is there when its tick is."""
    await start(journal, "a")
    await start(journal, "b")
    await journal.commit(batch("b", 1, status="waiting", releases=True))
    child = new_run("a.c", parent="a", start=["started", NOW, -1], is_claimed=False)
    posts = [event("b", "a/1"), event("ghost", "a/2")]
    made = await journal.commit(batch("a", 1, posts=posts, children=[child]))
    assert [p.run_id for p in made.undelivered] == ["ghost"]
    due = await journal.claim(OTHER, now=NOW, lease_s=LEASE_S, limit=9)
    assert {c.run_id: c.parent for c in due} == {"b": None, "a.c": "a"}
    assert [(e.kind, e.data) for e in (await journal.load("a.c")).inbox] == [("start", ["started", NOW, -1])]


@check
async def a_child_can_be_held_by_its_parents_worker_from_the_start(journal: Journal) -> None:
    """It is taken over like any other run if that worker is lost."""
    await start(journal, "a")
    await journal.commit(batch("a", 1, children=[new_run("a.c", parent="a", start=["started", NOW, -1])]))
    assert await journal.claim(OTHER, now=NOW, lease_s=LEASE_S) == []
    lost = await journal.claim(OTHER, now=NOW + 99, lease_s=LEASE_S, limit=9)
    assert {c.run_id for c in lost} == {"a", "a.c"}


@check
async def loading_starts_at_the_newest_snapshot(journal: Journal) -> None:
    """Older ticks stay in the log."""
    await start(journal, "r", ticks=3)
    await journal.commit(batch("r", 3, 2, snapshot=(5, '{"state":1}')))
    await journal.commit(batch("r", 5, 2, snapshot=(7, '{"state":2}')))
    await journal.commit(batch("r", 7))
    loaded = await journal.load("r")
    assert loaded.snapshot == (7, '{"state":2}') and [s for s, _ in loaded.ticks] == [7]
    assert await seqs(journal, "r") == list(range(8))


@check
async def what_a_claim_brings_along_is_what_loading_gives(journal: Journal) -> None:
    """A journal may spare its user the question, for runs that were begun and for new ones."""
    await start(journal, "r")
    await journal.commit(batch("r", 1, snapshot=(2, '{"n": 1}')))
    await journal.commit(batch("r", 2, releases=True, wake_at=NOW, status="waiting"))
    await journal.post(event("r", "e"))
    fresh = new_run("new", start={"n": 1}, is_claimed=False)
    await journal.commit(Batch("new", 0, 0, NOW, WORKER, create=fresh))
    taken = await journal.claim(WORKER, now=NOW, lease_s=LEASE_S, limit=5)
    assert sorted(c.run_id for c in taken) == ["new", "r"]
    for found in taken:
        assert found.loaded in (None, await journal.load(found.run_id)), f"{found.run_id}: {found.loaded}"


@check
async def long_and_odd_texts_come_back_as_they_were(journal: Journal) -> None:
    """Payloads over 64 KiB, several times the same, with quotes and other scripts."""
    long = 'ä"\\\n' * 30_000
    texts = [tick(0, long), tick(1, "x"), tick(2, long)]
    await journal.commit(Batch("r", 1, 0, NOW, WORKER, texts, create=new_run("r")))
    await journal.commit(Batch("r", 1, 3, NOW, WORKER, [tick(3, long)], snapshot=(4, tick(0, long))))
    found = await journal.ticks("r", -1, 9)
    assert [row[4][0] for _, row in found] == [long, "x", long, long]
    assert (await journal.load("r")).snapshot == (4, tick(0, long))


@check
async def a_parked_run_waits_for_somebody(journal: Journal) -> None:
    """It is not due, and cannot be claimed until it is asked to go on."""
    await start(journal, "r")
    reason = {"parked": {"code": "plugin", "message": "no such step"}}
    await journal.commit(Batch("r", 1, 0, NOW, WORKER, status="parked", outcome=reason, releases=True))
    await journal.post(event("r", "e"))
    assert await claim(journal, "r", OTHER, NOW + 99) is None
    assert await journal.unpark(["other"], now=NOW) == 0 and await journal.unpark(["plugin"], now=NOW) == 1
    assert [c.run_id for c in await journal.claim(OTHER, now=NOW, lease_s=LEASE_S)] == ["r"]


@check
async def a_parked_run_can_be_cancelled(journal: Journal) -> None:
    """A cancel makes it due."""
    await start(journal, "r")
    reason = {"parked": {"code": "x", "message": "y"}}
    await journal.commit(Batch("r", 1, 0, NOW, WORKER, status="parked", outcome=reason, releases=True))
    await journal.post(event("r", "c", kind="cancel"))
    assert [c.run_id for c in await journal.claim(OTHER, now=NOW, lease_s=LEASE_S)] == ["r"]


async def _admit(journal: Journal, run_id: str, rule: Admission) -> bool:
    new = new_run(run_id, admission=rule, start=["started", NOW, -1])
    return (await journal.commit(Batch(run_id, 1, 0, NOW, WORKER, create=new))).is_queued


async def _end(journal: Journal, run_id: str, epoch: int = 1) -> None:
    await journal.commit(Batch(run_id, epoch, 0, NOW, WORKER, [tick(0)], status="done", outcome={}, releases=True))


@check
async def single_refuses_a_second_run_of_the_same_key(journal: Journal) -> None:
    """Another key, or the end of the first, lets one in."""
    rule = Admission("single", "k")
    assert not await _admit(journal, "a", rule)
    await refused(AdmissionRefused, _admit(journal, "b", rule))
    assert not await _admit(journal, "c", Admission("single", "other"))
    await _end(journal, "a")
    assert not await _admit(journal, "d", rule)


@check
async def queued_runs_are_admitted_one_by_one_in_order(journal: Journal) -> None:
    """The end of one makes the next due, in the same commit."""
    rule = Admission("queue", "k")
    assert [await _admit(journal, name, rule) for name in "abc"] == [False, True, True]
    assert await claim(journal, "b", OTHER) is None
    await _end(journal, "a")
    assert [c.run_id for c in await journal.claim(OTHER, now=NOW, lease_s=LEASE_S, limit=9)] == ["b"]
    assert await _admit(journal, "d", rule)
    await _end(journal, "b")
    assert [c.run_id for c in await journal.claim(OTHER, now=NOW, lease_s=LEASE_S, limit=9)] == ["c"]


@check
async def parallel_admits_up_to_its_maximum(journal: Journal) -> None:
    """Without one, everything."""
    rule = Admission("parallel", "k", 2)
    assert [await _admit(journal, name, rule) for name in "abc"] == [False, False, True]
    assert [await _admit(journal, name, Admission("parallel", "free")) for name in "xyz"] == [False, False, False]


@check
async def restart_cancels_the_older_run_and_waits_for_its_end(journal: Journal) -> None:
    """Also when the older one only waits, or queues itself."""
    rule = Admission("restart", "k")
    assert [await _admit(journal, name, rule) for name in "abc"] == [False, True, True]
    assert [e.kind for e in await journal.inbox("a")] == ["start", "cancel", "cancel"]
    await refused(RunFinished, journal.post(event("b", "x")))  # it never began
    await _end(journal, "a")
    assert [c.run_id for c in await journal.claim(OTHER, now=NOW, lease_s=LEASE_S, limit=9)] == ["c"]


@check
async def who_is_before_a_queued_run_is_known(journal: Journal) -> None:
    """In order, of its own key only, and nobody once it has been let in."""
    rule, other = Admission("queue", "k"), Admission("queue", "other")
    assert [await _admit(journal, name, rule) for name in "ab"] == [False, True]
    assert [await _admit(journal, "x", other), await _admit(journal, "c", rule)] == [False, True]
    assert await journal.ahead("c") == ["a", "b"] and await journal.ahead("nobody") == []
    await _end(journal, "a")
    assert [await journal.ahead(name) for name in "bc"] == [[], ["b"]]


@check
async def a_queued_run_that_is_cancelled_never_begins(journal: Journal) -> None:
    """It gives its place in the queue away."""
    rule = Admission("queue", "k")
    assert [await _admit(journal, name, rule) for name in "abc"] == [False, True, True]
    await journal.post(event("b", "stop", kind="cancel"))
    await _end(journal, "a")
    assert [c.run_id for c in await journal.claim(OTHER, now=NOW, lease_s=LEASE_S, limit=9)] == ["c"]


@check
async def flows_are_kept_by_their_hash(journal: Journal) -> None:
    """Once."""
    await journal.put_flow("h", {"name": "f", "n": 1}, now=NOW)
    await journal.put_flow("h", {"name": "f", "n": 2}, now=NOW)
    assert await journal.get_flow("h") == {"name": "f", "n": 1}
    assert await journal.get_flow("other") is None
    await start(journal, "r")
    await journal.commit(batch("r", 1, flows=[("h2", {"name": "g"}), ("h", {"name": "other"})]))
    assert await journal.get_flow("h2") == {"name": "g"}
    assert await journal.get_flow("h") == {"name": "f", "n": 1}


@check
async def an_id_names_one_piece_of_work(journal: Journal) -> None:
    """Made once, joined while it is made, refused for other inputs, free again after a failure."""
    await start(journal, "a")
    await start(journal, "b")
    take = journal.reserve
    assert (await take("f", "k", "d", "a/s/1", now=NOW)).state == "mine"
    assert (await take("f", "k", "d", "a/s/1", now=NOW)).state == "mine"  # the same call, after a crash
    assert (await take("f", "k", "d", "b/s/1", now=NOW)).state == "running"
    assert (await take("f", "k", "e", "b/s/1", now=NOW)).state == "conflict"
    await journal.settle("f", "k", "a/s/1", None, has_failed=True)
    assert (await take("f", "k", "d", "b/s/1", now=NOW)).state == "mine"
    await journal.settle("f", "k", "b/s/1", {"x": None})
    done = await take("f", "k", "d", "a/s/2", now=NOW)
    assert (done.state, done.result) == ("done", {"x": None})


@check
async def an_id_whose_holder_has_ended_is_free(journal: Journal) -> None:
    """Nobody waits for a call that will never come."""
    await start(journal, "a")
    await journal.reserve("f", "k", "d", "a/s/1", now=NOW)
    await _end_started(journal, "a")
    assert (await journal.reserve("f", "k", "d", "b/s/1", now=NOW)).state == "mine"


async def _end_started(journal: Journal, run_id: str) -> None:
    await journal.commit(batch(run_id, 1, status="cancelled", outcome={}, releases=True))


@check
async def cached_values_expire(journal: Journal) -> None:
    """And the newest one stays."""
    await journal.keep("s", "k", 1, expires_at=NOW + 10)
    await journal.keep("s", "k", [None], expires_at=NOW + 20)
    assert await journal.recall("s", "k", now=NOW + 19) == ([None],)
    assert await journal.recall("s", "k", now=NOW + 20) is None
    assert await journal.recall("s", "other", now=NOW) is None


@check
async def changes_tell_that_somebody_wrote(journal: Journal) -> None:
    """Polling one number is enough."""
    await start(journal, "r")
    before = await journal.changes()
    await journal.post(event("r", "e"))
    assert await journal.changes() != before


@check
async def requests_and_audit_are_part_of_the_commit(journal: Journal) -> None:
    """A request that is closed twice keeps its first end."""
    await start(journal, "r")
    opened = RequestRow("r", "q", "review", "open", {"title": "?"}, NOW, audience=("u:kim",))
    await journal.commit(batch("r", 1, requests=[opened], audit=[AuditRow(NOW, "r", "", "request.opened", {})]))
    closed = RequestRow("r", "q", "", "decided", None, 0.0, closed_at=NOW + 1)
    await journal.commit(batch("r", 2, requests=[closed]))
    assert await seqs(journal, "r") == [0, 1, 2]


@check_store
async def runs_are_listed_newest_first_and_in_pages(store: Store) -> None:
    """With filters by flow, status, time and parent."""
    for number in range(5):
        await start(store, f"r{number}")
    await store.commit(batch("r1", 1, status="waiting", releases=True, wake_at=NOW + 5))
    await store.commit(batch("r2", 1, status="failed", outcome={"error": {"code": "x"}}, releases=True))
    first = await store.runs(RunFilter(), limit=3)
    assert [r.run_id for r in first.rows] == ["r4", "r3", "r2"] and first.next is not None
    rest = await store.runs(RunFilter(), before=first.next, limit=3)
    assert [r.run_id for r in rest.rows] == ["r1", "r0"] and rest.next is None
    assert [r.run_id for r in (await store.runs(RunFilter(statuses=("waiting", "failed")))).rows] == ["r2", "r1"]
    assert (await store.runs(RunFilter(flow="other"))).rows == ()
    assert (await store.runs(RunFilter(since=NOW + 1))).rows == ()
    failed, waiting = await store.run("r2"), await store.run("r1")
    assert failed.error == {"code": "x"} and failed.ended_at == NOW and failed.holder is None
    assert waiting.due_at == NOW + 5 and (await store.run("r0")).holder == WORKER
    await refused(UnknownRun, store.run("ghost"))


@check_store
async def requests_are_found_by_who_may_answer(store: Store) -> None:
    """By person and group; everybody sees those without an audience, nobody one that excludes them."""
    await start(store, "r")
    asked = [
        RequestRow("r", "a", "s", "open", {"to": {"not": []}}, NOW, audience=("u:kim", "g:legal")),
        RequestRow("r", "b", "s", "open", {}, NOW + 1),
        RequestRow("r", "c", "s", "open", {"to": {"not": ["kim"]}}, NOW + 2, audience=("g:legal",)),
    ]
    await store.commit(batch("r", 1, requests=asked))

    async def seen(*names: str) -> list[str]:
        return [row.request_id for _, row in await store.requests(names)]

    assert await seen("u:kim") == ["a", "b"] and await seen("u:kim", "g:legal") == ["a", "b"]
    assert await seen("g:legal") == ["a", "b", "c"] and await seen("u:lee") == ["b"]
    assert [row.flow for _, row in await store.requests(run_id="r", limit=1)] == ["flow"]
    assert [row.request_id for _, row in await store.requests(request_id="b")] == ["b"]
    closed = RequestRow("r", "a", "", "decided", None, 0.0, closed_at=NOW + 9)
    await store.commit(batch("r", 2, requests=[closed]))
    assert await seen("u:kim") == ["b"]
    ((_, row),) = await store.requests(state="decided")
    assert (row.request_id, row.closed_at, row.data) == ("a", NOW + 9, {"to": {"not": []}})


@check_store
async def the_audit_log_is_a_chain(store: Store) -> None:
    """Lines of commits and of operators, each bound to those before."""
    await start(store, "r")
    lines = [AuditRow(NOW + i, "r", "kim", f"answer.{i}", {"i": i, "t": "ä"}) for i in range(3)]
    await store.commit(batch("r", 1, audit=lines))
    await store.log([AuditRow(NOW, "x", "lee", "run.deleted", None)])
    found = await store.audit()
    assert [e.row for e in found[:3]] == lines and len({e.hash for e in found}) == 4
    assert [e.row.actor for e in await store.audit(run_id="x")] == ["lee"]
    proof = await store.verify_audit()
    assert proof.is_intact and proof.lines == 4 and proof.head == found[-1].hash


@check_store
async def only_ended_runs_are_deleted(store: Store) -> None:
    """With their ticks, blobs and requests, but not their audit lines."""
    long = "x" * 100_000
    for name in "ab":
        await store.commit(Batch(name, 1, 0, NOW, WORKER, [tick(0, long)], create=new_run(name, dedup=name)))
    done = batch("a", 1, status="done", outcome={}, releases=True, audit=[AuditRow(NOW, "a", "", "x", None)])
    await store.commit(done)
    await refused(JournalConflict, store.delete(["a", "b"]))
    assert await store.delete(["a"]) == 1
    await refused(UnknownRun, store.run("a"))
    assert (await store.ticks("b", -1, 9))[0][1][4] == [long]
    assert len(await store.audit(run_id="a")) == 1
    await start(store, "a", dedup="a")


@check_store
async def old_runs_are_pruned_oldest_first(store: Store) -> None:
    """A few at a time, and never one that has not ended."""
    for number in range(4):
        await start(store, f"r{number}")
    for number in range(3):
        ended = Batch(f"r{number}", 1, 1, NOW + number, WORKER, [tick(1)], status="done", outcome={}, releases=True)
        await store.commit(ended)
    assert await store.prune(ended_before=NOW + 2, limit=1) == 1
    assert await store.prune(ended_before=NOW + 2) == 1
    assert {r.run_id for r in (await store.runs(RunFilter())).rows} == {"r2", "r3"}


@check_store
async def a_run_can_be_moved_to_another_store(store: Store) -> None:
    """Export and import keep ticks, snapshot, requests and mail; one that has not ended is due at once."""
    await store.put_flow("hash-1", {"name": "flow"}, now=NOW)
    await start(store, "r", ticks=3)
    asked = RequestRow("r", "q", "s", "open", {"title": "?"}, NOW, audience=("u:kim",))
    await store.commit(batch("r", 3, snapshot=(4, "{}"), requests=[asked], status="waiting"))
    await store.post(event("r", "e"))
    stored = await store.export_run("r")
    await refused(JournalConflict, store.import_run(stored, now=NOW))
    await store.commit(batch("r", 4, status="done", outcome={}, releases=True))
    await store.delete(["r"])
    await store.import_run(stored, now=NOW)
    assert await seqs(store, "r") == [0, 1, 2, 3] and (await store.load("r")).snapshot == (4, "{}")
    assert [row.audience for _, row in await store.requests(["u:kim"])] == [("u:kim",)]
    assert [(e.dedup, e.data["value"]) for e in await store.inbox("r")] == [("e", "e")]
    assert [c.run_id for c in await store.claim(OTHER, now=NOW, lease_s=LEASE_S)] == ["r"]


@check_store
async def what_a_moved_run_has_taken_is_known(store: Store) -> None:
    """What comes again under a dedup key that was used before the move is no second event."""
    await start(store, "r")
    await store.post(event("r", "e"))
    taken = [(entry.id, {"ok": 1}) for entry in await store.inbox("r")]
    await store.commit(batch("r", 1, consumed=taken))
    stored = await store.export_run("r")
    await store.commit(batch("r", 2, status="done", outcome={}, releases=True))
    await store.delete(["r"])
    await store.import_run(stored, now=NOW)
    assert await store.inbox("r") == []
    assert not await store.post(event("r", "e"))
    assert await store.reply("r", "e") == (True, {"ok": 1})


@check_store
async def moved_runs_keep_their_places_in_the_queue(store: Store) -> None:
    """One that was under way goes on, the others wait for its end; a run that queued behind nobody is let in."""
    rule = Admission("queue", "k")
    assert [await _admit(store, name, rule) for name in "abc"] == [False, True, True]
    moved = [await store.export_run(name) for name in "abc"]
    for name in "cb":
        await store.post(event(name, "x", kind="cancel"))
    await _end(store, "a")
    await store.delete(list("abc"))
    for stored in moved:
        await store.import_run(stored, now=NOW)
    assert [c.run_id for c in await store.claim(WORKER, now=NOW, lease_s=LEASE_S, limit=9)] == ["a"]
    await _end(store, "a", 2)
    assert [c.run_id for c in await store.claim(OTHER, now=NOW, lease_s=LEASE_S, limit=9)] == ["b"]


@check_store
async def what_is_kept_beside_runs_can_be_moved(store: Store) -> None:
    """Versions, results under ids, cached values and triggers; what is there under the same key stays."""
    await store.put_flow("hash-1", {"name": "flow"}, now=NOW)
    await store.reserve("flow", "done", "d", "r/1", now=NOW)
    await store.settle("flow", "done", "r/1", {"n": 1})
    await store.keep("s", "k", [1], expires_at=NOW + 5)
    await store.set_triggers("flow", [TriggerRow("flow/0", "flow", "hash-1", "cron", {"x": 1}, NOW, None, True)])
    shelf = await store.export_shelf()
    assert [tuple(row) for row in shelf.flows] == [("hash-1", {"name": "flow"}, NOW)]
    other = replace(
        shelf,
        ids=[("flow", "new", "d", "r/2", [7], NOW), ("flow", "done", "d", "r/3", [8], NOW)],
        cached=[("s", "k", [2], None), ("s", "new", [3], None)],
        triggers=[*shelf.triggers, replace(shelf.triggers[0], id="flow/1")],
    )
    await store.import_shelf(other)
    assert (await store.reserve("flow", "new", "d", "x", now=NOW)).result == 7
    assert (await store.reserve("flow", "done", "d", "x", now=NOW)).result == {"n": 1}
    assert [await store.recall("s", key, now=NOW) for key in ("k", "new")] == [([1],), ([3],)]
    assert [(row.id, row.is_paused) for row in await store.triggers()] == [("flow/0", True), ("flow/1", True)]


@check_store
async def versions_count_their_open_runs(store: Store) -> None:
    """So that an editor sees what still runs on an older one."""
    await store.put_flow("hash-1", {"name": "flow"}, now=NOW)
    await store.put_flow("hash-2", {"name": "flow"}, now=NOW + 1)
    await start(store, "a")
    await start(store, "b")
    await store.commit(batch("b", 1, status="done", outcome={}, releases=True))
    assert [(v.flow_hash, v.open_runs) for v in await store.versions("flow")] == [("hash-2", 0), ("hash-1", 1)]
    await store.commit(batch("a", 1, flow_hash="hash-2"))
    assert [(v.flow_hash, v.open_runs) for v in await store.versions()] == [("hash-2", 1), ("hash-1", 0)]
    taken = await claim(store, "a", WORKER)
    assert taken is not None and taken.flow_hash == "hash-2"


@check_store
async def overdue_runs_are_seen(store: Store) -> None:
    """Those that are due and not taken, and those whose worker is lost."""
    for name in "abc":
        await start(store, name)
    await store.release("a", 1, wake_at=NOW + 10)
    await store.release("b", 1, wake_at=NOW + 500)
    late = await store.overdue(now=NOW + 100, by_s=60)
    assert [r.run_id for r in late] == ["a", "c"]


@check_store
async def stats_count(store: Store) -> None:
    """Runs by status, requests, lines, bytes, workers."""
    await start(store, "a")
    await start(store, "b")
    await store.commit(batch("b", 1, status="waiting", releases=True, audit=[AuditRow(NOW, "b", "", "x", None)]))
    found = await store.stats()
    assert found.by_status == {"running": 1, "waiting": 1} and found.audit_lines == 1 and found.open_requests == 0
    assert found.size_bytes > 0 and [(w.name, w.runs) for w in found.workers] == [(WORKER, 1)]


@check_store
async def a_trigger_fires_once(store: Store) -> None:
    """Whoever advances it first has it; registering the flow again keeps times and pauses."""
    rows = [
        TriggerRow("flow/0", "flow", "h1", "cron", {"cron": "0 * * * *"}, NOW),
        TriggerRow("flow/1", "flow", "h1", "event", {"event": "E"}),
    ]
    await store.set_triggers("flow", rows)
    assert [t.id for t in await store.triggers(due_by=NOW)] == ["flow/0"]
    assert await store.advance_trigger("flow/0", was=NOW, next_at=NOW + 60, last_at=NOW)
    assert not await store.advance_trigger("flow/0", was=NOW, next_at=NOW + 60, last_at=NOW)
    assert await store.pause_trigger("flow/0", is_paused=True) and not await store.pause_trigger("no", is_paused=True)
    await store.set_triggers("flow", rows[:1])
    (kept,) = await store.triggers()
    assert (kept.next_at, kept.last_at, kept.is_paused) == (NOW + 60, NOW, True)
    assert await store.triggers(due_by=NOW + 99) == []
