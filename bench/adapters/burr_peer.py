"""burr: a state machine of async actions, MapStates for fan-out, halting for waiting, its SQLite persister."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

from burr.core import Application, ApplicationBuilder, ApplicationContext, GraphBuilder, State, action, expr
from burr.core.parallelism import MapStates
from burr.core.persistence import SQLitePersister
from workloads import CHAIN, KEYS, digest, mix, work_on

Mark = Callable[[str], None]
Run = Callable[[Mark], Awaitable[int]]
NUMBERS = itertools.count()


def chain_graph(n: int, pause: bool = False) -> Any:
    def make(i: int) -> Any:
        @action(reads=["acc"], writes=["acc"])
        async def hop(state: State) -> State:
            if pause:
                await asyncio.sleep(0)
            return state.update(acc=mix(state["acc"], i))

        return hop

    actions = {f"step_{i}": make(i) for i in range(n)}
    names = list(actions)
    return GraphBuilder().with_actions(**actions).with_transitions(*itertools.pairwise(names)).build()


def application(graph: Any, start: str, **state: Any) -> Application:
    return ApplicationBuilder().with_graph(graph).with_state(**state).with_entrypoint(start).build()


def chain(n: int, directory: Path) -> Run:
    graph = chain_graph(n)

    async def run(mark: Mark) -> int:
        _, _, state = await application(graph, "step_0", acc=0).arun(halt_after=[f"step_{n - 1}"])
        return state["acc"]

    return run


@action(reads=["i", "acc"], writes=["i", "acc"])
async def move(state: State) -> State:
    return state.update(acc=mix(state["acc"], state["i"]), i=state["i"] + 1)


@action(reads=["acc"], writes=["end"])
async def end(state: State) -> State:
    return state.update(end=state["acc"])


def loop_graph() -> Any:
    going = expr("i < n")
    builder = GraphBuilder().with_actions(ping=move, pong=move, end=end)
    return builder.with_transitions(
        ("ping", "pong", going), ("ping", "end"), ("pong", "ping", going), ("pong", "end")
    ).build()


def loop(n: int, directory: Path) -> Run:
    graph = loop_graph()

    async def run(mark: Mark) -> int:
        _, _, state = await application(graph, "ping", i=0, n=n, acc=0).arun(halt_after=["end"])
        return state["end"]

    return run


def durable(n: int, directory: Path) -> Run:
    graph = loop_graph()
    persister = SQLitePersister(db_path=str(directory / "burr.db"), table_name="steps")
    persister.initialize()

    async def run(mark: Mark) -> int:
        builder = ApplicationBuilder().with_graph(graph).with_state(i=0, n=n, acc=0).with_entrypoint("ping")
        builder = builder.with_identifiers(app_id=f"run{next(NUMBERS)}", partition_key="bench")
        app = builder.with_state_persister(persister).build()
        _, _, state = await app.arun(halt_after=["end"])
        return state["end"]

    return run


@action(reads=["i"], writes=["value"])
async def work(state: State) -> State:
    return state.update(value=await work_on(state["i"]))


class FanOut(MapStates):
    def states(self, state: State, context: ApplicationContext, inputs: dict[str, Any]) -> Generator[State, None, None]:
        for i in range(state["n"]):
            yield state.update(i=i)

    def action(self, state: State, inputs: dict[str, Any]) -> Any:
        return work

    async def reduce(self, state: State, states: Any) -> State:
        return state.update(end=digest([sub["value"] async for sub in states]))

    def is_async(self) -> bool:
        return True

    @property
    def reads(self) -> list[str]:
        return ["n"]

    @property
    def writes(self) -> list[str]:
        return ["end"]


def fan_out(n: int, directory: Path) -> Run:
    graph = GraphBuilder().with_actions(fan=FanOut()).with_transitions().build()

    async def run(mark: Mark) -> int:
        _, _, state = await application(graph, "fan", n=n).arun(halt_after=["fan"])
        return state["end"]

    return run


def many_runs(n: int, directory: Path) -> Run:
    graph = chain_graph(CHAIN, pause=True)

    async def run(mark: Mark) -> int:
        apps = [application(graph, "step_0", acc=r) for r in range(n)]
        ends = await asyncio.gather(*[app.arun(halt_after=[f"step_{CHAIN - 1}"]) for app in apps])
        return digest(state["acc"] for _, _, state in ends)

    return run


@action(reads=[], writes=[])
async def ask(state: State) -> State:
    return state


@action(reads=["acc"], writes=["acc"])
async def answered(state: State, answer: int) -> State:
    return state.update(acc=mix(state["acc"], answer))


def waiting(n: int, directory: Path) -> Run:
    graph = GraphBuilder().with_actions(ask=ask, answered=answered).with_transitions(("ask", "answered")).build()

    async def run(mark: Mark) -> int:
        apps = [application(graph, "ask", acc=r) for r in range(n)]
        await asyncio.gather(*[app.arun(halt_before=["answered"]) for app in apps])
        mark("park")
        ends = await asyncio.gather(*[app.arun(halt_after=["answered"], inputs={"answer": 7}) for app in apps])
        return digest(state["acc"] for _, _, state in ends)

    return run


@action(reads=["i", *KEYS], writes=["i", *KEYS])
async def turn(state: State) -> State:
    i = state["i"]
    return state.update(i=i + 1, **{key: mix(state[key], i + k) for k, key in enumerate(KEYS)})


def shared_state(n: int, directory: Path) -> Run:
    builder = GraphBuilder().with_actions(turn=turn, end=end)
    graph = builder.with_transitions(("turn", "turn", expr("i < n")), ("turn", "end")).build()

    async def run(mark: Mark) -> int:
        app = application(graph, "turn", i=0, n=n, acc=0, **dict.fromkeys(KEYS, 0))
        _, _, state = await app.arun(halt_after=["end"])
        return digest(state[key] for key in KEYS)

    return run


WORKLOADS = {
    "W1": chain,
    "W2": loop,
    "W3": fan_out,
    "W4": many_runs,
    "W5": waiting,
    "W6": shared_state,
    "W9": durable,
}
