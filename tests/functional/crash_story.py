"""Run as a program by test_kill: twenty steps with two branches and a question; kills itself at a given step.

Usage: crash_story.py KIND PATH KILL_AT [ANSWER]. Every call of a step appends a line to PATH/calls.txt, fsynced.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from orchestrator.dispatch.local import Binders, close_engine, open_engine
from orchestrator.errors import StoreBusy
from orchestrator.functional import FileCheckpointStorage, RunContext, SQLiteCheckpointStorage, step, workflow
from orchestrator.journal.store import RunFilter

KIND, PATH, KILL_AT = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
storage: Any = {
    "file": lambda: FileCheckpointStorage(PATH / "runs"),
    "sqlite": lambda: SQLiteCheckpointStorage(PATH / "runs.db"),
    "store": lambda: None,
}[KIND]()


def tell(line: str) -> int:
    with (PATH / "calls.txt").open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
    return len((PATH / "calls.txt").read_text().splitlines())


@step
async def work(name: str, ctx: RunContext) -> str:
    count = tell(name)
    await asyncio.sleep(0.0005)
    ctx.set_state("done", ctx.get_state("done", 0) + 1)
    if count == KILL_AT:
        os.kill(os.getpid(), signal.SIGKILL)
    return name


async def branch(name: str) -> list[str]:
    return [await work(f"{name}{n}") for n in range(5)]


@workflow(checkpoint_storage=storage)
async def story(x: str, ctx: RunContext) -> Any:
    ctx.set_state("started", ctx.get_state("started", 0) + 1)
    found = [await work(f"{x}{n}") for n in range(5)]
    parts = await asyncio.gather(branch("l"), branch("r"))
    answer = await ctx.request_info({"so far": len(found)}, str, request_id="go")
    tail = [await work(f"t{n}") for n in range(5)]
    return [*found, *parts[0], *parts[1], answer, *tail, ctx.get_state("started"), ctx.get_state("done")]


async def go_on(**options: Any) -> Any:
    """Go on with the run, once the lease of the process that was killed has run out."""
    while True:
        try:
            return await story.run(run_id="the run", **options)
        except StoreBusy:
            await asyncio.sleep(0.05)


async def main() -> None:
    options: dict[str, Any] = {}
    if KIND == "store":
        engine = open_engine(f"sqlite:///{PATH}/runs.db", Binders(), lease_s=0.3)
        options["store"] = engine
        is_known = bool((await engine.journal.runs(RunFilter())).rows)
    else:
        is_known = bool(await storage.read("the run"))
    if len(sys.argv) > 4:
        result = await go_on(responses={"go": sys.argv[4]}, **options)
    elif is_known:
        result = await go_on(**options)
    else:
        result = await story.run("s", run_id="the run", **options)
    print(result.get_final_state(), result.get_outputs(), [e.request_id for e in result.get_request_info_events()])
    if KIND == "store":
        await close_engine(engine)


asyncio.run(main())
