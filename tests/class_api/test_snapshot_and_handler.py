"""SEMANTICS 1, rows "snapshot" and "handler"; trap 6 (a cancelled run leaves a context that can be resumed)."""

import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator import (
    Context,
    ContextSerdeError,
    ContextStateError,
    JsonSerializer,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledByUser,
    WorkflowCancelledEvent,
    WorkflowTimedOutEvent,
    WorkflowTimeoutError,
    step,
)
from orchestrator.errors import RunFinished
from orchestrator.events import StepState, StepStateChanged
from tests.class_api.support import A, B, drain, forward, run, settle, virtual


class Gate:
    """Opens when told: steps of one test wait at it."""

    def __init__(self) -> None:
        self.opened = False

    async def wait(self) -> None:
        while not self.opened:
            await asyncio.sleep(0.001)


class Long(Workflow):
    started: list[int] = []
    gate = Gate()

    @step
    async def go(self, ctx: Context, ev: StartEvent) -> list[A]:
        await ctx.store.set("begun", True)
        return [A(n=n) for n in range(6)]

    @step(num_workers=2)
    async def work(self, ctx: Context, ev: A) -> B:
        Long.started.append(ev.n)
        if ev.n >= 2:
            await Long.gate.wait()
        return B(n=ev.n)

    @step
    async def join(self, ctx: Context, events: list[B]) -> StopEvent:
        return StopEvent(result=(await ctx.store.get("begun"), [e.n for e in events]))


def test_work_in_flight_is_queued_again_after_a_snapshot() -> None:
    async def first() -> str:
        Long.gate = Gate()
        handler = Long().run()
        await settle()
        data = json.dumps(handler.ctx.to_dict(serializer=JsonSerializer()))
        await handler.cancel_run()
        return data

    async def second(data: str) -> Any:
        Long.gate.opened = True
        workflow = Long()
        return await workflow.run(ctx=Context.from_dict(workflow, json.loads(data)))

    Long.started.clear()
    data = run(first)
    assert Long.started == [0, 1, 2, 3]
    assert run(lambda: second(data)) == (True, [0, 1, 2, 3, 4, 5])
    assert sorted(Long.started[4:]) == [2, 3, 4, 5]


def test_a_snapshot_is_plain_versioned_json() -> None:
    async def main() -> dict[str, Any]:
        Long.gate = Gate()
        handler = Long().run()
        await settle()
        data = handler.ctx.to_dict()
        await handler.cancel_run()
        return data

    data = run(main)
    assert json.loads(json.dumps(data)) == data
    assert (data["version"], data["workflow"], data["is_running"]) == (1, "Long", True)


def test_a_context_that_never_ran_can_be_saved() -> None:
    async def main() -> Any:
        workflow = Long()
        ctx: Context[Any] = Context(workflow)
        await ctx.store.set("x", {"when": datetime(2026, 1, 2, tzinfo=UTC), "price": Decimal("1.5"), "t": (1, {2})})
        again: Context[Any] = Context.from_dict(workflow, json.loads(json.dumps(ctx.to_dict())))
        return await again.store.get("x")

    assert run(main) == {"when": datetime(2026, 1, 2, tzinfo=UTC), "price": Decimal("1.5"), "t": (1, {2})}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "no `version`"),
        ({"version": 99, "workflow": "Long"}, "format 99"),
        ({"version": 1, "workflow": "Other"}, "by workflow 'Other'"),
        ({"version": 1, "workflow": "Long", "run": {"id": "x"}}, "another shape"),
        (
            {"version": 1, "workflow": "Long", "state": {"a": {"$model": "Evil", "of": {}}}},
            "'Evil', a class that is not declared",
        ),
    ],
)
def test_a_snapshot_that_does_not_fit_is_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ContextSerdeError, match=message):
        Context.from_dict(Long(), data)


class Secret:
    pass


class Doc(BaseModel):
    title: str


def test_what_cannot_be_json_is_named_with_step_and_path() -> None:
    class Keeps(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            await ctx.store.set("a", {"b": [Secret()]})
            return StopEvent()

    async def main() -> None:
        handler = Keeps().run()
        await handler
        with pytest.raises(ContextSerdeError, match=r"state `a`.b\[0\] is a .*Secret"):
            handler.ctx.to_dict()

    run(main)


def test_more_classes_can_be_allowed() -> None:
    class Keeps(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            await ctx.store.set("doc", Doc(title="t"))
            return StopEvent()

    async def main() -> Any:
        workflow = Keeps()
        handler = workflow.run()
        await handler
        serializer = JsonSerializer(allowed_types=[Doc])
        with pytest.raises(ContextSerdeError, match="Doc"):
            handler.ctx.to_dict()
        data = handler.ctx.to_dict(serializer)
        return await Context.from_dict(workflow, data, serializer).store.get("doc")

    assert run(main) == Doc(title="t")


def test_a_handler_can_be_awaited_again_and_again() -> None:
    class Quick(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result=[1])

    async def main() -> Any:
        handler = Quick().run()
        results = [await handler, await handler, *await asyncio.gather(handler._result(), handler._result())]
        assert handler.is_done()
        assert handler.result() == [1]
        assert handler.exception() is None
        assert handler.stop_event_result() == [1]
        return results

    assert run(main) == [[1]] * 4


class Ticks(Workflow):
    @step
    async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
        for n in range(5):
            ctx.write_event_to_stream(A(n=n))
            await asyncio.sleep(0)
        return StopEvent(result="end")


def test_any_number_of_readers_see_everything_from_the_start() -> None:
    async def main() -> list[list[Any]]:
        handler = Ticks().run()
        early = [asyncio.ensure_future(drain(handler)) for _ in range(3)]
        await handler
        late = await drain(handler)
        return [*[await task for task in early], late]

    streams = run(main)
    assert len(streams) == 4
    assert all([getattr(e, "n", None) for e in s] == [0, 1, 2, 3, 4, None] for s in streams)


def test_a_reader_may_begin_after_any_number() -> None:
    async def main() -> list[Any]:
        handler = Ticks().run()
        await handler
        return await drain(handler, after=2)

    assert [getattr(e, "n", "stop") for e in run(main)] == [3, 4, "stop"]


def test_a_slow_reader_loses_nothing_of_a_fast_writer() -> None:
    class Fast(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            for n in range(5000):
                ctx.write_event_to_stream(A(n=n))
            return StopEvent()

    async def main() -> list[int]:
        seen = []
        async for event in Fast().run().stream_events():
            if isinstance(event, A):
                seen.append(event.n)
                if event.n % 1000 == 0:
                    await asyncio.sleep(0.001)
        return seen

    assert run(main) == list(range(5000))


def test_internal_events_are_shown_on_request() -> None:
    async def main() -> list[Any]:
        return await drain(Ticks().run(), expose_internal=True)

    states = [(e.name, e.step_state) for e in run(main) if isinstance(e, StepStateChanged)]
    assert states == [("go", StepState.PREPARING), ("go", StepState.RUNNING), ("go", StepState.NOT_RUNNING)]


class Hangs(Workflow):
    cleaned: list[str] = []

    @step
    async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.store.set("n", 1)
        await ctx.flush()
        try:
            await asyncio.sleep(3600)
        finally:
            Hangs.cleaned.append("go")
        return StopEvent()


def test_cancelling_streams_an_event_raises_from_await_and_leaves_nothing_running() -> None:
    async def main() -> list[Any]:
        handler = Hangs().run()
        await settle()
        await handler.cancel_run()
        shown = await drain(handler)
        with pytest.raises(WorkflowCancelledByUser):
            await handler
        assert handler.cancelled()
        assert handler.is_done()
        return shown

    Hangs.cleaned.clear()
    assert [type(e) for e in run(main)] == [WorkflowCancelledEvent]
    assert Hangs.cleaned == ["go"]


def test_a_cancelled_context_is_resumed_without_a_new_start_event() -> None:
    class Stops(Workflow):
        bodies = 0

        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            Stops.bodies += 1
            if Stops.bodies == 1:
                await asyncio.sleep(3600)
            return StopEvent(result=ev.text)

    async def main() -> Any:
        workflow = Stops()
        handler = workflow.run(text="first")
        await settle()
        await handler.cancel_run()
        assert handler.ctx.is_running
        return await workflow.run(ctx=handler.ctx, text="ignored")

    assert run(main) == "first"


def test_a_timed_out_run_streams_it_and_names_the_steps_that_worked() -> None:
    async def main() -> list[Any]:
        engine, clock = virtual()
        handler = Hangs(timeout=10).run(store=engine)
        await forward(clock, 11)
        with pytest.raises(
            WorkflowTimeoutError, match=r"Operation timed out after 10.0 seconds. Currently active steps: go"
        ):
            await handler
        assert not handler.ctx.is_running
        return await drain(handler)

    (event,) = run(main)
    assert isinstance(event, WorkflowTimedOutEvent)
    assert (event.timeout, event.active_steps) == (10.0, ["go"])


def test_a_spent_timeout_is_remembered_over_a_snapshot() -> None:
    async def main() -> Any:
        engine, clock = virtual()
        workflow = Hangs(timeout=10)
        handler = workflow.run(store=engine)
        await forward(clock, 8)
        data = handler.ctx.to_dict()
        await handler.cancel_run()
        again = workflow.run(ctx=Context.from_dict(workflow, data), store=engine)
        await forward(clock, 3)
        with pytest.raises(WorkflowTimeoutError):
            await again

    run(main)


def test_an_event_for_a_run_that_has_ended_is_refused() -> None:
    async def main() -> None:
        handler = Ticks().run()
        await handler
        with pytest.raises(RunFinished, match="has ended"):
            handler.send_event(A())

    run(main)


def test_the_wrong_face_of_a_context_says_where_its_members_belong() -> None:
    class Inside(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            with pytest.raises(ContextStateError, match="handler.ctx"):
                ctx.to_dict()
            with pytest.raises(ContextStateError, match="handler"):
                ctx.stream_events()
            return StopEvent()

    async def main() -> None:
        ctx: Context[Any] = Context(Inside())
        with pytest.raises(ContextStateError, match="only inside a step"):
            ctx.collect_events(A(), [A])
        with pytest.raises(ContextStateError, match="needs a run"):
            ctx.send_event(A())
        await Inside().run()

    run(main)


def test_the_ambient_context_is_found_inside_a_step_and_nowhere_else() -> None:
    class Ambient(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            ctx = Context.get_step_context()
            await ctx.store.set("x", 1)
            return StopEvent(result=ctx.run_id)

    async def main() -> Any:
        with pytest.raises(ContextStateError):
            Context.get_step_context()
        handler = Ambient().run()
        return await handler == handler.run_id and await handler.ctx.store.get("x")

    assert run(main) == 1
