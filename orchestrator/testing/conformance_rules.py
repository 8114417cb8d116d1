"""Checks of what holds between runs: concurrency, `id:` and `cache:` keys, requests and their notices."""

from __future__ import annotations

from orchestrator.errors import AdmissionRefused, RunFinished
from orchestrator.runtime.journal import (
    Admission,
    AuditRow,
    Journal,
    RequestRow,
    Untold,
)
from orchestrator.testing.conformance_kit import (
    LEASE_S,
    NOW,
    OTHER,
    admit,
    batch,
    check,
    claim,
    end,
    event,
    refused,
    seqs,
    start,
)


@check
async def single_refuses_a_second_run_of_the_same_key(journal: Journal) -> None:
    """Another key, or the end of the first, lets one in."""
    rule = Admission("single", "k")
    assert not await admit(journal, "a", rule)
    await refused(AdmissionRefused, admit(journal, "b", rule))
    assert not await admit(journal, "c", Admission("single", "other"))
    await end(journal, "a")
    assert not await admit(journal, "d", rule)


@check
async def queued_runs_are_admitted_one_by_one_in_order(journal: Journal) -> None:
    """The end of one makes the next due, in the same commit."""
    rule = Admission("queue", "k")
    assert [await admit(journal, name, rule) for name in "abc"] == [False, True, True]
    assert await claim(journal, "b", OTHER) is None
    await end(journal, "a")
    assert [c.run_id for c in await journal.claim(OTHER, now=NOW, lease_s=LEASE_S, limit=9)] == ["b"]
    assert await admit(journal, "d", rule)
    await end(journal, "b")
    assert [c.run_id for c in await journal.claim(OTHER, now=NOW, lease_s=LEASE_S, limit=9)] == ["c"]


@check
async def parallel_admits_up_to_its_maximum(journal: Journal) -> None:
    """Without one, everything."""
    rule = Admission("parallel", "k", 2)
    assert [await admit(journal, name, rule) for name in "abc"] == [False, False, True]
    assert [await admit(journal, name, Admission("parallel", "free")) for name in "xyz"] == [False, False, False]


@check
async def restart_cancels_the_older_run_and_waits_for_its_end(journal: Journal) -> None:
    """Also when the older one only waits, or queues itself."""
    rule = Admission("restart", "k")
    assert [await admit(journal, name, rule) for name in "abc"] == [False, True, True]
    assert [e.kind for e in await journal.inbox("a")] == ["start", "cancel", "cancel"]
    await refused(RunFinished, journal.post(event("b", "x")))  # it never began
    await end(journal, "a")
    assert [c.run_id for c in await journal.claim(OTHER, now=NOW, lease_s=LEASE_S, limit=9)] == ["c"]


@check
async def who_is_before_a_queued_run_is_known(journal: Journal) -> None:
    """In order, of its own key only, and nobody once it has been let in."""
    rule, other = Admission("queue", "k"), Admission("queue", "other")
    assert [await admit(journal, name, rule) for name in "ab"] == [False, True]
    assert [await admit(journal, "x", other), await admit(journal, "c", rule)] == [False, True]
    assert await journal.ahead("c") == ["a", "b"] and await journal.ahead("nobody") == []
    await end(journal, "a")
    assert [await journal.ahead(name) for name in "bc"] == [[], ["b"]]


@check
async def a_queued_run_that_is_cancelled_never_begins(journal: Journal) -> None:
    """It gives its place in the queue away."""
    rule = Admission("queue", "k")
    assert [await admit(journal, name, rule) for name in "abc"] == [False, True, True]
    await journal.post(event("b", "stop", kind="cancel"))
    await end(journal, "a")
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


@check
async def what_people_are_to_be_told_waits_until_they_were(journal: Journal) -> None:
    """Each thing once per time, not before it is due, and no more of a request that is closed."""
    await start(journal, "r")
    opened = RequestRow("r", "ask", "s", "open", {"to": None, "revision": 1}, NOW)
    untold = [Untold("r", "ask", number, what, NOW + 60) for number, what in enumerate(("opened", "reminded"))]
    await journal.commit(batch("r", 1, requests=(opened,), untold=untold))
    assert await journal.untold(now=NOW + 59, again_at=NOW + 100) == []
    taken = await journal.untold(now=NOW + 60, again_at=NOW + 100, limit=1)
    assert [(item.number, row.request_id, row.data) for item, row in taken] == [(0, "ask", opened.data)]
    taken = await journal.untold(now=NOW + 99, again_at=NOW + 200)
    assert [item.what for item, _ in taken] == ["reminded"]
    await journal.told([item for item, _ in taken])
    assert [item.what for item, _ in await journal.untold(now=NOW + 300, again_at=NOW + 400)] == ["opened"]
    closed = RequestRow("r", "ask", "s", "decided", None, 0.0, closed_at=NOW)
    await journal.commit(batch("r", 2, requests=(closed,)))
    assert await journal.untold(now=NOW + 999, again_at=NOW + 999) == []
