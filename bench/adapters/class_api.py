"""Workloads in the class API: one source text for `orchestrator` and for llama-index-workflows.

`bench_api` holds the names of whichever of the two the adapter has put there before importing this module, and
`in_order`, which sorts a join's events where the engine does not promise the order of emission.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench_api import (
    Context,
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    in_order,
    step,
)
from workloads import CHAIN, KEYS, digest, mix, work_on

Mark = Callable[[str], None]
Run = Callable[[Mark], Awaitable[int]]
Body = Callable[..., Awaitable[Any]]


class Hop(Event):
    i: int
    acc: int


class Ping(Hop):
    n: int


class Pong(Hop):
    n: int


class Item(Event):
    i: int


class Done(Event):
    i: int
    value: int


class Turn(Event):
    i: int


class Begin(StartEvent):
    n: int


class First(StartEvent):
    acc: int


def annotated(body: Body, name: str, takes: type, gives: type) -> Body:
    """Give a generated step the name and types that a hand-written one would have."""
    body.__name__ = name
    body.__qualname__ = f"Chain.{name}"  # a method's; without the class it would count as a free function
    body.__annotations__ = {"ev": takes, "return": gives}
    return body


def chain_class(n: int, pause: bool = False) -> type[Workflow]:
    """A workflow of n distinct steps, each with an event class of its own."""
    kinds = [First, *(type(f"Hop{i}", (Hop,), {"__module__": __name__}) for i in range(1, n)), StopEvent]

    def make(i: int, gives: type) -> Body:
        async def hop(self: Workflow, ev: Any) -> Any:
            if pause:
                await asyncio.sleep(0)
            return gives(i=i, acc=mix(ev.acc, i))

        async def last(self: Workflow, ev: Any) -> Any:
            if pause:
                await asyncio.sleep(0)
            return StopEvent(result=mix(ev.acc, i))

        return last if i == n - 1 else hop

    steps = {f"step_{i}": step(annotated(make(i, kinds[i + 1]), f"step_{i}", kinds[i], kinds[i + 1])) for i in range(n)}
    return type("Chain", (Workflow,), {"__module__": __name__, **steps})


def chain(n: int, directory: Path) -> Run:
    workflow = chain_class(n)(timeout=None)

    async def run(mark: Mark) -> int:
        return await workflow.run(start_event=First(acc=0))

    return run


class Loop(Workflow):
    @step
    async def start(self, ev: Begin) -> Ping:
        return Ping(i=1, acc=mix(0, 0), n=ev.n)

    @step
    async def ping(self, ev: Ping) -> Pong | StopEvent:
        if ev.i + 1 == ev.n:
            return StopEvent(result=mix(ev.acc, ev.i))
        return Pong(i=ev.i + 1, acc=mix(ev.acc, ev.i), n=ev.n)

    @step
    async def pong(self, ev: Pong) -> Ping | StopEvent:
        if ev.i + 1 == ev.n:
            return StopEvent(result=mix(ev.acc, ev.i))
        return Ping(i=ev.i + 1, acc=mix(ev.acc, ev.i), n=ev.n)


def loop(n: int, directory: Path) -> Run:
    workflow = Loop(timeout=None)

    async def run(mark: Mark) -> int:
        return await workflow.run(start_event=Begin(n=n))

    return run


def fan_out(n: int, directory: Path) -> Run:
    """Fan-out and join by type: a list of events out, a list of events in."""

    class FanOut(Workflow):
        @step
        async def split(self, ev: Begin) -> list[Item]:
            return [Item(i=i) for i in range(ev.n)]

        @step(num_workers=n)
        async def work(self, ev: Item) -> Done:
            return Done(i=ev.i, value=await work_on(ev.i))

        @step
        async def join(self, events: list[Done]) -> StopEvent:
            return StopEvent(result=digest(d.value for d in in_order(events)))

    workflow = FanOut(timeout=None)

    async def run(mark: Mark) -> int:
        return await workflow.run(start_event=Begin(n=n))

    return run


def fan_out_collect(n: int, directory: Path) -> Run:
    """The same with `send_event` and `collect_events`, as in the older examples."""
    expected = [Done] * n

    class FanOut(Workflow):
        @step
        async def split(self, ctx: Context, ev: Begin) -> Item | None:
            for i in range(ev.n):
                ctx.send_event(Item(i=i))
            return None

        @step(num_workers=n)
        async def work(self, ev: Item) -> Done:
            return Done(i=ev.i, value=await work_on(ev.i))

        @step
        async def join(self, ctx: Context, ev: Done) -> StopEvent | None:
            found = ctx.collect_events(ev, expected)
            return None if found is None else StopEvent(result=digest(d.value for d in in_order(found)))

    workflow = FanOut(timeout=None)

    async def run(mark: Mark) -> int:
        return await workflow.run(start_event=Begin(n=n))

    return run


def many_runs(n: int, directory: Path) -> Run:
    workflow = chain_class(CHAIN, pause=True)(timeout=None)

    async def run(mark: Mark) -> int:
        handlers = [workflow.run(start_event=First(acc=r)) for r in range(n)]
        return digest([await handler for handler in handlers])

    return run


class Ask(InputRequiredEvent):
    r: int


class Answer(HumanResponseEvent):
    r: int
    value: int


ASKED = [0]


class Approval(Workflow):
    @step
    async def ask(self, ev: Begin) -> Ask:
        ASKED[0] += 1
        return Ask(r=ev.n)

    @step
    async def answered(self, ev: Answer) -> StopEvent:
        return StopEvent(result=mix(ev.r, ev.value))


def waiting(n: int, directory: Path) -> Run:
    workflow = Approval(timeout=None)

    async def run(mark: Mark) -> int:
        ASKED[0] = 0
        handlers = [workflow.run(start_event=Begin(n=r)) for r in range(n)]
        while ASKED[0] < n:  # noqa: ASYNC110
            await asyncio.sleep(0)
        for _ in range(20):  # whatever an engine still has to do before it rests
            await asyncio.sleep(0)
        mark("park")
        for r, handler in enumerate(handlers):
            handler.ctx.send_event(Answer(r=r, value=7))
        return digest([await handler for handler in handlers])

    return run


class SharedState(Workflow):
    @step
    async def start(self, ctx: Context, ev: Begin) -> Turn:
        async with ctx.store.edit_state() as state:
            for key in KEYS:
                state[key] = 0
        return Turn(i=0, n=ev.n)

    @step
    async def turn(self, ctx: Context, ev: Turn) -> Turn | StopEvent:
        async with ctx.store.edit_state() as state:
            for k, key in enumerate(KEYS):
                state[key] = mix(state[key], ev.i + k)
            if ev.i + 1 == ev.n:
                return StopEvent(result=digest([state[key] for key in KEYS]))
        return Turn(i=ev.i + 1, n=ev.n)


def shared_state(n: int, directory: Path) -> Run:
    workflow = SharedState(timeout=None)

    async def run(mark: Mark) -> int:
        return await workflow.run(start_event=Begin(n=n))

    return run


class Stream(Workflow):
    @step
    async def write(self, ctx: Context, ev: Begin) -> StopEvent:
        for i in range(ev.n):
            ctx.write_event_to_stream(Item(i=i))
            if i % 100 == 99:
                await asyncio.sleep(0)
        return StopEvent(result=None)


def stream(n: int, directory: Path) -> Run:
    workflow = Stream(timeout=None)

    async def run(mark: Mark) -> int:
        handler = workflow.run(start_event=Begin(n=n))
        acc = 0
        async for ev in handler.stream_events():
            if type(ev) is Item:
                acc = mix(acc, ev.i)
        await handler
        return acc

    return run


WORKLOADS = {
    "W1": chain,
    "W2": loop,
    "W3": fan_out,
    "W3C": fan_out_collect,
    "W4": many_runs,
    "W5": waiting,
    "W6": shared_state,
    "W7": stream,
}
