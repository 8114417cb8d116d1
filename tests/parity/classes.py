"""The same workflows as classes: steps and events have the names that they have in the flow files."""

from __future__ import annotations

from typing import Annotated

from orchestrator import (
    Collect,
    Context,
    Event,
    HumanResponseEvent,
    StartEvent,
    StepFailedEvent,
    StopEvent,
    Take,
    Workflow,
    catch_error,
    step,
)
from orchestrator.retry import retry_policy, stop_after_attempt
from tests.parity import work


class Doubled(Event):
    n: int


class Raised(Event):
    n: int


class Chain(Workflow):
    @step
    async def double(self, ev: StartEvent) -> Doubled:
        return Doubled(n=work.double(ev.n))

    @step
    async def raise_it(self, ev: Doubled) -> Raised:
        return Raised(n=work.add(ev.n, 1))

    @step
    async def close(self, ev: Raised) -> StopEvent:
        return StopEvent(result=ev.n)


class Small(Event):
    n: int


class Big(Event):
    n: int


class Branch(Workflow):
    @step
    async def measure(self, ev: StartEvent) -> Small | Big:
        return Small(n=ev.n) if ev.n < 10 else Big(n=ev.n)

    @step
    async def grow(self, ev: Small) -> StopEvent:
        return StopEvent(result=work.add(ev.n, 100))

    @step
    async def halve(self, ev: Big) -> StopEvent:
        return StopEvent(result=work.halve(ev.n))


class Tried(Event):
    n: int


class Again(Event):
    n: int


class Loop(Workflow):
    @step
    async def try_it(self, ev: StartEvent | Again) -> Tried:
        return Tried(n=work.double(ev.n))

    @step
    async def judge(self, ev: Tried) -> StopEvent | Again:
        return StopEvent(result=ev.n) if ev.n > 100 else Again(n=ev.n)


class Word(Event):
    text: str


class Shouted(Event):
    text: str


class FanOut(Workflow):
    @step
    async def split(self, ev: StartEvent) -> list[Word]:
        return [Word(text=text) for text in ev.words]

    @step(num_workers=100)
    async def shout(self, ev: Word) -> Shouted:
        return Shouted(text=work.shout(ev.text))

    @step
    async def merge(self, events: list[Shouted]) -> StopEvent:
        return StopEvent(result=" ".join(ev.text for ev in events))


class Left(Event):
    n: int


class Right(Event):
    n: int


class Join(Workflow):
    @step
    async def left(self, ev: StartEvent) -> Left:
        return Left(n=work.double(ev.n))

    @step
    async def right(self, ev: StartEvent) -> Right:
        return Right(n=work.add(ev.n, 5))

    @step
    async def both(self, left: Left, right: Right) -> StopEvent:
        return StopEvent(result=left.n * right.n)


class First(Workflow):
    @step
    async def split(self, ev: StartEvent) -> list[Word]:
        return [Word(text=text) for text in ev.words]

    @step(num_workers=1)
    async def shout(self, ev: Word) -> Shouted:
        return Shouted(text=work.shout(ev.text))

    @step
    async def take(self, events: Annotated[list[Shouted], Collect(Take(2))]) -> StopEvent:
        return StopEvent(result=" ".join(ev.text for ev in events))


class Retry(Workflow):
    def __init__(self) -> None:
        super().__init__()
        self.work = work.Flaky()

    @step(retry_policy=retry_policy(stop=stop_after_attempt(3)))
    async def flaky(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=self.work.flaky(ev.n))


class Fails(Workflow):
    @step
    async def double(self, ev: StartEvent) -> Doubled:
        return Doubled(n=work.double(ev.n))

    @step
    async def burst(self, ev: Doubled) -> StopEvent:
        return StopEvent(result=work.burst(ev.n))


class Counted(Event):
    size: int


class State(Workflow):
    @step
    async def split(self, ctx: Context, ev: StartEvent) -> list[Word]:
        return [Word(text=text) for text in ev.words]

    @step(num_workers=1)
    async def count(self, ctx: Context, ev: Word) -> Counted:
        size = work.size(ev.text)
        await ctx.store.set("count", await ctx.store.get("count", default=0) + size)
        return Counted(size=size)

    @step
    async def sum_up(self, ctx: Context, events: list[Counted]) -> StopEvent:
        return StopEvent(result=await ctx.store.get("count"))


class Approved(HumanResponseEvent):
    by: str


class Wait(Workflow):
    @step
    async def double(self, ev: StartEvent) -> Doubled:
        return Doubled(n=work.double(ev.n))

    @step
    async def approve(self, ctx: Context, ev: Doubled) -> StopEvent:
        answer = await ctx.wait_for_event(Approved)
        return StopEvent(result=f"{ev.n} by {answer.by}")


class Chained(Event):
    n: int


class Nested(Workflow):
    @step
    async def chain(self, ev: StartEvent) -> Chained:
        return Chained(n=await Chain().run(n=ev.n))

    @step
    async def add_ten(self, ev: Chained) -> StopEvent:
        return StopEvent(result=work.add(ev.n, 10))


class Came(Event):
    text: str


class Sized(Event):
    size: int


class Loud(Event):
    text: str


class TwoListeners(Workflow):
    @step
    async def receive(self, ev: StartEvent) -> Came:
        return Came(text=ev.text)

    @step
    async def measure(self, ev: Came) -> Sized:
        return Sized(size=work.size(ev.text))

    @step
    async def shout(self, ev: Came) -> Loud:
        return Loud(text=work.shout(ev.text))

    @step
    async def report(self, sized: Sized, loud: Loud) -> StopEvent:
        return StopEvent(result=f"{loud.text} {sized.size}")


class Spent(Workflow):
    @step(retry_policy=retry_policy(stop=stop_after_attempt(2)))
    async def burst(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=work.burst(ev.n))


class Rescue(Workflow):
    @step
    async def double(self, ev: StartEvent) -> Doubled:
        return Doubled(n=work.double(ev.n))

    @step
    async def burst(self, ev: Doubled) -> StopEvent:
        return StopEvent(result=work.burst(ev.n))

    @catch_error(for_steps=["burst"])
    async def rescue(self, ev: StepFailedEvent) -> StopEvent:
        return StopEvent(result=work.shout(ev.step_name))


class Either(Workflow):
    @step
    async def measure(self, ev: StartEvent) -> Small | Big:
        return Small(n=ev.n) if ev.n < 10 else Big(n=ev.n)

    @step
    async def double(self, ev: Small | Big) -> StopEvent:
        return StopEvent(result=f"{type(ev).__name__} {work.double(ev.n)}")


class Line(Event):
    words: list[str]


class Joined(Event):
    text: str


class NestedFanOut(Workflow):
    @step
    async def split(self, ev: StartEvent) -> list[Line]:
        return [Line(words=words) for words in ev.lines]

    @step
    async def cut(self, ev: Line) -> list[Word]:
        return [Word(text=text) for text in ev.words]

    @step(num_workers=1)
    async def shout(self, ev: Word) -> Shouted:
        return Shouted(text=work.shout(ev.text))

    @step
    async def rejoin(self, events: list[Shouted]) -> Joined:
        return Joined(text=" ".join(ev.text for ev in events))

    @step
    async def merge(self, events: list[Joined]) -> StopEvent:
        return StopEvent(result="; ".join(ev.text for ev in events))
