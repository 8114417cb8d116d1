"""pydantic-graph: the builder API; steps pass plain dataclasses. It has no waiting, no stream and no storage."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic_graph import Graph, GraphBuilder, StepContext, reduce_list_append
from workloads import CHAIN, KEYS, digest, mix, work_on

Mark = Callable[[str], None]
Run = Callable[[Mark], Awaitable[int]]


@dataclass
class Hop:
    i: int
    acc: int
    n: int


@dataclass
class Finished:
    value: int


@dataclass
class Keys:
    values: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KEYS, 0))


def chain_graph(n: int, pause: bool = False) -> Graph:
    g = GraphBuilder(input_type=int, output_type=int)

    def make(i: int) -> object:
        async def hop(ctx: StepContext[None, None, int]) -> int:
            if pause:
                await asyncio.sleep(0)
            return mix(ctx.inputs, i)

        return g.step(hop, node_id=f"step_{i}")

    nodes = [g.start_node, *(make(i) for i in range(n)), g.end_node]
    g.add(*[g.edge_from(before).to(after) for before, after in itertools.pairwise(nodes)])
    return g.build()


def chain(n: int, directory: Path) -> Run:
    graph = chain_graph(n)

    async def run(mark: Mark) -> int:
        return await graph.run(inputs=0)

    return run


def loop(n: int, directory: Path) -> Run:
    g = GraphBuilder(input_type=Hop, output_type=int)

    async def move(ctx: StepContext[None, None, Hop]) -> Hop | Finished:
        acc = mix(ctx.inputs.acc, ctx.inputs.i)
        return Finished(acc) if ctx.inputs.i + 1 == ctx.inputs.n else Hop(ctx.inputs.i + 1, acc, ctx.inputs.n)

    async def end(ctx: StepContext[None, None, Finished]) -> int:
        return ctx.inputs.value

    ping, pong, last = g.step(move, node_id="ping"), g.step(move, node_id="pong"), g.step(end, node_id="last")
    g.add(
        g.edge_from(g.start_node).to(ping),
        g.edge_from(ping).to(g.decision().branch(g.match(Hop).to(pong)).branch(g.match(Finished).to(last))),
        g.edge_from(pong).to(g.decision().branch(g.match(Hop).to(ping)).branch(g.match(Finished).to(last))),
        g.edge_from(last).to(g.end_node),
    )
    graph = g.build()

    async def run(mark: Mark) -> int:
        return await graph.run(inputs=Hop(0, 0, n))

    return run


def fan_out(n: int, directory: Path) -> Run:
    g = GraphBuilder(input_type=int, output_type=int)

    @g.step
    async def split(ctx: StepContext[None, None, int]) -> list[int]:
        return list(range(ctx.inputs))

    @g.step
    async def work(ctx: StepContext[None, None, int]) -> tuple[int, int]:
        return ctx.inputs, await work_on(ctx.inputs)

    @g.step
    async def gather(ctx: StepContext[None, None, list[tuple[int, int]]]) -> int:
        return digest(value for _, value in sorted(ctx.inputs))

    join = g.join(reduce_list_append, initial_factory=list)
    g.add(
        g.edge_from(g.start_node).to(split),
        g.edge_from(split).map().to(work),
        g.edge_from(work).to(join),
        g.edge_from(join).to(gather),
        g.edge_from(gather).to(g.end_node),
    )
    graph = g.build()

    async def run(mark: Mark) -> int:
        return await graph.run(inputs=n)

    return run


def many_runs(n: int, directory: Path) -> Run:
    graph = chain_graph(CHAIN, pause=True)

    async def run(mark: Mark) -> int:
        return digest(await asyncio.gather(*[graph.run(inputs=r) for r in range(n)]))

    return run


def shared_state(n: int, directory: Path) -> Run:
    g = GraphBuilder(state_type=Keys, input_type=Hop, output_type=int)

    @g.step
    async def turn(ctx: StepContext[Keys, None, Hop]) -> Hop | Finished:
        hop, values = ctx.inputs, ctx.state.values
        for k, key in enumerate(KEYS):
            values[key] = mix(values[key], hop.i + k)
        return Finished(digest(values.values())) if hop.i + 1 == hop.n else Hop(hop.i + 1, 0, hop.n)

    @g.step
    async def end(ctx: StepContext[Keys, None, Finished]) -> int:
        return ctx.inputs.value

    g.add(
        g.edge_from(g.start_node).to(turn),
        g.edge_from(turn).to(g.decision().branch(g.match(Hop).to(turn)).branch(g.match(Finished).to(end))),
        g.edge_from(end).to(g.end_node),
    )
    graph = g.build()

    async def run(mark: Mark) -> int:
        return await graph.run(state=Keys(), inputs=Hop(0, 0, n))

    return run


WORKLOADS = {"W1": chain, "W2": loop, "W3": fan_out, "W4": many_runs, "W6": shared_state}
