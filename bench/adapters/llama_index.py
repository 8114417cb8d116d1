"""llama-index-workflows: the shared class API text, and a snapshot after every step for the durable one."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import workflows
import workflows.events

bench_api = types.ModuleType("bench_api")
bench_api.__dict__.update({name: getattr(workflows, name) for name in ("Context", "Workflow", "step")})
bench_api.__dict__.update({name: getattr(workflows.events, name) for name in workflows.events.__dict__})
bench_api.__dict__["in_order"] = lambda events: sorted(events, key=lambda ev: ev.i)
sys.modules["bench_api"] = bench_api

from bench_api import Context, StopEvent, Workflow, step  # noqa: E402
from workloads import mix  # noqa: E402

from adapters import class_api  # noqa: E402
from adapters.class_api import Mark, Run  # noqa: E402


class Durable(Workflow):
    """The core has no journal: the caller takes a snapshot whenever a step has ended."""

    @step
    async def start(self, ctx: Context, ev: class_api.Begin) -> class_api.Ping:
        return class_api.Ping(i=0, acc=0, n=ev.n)

    @step
    async def work(self, ctx: Context, ev: class_api.Ping) -> class_api.Ping | StopEvent:
        acc = mix(ev.acc, ev.i)
        ctx.write_event_to_stream(class_api.Item(i=ev.i))
        return StopEvent(result=acc) if ev.i + 1 == ev.n else class_api.Ping(i=ev.i + 1, acc=acc, n=ev.n)


def durable(n: int, directory: Path) -> Run:
    workflow = Durable(timeout=None)
    snapshot = directory / "snapshot.json"

    async def run(mark: Mark) -> int:
        handler = workflow.run(start_event=class_api.Begin(n=n))
        async for ev in handler.stream_events():
            if type(ev) is class_api.Item:
                snapshot.write_text(json.dumps(handler.ctx.to_dict()))
        return await handler

    return run


WORKLOADS = {**class_api.WORKLOADS, "W9": durable}
