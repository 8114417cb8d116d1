"""Checks of commits, claims and inboxes: `J1` to `J5` of `orchestrator.runtime.journal`."""

from __future__ import annotations

import json

from orchestrator.errors import Fenced, JournalConflict, OrchestratorError, RunFinished, UnknownRun
from orchestrator.runtime.journal import (
    AuditRow,
    Batch,
    Journal,
)
from orchestrator.testing.conformance_kit import (
    LEASE_S,
    NOW,
    OTHER,
    WORKER,
    batch,
    check,
    claim,
    event,
    new_run,
    refused,
    seqs,
    start,
    tick,
)


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
async def nothing_is_written_after_the_end(journal: Journal) -> None:
    """A commit that comes too late changes neither the log nor the row."""
    await start(journal, "r")
    await journal.commit(batch("r", 1, status="done", outcome={"n": 1}, releases=True))
    await journal.commit(batch("r", 2, status="waiting", releases=True, wake_at=NOW))
    assert await seqs(journal, "r") == [0, 1]
    assert await journal.claim(OTHER, now=NOW, lease_s=LEASE_S, limit=9) == []


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
