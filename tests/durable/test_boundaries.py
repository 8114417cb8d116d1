"""A run whose process dies at any commit goes on from there: nothing finished runs again, nothing is lost."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from orchestrator.journal.memory import MemoryJournal
from orchestrator.runtime.journal import FINAL, InboxEntry
from tests.durable.battery import BATTERY, Calls, Case
from tests.durable.crashing import CrashingJournal
from tests.durable.kit import World, drive, settled_calls

LEASE_S = 0.03


async def run_case(case: Case, root: Path, at: int, *, is_done: bool) -> tuple[int, bool]:
    """Run a case, crash at its nth commit, let another process finish it, and check everything."""
    calls, journal = Calls(), MemoryJournal()
    cut = CrashingJournal(journal, at, is_done=is_done)
    first = World(root, cut, **calls.steps())
    plan = first.prepare(case)
    service = first.service(serves=True, worker="one", lease_s=LEASE_S)
    starting = asyncio.ensure_future(service.start(plan, case.inputs, run_id="r"))
    driving = asyncio.ensure_future(drive(first, case, service))
    crash = asyncio.ensure_future(cut.crashed.wait())
    await asyncio.wait({driving, crash}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    for task in (starting, driving, crash):
        task.cancel()
    await first.kill()
    finished = settled_calls(journal)
    before = len(calls.made)
    second = World(root, journal, **calls.steps())
    second.prepare(case)
    other = second.service(serves=True, worker="two", lease_s=LEASE_S)
    if "r" not in journal.rows:  # the start was never acknowledged
        await other.start(second.prepare(case), case.inputs, run_id="r")
    await drive(second, case, other)
    await second.aclose()
    again = [call for call in calls.made[before:] if call in finished]
    assert again == [], "a finished step ran again"
    check_outcome(case, journal)
    assert max(calls.made.count(call) for call in calls.made) <= 2
    return cut.commits, cut.crashed.is_set()


def check_outcome(case: Case, journal: MemoryJournal) -> None:
    run = journal.rows["r"]
    assert run.status == case.status
    if case.outputs is not None:
        assert run.outcome["result"] == case.outputs
    assert all(r.status in FINAL for r in journal.rows.values())


@pytest.mark.parametrize("is_done", [False, True], ids=["lost", "kept"])
@pytest.mark.parametrize("case", BATTERY, ids=lambda case: case.name)
def test_a_crash_at_every_commit_loses_and_repeats_nothing(case: Case, is_done: bool, tmp_path: Path) -> None:
    at, has_crashed = 1, True
    while has_crashed:
        _, has_crashed = asyncio.run(run_case(case, tmp_path, at, is_done=is_done))
        at += 1
    assert at > 3


@pytest.mark.parametrize("case", BATTERY, ids=lambda case: case.name)
def test_what_is_stored_is_the_same_log_for_every_reader(case: Case, tmp_path: Path) -> None:
    async def main() -> None:
        journal, calls = MemoryJournal(), Calls()
        world = World(tmp_path, journal, **calls.steps())
        service = world.service(serves=True)
        await service.start(world.prepare(case), case.inputs, run_id="r")
        await drive(world, case, service)
        await world.aclose()
        rows = await journal.ticks("r", -1, 10_000)
        assert [json.loads(text) for text in journal.rows["r"].ticks] == [row for _, row in rows]

    asyncio.run(main())


def test_an_event_that_was_acknowledged_is_applied_once(tmp_path: Path) -> None:
    async def main() -> None:
        journal, calls = MemoryJournal(), Calls()
        case = next(c for c in BATTERY if c.name == "waits")
        world = World(tmp_path, journal, **calls.steps())
        service = world.service(serves=True)
        await service.start(world.prepare(case), case.inputs, run_id="r")
        entry = InboxEntry("r", "event", {"type": "Paid", "value": {"order": 7, "n": 3}}, "paid-1", 0.0)
        accepted = [await world.deliver(service, entry) for _ in range(3)]
        assert accepted == [True, False, False]
        await world.until_over("r")
        await world.aclose()
        assert sum('"paid-1"' in text for text in journal.rows["r"].ticks) == 1

    asyncio.run(main())
