"""agent-framework-core, graph API: executors and edges. A workflow object serves one run at a time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Never

from agent_framework import (
    Executor,
    FileCheckpointStorage,
    Workflow,
    WorkflowBuilder,
    WorkflowContext,
    handler,
    response_handler,
)
from workloads import CHAIN, KEYS, digest, mix, work_on

Mark = Callable[[str], None]
Run = Callable[[Mark], Awaitable[int]]


@dataclass
class Hop:
    i: int
    acc: int
    n: int


@dataclass
class Item:
    i: int


@dataclass
class Done:
    i: int
    value: int


@dataclass
class Question:
    r: int


class Step(Executor):
    def __init__(self, i: int, pause: bool) -> None:
        super().__init__(id=f"step_{i}")
        self.i, self.pause = i, pause

    @handler
    async def hop(self, acc: int, ctx: WorkflowContext[int]) -> None:
        if self.pause:
            await asyncio.sleep(0)
        await ctx.send_message(mix(acc, self.i))


class LastStep(Executor):
    def __init__(self, i: int, pause: bool) -> None:
        super().__init__(id=f"step_{i}")
        self.i, self.pause = i, pause

    @handler
    async def hop(self, acc: int, ctx: WorkflowContext[Never, int]) -> None:
        if self.pause:
            await asyncio.sleep(0)
        await ctx.yield_output(mix(acc, self.i))


def chain_workflow(n: int, pause: bool = False) -> Workflow:
    steps: list[Executor] = [*(Step(i, pause) for i in range(n - 1)), LastStep(n - 1, pause)]
    builder = WorkflowBuilder(max_iterations=n + 10, start_executor=steps[0], output_from=[steps[-1]])
    for before, after in itertools.pairwise(steps):
        builder.add_edge(before, after)
    return builder.build()


def chain(n: int, directory: Path) -> Run:
    workflow = chain_workflow(n)

    async def run(mark: Mark) -> int:
        return (await workflow.run(0)).get_outputs()[0]

    return run


class Mover(Executor):
    @handler
    async def move(self, hop: Hop, ctx: WorkflowContext[Hop, int]) -> None:
        acc = mix(hop.acc, hop.i)
        if hop.i + 1 == hop.n:
            await ctx.yield_output(acc)
        else:
            await ctx.send_message(Hop(hop.i + 1, acc, hop.n))


def loop_workflow(n: int, storage: FileCheckpointStorage | None = None) -> Workflow:
    ping, pong = Mover(id="ping"), Mover(id="pong")
    builder = WorkflowBuilder(
        max_iterations=n + 10, start_executor=ping, output_from=[ping, pong], checkpoint_storage=storage, name="loop"
    )
    return builder.add_edge(ping, pong).add_edge(pong, ping).build()


def loop(n: int, directory: Path) -> Run:
    workflow = loop_workflow(n)

    async def run(mark: Mark) -> int:
        return (await workflow.run(Hop(0, 0, n))).get_outputs()[0]

    return run


def durable(n: int, directory: Path) -> Run:
    names = [f"{Hop.__module__}:{Hop.__qualname__}"]
    storage = FileCheckpointStorage(directory / "agentfw", allowed_checkpoint_types=names)

    async def run(mark: Mark) -> int:
        return (await loop_workflow(n, storage).run(Hop(0, 0, n))).get_outputs()[0]

    return run


class Split(Executor):
    @handler
    async def split(self, n: int, ctx: WorkflowContext[Item]) -> None:
        for i in range(n):
            await ctx.send_message(Item(i))


class Work(Executor):
    @handler
    async def work(self, item: Item, ctx: WorkflowContext[Done]) -> None:
        await ctx.send_message(Done(item.i, await work_on(item.i)))


class Gather(Executor):
    def __init__(self, n: int) -> None:
        super().__init__(id="gather")
        self.n, self.done = n, list[Done]()

    @handler
    async def gather(self, done: Done, ctx: WorkflowContext[Never, int]) -> None:
        self.done.append(done)
        if len(self.done) == self.n:
            await ctx.yield_output(digest(d.value for d in sorted(self.done, key=lambda d: d.i)))
            self.done = []


def fan_out(n: int, directory: Path) -> Run:
    split, work, gather = Split(id="split"), Work(id="work"), Gather(n)
    builder = WorkflowBuilder(max_iterations=n + 10, start_executor=split, output_from=[gather])
    workflow = builder.add_edge(split, work).add_edge(work, gather).build()

    async def run(mark: Mark) -> int:
        return (await workflow.run(n)).get_outputs()[0]

    return run


def many_runs(n: int, directory: Path) -> Run:
    async def run(mark: Mark) -> int:
        results = await asyncio.gather(*[chain_workflow(CHAIN, pause=True).run(r) for r in range(n)])
        return digest(result.get_outputs()[0] for result in results)

    return run


class Asker(Executor):
    @handler
    async def ask(self, r: int, ctx: WorkflowContext) -> None:
        await ctx.request_info(Question(r), int)

    @response_handler
    async def answered(self, question: Question, answer: int, ctx: WorkflowContext[Never, int]) -> None:
        await ctx.yield_output(mix(question.r, answer))


def waiting(n: int, directory: Path) -> Run:
    async def run(mark: Mark) -> int:
        askers = [Asker(id="asker") for _ in range(n)]
        flows = [WorkflowBuilder(start_executor=asker, output_from=[asker]).build() for asker in askers]
        parked = await asyncio.gather(*[flow.run(r) for r, flow in enumerate(flows)])
        ids = [result.get_request_info_events()[0].request_id for result in parked]
        del parked
        mark("park")
        ends = await asyncio.gather(*[flow.run(responses={id_: 7}) for flow, id_ in zip(flows, ids, strict=True)])
        return digest(end.get_outputs()[0] for end in ends)

    return run


class Turn(Executor):
    @handler
    async def turn(self, hop: Hop, ctx: WorkflowContext[Hop, int]) -> None:
        for k, key in enumerate(KEYS):
            ctx.set_state(key, mix(ctx.get_state(key, 0) if hop.i else 0, hop.i + k))
        if hop.i + 1 == hop.n:
            await ctx.yield_output(digest(ctx.get_state(key) for key in KEYS))
        else:
            await ctx.send_message(Hop(hop.i + 1, 0, hop.n))


def shared_state(n: int, directory: Path) -> Run:
    one, other = Turn(id="one"), Turn(id="other")
    builder = WorkflowBuilder(max_iterations=n + 10, start_executor=one, output_from=[one, other])
    workflow = builder.add_edge(one, other).add_edge(other, one).build()

    async def run(mark: Mark) -> int:
        return (await workflow.run(Hop(0, 0, n))).get_outputs()[0]

    return run


class Writer(Executor):
    @handler
    async def write(self, n: int, ctx: WorkflowContext[Never, int]) -> None:
        for i in range(n):
            await ctx.yield_output(i)
            if i % 100 == 99:
                await asyncio.sleep(0)


def stream(n: int, directory: Path) -> Run:
    writer = Writer(id="writer")
    workflow = WorkflowBuilder(start_executor=writer, output_from=[writer]).build()

    async def run(mark: Mark) -> int:
        acc = 0
        async for ev in workflow.run(n, stream=True):
            if ev.type == "output":
                acc = mix(acc, ev.data)
        return acc

    return run


def compile_file(n: int, directory: Path) -> Run:
    """Its own YAML, of as many actions; it has no schema check, so that building is the check."""
    from agent_framework_declarative import WorkflowFactory

    actions = [
        f"    - kind: SetValue\n      id: step_{i}\n      displayName: Step number {i} of a long chain\n"
        f"      path: Local.total\n      value: {i}\n"
        for i in range(n)
    ]
    text = "kind: Workflow\nname: long-chain\ntrigger:\n  kind: OnConversationStart\n  id: main\n  actions:\n"
    path = directory / f"chain{n}.yaml"
    path.write_text(text + "".join(actions), encoding="utf-8")

    async def run(mark: Mark) -> int:
        workflow = WorkflowFactory().create_workflow_from_yaml_path(path)
        return sum(executor.startswith("step_") for executor in workflow.executors)

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
    "W10": compile_file,
}
