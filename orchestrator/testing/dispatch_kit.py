"""What every dispatcher must bring about over every journal, as checks anybody can run. Knows no test framework.

Example:
    setting = Setting(tmp_path, open_journal=lambda: MyJournal(tmp_path / "runs"), make_dispatcher=MyDispatcher)
    for check in DISPATCH_CHECKS:
        asyncio.run(run_dispatch_check(check, setting))

A check raises AssertionError with what it saw. Run ids are new in every check, so checks may share one database.
"""

from __future__ import annotations

import asyncio
import textwrap
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.authoring.project import Project
from orchestrator.dispatch.capability import lack_of
from orchestrator.dispatch.dispatcher import Dispatcher, LocalDispatcher
from orchestrator.dispatch.submit import submit_run
from orchestrator.dispatch.worker import Worker
from orchestrator.journal.store import RunRow, Store
from orchestrator.plugin.services import StepContext
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.journal import FINAL, InboxEntry

TIMEOUT_S = 20.0
LEASE_S = 0.5
CHAIN = """
    flow: chain
    inputs: {n: int}
    outputs: {n: int}
    steps:
      a:
        on: Start
        call: k.work
        with: {n: "${{ inputs.n }}"}
      b:
        on: a
        call: k.work
        with: {n: "${{ ev.result }}"}
        emit: {event: Stop, with: {n: "${{ result }}"}}
"""
TIMER = """
    flow: timer
    outputs: {n: int}
    steps:
      pause:
        on: Start
        wait: 200ms
      a:
        on: pause
        call: k.work
        with: {n: 1}
        emit: {event: Stop, with: {n: "${{ result }}"}}
"""
EVENT = """
    flow: event
    outputs: {n: int}
    events:
      Paid: {external: true, n: int}
    steps:
      paid:
        on: Start
        wait: {event: Paid}
      a:
        on: paid
        call: k.work
        with: {n: "${{ ev.result.n }}"}
        emit: {event: Stop, with: {n: "${{ result }}"}}
"""
STUCK = """
    flow: stuck
    outputs: {n: int}
    steps:
      a:
        on: Start
        call: k.stuck_once
        with: {n: 1}
      b:
        on: a
        call: k.work
        with: {n: "${{ ev.result }}"}
        emit: {event: Stop, with: {n: "${{ result }}"}}
"""


@dataclass
class Setting:
    """A folder, a way to open the journal, and a way to make the dispatcher of one worker."""

    root: Path
    open_journal: Callable[[], Store]
    make_dispatcher: Callable[[], Dispatcher] = LocalDispatcher


@dataclass
class Scene:
    """One check's journal and workers, and what its steps were called for."""

    setting: Setting
    journal: Store
    calls: list[str] = field(default_factory=list)
    engines: list[DurableEngine] = field(default_factory=list)
    project: Project = field(init=False)

    def __post_init__(self) -> None:
        self.project = Project.open(self.setting.root, steps={"k.work": self._work, "k.stuck_once": self._stuck_once})

    async def _work(self, ctx: StepContext, n: int) -> int:
        self.calls.append(ctx.idempotency_key)
        await asyncio.sleep(0.01)
        return n + 1

    async def _stuck_once(self, ctx: StepContext, n: int) -> int:
        self.calls.append(ctx.idempotency_key)
        if len(self.calls) == 1:
            await asyncio.Event().wait()
        return n + 1

    def worker(self, **options: Any) -> Worker:
        """A worker that serves."""
        worker = Worker(
            self.journal,
            self.project.plan,
            can_run=lambda flow: lack_of(flow, self.project.catalog, lambda name: True),
            learn=self.project.know,
            dispatcher=self.setting.make_dispatcher(),
            lease_s=options.pop("lease_s", LEASE_S),
            poll_s=0.02,
            **options,
        )
        self.engines.append(worker)
        worker.serve()
        return worker

    async def add(self, text: str, inputs: dict[str, Any] | None = None) -> str:
        """Put a new run into the journal, for whoever takes it; gives its id."""
        path = self.setting.root / f"{text.split()[1]}.flow.yaml"
        path.write_text(textwrap.dedent(text))
        plan = self.project.plan(self.project.compile(path).checked())
        office = DurableEngine(self.journal, self.project.plan, worker="office")
        self.engines.append(office)
        return await submit_run(office, plan, inputs or {})

    async def result(self, run_id: str) -> Any:
        """The outputs of a run, once it has ended."""
        row = await self._when(run_id, lambda row: row.status in FINAL)
        assert row.status == "done", f"run {run_id} ended as {row.status}: {row.outcome}"
        return row.outcome["result"]

    async def until_waiting(self, run_id: str) -> None:
        """Return when nobody holds the run, in the journal or in a process, and it waits for something."""
        await self._when(run_id, lambda row: row.status == "waiting" and row.holder is None)
        async with asyncio.timeout(TIMEOUT_S):
            while any(run_id in engine.runs for engine in self.engines):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def _when(self, run_id: str, holds: Callable[[RunRow], bool]) -> RunRow:
        async with asyncio.timeout(TIMEOUT_S):
            while not holds(row := await self.journal.run(run_id)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return row

    async def until_called(self) -> None:
        """Return when a step has been called."""
        async with asyncio.timeout(TIMEOUT_S):
            while not self.calls:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


DispatchCheck = Callable[[Scene], Awaitable[None]]
DISPATCH_CHECKS: list[DispatchCheck] = []


def dispatch_check(function: DispatchCheck) -> DispatchCheck:
    """Add a function to the kit."""
    DISPATCH_CHECKS.append(function)
    return function


async def run_dispatch_check(function: DispatchCheck, setting: Setting) -> None:
    """Run one check on a newly opened journal, and close everything."""
    scene = Scene(setting, setting.open_journal())
    try:
        await function(scene)
    finally:
        for engine in scene.engines:
            await engine.aclose()
        await scene.project.hub.aclose()
        await scene.journal.aclose()


@dispatch_check
async def what_is_due_is_woken_and_worked_off_once(scene: Scene) -> None:
    """Runs that were there before the worker, and runs that come while it serves."""
    before = [await scene.add(CHAIN, {"n": n}) for n in range(5)]
    scene.worker()
    after = [await scene.add(CHAIN, {"n": n}) for n in range(5)]
    for runs in (before, after):
        assert [await scene.result(run) for run in runs] == [{"n": n + 2} for n in range(5)]
    assert len(scene.calls) == len(set(scene.calls)) == 20


@dispatch_check
async def a_timer_wakes_its_run(scene: Scene) -> None:
    """Not before its time, and not long after."""
    scene.worker()
    began = time.monotonic()
    assert await scene.result(await scene.add(TIMER)) == {"n": 2}
    assert 0.2 <= time.monotonic() - began < 5


@dispatch_check
async def an_event_wakes_a_run_that_nobody_holds(scene: Scene) -> None:
    """Though it was put into the journal behind the dispatcher's back."""
    scene.worker()
    run = await scene.add(EVENT)
    await scene.until_waiting(run)
    data = {"type": "Paid", "value": {"n": 4}}
    assert await scene.journal.post(InboxEntry(run, "event", data, "paid", time.time()))
    assert await scene.result(run) == {"n": 5}


@dispatch_check
async def the_runs_of_a_dead_worker_go_on_elsewhere(scene: Scene) -> None:
    """Once its lease has ended, from its last commit."""
    run = await scene.add(STUCK)
    dead = DurableEngine(scene.journal, scene.project.plan, worker=f"dead-{run}", lease_s=LEASE_S, poll_s=0.02)
    dead.serve()
    await scene.until_called()
    dead.abandon()
    scene.worker()
    assert await scene.result(run) == {"n": 3}
    assert len(scene.calls) == 3 and scene.calls[0] == scene.calls[1]


@dispatch_check
async def a_full_worker_takes_more_when_it_has_room(scene: Scene) -> None:
    """Never more at a time than it may hold."""
    worker = scene.worker(concurrency=2)
    most = 0

    def watch(actor: Any) -> None:
        nonlocal most
        most = max(most, len(worker.sinks) + 1)

    worker.on_actor.append(watch)
    runs = [await scene.add(CHAIN, {"n": n}) for n in range(8)]
    assert [await scene.result(run) for run in runs] == [{"n": n + 2} for n in range(8)]
    assert most <= 2, f"it held {most} runs"


@dispatch_check
async def a_worker_that_ends_gives_back_what_it_holds(scene: Scene) -> None:
    """And takes nothing any more."""
    worker = scene.worker(lease_s=60.0)
    run = await scene.add(STUCK)
    await scene.until_called()
    await worker.aclose()
    row = await scene.journal.run(run)
    assert row.holder is None and row.due_at is not None and row.status not in FINAL
    later = await scene.add(CHAIN, {"n": 1})
    await asyncio.sleep(0.1)
    assert (await scene.journal.run(later)).status == "new"
