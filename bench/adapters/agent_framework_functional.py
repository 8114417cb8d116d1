"""agent-framework-core, functional API: an async function whose awaited steps are remembered."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from agent_framework import FileCheckpointStorage, RunContext, WorkflowEvent, step, workflow
from workloads import CHAIN, KEYS, digest, mix, work_on

Mark = Callable[[str], None]
Run = Callable[[Mark], Awaitable[int]]
NUMBERS = itertools.count()


@step
async def add(acc: int, i: int) -> int:
    return mix(acc, i)


@step
async def hop(acc: int, i: int) -> int:
    await asyncio.sleep(0)
    return mix(acc, i)


@step
async def work(i: int) -> int:
    return await work_on(i)


async def first_output(flow: Any, message: Any) -> int:
    return (await flow.build().run(message)).get_outputs()[0]


def chain(n: int, directory: Path) -> Run:
    def make(i: int) -> Any:
        async def body(acc: int) -> int:
            return mix(acc, i)

        return step(name=f"step_{i}")(body)

    steps = [make(i) for i in range(n)]

    @workflow
    async def flow(acc: int) -> int:
        for one in steps:
            acc = await one(acc)
        return acc

    async def run(mark: Mark) -> int:
        return await first_output(flow, 0)

    return run


@workflow
async def loop_flow(n: int) -> int:
    acc = 0
    for i in range(n):
        acc = await add(acc, i)
    return acc


def loop(n: int, directory: Path) -> Run:
    async def run(mark: Mark) -> int:
        return await first_output(loop_flow, n)

    return run


def durable(n: int, directory: Path) -> Run:
    async def run(mark: Mark) -> int:
        storage = FileCheckpointStorage(directory / f"run{next(NUMBERS)}")
        return (await loop_flow.build(checkpoint_storage=storage).run(n)).get_outputs()[0]

    return run


def fan_out(n: int, directory: Path) -> Run:
    @workflow
    async def flow(count: int) -> int:
        return digest(await asyncio.gather(*[work(i) for i in range(count)]))

    async def run(mark: Mark) -> int:
        return await first_output(flow, n)

    return run


def many_runs(n: int, directory: Path) -> Run:
    @workflow
    async def flow(start: list[int]) -> int:
        acc = start[0]
        for i in range(CHAIN):
            acc = await hop(acc, i)
        return acc

    async def run(mark: Mark) -> int:
        return digest(await asyncio.gather(*[first_output(flow, [r]) for r in range(n)]))

    return run


def waiting(n: int, directory: Path) -> Run:
    @workflow
    async def flow(r: list[int], ctx: RunContext) -> int:
        answer = await ctx.request_info("how many?", int, request_id="answer")
        return mix(r[0], answer)

    async def run(mark: Mark) -> int:
        flows = [flow.build() for _ in range(n)]
        await asyncio.gather(*[one.run([r]) for r, one in enumerate(flows)])
        mark("park")
        ends = await asyncio.gather(*[one.run(responses={"answer": 7}) for one in flows])
        return digest(end.get_outputs()[0] for end in ends)

    return run


def shared_state(n: int, directory: Path) -> Run:
    @step
    async def turn(i: int, ctx: RunContext) -> int:
        for k, key in enumerate(KEYS):
            ctx.set_state(key, mix(ctx.get_state(key, 0), i + k))
        return i + 1

    @workflow
    async def flow(count: int, ctx: RunContext) -> int:
        i = 0
        while i < count:
            i = await turn(i, ctx=ctx)
        return digest(ctx.get_state(key) for key in KEYS)

    async def run(mark: Mark) -> int:
        return await first_output(flow, n)

    return run


def stream(n: int, directory: Path) -> Run:
    @workflow
    async def flow(count: int, ctx: RunContext) -> int:
        for i in range(count):
            await ctx.add_event(WorkflowEvent("progress", data=i))
            if i % 100 == 99:
                await asyncio.sleep(0)
        return 0

    async def run(mark: Mark) -> int:
        acc = 0
        async for ev in flow.build().run(n, stream=True):
            if ev.type == "progress":
                acc = mix(acc, ev.data)
        return acc

    return run


WORKLOADS = {
    "W1": chain,
    "W2": loop,
    "W3": fan_out,
    "W4": many_runs,
    "W5": waiting,
    "W6": shared_state,
    "W7": stream,
    "W9": durable,
    "W11": loop,
    "W11D": durable,
}
