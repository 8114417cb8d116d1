"""Flows over a journal for tests: compile a text, start it, crash, restart."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.authoring.project import Project
from orchestrator.authoring.run_service import RunService
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.journal import Journal
from orchestrator.runtime.plan import FlowPlan


class World:
    """A project in a folder with callables that count their calls, and engines over one journal."""

    def __init__(self, root: Path, journal: Journal, **steps: Callable[..., object]) -> None:
        self.journal = journal
        self.calls: list[str] = []
        named = {f"t.{name}": call for name, call in steps.items()}
        self.project = Project.open(root, steps=named)
        self.root = root
        self.engines: list[DurableEngine] = []

    def plan(self, text: str, name: str = "flow") -> FlowPlan:
        path = self.root / f"{name}.flow.yaml"
        path.write_text(textwrap.dedent(text))
        return self.project.plan(self.project.compile(path).checked())

    def engine(self, *, serves: bool = False, **options: Any) -> DurableEngine:
        engine = DurableEngine(self.journal, self.project.plan, poll_s=0.01, **options)
        self.engines.append(engine)
        if serves:
            engine.serve()
        return engine

    def service(self, **options: Any) -> RunService:
        return RunService(self.engine(**options))

    async def aclose(self) -> None:
        for engine in self.engines:
            await engine.aclose()
        await self.project.hub.aclose()


async def until(check: Callable[[], bool], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not check():
            await asyncio.sleep(0.002)
