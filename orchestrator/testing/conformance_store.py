"""Checks of queries and operation: lists, the audit log, deletion, moving to another store, triggers."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.errors import JournalConflict, UnknownRun
from orchestrator.journal.store import RunFilter, Store, TriggerRow
from orchestrator.runtime.journal import (
    Admission,
    AuditRow,
    Batch,
    RequestRow,
)
from orchestrator.testing.conformance_kit import (
    LEASE_S,
    NOW,
    OTHER,
    WORKER,
    admit,
    batch,
    check_store,
    claim,
    end,
    event,
    new_run,
    refused,
    seqs,
    start,
    tick,
)


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
    assert [await admit(store, name, rule) for name in "abc"] == [False, True, True]
    moved = [await store.export_run(name) for name in "abc"]
    for name in "cb":
        await store.post(event(name, "x", kind="cancel"))
    await end(store, "a")
    await store.delete(list("abc"))
    for stored in moved:
        await store.import_run(stored, now=NOW)
    assert [c.run_id for c in await store.claim(WORKER, now=NOW, lease_s=LEASE_S, limit=9)] == ["a"]
    await end(store, "a", 2)
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
