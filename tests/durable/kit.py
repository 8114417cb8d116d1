"""Flows over a journal for tests: compile a text, start it, drive it from outside, kill its process, start another."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.authoring.project import Project
from orchestrator.authoring.run_service import RunService
from orchestrator.errors import OrchestratorError
from orchestrator.journal.memory import MemoryJournal
from orchestrator.runtime.answering import AnswerRefused
from orchestrator.runtime.codec import PLAIN, decode_tick
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.journal import FINAL, InboxEntry, Journal
from orchestrator.runtime.plan import FlowPlan
from tests.durable.battery import Case


class World:
    """One process: a project in a folder, and engines over a journal that others share."""

    def __init__(self, root: Path, journal: Journal, **steps: Callable[..., object]) -> None:
        self.journal = journal
        self.project = Project.open(root, steps={f"t.{name}": call for name, call in steps.items()})
        self.root = root
        self.engines: list[DurableEngine] = []
        self.plans: dict[str, FlowPlan] = {}

    def write(self, text: str, name: str) -> Path:
        path = self.root / f"{name}.flow.yaml"
        path.write_text(textwrap.dedent(text))
        return path

    def plan(self, text: str, name: str = "flow") -> FlowPlan:
        return self.project.plan(self.project.compile(self.write(text, name)).checked())

    def prepare(self, case: Case) -> FlowPlan:
        for name, text in case.others.items():
            self.write(text, name)
        return self.plan(case.text, case.name)

    def engine(self, *, serves: bool = False, **options: Any) -> DurableEngine:
        engine = DurableEngine(self.journal, self.project.plan, poll_s=options.pop("poll_s", 0.01), **options)
        self.engines.append(engine)
        if serves:
            engine.serve()
        return engine

    def service(self, **options: Any) -> RunService:
        return RunService(self.engine(**options))

    async def deliver(self, service: RunService, entry: InboxEntry) -> bool:
        engine = service.engine
        assert isinstance(engine, DurableEngine)
        return await engine.deliver(entry)

    async def until_over(self, run_id: str) -> None:
        await until(lambda: status_of(self.journal, run_id) in FINAL)

    async def kill(self) -> None:
        """The process is gone: nothing it held is given up, nothing more is written."""
        for engine in self.engines:
            engine.abandon()
        await self.project.hub.aclose()

    async def aclose(self) -> None:
        for engine in self.engines:
            await engine.aclose()
        await self.project.hub.aclose()


async def until(check: Callable[[], bool], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not check():
            await asyncio.sleep(0.002)


def memory_of(journal: Any) -> MemoryJournal:
    found = getattr(journal, "inner", journal)
    assert isinstance(found, MemoryJournal)
    return found


def status_of(journal: Any, run_id: str) -> str:
    run = memory_of(journal).rows.get(run_id)
    return "" if run is None else run.status


async def drive(world: World, case: Case, service: RunService) -> None:
    """Answer and send what a case needs from outside, again and again, until its run has ended."""
    engine = service.engine
    assert isinstance(engine, DurableEngine)
    async with asyncio.timeout(15):
        while status_of(world.journal, "r") not in FINAL:
            if status_of(world.journal, "r"):
                await _from_outside(world, case, service)
            await asyncio.sleep(0.005)


async def _from_outside(world: World, case: Case, service: RunService) -> None:
    engine = service.engine
    assert isinstance(engine, DurableEngine)
    run = memory_of(world.journal).rows["r"]
    try:
        for number, (event, fields) in enumerate(case.events):
            if run.status not in FINAL:
                data = {"type": event, "value": fields}
                await engine.deliver(InboxEntry("r", "event", data, f"event-{number}", engine.clock.now()))
        for request in list(run.requests.values()):
            for step, user, verdict in case.answers:
                if request.state == "open" and request.step == step:
                    await _answer(service, request.request_id, user, verdict)
    except OrchestratorError as error:
        if error.code not in ("run.finished", "store.busy", "run.held"):
            raise


async def _answer(service: RunService, request_id: str, user: str, verdict: str) -> None:
    try:
        await service.answer("r", request_id, user=user, form={"verdict": verdict})
    except AnswerRefused as error:
        if error.kind != "conflict":  # answered or decided before
            raise


def settled_calls(journal: MemoryJournal) -> set[tuple[str, int]]:
    """(idempotency key, attempt) of every call whose result is committed."""
    found: set[tuple[str, int]] = set()
    for run_id, run in journal.rows.items():
        started: dict[int, tuple[str, str]] = {}
        for seq, row in enumerate(map(_loads, run.ticks)):
            tick: Any = decode_tick(seq, row, PLAIN)
            if row[0] == "step":
                started[tick.act] = (tick.step, tick.phase)
            elif row[0] == "settled" and tick.act in started:
                step, phase = started[tick.act]
                found.add((f"{run_id}/{step}/{tick.act}/{phase}", tick.attempt))
            elif row[0] == "progress":
                step, phase = started[tick.act]
                index = tick.path.removeprefix("item")
                found.update((f"{run_id}/{step}/{tick.act}/{phase}{index}", n) for n in range(1, 5))
    return found


def _loads(text: str) -> Any:
    import json

    return json.loads(text)
