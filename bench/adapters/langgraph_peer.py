"""langgraph: StateGraph with async nodes and routers, Send for fan-out, interrupt for waiting, its SQLite saver."""

from __future__ import annotations

import asyncio
import itertools
import operator
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

import aiosqlite
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt
from workloads import CHAIN, KEYS, digest, mix, work_on

Mark = Callable[[str], None]
Run = Callable[[Mark], Awaitable[int]]
THREADS = itertools.count()


class Hop(TypedDict, total=False):
    i: int
    acc: int
    n: int


class Batch(TypedDict, total=False):
    i: int
    n: int
    done: Annotated[list[tuple[int, int]], operator.add]


class Keys(TypedDict, total=False):
    i: int
    n: int
    values: dict[str, int]


def config(n: int) -> dict[str, Any]:
    return {"recursion_limit": n + 10, "configurable": {"thread_id": str(next(THREADS))}}


def chain_graph(n: int, pause: bool = False) -> Any:
    g = StateGraph(Hop)

    def make(i: int) -> Callable[[Hop], Awaitable[Hop]]:
        async def hop(state: Hop) -> Hop:
            if pause:
                await asyncio.sleep(0)
            return {"acc": mix(state["acc"], i)}

        return hop

    for i in range(n):
        g.add_node(f"step_{i}", make(i))
        g.add_edge(START if i == 0 else f"step_{i - 1}", f"step_{i}")
    g.add_edge(f"step_{n - 1}", END)
    return g.compile()


def chain(n: int, directory: Path) -> Run:
    graph = chain_graph(n)

    async def run(mark: Mark) -> int:
        return (await graph.ainvoke({"acc": 0}, config(n)))["acc"]

    return run


def loop_graph(saver: Any = None) -> Any:
    g = StateGraph(Hop)

    async def move(state: Hop) -> Hop:
        return {"acc": mix(state["acc"], state["i"]), "i": state["i"] + 1}

    async def after_ping(state: Hop) -> str:
        return END if state["i"] == state["n"] else "pong"

    async def after_pong(state: Hop) -> str:
        return END if state["i"] == state["n"] else "ping"

    g.add_node("ping", move)
    g.add_node("pong", move)
    g.add_edge(START, "ping")
    g.add_conditional_edges("ping", after_ping, [END, "pong"])
    g.add_conditional_edges("pong", after_pong, [END, "ping"])
    return g.compile(checkpointer=saver)


def loop(n: int, directory: Path) -> Run:
    graph = loop_graph()

    async def run(mark: Mark) -> int:
        return (await graph.ainvoke({"acc": 0, "i": 0, "n": n}, config(n)))["acc"]

    return run


def durable(n: int, directory: Path) -> Run:
    async def run(mark: Mark) -> int:
        async with aiosqlite.connect(directory / "langgraph.db") as connection:
            graph = loop_graph(AsyncSqliteSaver(connection))
            return (await graph.ainvoke({"acc": 0, "i": 0, "n": n}, config(n), durability="sync"))["acc"]

    return run


def fan_out(n: int, directory: Path) -> Run:
    g = StateGraph(Batch)

    async def split(state: Batch) -> Batch:
        return {}

    async def send(state: Batch) -> list[Send]:
        return [Send("work", {"i": i}) for i in range(state["n"])]

    async def work(state: Batch) -> Batch:
        return {"done": [(state["i"], await work_on(state["i"]))]}

    async def gather(state: Batch) -> Batch:
        return {"i": digest(value for _, value in state["done"])}

    g.add_node("split", split)
    g.add_node("work", work)
    g.add_node("gather", gather)
    g.add_edge(START, "split")
    g.add_conditional_edges("split", send, ["work"])
    g.add_edge("work", "gather")
    g.add_edge("gather", END)
    graph = g.compile()

    async def run(mark: Mark) -> int:
        return (await graph.ainvoke({"n": n, "done": []}, config(n)))["i"]

    return run


def many_runs(n: int, directory: Path) -> Run:
    graph = chain_graph(CHAIN, pause=True)

    async def run(mark: Mark) -> int:
        ends = await asyncio.gather(*[graph.ainvoke({"acc": r}, config(CHAIN)) for r in range(n)])
        return digest(end["acc"] for end in ends)

    return run


def waiting(n: int, directory: Path) -> Run:
    async def ask(state: Hop) -> Hop:
        return {"acc": mix(state["acc"], interrupt("how many?"))}

    async def run(mark: Mark) -> int:
        g = StateGraph(Hop)
        g.add_node("ask", ask)
        g.add_edge(START, "ask")
        g.add_edge("ask", END)
        graph = g.compile(checkpointer=InMemorySaver())
        threads = [config(2) for _ in range(n)]
        await asyncio.gather(*[graph.ainvoke({"acc": r}, thread) for r, thread in enumerate(threads)])
        mark("park")
        ends = await asyncio.gather(*[graph.ainvoke(Command(resume=7), thread) for thread in threads])
        return digest(end["acc"] for end in ends)

    return run


def shared_state(n: int, directory: Path) -> Run:
    g = StateGraph(Keys)

    async def turn(state: Keys) -> Keys:
        i, values = state["i"], dict(state["values"])
        for k, key in enumerate(KEYS):
            values[key] = mix(values[key], i + k)
        return {"values": values, "i": i + 1}

    async def route(state: Keys) -> str:
        return END if state["i"] == state["n"] else "turn"

    g.add_node("turn", turn)
    g.add_edge(START, "turn")
    g.add_conditional_edges("turn", route, [END, "turn"])
    graph = g.compile()

    async def run(mark: Mark) -> int:
        end = await graph.ainvoke({"i": 0, "n": n, "values": dict.fromkeys(KEYS, 0)}, config(n))
        return digest(end["values"].values())

    return run


def stream(n: int, directory: Path) -> Run:
    async def write(state: Hop) -> Hop:
        writer = get_stream_writer()
        for i in range(state["n"]):
            writer({"i": i})
            if i % 100 == 99:
                await asyncio.sleep(0)
        return {"acc": 0}

    g = StateGraph(Hop)
    g.add_node("write", write)
    g.add_edge(START, "write")
    g.add_edge("write", END)
    graph = g.compile()

    async def run(mark: Mark) -> int:
        acc = 0
        async for ev in graph.astream({"n": n}, config(2), stream_mode="custom"):
            acc = mix(acc, ev["i"])
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
}
