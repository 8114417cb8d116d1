"""SEMANTICS 1, row "nested": child runs, what passes through them, and events from run to run."""

import asyncio
import json
from typing import Any

import pytest

import orchestrator
from orchestrator import (
    Context,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledByUser,
    WorkflowValidationError,
    step,
)
from orchestrator.errors import RunFinished, UnknownRun, WorkflowRuntimeError
from orchestrator.retry import retry_policy, stop_after_attempt, wait_none
from tests.class_api.support import A, B, drain, forward, run, settle, virtual


class Inner(Workflow):
    cancelled = 0

    @step
    async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ctx.write_event_to_stream(A(n=1))
        if ev.get("ask"):
            try:
                answer = await ctx.wait_for_event(HumanResponseEvent, waiter_event=InputRequiredEvent(text="name?"))
            except asyncio.CancelledError:
                Inner.cancelled += 1
                raise
            return StopEvent(result=answer.text)
        if ev.get("fail"):
            raise ValueError("inner")
        return StopEvent(result=f"inner {ev.n}")


class Outer(Workflow):
    @step
    async def go(self, ev: StartEvent, inner: Inner) -> StopEvent:
        result = await inner.run(**ev.dict())
        return StopEvent(result=f"outer({result})")


def outer(**options: Any) -> Outer:
    workflow = Outer(**options)
    workflow.add_workflows(inner=Inner())
    return workflow


def test_a_workflow_is_injected_by_name_or_by_type_and_runs() -> None:
    workflow = Outer()
    workflow.add_workflows(anything=Inner())
    assert workflow.run_sync(n=2) == "outer(inner 2)"
    assert outer().run_sync(n=3) == "outer(inner 3)"


def test_a_missing_workflow_is_told_with_what_to_write() -> None:
    with pytest.raises(WorkflowRuntimeError, match=r"call add_workflows\(inner=Inner\(\)\) on the Outer"):
        Outer().run_sync(n=1)


def test_add_workflows_takes_instances_only() -> None:
    with pytest.raises(WorkflowValidationError, match="takes an instance"):
        Outer().add_workflows(inner=Inner)  # type: ignore[arg-type]


def test_events_of_a_child_are_shown_by_its_parent() -> None:
    async def main() -> list[Any]:
        return await drain(outer().run(n=1))

    assert [type(e) for e in run(main)] == [A, StopEvent]


def test_questions_of_a_child_and_their_answers_pass_through() -> None:
    async def main() -> Any:
        handler = outer().run(ask=True)
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                handler.send_event(HumanResponseEvent(text="Ada"))
        return await handler

    assert run(main) == "outer(Ada)"


def test_cancelling_the_parent_cancels_the_child() -> None:
    async def main() -> None:
        Inner.cancelled = 0
        handler = outer().run(ask=True)
        await settle()
        await handler.cancel_run()
        with pytest.raises(WorkflowCancelledByUser):
            await handler

    run(main)
    assert Inner.cancelled == 1


def test_the_failure_of_a_child_is_raised_where_it_was_awaited() -> None:
    with pytest.raises(ValueError, match="inner"):
        outer().run_sync(fail=True)


def test_the_childs_id_comes_from_its_parent_and_call() -> None:
    ids: list[str] = []

    class Parent(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            for _ in range(2):
                handler = Inner().run(n=1)
                ids.append(handler.run_id)
                await handler
            return StopEvent()

    Parent().run_sync(run_id="p")
    assert ids == ["p.go-2.1", "p.go-2.2"]


def test_a_retried_step_joins_the_child_that_ended_well() -> None:
    class Child(Workflow):
        runs = 0

        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            Child.runs += 1
            return StopEvent(result=Child.runs)

    class Parent(Workflow):
        @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(3)))
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            result = await Child().run()
            if ctx.attempt < 3:
                raise ValueError
            return StopEvent(result=result)

    assert Parent().run_sync() == 1
    assert Child.runs == 1


def test_a_retried_step_starts_a_failed_child_anew() -> None:
    class Child(Workflow):
        runs = 0

        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            Child.runs += 1
            if Child.runs < 3:
                raise ValueError("not yet")
            return StopEvent(result=Child.runs)

    class Parent(Workflow):
        @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(5)))
        async def go(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result=await Child().run())

    assert Parent().run_sync() == 3


def test_waiting_for_a_child_that_waits_for_people_does_not_count_as_work() -> None:
    class Here(Outer):
        @step
        async def go(self, ctx: Context, ev: StartEvent, inner: Inner) -> StopEvent:
            return StopEvent(result=await inner.run(store=ctx._run.engine, **ev.dict()))

    async def same_engine() -> Any:
        engine, clock = virtual()
        workflow = Here(timeout=5)
        workflow.add_workflows(inner=Inner())
        handler = workflow.run(store=engine, ask=True)
        await forward(clock, 1000)
        handler.send_event(HumanResponseEvent(text="x"))
        return await handler

    assert run(same_engine) == "x"


def test_a_snapshot_holds_the_child_runs_too() -> None:
    async def first() -> str:
        handler = outer().run(ask=True)
        await settle()
        data = json.dumps(handler.ctx.to_dict())
        await handler.cancel_run()
        return data

    async def second(data: str) -> Any:
        workflow = outer()
        handler = workflow.run(ctx=Context.from_dict(workflow, json.loads(data)))
        await settle()
        handler.send_event(HumanResponseEvent(text="again"))
        shown = [type(e) for e in await drain(handler)]
        return await handler, shown

    data = run(first)
    result, shown = run(lambda: second(data))
    assert result == "outer(again)"
    assert InputRequiredEvent not in shown


def test_a_child_that_nobody_waits_for_goes_on_by_itself() -> None:
    class Child(Workflow):
        done = False

        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            await settle(5)
            Child.done = True
            return StopEvent()

    class Parent(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            self.child = Child().run()
            return StopEvent(result="first")

    async def main() -> Any:
        parent = Parent()
        result = await parent.run()
        assert not Child.done
        await parent.child
        return result

    assert run(main) == "first"
    assert Child.done


class Listener(Workflow):
    @step
    async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
        event = await ctx.wait_for_event(B)
        return StopEvent(result=event.n)


def test_events_reach_another_live_run_by_its_id() -> None:
    class Sender(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            ctx.send_event(B(n=7), run_id=ev.to)
            return StopEvent()

    async def main() -> Any:
        listener = Listener().run()
        await settle()
        await Sender().run(to=listener.run_id)
        return await listener

    assert run(main) == 7


def test_an_event_to_another_run_is_committed_with_the_step() -> None:
    class Sender(Workflow):
        @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(3)))
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            ctx.send_event(B(n=ctx.attempt), run_id=ev.to)
            if ctx.attempt < 3:
                raise ValueError
            return StopEvent()

    async def main() -> Any:
        listener = Listener().run()
        await Sender().run(to=listener.run_id)
        return await listener

    assert run(main) == 3


def test_sending_to_an_unknown_run_is_told_at_once() -> None:
    class Sender(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            ctx.send_event(B(), run_id="nobody")
            return StopEvent()

    with pytest.raises(UnknownRun, match="'nobody'"):
        Sender().run_sync()


def test_orchestrator_send_reaches_a_run_from_anywhere() -> None:
    async def main() -> Any:
        handler = Listener().run()
        await settle()
        await orchestrator.send(handler.run_id, B(n=3))
        result = await handler
        with pytest.raises((UnknownRun, RunFinished)):
            orchestrator.send(handler.run_id, B())
        return result

    assert run(main) == 3


def test_a_context_of_another_workflow_is_refused_with_the_form_that_works() -> None:
    class Sends(Workflow):
        @step
        async def go(self, ev: StartEvent) -> B | StopEvent:
            return B()

    class Takes(Workflow):
        @step
        async def go(self, ev: StartEvent | B) -> StopEvent:
            return StopEvent()

    async def main() -> None:
        Sends(disable_validation=True).run(ctx=Context(Takes(disable_validation=True)))

    with pytest.raises(WorkflowValidationError) as caught:
        run(main)
    text = str(caught.value)
    assert "got a context of Takes" in text
    assert "`B` does not reach Takes that way" in text
    assert "ctx.send_event(B(...), run_id=handler.run_id)" in text
