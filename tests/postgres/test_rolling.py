"""A rolling deploy: workers of two versions of the code share a store, are killed and end; nothing is stranded or done twice."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.authoring.project import Project
from orchestrator.runtime.codec import PLAIN, decode_tick
from orchestrator.runtime.journal import InboxEntry
from orchestrator.server.opening import open_desk
from tests.durable.kit import until
from tests.support.office import CHAIN, Office, in_office
from tests.support.worker_steps import calls_of, steps
from tests.support.workers import WorkerProcess

OLD, NEW = ("work", "slow"), ("work", "slow", "new")
PAID = """
flow: chain
inputs: {n: int}
outputs: {n: int}
events:
  Paid: {external: true, n: int}
steps:
  a:
    on: Start
    call: t.%s
    with: {n: "${{ inputs.n }}"}
  pause:
    on: a
    wait: 1500ms
  paid:
    on: pause
    wait: {event: Paid}
  b:
    on: paid
    call: t.slow
    with: {n: "${{ ev.result.n }}"}
    emit: {event: Stop, with: {n: "${{ result }}"}}
"""
PARENT = """
flow: parent
imports: {sub: ./sub.flow.yaml}
inputs: {n: int}
outputs: {n: int}
steps:
  a:
    on: Start
    call: t.work
    with: {n: "${{ inputs.n }}"}
  sub:
    on: a
    call: flow.sub
    with: {n: "${{ ev.result }}"}
  c:
    on: sub
    call: t.work
    with: {n: "${{ ev.result.n }}"}
    emit: {event: Stop, with: {n: "${{ result }}"}}
"""
Start = Callable[..., WorkerProcess]


@pytest.fixture(params=["local", "dbos"])
def hire(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Iterator[Start]:
    if request.param == "dbos":
        pytest.importorskip("dbos")
    made: list[WorkerProcess] = []

    def start(name: str, *names: str, **options: Any) -> WorkerProcess:
        made.append(WorkerProcess(url, tmp_path, name, steps=names, dispatcher=request.param, lease_s=1.0, **options))
        made[-1].wait_up()
        return made[-1]

    yield start
    for worker in made:
        worker.close()


async def paid(office: Office, run_id: str, n: int) -> None:
    await office.journal.post(InboxEntry(run_id, "event", {"type": "Paid", "value": {"n": n}}, "paid", time.time()))


async def recorded_ends(office: Office, run_id: str) -> list[int]:
    """The activations whose end is in the log, once for each time that it is."""
    rows = await office.journal.ticks(run_id, -1, 1000)
    settled: list[Any] = [decode_tick(seq, data, PLAIN) for seq, data in rows if data[0] == "settled"]
    return [tick.act for tick in settled]


def test_a_rolling_deploy_strands_nothing_and_runs_nothing_where_it_is_not(
    url: str, tmp_path: Path, hire: Start
) -> None:
    """Two old workers, one killed in a call; two new ones, one killed; runs of both versions wait, wake and end."""
    old = [hire("old-killed", *OLD, is_remote=True), hire("old-drained", *OLD)]
    before, after = [f"v1-{n}" for n in range(12)], [f"v2-{n}" for n in range(12)]

    async def story(office: Office) -> None:
        await asyncio.gather(*(office.start(PAID % "work", run, {"n": 1}) for run in before))
        await until(lambda: len(calls_of(tmp_path / "calls.jsonl")) >= 12, 20)
        new = [hire("new-killed", *NEW, is_remote=True), hire("new-stays", *NEW)]
        await asyncio.gather(*(office.start(PAID % "new", run, {"n": 1}) for run in after))
        await asyncio.gather(*(paid(office, run, 5) for run in before[:8]))
        await until(lambda: len(calls_of(tmp_path / "calls.jsonl")) >= 26, 20)  # some are in their second step
        old[0].kill()
        new[0].kill()
        assert await asyncio.to_thread(old[1].end) == 0
        ended_at = time.time()
        await asyncio.gather(*(paid(office, run, 5) for run in (*before[8:], *after)))
        for run in (*before, *after):
            assert (await office.wait_for(run, timeout_s=40)).outcome["result"] == {"n": 6}, run
            ends = await recorded_ends(office, run)
            assert len(ends) == len(set(ends)) == 4, run
        calls = calls_of(tmp_path / "calls.jsonl")
        pids = {worker.process.pid for worker in old}
        assert not [c for c in calls if c["pid"] in pids and (c["run"] in after or c["at"] > ended_at)]
        assert {c["pid"] for c in calls if c["run"] in after} <= {worker.process.pid for worker in new}

    in_office(url, tmp_path, story)


def test_a_step_that_another_release_changed_waits_for_a_worker_of_its_own(
    url: str, tmp_path: Path, hire: Start
) -> None:
    """The new release calls the parameter of `t.work` otherwise: a run of the old flow is parked there, with the reason."""
    old = hire("old", "work", "slow", is_remote=True)

    async def story(office: Office) -> None:
        await office.start(PAID % "work", "r", {"n": 1})
        await until(lambda: len(calls_of(tmp_path / "calls.jsonl")) == 1, 20)
        await office.when("r", lambda row: row.status == "waiting" and row.holder is None)
        old.kill()
        hire("new", "work/count", "slow")
        await paid(office, "r", 5)
        parked = (await office.wait_for("r", "parked")).parked
        assert parked["code"] == "run.unbound" and "step `a`, with.n: `t.work` takes no `n`" in parked["message"]
        again = hire("old-again", "work", "slow")
        assert (await office.wait_for("r")).outcome["result"] == {"n": 6}
        calls = calls_of(tmp_path / "calls.jsonl")
        assert [c["pid"] for c in calls] == [old.process.pid, again.process.pid]

    in_office(url, tmp_path, story)


def test_an_old_worker_drains(url: str, tmp_path: Path, hire: Start) -> None:
    """At SIGTERM the call that runs ends there and is recorded; what follows begins at the new worker."""
    old, new = hire("old", *OLD), hire("new", *NEW)
    new.signal(signal.SIGSTOP)

    async def story(office: Office) -> None:
        await office.start(CHAIN.replace("call: t.work", "call: t.slow") % "work", "r", {"n": 1})
        await until(lambda: len(calls_of(tmp_path / "calls.jsonl")) == 1, 20)
        assert await asyncio.to_thread(old.end) == 0
        new.signal(signal.SIGCONT)
        assert (await office.wait_for("r")).outcome["result"] == {"n": 3}
        calls = calls_of(tmp_path / "calls.jsonl")
        assert [c["pid"] for c in calls] == [old.process.pid, new.process.pid]
        assert "old" not in [worker.name for worker in (await office.journal.stats()).workers]

    in_office(url, tmp_path, story)


def test_a_child_run_goes_where_its_steps_are_though_its_parent_is_elsewhere(
    url: str, tmp_path: Path, hire: Start
) -> None:
    parent, child = hire("parent", "work"), hire("child", "new")

    async def story(office: Office) -> None:
        office.write((CHAIN % "new").replace("t.work", "t.new").replace("flow: chain", "flow: sub"), "sub")
        await office.start(PARENT, "r", {"n": 1})
        assert (await office.wait_for("r")).outcome["result"] == {"n": 5}
        calls = calls_of(tmp_path / "calls.jsonl")
        first, second = parent.process.pid, child.process.pid
        assert [c["pid"] for c in calls] == [first, second, second, first]

    in_office(url, tmp_path, story)


def test_a_server_that_works_runs_off_leaves_alone_what_it_cannot_run(url: str, tmp_path: Path, hire: Start) -> None:
    """`orchestrator serve` without the steps of a run, beside a worker that has them but takes a while to come."""
    (tmp_path / "served").mkdir()
    desk = open_desk(Project.open(tmp_path / "served", steps=steps(tmp_path / "calls.jsonl", ("work",))), url)

    async def story(office: Office) -> None:
        await desk.start()
        try:
            await office.start((CHAIN % "new").replace("flow: chain", "flow: newer"), "newer", {"n": 1})
            await office.start(CHAIN % "work", "mine", {"n": 1})
            assert (await office.wait_for("mine")).outcome["result"] == {"n": 3}
            assert (await office.journal.run("newer")).status == "new"
            await asyncio.to_thread(hire, "new", *NEW)
            assert (await office.wait_for("newer")).outcome["result"] == {"n": 3}
        finally:
            await desk.stop()

    in_office(url, tmp_path, story)
