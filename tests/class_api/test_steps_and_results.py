"""SEMANTICS 1, rows "steps" and "results"; traps 1 (result unwrapping) and 2 (exact-type routing)."""

import asyncio
from typing import Any

import pytest

from orchestrator import (
    Context,
    Event,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowValidationError,
    step,
)
from tests.class_api.support import A, B, C, drain, run, settle


def test_free_functions_sync_and_async_are_steps() -> None:
    class Free(Workflow):
        pass

    @step(workflow=Free)
    def first(ev: StartEvent) -> A:
        return A(n=ev.n)

    @step(workflow=Free)
    async def second(ev: A) -> StopEvent:
        return StopEvent(result=ev.n + 1)

    assert Free().run_sync(n=1) == 2


def test_free_steps_of_a_class_are_inherited_and_do_not_leak_to_siblings() -> None:
    class Base(Workflow):
        pass

    class Child(Base):
        pass

    class Sibling(Workflow):
        pass

    @step(workflow=Base)
    async def only(ev: StartEvent) -> StopEvent:
        return StopEvent(result="base")

    assert Child().run_sync() == "base"
    with pytest.raises(WorkflowValidationError):
        Sibling()


def test_a_free_step_added_later_is_part_of_the_next_run() -> None:
    class Grows(Workflow):
        @step
        async def go(self, ev: StartEvent) -> A | StopEvent:
            return A()

    @step(workflow=Grows)
    async def late(ev: A) -> StopEvent:
        return StopEvent(result="late")

    assert Grows().run_sync() == "late"


def test_two_free_steps_of_one_name_are_refused() -> None:
    class Twice(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            return StopEvent()

    with pytest.raises(WorkflowValidationError, match="already has a step of this name"):

        @step(workflow=Twice)
        async def go(ev: StartEvent) -> StopEvent:
            return StopEvent()


def test_union_inputs_take_each_of_their_events() -> None:
    class Union(Workflow):
        @step
        async def go(self, ev: StartEvent | A) -> A | StopEvent:
            return A() if isinstance(ev, StartEvent) else StopEvent(result="loop")

    assert Union().run_sync() == "loop"


def test_an_event_goes_to_every_step_that_takes_it() -> None:
    seen: list[str] = []

    class Fan(Workflow):
        @step
        async def go(self, ev: StartEvent) -> A:
            return A()

        @step
        async def one(self, ev: A) -> B:
            seen.append("one")
            return B()

        @step
        async def two(self, ev: A) -> C:
            seen.append("two")
            return C()

        @step
        async def join(self, b: B, c: C) -> StopEvent:
            return StopEvent(result=sorted(seen))

    assert Fan().run_sync() == ["one", "two"]


class Special(A):
    pass


def test_subclasses_are_taken_only_by_opt_in() -> None:
    class Opt(Workflow):
        @step
        async def go(self, ev: StartEvent) -> Special:
            return Special(n=3)

        @step(accept_event_subclasses=True)
        async def takes(self, ev: A) -> StopEvent:
            return StopEvent(result=(type(ev).__name__, ev.n))

    assert Opt().run_sync() == ("Special", 3)


def test_without_opt_in_a_subclass_reaches_no_step() -> None:
    class Exact(Workflow):
        @step
        async def go(self, ev: StartEvent) -> Special:
            return Special()

        @step
        async def takes(self, ev: A) -> StopEvent:
            return StopEvent()

    with pytest.raises(WorkflowValidationError, match="`Special`, but no step"):
        Exact().run_sync()


def test_a_returned_subclass_that_no_signature_names_reaches_a_step_that_takes_subclasses() -> None:
    class Dynamic(Workflow):
        @step
        async def go(self, ev: StartEvent) -> A:
            class Local(A):
                pass

            return Local(n=9)

        @step(accept_event_subclasses=True)
        async def takes(self, ev: A) -> StopEvent:
            return StopEvent(result=ev.n)

    assert Dynamic().run_sync() == 9


def test_num_workers_bounds_what_runs_at_once_in_one_run() -> None:
    class Busy(Workflow):
        active = peak = 0

        @step
        async def go(self, ev: StartEvent) -> list[A]:
            return [A(n=n) for n in range(10)]

        @step(num_workers=3)
        async def work(self, ev: A) -> B:
            Busy.active += 1
            Busy.peak = max(Busy.peak, Busy.active)
            await asyncio.sleep(0)
            Busy.active -= 1
            return B(n=ev.n)

        @step
        async def join(self, events: list[B]) -> StopEvent:
            return StopEvent(result=len(events))

    assert Busy().run_sync() == 10
    assert Busy.peak == 3


def test_steps_take_turns_in_order_of_arrival() -> None:
    order: list[int] = []

    class Turns(Workflow):
        @step
        async def go(self, ev: StartEvent) -> list[A]:
            return [A(n=n) for n in range(5)]

        @step(num_workers=1)
        async def work(self, ev: A) -> B:
            order.append(ev.n)
            await asyncio.sleep(0)
            return B(n=ev.n)

        @step
        async def join(self, events: list[B]) -> StopEvent:
            return StopEvent()

    Turns().run_sync()
    assert order == [0, 1, 2, 3, 4]


def test_the_result_of_a_plain_stop_event_is_its_result_field() -> None:
    class Plain(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result={"a": 1})

    assert Plain().run_sync() == {"a": 1}


class Report(StopEvent):
    text: str


def test_the_result_of_a_stop_subclass_is_the_event_itself() -> None:
    class Sub(Workflow):
        @step
        async def go(self, ev: StartEvent) -> Report:
            return Report(text="x")

    result = Sub().run_sync()
    assert isinstance(result, Report)
    assert (result.text, result.result) == ("x", None)


def test_a_stop_subclass_may_decide_about_its_result() -> None:
    class Short(StopEvent):
        text: str

        def _get_result(self) -> Any:
            return self.text

    class Sub(Workflow):
        @step
        async def go(self, ev: StartEvent) -> Short:
            return Short(text="x")

    assert Sub().run_sync() == "x"


def test_the_stop_event_is_the_last_streamed() -> None:
    class Talks(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            ctx.write_event_to_stream(A(n=1))
            ctx.send_event(InputRequiredEvent())
            return StopEvent(result=1)

    async def main() -> list[Any]:
        return await drain(Talks().run())

    assert [type(e) for e in run(main)] == [A, InputRequiredEvent, StopEvent]


def test_the_first_stop_wins_and_cancels_the_rest() -> None:
    cancelled: list[str] = []

    class Race(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A | B:
            ctx.send_event(A())
            return B()

        @step
        async def quick(self, ev: A) -> StopEvent:
            await settle(2)
            return StopEvent(result="quick")

        @step
        async def slow(self, ev: B) -> StopEvent:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append("slow")
                raise
            return StopEvent(result="slow")

    async def main() -> Any:
        return await Race().run()

    assert run(main) == "quick"
    assert cancelled == ["slow"]


def test_events_of_one_name_from_two_places_are_told_apart() -> None:
    def make(value: int) -> type[Event]:
        class Same(Event):
            n: int = value

        return Same

    one, two = make(1), make(2)

    class Twins(Workflow):
        @step
        async def go(self, ev: StartEvent) -> one:  # type: ignore[valid-type]
            return one()

        @step
        async def next(self, ev: one) -> two:  # type: ignore[valid-type]
            return two()

        @step
        async def end(self, ev: two) -> StopEvent:  # type: ignore[valid-type]
            return StopEvent(result=ev.n)  # type: ignore[attr-defined]

    assert Twins().run_sync() == 2
