"""A process that starts a run of a flow in the same instant as another: reads a moment and a run id per line, says how it went."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from orchestrator.authoring.project import Project
from orchestrator.authoring.run_service import RunService
from orchestrator.errors import AdmissionRefused
from orchestrator.journal.open import open_journal
from orchestrator.runtime.durable import DurableEngine


async def main(root: Path, flow: str) -> None:
    project = Project.open(root)
    plan = project.plan(project.compile(root / f"{flow}.flow.yaml").checked())
    engine = DurableEngine(open_journal(f"sqlite:///{root}/runs.db"), project.plan)
    service = RunService(engine)
    await engine.keeper.open()
    print("up", flush=True)
    for line in iter(sys.stdin.readline, ""):
        moment, run_id, key = line.split()
        await asyncio.sleep(0)
        while time.monotonic() < float(moment):
            pass  # the same instant as the other process, closer than a sleep comes
        try:
            await service.start(plan, {"key": key}, run_id=run_id)
            print("started", flush=True)
        except AdmissionRefused:
            print("refused", flush=True)
    await engine.aclose()
    await engine.journal.aclose()


asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
