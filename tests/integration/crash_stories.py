"""Workflow classes and functions whose process is killed: `python -m tests.integration.crash_stories STORY FOLDER start|resume`.

Every body leaves a line in `marks`; with `start` the process stands still at the line that the test waits for.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from orchestrator import (
    Context,
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    load,
    step,
)
from orchestrator.functional import step as functional_step
from orchestrator.functional import workflow

FOLDER = Path(sys.argv[2]) if len(sys.argv) > 3 else Path()
IS_FIRST = sys.argv[-1] == "start"


def mark(text: str) -> None:
    with (FOLDER / "marks").open("a", encoding="utf-8") as file:
        file.write(text + "\n")


async def hang_if_first() -> None:
    if IS_FIRST:
        mark("hangs")
        await asyncio.sleep(60)


class One(Event):
    text: str


class Two(Event):
    text: str


class Chain(Workflow):
    @step
    async def first(self, ctx: Context, ev: StartEvent) -> One:
        mark("first")
        await ctx.store.set("seen", [ev.text])
        return One(text=ev.text + "1")

    @step
    async def second(self, ctx: Context, ev: One) -> Two:
        mark("second")
        await hang_if_first()
        await ctx.store.append("seen", ev.text)
        return Two(text=ev.text + "2")

    @step
    async def third(self, ctx: Context, ev: Two) -> StopEvent:
        mark("third")
        return StopEvent(result=[ev.text, await ctx.store.get("seen")])


class Part(Event):
    n: int


class Done(Event):
    n: int


class Fan(Workflow):
    @step
    async def split(self, ev: StartEvent) -> list[Part]:
        mark("split")
        return [Part(n=n) for n in range(6)]

    @step(num_workers=1)
    async def work(self, ev: Part) -> Done:
        mark(f"work {ev.n}")
        if ev.n == 3:
            await hang_if_first()
        return Done(n=ev.n * 10)

    @step
    async def join(self, events: list[Done]) -> StopEvent:
        return StopEvent(result=[ev.n for ev in events])


class Ask(InputRequiredEvent):
    about: str


class Reply(HumanResponseEvent):
    text: str


class Waits(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        mark("ask")
        before = await ctx.store.get("count", 0)
        await ctx.store.set("count", before + 1)
        reply = await ctx.wait_for_event(Reply, waiter_event=Ask(about="tea"), requirements={"about": "tea"})
        mark("answered")
        return StopEvent(result=[before, await ctx.store.get("count"), reply.text])


class Inner(Workflow):
    @step
    async def work(self, ctx: Context, ev: StartEvent) -> StopEvent:
        mark("inner")
        reply = await ctx.wait_for_event(Reply, waiter_event=Ask(about="inner"))
        return StopEvent(result=reply.text)


class Outer(Workflow):
    @step
    async def before(self, ev: StartEvent) -> One:
        mark("before")
        return One(text="x")

    @step
    async def call(self, ev: One, inner: Inner) -> StopEvent:
        mark("call")
        return StopEvent(result=[ev.text, await inner.run()])


FLOW = """
flow: inner
inputs: {text: str}
outputs: {text: str}
steps:
  first: {on: Start, call: my.first, with: {text: "${{ inputs.text }}"}}
  second:
    on: first
    call: my.second
    with: {text: "${{ ev.result }}"}
    emit: {event: Stop, with: {text: "${{ result }}"}}
"""


def first(text: str) -> str:
    mark("flow first")
    return text + "1"


async def second(text: str) -> str:
    mark("flow second")
    await hang_if_first()
    return text + "2"


@functional_step
async def count(text: str) -> int:
    mark("count")
    return len(text)


@workflow
async def around(text: str) -> list[Any]:
    mark("around")
    size = await count(text)
    file = FOLDER / "inner.flow.yaml"
    file.write_text(FLOW, "utf-8")
    flow = load(file, steps={"my.first": first, "my.second": second})
    return [size, (await flow.run(text=text))["text"]]


async def run_function(store: str) -> None:
    message = ("a",) if IS_FIRST else ()
    result = await around.run(*message, run_id="r", store=store)
    print(result.get_outputs(), flush=True)


def make(story: str) -> Workflow:
    made: Workflow = {"chain": Chain, "fan": Fan, "waits": Waits, "outer": Outer}[story](timeout=None)
    if story == "outer":
        made.add_workflows(inner=Inner())
    return made


async def main() -> None:
    store = f"sqlite:///{FOLDER}/runs.db"
    if sys.argv[1] == "function":
        await run_function(store)
        return
    made = make(sys.argv[1])
    if IS_FIRST:
        handler = made.run(run_id="r", store=store, text="a")
    else:
        handler = made.resume("r", store=store)
    shown: list[Any] = []

    async def watch() -> None:
        async for event in handler.stream_events():
            shown.append(type(event).__name__)
            if isinstance(event, Ask):
                mark("asked")
                if not IS_FIRST and not handler.is_done():
                    await handler.send_event(Reply(text="yes", about="tea"))

    watching = asyncio.create_task(watch())
    print(await handler, flush=True)
    await watching
    print(shown, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
