"""The durable engine: what it refuses, parks, gives up and takes over, and what reaches a run from other processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import JournalConflict, RunFinished, StoreBusy, StoreError, UnknownRun
from orchestrator.journal.memory import MemoryJournal
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.plugin.services import StepContext
from orchestrator.runtime import ticks as t
from orchestrator.runtime.answering import AnswerRefused
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.journal import Batch, Committed, InboxEntry
from tests.durable.battery import ASK, CHAIN, CHILD, WAITS, Calls
from tests.durable.kit import World, status_of, until

ONE_CALL = """
flow: one
outputs: {n: int}
steps:
  a:
    on: Start
    call: t.work
    with: {n: 1}
    emit: {event: Stop, with: {n: "${{ result }}"}}
"""
LASTING = {"lease_s": 0.05}


def run(root: Path, work: Callable[[World], Awaitable[None]], /, **steps: Callable[..., object]) -> MemoryJournal:
    """Work in a world over a journal in memory, and close it."""
    journal = MemoryJournal()

    async def main() -> None:
        world = World(root, journal, **(steps or Calls().steps()))
        try:
            await work(world)
        finally:
            await world.aclose()

    asyncio.run(main())
    return journal


def engine_of(service: Any) -> DurableEngine:
    assert isinstance(service.engine, DurableEngine)
    return service.engine


def test_a_started_run_is_committed_when_start_returns(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.service().start(world.prepare(CHAIN), {"n": 1}, run_id="r")
        assert json.loads(world.journal.rows["r"].ticks[0])[0] == "started"  # type: ignore[attr-defined]

    run(tmp_path, work)


def test_two_runs_of_one_id_are_a_conflict(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        plan = world.prepare(ASK)
        one, two = world.service(), world.service()
        await one.start(plan, {}, run_id="r")
        for service in (one, two):
            with pytest.raises(JournalConflict):
                await service.start(plan, {}, run_id="r")

    run(tmp_path, work)


def test_a_waiting_run_is_rows_only_and_wakes_for_its_timer(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        service = world.service(serves=True)
        text = "flow: nap\nsteps:\n  a: {on: Start, wait: 150ms, emit: Stop}\n"
        await service.start(world.plan(text), {}, run_id="r")
        await until(lambda: not engine_of(service).runs)
        assert status_of(world.journal, "r") == "waiting"
        await world.until_over("r")

    run(tmp_path, work)


def test_a_pinned_run_stays_while_it_waits(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        service = world.service(serves=True)
        actor = await service.start(world.prepare(ASK), {}, run_id="r", pin=True)
        await until(lambda: status_of(world.journal, "r") == "waiting")
        await asyncio.sleep(0.05)
        assert engine_of(service).runs == {"r": actor}
        engine_of(service).unpin(actor)
        await until(lambda: not engine_of(service).runs)

    run(tmp_path, work)


def test_an_answer_from_a_process_that_serves_nothing_is_kept_and_worked_off_elsewhere(tmp_path: Path) -> None:
    calls = Calls()

    async def work(world: World) -> None:
        await world.service().start(world.prepare(ASK), {}, run_id="r")
        await until(lambda: bool(world.journal.rows["r"].requests))  # type: ignore[attr-defined]
        await world.engines[0].aclose()
        desk = world.service()
        for user in ("kim", "lee"):
            await desk.answer("r", "review-4", user=user, form={"verdict": "approve"})
        assert len(calls.made) == 1, "the desk ran a step"
        await until(lambda: "r" not in engine_of(desk).runs)
        world.engine(serves=True)
        await world.until_over("r")

    run(tmp_path, work, **calls.steps())


def test_an_answer_for_a_run_that_another_process_holds_goes_through_its_inbox(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        holder, desk = world.service(), world.service()
        await holder.start(world.prepare(ASK), {}, run_id="r", pin=True)
        await until(lambda: bool(world.journal.rows["r"].requests))  # type: ignore[attr-defined]
        await desk.answer("r", "review-4", user="kim", form={"verdict": "approve"})
        with pytest.raises(AnswerRefused) as caught:
            await desk.answer("r", "review-4", user="kim", form={"verdict": "reject"})
        assert caught.value.code == "request.voted"
        with pytest.raises(AnswerRefused, match="not among those"):
            await desk.answer("r", "review-4", user="eve", form={"verdict": "approve"})
        await desk.answer("r", "review-4", user="lee", form={"verdict": "approve"})
        await world.until_over("r")

    run(tmp_path, work)


def test_refused_answers_are_in_the_audit_log(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        service = world.service(serves=True)
        await service.start(world.prepare(ASK), {}, run_id="r")
        await until(lambda: status_of(world.journal, "r") == "waiting")
        with pytest.raises(AnswerRefused):
            await service.answer("r", "review-4", user="eve", form={"verdict": "approve"})

    journal = run(tmp_path, work)
    lines = [e.row for e in journal.audit_log if e.row.action == "refused.answer"]
    assert [(line.actor, line.data["code"]) for line in lines] == [("eve", "request.not_entitled")]


def test_a_waiting_run_that_nobody_holds_is_cancelled(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.service().start(world.prepare(ASK), {}, run_id="r")
        await until(lambda: status_of(world.journal, "r") == "waiting")
        await world.engines[0].aclose()
        desk = world.service()
        await desk.cancel("r", "no longer wanted")
        await world.until_over("r")
        with pytest.raises(RunFinished):
            await desk.cancel("r")
        with pytest.raises(UnknownRun):
            await desk.cancel("ghost")

    journal = run(tmp_path, work)
    assert journal.rows["r"].status == "cancelled"
    assert {q.state for q in journal.rows["r"].requests.values()} == {"cancelled"}


def test_cancelling_a_parent_cancels_its_child(tmp_path: Path) -> None:
    doors = asyncio.Event()

    async def stuck(ctx: StepContext, n: int) -> int:
        await doors.wait()
        return n

    async def work(world: World) -> None:
        service = world.service(serves=True)
        world.write("flow: sub\nsteps:\n  x: {on: Start, call: t.stuck, with: {n: 1}, emit: Stop}\n", "sub")
        text = "flow: top\nimports: {sub: ./sub.flow.yaml}\nsteps:\n  a: {on: Start, call: flow.sub, emit: Stop}\n"
        await service.start(world.plan(text), {}, run_id="r")
        await until(lambda: len(world.journal.rows) == 2)  # type: ignore[attr-defined]
        await service.cancel("r")
        child = next(name for name in world.journal.rows if name != "r")  # type: ignore[attr-defined]
        await world.until_over(child)

    assert all(row.status == "cancelled" for row in run(tmp_path, work, stuck=stuck).rows.values())


def test_a_step_that_may_run_at_most_once_parks_its_run_when_its_process_dies(tmp_path: Path) -> None:
    started = asyncio.Event()

    async def slow(ctx: StepContext, n: int) -> int:
        started.set()
        await asyncio.sleep(0.05 if n else 60)
        return n

    async def work(world: World) -> None:
        text = ONE_CALL.replace("t.work", "t.slow").replace("{n: 1}", "{n: 0}\n    effect: at_most_once")
        engine = world.engine(**LASTING)
        plan = world.plan(text)
        starting = asyncio.create_task(engine.start(plan, t.Started(0, 0.0, -1, "Start", {}, {}), run_id="r"))
        await started.wait()
        engine.abandon()
        starting.cancel()
        other = world.engine(serves=True)
        await until(lambda: status_of(world.journal, "r") == "parked")
        reason = world.journal.rows["r"].outcome["parked"]  # type: ignore[attr-defined]
        assert reason["code"] == "effect.unknown" and "step `a` may or may not" in reason["message"]
        await other.deliver(InboxEntry("r", "cancel", {"reason": "we looked"}, "c", 0.0))

    run(tmp_path, work, slow=slow)


def test_a_run_whose_step_is_missing_is_parked_and_goes_on_where_it_is_there(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        plan = world.prepare(ASK)
        await world.service().start(plan, {}, run_id="r")
        await until(lambda: status_of(world.journal, "r") == "waiting")
        await world.engines[0].aclose()

        def broken(flow: Any) -> Any:
            raise StoreError("there is no `t.work` here", code="plugin")

        poor = DurableEngine(world.journal, broken, poll_s=0.01)
        poor.serve()
        await poor.deliver(InboxEntry("r", "cancel", {}, "c", 0.0))
        await until(lambda: status_of(world.journal, "r") == "parked")
        await poor.aclose()
        world.engine(serves=True)
        await world.until_over("r")

    assert run(tmp_path, work).rows["r"].status == "cancelled"


def test_a_poisoned_row_parks_its_run_and_stops_nobody(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        plan = world.prepare(WAITS)
        service = world.service()
        for name in ("bad", "good"):
            await service.start(plan, {}, run_id=name)
        await until(lambda: status_of(world.journal, "good") == status_of(world.journal, "bad") == "waiting")
        await world.engines[0].aclose()
        rows = world.journal.rows  # type: ignore[attr-defined]
        rows["bad"].ticks[1] = '["settled", {"x": []}, 7, [[]], "?"]'
        rows["bad"].snapshot = None
        other = world.service(serves=True)
        for name in ("bad", "good"):
            await world.deliver(
                other, InboxEntry(name, "event", {"type": "Paid", "value": {"order": 7, "n": 1}}, "p", 0.0)
            )
        await world.until_over("good")
        await until(lambda: status_of(world.journal, "bad") == "parked")
        assert rows["bad"].outcome["parked"]["code"] == "store.unreadable"

    run(tmp_path, work)


def test_a_poisoned_inbox_row_parks_its_run(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        service = world.service(serves=True)
        await service.start(world.prepare(WAITS), {}, run_id="r")
        await until(lambda: status_of(world.journal, "r") == "waiting")
        await world.deliver(service, InboxEntry("r", "event", {"no": "type"}, "p", 0.0))
        await until(lambda: status_of(world.journal, "r") == "parked")

    run(tmp_path, work)


def test_an_engine_whose_claim_was_taken_over_lets_go(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def slow(ctx: StepContext, n: int) -> int:
        await release.wait()
        return n

    async def work(world: World) -> None:
        engine = world.engine()
        actor = await engine.start(
            world.plan(ONE_CALL.replace("t.work", "t.slow")), t.Started(0, 0.0, -1, "Start", {}, {})
        )
        await asyncio.sleep(0.02)
        await world.journal.claim("other", now=engine.clock.now() + 99, lease_s=1, run_id=actor.run_id)
        release.set()
        with pytest.raises(StoreError) as caught:
            await actor.wait_finished()
        assert caught.value.code == "store.fenced" and not engine.runs
        assert len(world.journal.rows[actor.run_id].ticks) == 2  # type: ignore[attr-defined]

    run(tmp_path, work, slow=slow)


class Failing(MemoryJournal):
    """Fails a number of commits, before or after it did them."""

    def __init__(self, error: StoreError, times: int, *, is_done: bool) -> None:
        super().__init__()
        self.error, self.times, self.is_done = error, times, is_done

    def commit_now(self, batch: Batch) -> Committed:
        if self.times and batch.first_seq > 0:
            self.times -= 1
            if self.is_done:
                super().commit_now(batch)
            raise self.error
        return super().commit_now(batch)


@pytest.mark.parametrize("is_done", [False, True], ids=["not-written", "written"])
@pytest.mark.parametrize("error", [StoreBusy("busy"), StoreError("the disk", code="store.io")], ids=["busy", "io"])
def test_a_commit_that_fails_is_made_again(error: StoreError, is_done: bool, tmp_path: Path) -> None:
    journal, calls = Failing(error, 2, is_done=is_done), Calls()

    async def main() -> None:
        world = World(tmp_path, journal, **calls.steps())
        actor = await world.service().start(world.prepare(CHAIN), {"n": 1}, run_id="r", pin=True)
        await actor.wait_finished()
        await world.aclose()

    asyncio.run(main())
    assert journal.rows["r"].outcome["result"] == {"n": 6} and len(calls.made) == 3


def test_a_store_that_stays_broken_is_told_and_the_run_goes_on_when_it_is_well(tmp_path: Path) -> None:
    journal = Failing(StoreError("the disk is full", code="store.full"), 4, is_done=False)

    async def main() -> None:
        world = World(tmp_path, journal, **Calls().steps())
        actor = await world.service().start(world.prepare(CHAIN), {"n": 1}, run_id="r", pin=True)
        with pytest.raises(StoreError, match="the disk is full"):
            await actor.wait_finished()
        world.engine(serves=True)
        await world.until_over("r")
        await world.aclose()

    asyncio.run(main())
    assert journal.rows["r"].outcome["result"] == {"n": 6}


def test_children_of_a_commit_that_was_never_heard_of_are_not_stranded(tmp_path: Path) -> None:
    journal = Failing(StoreError("the line", code="store.io"), 0, is_done=True)

    async def main() -> None:
        world = World(tmp_path, journal, **Calls().steps())
        service = world.service(serves=True)
        plan = world.prepare(CHILD)
        journal.times = 0
        original = journal.commit_now

        def commit_now(batch: Batch) -> Committed:
            journal.times = 1 if batch.children else journal.times
            return original(batch)

        journal.commit_now = commit_now  # type: ignore[method-assign]
        await service.start(plan, {}, run_id="r")
        await asyncio.sleep(0.5)
        journal.commit_now = original  # type: ignore[method-assign]
        await world.until_over("r")
        await world.aclose()

    asyncio.run(main())
    assert journal.rows["r"].status == "done"


def test_a_result_that_json_cannot_hold_fails_its_step_by_name(tmp_path: Path) -> None:
    def odd(n: int) -> Any:
        return {"numbers": [1, float("inf")]}

    async def work(world: World) -> None:
        text = "flow: odd\nsteps:\n  a: {on: Start, call: t.odd, with: {n: 1}, emit: Stop}\n"
        await world.service(serves=True).start(world.plan(text), {}, run_id="r")
        await world.until_over("r")

    error = run(tmp_path, work, odd=odd).rows["r"].outcome["error"]
    assert (
        error["code"] == "store.not_serializable"
        and "step `a`" in error["message"]
        and "numbers[1]" in error["message"]
    )


def test_readers_of_a_strict_run_see_only_what_is_committed(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        service = world.service()
        actor = await service.start(world.prepare(CHAIN), {"n": 1}, run_id="r", pin=True)
        while not actor.is_over:
            assert len(actor.log) <= len(world.journal.rows["r"].ticks)  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        assert len(actor.log) == len(world.journal.rows["r"].ticks)  # type: ignore[attr-defined]

    run(tmp_path, work)


def test_an_id_is_made_once_across_runs_and_restarts(tmp_path: Path) -> None:
    calls = Calls()
    text = ONE_CALL.replace("with: {n: 1}", "with: {n: 1}\n    id: order-7")

    async def main() -> None:
        for number in range(3):
            journal = SqliteJournal(tmp_path / "runs.db")
            world = World(tmp_path, journal, **calls.steps())
            service = world.service(serves=True)
            actor = await service.start(world.plan(text), {}, run_id=f"r{number}", pin=True)
            await actor.wait_finished()
            assert actor.state.result is not None and actor.state.result.value == {"n": 2}
            await world.aclose()
            await journal.aclose()

    asyncio.run(main())
    assert len(calls.made) == 1


def test_a_call_with_an_id_is_joined_while_another_run_makes_it(tmp_path: Path) -> None:
    calls = Calls(pause_s=lambda: 0.05)
    text = ONE_CALL.replace("with: {n: 1}", "with: {n: 1}\n    id: order-7")

    async def work(world: World) -> None:
        plan = world.plan(text)
        services = [world.service(serves=True) for _ in range(2)]
        actors = [await s.start(plan, {}, run_id=f"r{n}", pin=True) for n, s in enumerate(services)]
        for actor in actors:
            await actor.wait_finished()

    run(tmp_path, work, **calls.steps())
    assert len(calls.made) == 1


EACH = """
flow: each
inputs: {items: [int]}
outputs: {n: [int]}
steps:
  one:
    on: Start
    for_each: "${{ inputs.items }}"
    concurrency: 1
    KEY
    call: t.work
    with: {n: "${{ item }}"}
    emit: {event: Stop, with: {n: "${{ result }}"}}
"""


@pytest.mark.parametrize("key", ['id: "n-${{ item }}"', "cache: {key: item, ttl: 1h}"])
def test_items_have_keys_of_their_own_over_runs(tmp_path: Path, key: str) -> None:
    calls = Calls()

    async def work(world: World) -> None:
        plan = world.plan(EACH.replace("KEY", key))
        for number, items in enumerate(([1, 2, 2], [2, 3])):
            actor = await world.service().start(plan, {"items": items}, run_id=f"r{number}", pin=True)
            await actor.wait_finished()
            assert actor.state.result is not None, actor.state.error
            assert actor.state.result.value == {"n": [n + 1 for n in items]}

    run(tmp_path, work, **calls.steps())
    assert len(calls.made) == 3
