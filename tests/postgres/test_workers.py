"""Workers of one store: runs go where their steps are, are taken over from the dead, and nothing is stranded."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.authoring.project import Project
from orchestrator.authoring.run_service import RunService
from orchestrator.journal.open import open_journal
from orchestrator.journal.postgres import PostgresJournal
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.journal import FINAL
from tests.support.worker_steps import calls_of, steps
from tests.support.workers import WorkerProcess

CHAIN = """
flow: chain
inputs: {n: int}
outputs: {n: int}
steps:
  a:
    on: Start
    call: t.work
    with: {n: "${{ inputs.n }}"}
  b:
    on: a
    call: t.%s
    with: {n: "${{ ev.result }}"}
    emit: {event: Stop, with: {n: "${{ result }}"}}
"""
PLACED = CHAIN.replace("call: t.%s", "placement: gpu\n    call: t.work")
ALL = ("work", "flaky", "fail", "total", "slow")


class Office:
    """The process that starts runs and asks people; it works off nothing itself."""

    def __init__(self, url: str, root: Path) -> None:
        self.url, self.root = url, root
        self.journal = open_journal(url)
        assert isinstance(self.journal, PostgresJournal)
        self.project = Project.open(root, steps=steps(root / "calls.jsonl", (*ALL, "new")))
        self.engine = DurableEngine(self.journal, self.project.plan, poll_s=0.05)
        self.engine.pools = frozenset()
        self.service = RunService(self.engine)

    def plan(self, text: str) -> Any:
        path = self.root / f"{text.split()[1]}.flow.yaml"
        path.write_text(text)
        return self.project.plan(self.project.compile(path).checked())

    async def start(self, text: str, run_id: str, inputs: dict[str, Any]) -> None:
        """Start a run and leave it to the workers at once."""
        from orchestrator.runtime.codec import PLAIN, encode_tick
        from orchestrator.runtime.flow_bind import start_tick
        from orchestrator.runtime.journal import Batch, NewRun

        plan = self.plan(text)
        await self.engine.keeper.open()
        await self.engine.keep_flow(plan)
        now = time.time()
        tick = start_tick(plan, inputs, now)
        tick.at = now
        row = encode_tick(tick, PLAIN, lambda _: "?")
        new = NewRun(run_id, plan.ir.name, plan.hash, "yaml", now, start=row, root=run_id, is_claimed=False)
        await self.journal.commit(Batch(run_id, 0, 0, now, self.engine.worker, create=new))

    async def status(self, run_id: str) -> str:
        return (await self.journal.run(run_id)).status

    async def wait_for(self, run_id: str, *statuses: str, timeout_s: float = 20.0) -> Any:
        async with asyncio.timeout(timeout_s):
            while (row := await self.journal.run(run_id)).status not in (statuses or FINAL):
                await asyncio.sleep(0.02)
        return row

    async def aclose(self) -> None:
        await self.engine.aclose()
        await self.journal.aclose()
        await self.project.hub.aclose()


@pytest.fixture
def start_worker(url: str, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    made: list[WorkerProcess] = []

    def start(name: str, **options: Any) -> WorkerProcess:
        made.append(WorkerProcess(url, tmp_path, name, **options))
        made[-1].wait_up()
        return made[-1]

    yield start
    for worker in made:
        worker.close()


def in_office(url: str, root: Path, story: Callable[[Office], Awaitable[None]]) -> None:
    async def main() -> None:
        office = Office(url, root)
        try:
            await story(office)
        finally:
            await office.aclose()

    asyncio.run(main())


def test_a_run_goes_only_where_its_steps_are(url: str, tmp_path: Path, start_worker: Any) -> None:
    """Two versions of the code share a store; what only the newer one can run waits for it, and says why meanwhile."""
    start_worker("old", steps=("work",))

    async def story(office: Office) -> None:
        await office.start(CHAIN % "work", "both", {"n": 1})
        await office.start((CHAIN % "new").replace("flow: chain", "flow: newer"), "newer", {"n": 1})
        assert (await office.wait_for("both")).outcome["result"] == {"n": 3}
        parked = (await office.wait_for("newer", "parked")).parked
        assert parked["code"] == "run.unbound" and "`t.new`" in parked["message"]
        new = start_worker("new", steps=("work", "new"))
        assert (await office.wait_for("newer")).outcome["result"] == {"n": 3}
        assert {c["pid"] for c in calls_of(tmp_path / "calls.jsonl") if c["run"] == "newer"} == {new.process.pid}

    in_office(url, tmp_path, story)


def test_a_placed_step_runs_in_its_pool_and_waits_for_one(url: str, tmp_path: Path, start_worker: Any) -> None:
    plain = start_worker("plain")

    async def story(office: Office) -> None:
        await office.start(PLACED, "r", {"n": 1})
        async with asyncio.timeout(15):
            while not (rows := [r for r in (await office.journal.runs(_parked())).rows if r.parent == "r"]):
                await asyncio.sleep(0.05)
        assert "--pool gpu" in rows[0].parked["message"] and await office.status("r") == "waiting"
        pool = start_worker("pool", pools=("gpu",))
        assert (await office.wait_for("r")).outcome["result"] == {"n": 3}
        calls = calls_of(tmp_path / "calls.jsonl")
        assert [c["pid"] for c in calls if c["run"] != "r"] == [pool.process.pid] != [plain.process.pid]

    in_office(url, tmp_path, story)


def _parked() -> Any:
    from orchestrator.journal.store import RunFilter

    return RunFilter(statuses=("parked",))


def test_a_parked_run_can_be_cancelled_though_nobody_can_run_it(url: str, tmp_path: Path, start_worker: Any) -> None:
    start_worker("old", steps=("work",))

    async def story(office: Office) -> None:
        await office.start(CHAIN % "new", "r", {"n": 1})
        await office.wait_for("r", "parked")
        await office.service.cancel("r", "no use")
        assert (await office.wait_for("r")).status == "cancelled"

    in_office(url, tmp_path, story)


@pytest.mark.parametrize("how", ["kill -9", "frozen", "kill -9, other host"])
def test_a_lost_workers_run_is_taken_over_within_its_lease(url: str, tmp_path: Path, start_worker: Any, how: str) -> None:
    lease_s = 1.0
    first = start_worker("first", lease_s=lease_s, is_remote="other" in how)

    async def story(office: Office) -> None:
        await office.start(CHAIN % "slow", "r", {"n": 1})
        await _until_calls(tmp_path, 2)
        start_worker("second", lease_s=lease_s)
        assert (await office.journal.run("r")).holder == "first"
        first.signal(signal.SIGSTOP if how == "frozen" else signal.SIGKILL)
        lost_at = time.monotonic()
        while (await office.journal.run("r")).holder != "second":
            await asyncio.sleep(0.01)
        assert time.monotonic() - lost_at < lease_s + 2
        assert (await office.wait_for("r")).outcome["result"] == {"n": 3}
        if how == "frozen":
            first.signal(signal.SIGCONT)
            await asyncio.sleep(0.7)  # what it was about to commit is refused
            assert len([t for _, t in await office.journal.ticks("r", -1, 99) if t[0] == "settled"]) == 2
        assert [str(c["key"])[:4] for c in calls_of(tmp_path / "calls.jsonl")] == ["r/a/", "r/b/", "r/b/"]

    in_office(url, tmp_path, story)


async def _until_calls(root: Path, count: int) -> None:
    async with asyncio.timeout(15):
        while len(calls_of(root / "calls.jsonl")) < count:
            await asyncio.sleep(0.01)


def test_sigterm_lets_calls_end_and_gives_the_rest_back(url: str, tmp_path: Path, start_worker: Any) -> None:
    first = start_worker("first", lease_s=60.0)

    async def story(office: Office) -> None:
        await office.start(CHAIN % "slow", "r", {"n": 1})
        await _until_calls(tmp_path, 2)
        assert await asyncio.to_thread(first.end) == 0
        assert (await office.journal.stats()).workers[-1].name != "first"
        start_worker("second")
        assert (await office.wait_for("r")).outcome["result"] == {"n": 3}
        assert len(calls_of(tmp_path / "calls.jsonl")) == 2

    in_office(url, tmp_path, story)
