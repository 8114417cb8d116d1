"""The process that starts runs and looks at them, beside workers that work them off."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from orchestrator.authoring.project import Project
from orchestrator.authoring.run_service import RunService
from orchestrator.dispatch.submit import submit_run
from orchestrator.journal.open import open_journal
from orchestrator.journal.postgres import PostgresJournal
from orchestrator.journal.store import Page, RunFilter, RunRow
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.journal import FINAL
from orchestrator.runtime.plan import FlowPlan
from tests.support.worker_steps import steps

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
        self.postgres = self.journal
        self.project = Project.open(root, steps=steps(root / "calls.jsonl", (*ALL, "new")))
        self.engine = DurableEngine(self.journal, self.project.plan, poll_s=0.05)
        self.service = RunService(self.engine)

    def write(self, text: str, name: str) -> Path:
        path = self.root / f"{name}.flow.yaml"
        path.write_text(textwrap.dedent(text))
        return path

    def plan(self, text: str) -> FlowPlan:
        path = self.write(text, text.split()[1])
        return self.project.plan(self.project.compile(path).checked())

    async def start(self, text: str, run_id: str, inputs: dict[str, Any]) -> None:
        """Put a run into the store for the workers."""
        await submit_run(self.engine, self.plan(text), inputs, run_id=run_id)

    async def children(self, run_id: str) -> Page:
        """The child runs of a run, once there is one."""
        async with asyncio.timeout(20):
            while not (found := await self.journal.runs(RunFilter(parent=run_id))).rows:
                await asyncio.sleep(0.02)
        return found

    async def wait_for(self, run_id: str, *statuses: str, timeout_s: float = 20.0) -> RunRow:
        return await self.when(run_id, lambda row: row.status in (statuses or FINAL), timeout_s)

    async def when(self, run_id: str, holds: Callable[[RunRow], bool], timeout_s: float = 20.0) -> RunRow:
        async with asyncio.timeout(timeout_s):
            while not holds(row := await self.journal.run(run_id)):
                await asyncio.sleep(0.01)
        return row

    async def aclose(self) -> None:
        await self.engine.aclose()
        await self.journal.aclose()
        await self.project.hub.aclose()


def in_office(url: str, root: Path, story: Callable[[Office], Awaitable[None]]) -> None:
    async def main() -> None:
        office = Office(url, root)
        try:
            await story(office)
        finally:
            await office.aclose()

    asyncio.run(main())
