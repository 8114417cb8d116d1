"""How long it takes to go on with a run of n steps from a SQLite file: `python bench/resume.py`.

A loop of n steps is run to a wait and its process forgets it. Measured is claim, load and fold by a second engine, until the
run is held with its whole state; best of five. Every resumed run must have all its steps.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from orchestrator.authoring.project import Project
from orchestrator.authoring.run_service import RunService
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.runtime.durable import DurableEngine

FLOW = """
flow: long
outputs: {n: int}
state: {n: 0}
events:
  Again: {n: int}
  Go: {external: true}
steps:
  body:
    on: [Start, Again]
    max_visits: 20000
    call: t.work
    with: {n: "${{ state.n }}"}
    emit:
      - when: result < LIMIT
        event: Again
        set: {n: "${{ result }}"}
        with: {n: "${{ result }}"}
      - event: hold
        set: {n: "${{ result }}"}
  hold:
    wait: {event: Go}
    emit: {event: Stop, with: {n: "${{ state.n }}"}}
"""
TARGETS_MS = {1_000: 15.0, 10_000: 200.0}
REPEAT = 5


def work(n: int) -> int:
    """The step."""
    return n + 1


async def resume_ms(steps: int, folder: Path) -> tuple[float, float]:
    """The best wall time, and the loop's CPU time in it, to take a run of so many steps up again."""
    (folder / "long.flow.yaml").write_text(FLOW.replace("LIMIT", str(steps)))
    journal = SqliteJournal(folder / "runs.db")
    project = Project.open(folder, steps={"t.work": work})
    plan = project.plan(project.compile(folder / "long.flow.yaml").checked())
    first = DurableEngine(journal, project.plan)
    await RunService(first).start(plan, {}, run_id="r")
    async with asyncio.timeout(120):
        while (await journal.run("r")).status != "waiting":  # noqa: ASYNC110 - what the file says is what is measured
            await asyncio.sleep(0.01)
    await first.aclose()
    times = []
    for _ in range(REPEAT):
        engine = DurableEngine(journal, project.plan)
        began = time.thread_time(), time.perf_counter()
        actor = await engine.acquire("r", is_passive=True)
        times.append(((time.perf_counter() - began[1]) * 1e3, (time.thread_time() - began[0]) * 1e3))
        assert actor.state.vars["n"] == steps, actor.state.vars
        await engine.aclose()
    await project.hub.aclose()
    await journal.aclose()
    return min(times)


def main() -> int:
    """Print one line per size; 1 if one misses its target."""
    missed = False
    for steps, target in TARGETS_MS.items():
        with tempfile.TemporaryDirectory() as folder:
            took, cpu = asyncio.run(resume_ms(steps, Path(folder)))
        missed |= took > target
        print(f"resume of {steps:>6,} steps: {took:6.1f} ms, CPU {cpu:.1f} ms (target {target:.0f} ms)")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
