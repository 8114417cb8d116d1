"""Flow concurrency: `single`, `queue`, `restart` and `max` hold in memory and over a journal, across processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from orchestrator.authoring.run_service import RunService
from orchestrator.errors import AdmissionRefused
from orchestrator.journal.memory import MemoryJournal
from orchestrator.plugin.services import StepContext
from orchestrator.runtime.engine import Engine
from tests.durable.kit import World, until

FLOW = """
flow: {mode}
inputs: {{key: str}}
concurrency: {{mode: {mode}, key: "${{{{ inputs.key }}}}"}}
steps:
  hold:
    on: Start
    call: t.hold
    with: {{key: "${{{{ inputs.key }}}}"}}
    emit: Stop
"""


class Office:
    """Runs that go on until they are let go, in memory or over a journal with two processes."""

    def __init__(self, root: Path, kind: str) -> None:
        self.running: list[str] = []
        self.doors: dict[str, asyncio.Event] = {}
        self.world = World(root, MemoryJournal(), hold=self._hold)
        engines = [Engine()] * 2 if kind == "memory" else [self.world.engine(serves=True) for _ in range(2)]
        self.services = [RunService(engine) for engine in engines]

    async def _hold(self, ctx: StepContext, key: str) -> None:
        self.running.append(ctx.run_id)
        try:
            await self.doors.setdefault(ctx.run_id, asyncio.Event()).wait()
        finally:
            self.running.remove(ctx.run_id)

    async def start(self, mode: str, run_id: str, key: str = "k") -> None:
        plan = self.world.plan(FLOW.format(mode=mode), mode)
        service = self.services[len(self.doors) % 2]
        self.doors[run_id] = asyncio.Event()
        await service.start(plan, {"key": key}, run_id=run_id)
        await asyncio.sleep(0.03)

    async def end(self, run_id: str) -> None:
        self.doors[run_id].set()
        await until(lambda: run_id not in self.running)


@pytest.fixture(params=["memory", "journal"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_single_refuses_a_second_run_of_a_key(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        office = Office(tmp_path, kind)
        await office.start("single", "a")
        with pytest.raises(AdmissionRefused, match="run a is under way"):
            await office.start("single", "b")
        await office.start("single", "c", "other")
        assert office.running == ["a", "c"]
        await office.end("a")
        await until(lambda: True)
        await office.start("single", "d")
        assert office.running == ["c", "d"]
        await office.world.aclose()

    asyncio.run(main())


def test_queue_runs_one_after_another_in_order(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        office = Office(tmp_path, kind)
        for name in "abc":
            await office.start("queue", name)
        assert office.running == ["a"]
        for done, following in (("a", "b"), ("b", "c")):
            await office.end(done)
            await until(lambda following=following: office.running == [following])  # type: ignore[misc]
        await office.world.aclose()

    asyncio.run(main())


def test_restart_cancels_the_older_run(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        office = Office(tmp_path, kind)
        for name in "abc":
            await office.start("restart", name)
        await until(lambda: office.running == ["c"])
        await office.world.aclose()

    asyncio.run(main())
