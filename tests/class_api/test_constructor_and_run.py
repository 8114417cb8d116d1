"""SEMANTICS 1, rows "constructor" and "run"."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator import (
    Context,
    ContextStateError,
    Event,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowConfigurationError,
    WorkflowRuntimeError,
    WorkflowValidationError,
    step,
)
from orchestrator.errors import UsageError
from tests.class_api.support import A, drain, run, settle


class Echo(Workflow):
    @step
    async def echo(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=ev.get("text"))


class Topic(StartEvent):
    topic: str


class Typed(Workflow):
    @step
    async def go(self, ev: Topic) -> StopEvent:
        return StopEvent(result=ev.topic)


def test_a_workflow_has_45_seconds_by_default() -> None:
    assert Echo()._timeout == 45.0


def test_a_class_without_start_event_cannot_be_made_and_says_where_it_is() -> None:
    class NoStart(Workflow):
        @step
        async def go(self, ev: A) -> StopEvent:
            return StopEvent()

    with pytest.raises(
        WorkflowConfigurationError, match=r"test_constructor_and_run.py:\d+: workflow NoStart cannot begin"
    ):
        NoStart()


def test_a_class_without_stop_event_cannot_be_made() -> None:
    class NoStop(Workflow):
        @step
        async def go(self, ev: StartEvent) -> None:
            return None

    with pytest.raises(WorkflowConfigurationError, match="NoStop cannot end: no step returns a StopEvent"):
        NoStop()


def test_two_start_classes_are_refused_at_construction_even_without_validation() -> None:
    class TwoStarts(Workflow):
        @step
        async def one(self, ev: StartEvent) -> StopEvent:
            return StopEvent()

        @step
        async def two(self, ev: Topic) -> StopEvent:
            return StopEvent()

    with pytest.raises(WorkflowConfigurationError, match=r"2 start events \(StartEvent, Topic\)"):
        TwoStarts(disable_validation=True)


def test_two_stop_classes_are_refused() -> None:
    class Other(StopEvent):
        pass

    class TwoStops(Workflow):
        @step
        async def one(self, ev: StartEvent) -> StopEvent | Other:
            return StopEvent()

    with pytest.raises(WorkflowConfigurationError, match="2 stop events"):
        TwoStops()


@pytest.mark.parametrize("bad", [0, -1, True, 1.5, "2"])
def test_num_concurrent_runs_must_be_a_positive_whole_number(bad: Any) -> None:
    with pytest.raises(WorkflowValidationError, match="num_concurrent_runs"):
        Echo(num_concurrent_runs=bad)


def test_an_unknown_graph_check_is_refused() -> None:
    with pytest.raises(WorkflowValidationError, match="skip_graph_checks"):
        Echo(skip_graph_checks=["nonsense"])


def test_graph_errors_come_at_the_first_run_all_at_once_with_their_places() -> None:
    class Wrong(Workflow):
        @step
        async def go(self, ev: StartEvent) -> A | StopEvent:
            return A()

        @step
        async def never(self, ev: Event) -> StopEvent:
            return StopEvent()

    async def main() -> None:
        Wrong().run()

    with pytest.raises(WorkflowValidationError) as caught:
        run(main)
    text = str(caught.value)
    assert "returns `A`, but no step" in text
    assert "`Event`, which no step returns" in text
    assert text.count("test_constructor_and_run.py:") == 2
    assert len(caught.value.diagnostics) == 2


def test_validation_can_be_switched_off() -> None:
    class Loose(Workflow):
        @step
        async def go(self, ev: StartEvent) -> A | StopEvent:
            return StopEvent(result=1)

    assert Loose(disable_validation=True).run_sync() == 1


def test_validate_tells_whether_somebody_outside_is_asked() -> None:
    from orchestrator import HumanResponseEvent, InputRequiredEvent

    class Asks(Workflow):
        @step
        async def ask(self, ev: StartEvent) -> InputRequiredEvent:
            return InputRequiredEvent()

        @step
        async def got(self, ev: HumanResponseEvent) -> StopEvent:
            return StopEvent()

    assert Asks().validate() is True
    assert Echo().validate() is False


def test_run_gives_a_handler_at_once() -> None:
    async def main() -> Any:
        handler = Echo().run(text="hi")
        assert not handler.is_done()
        assert handler.run_id
        return await handler

    assert run(main) == "hi"


def test_run_needs_a_loop_and_says_what_to_do_without_one() -> None:
    with pytest.raises(UsageError, match="run_sync"):
        Echo().run()


def test_run_sync_inside_a_loop_says_what_to_do() -> None:
    async def main() -> None:
        Echo().run_sync()

    with pytest.raises(UsageError, match="await"):
        asyncio.run(main())


def test_keyword_arguments_build_the_start_event_and_are_checked() -> None:
    assert Typed().run_sync(topic="tea") == "tea"
    with pytest.raises(WorkflowRuntimeError, match="do not make a Topic"):
        Typed().run_sync()


def test_a_start_event_of_another_kind_is_refused() -> None:
    async def wrong(event: Any) -> None:
        await Typed().run(start_event=event)

    with pytest.raises(ValueError, match="must be an instance of StartEvent"):
        asyncio.run(wrong(A()))
    with pytest.raises(WorkflowRuntimeError, match="starts with a Topic"):
        asyncio.run(wrong(StartEvent()))


def test_arguments_beside_a_start_event_are_ignored_with_a_warning() -> None:
    async def main() -> Any:
        with pytest.warns(UserWarning, match="ignores the other arguments"):
            return await Typed().run(start_event=Topic(topic="a"), topic="b")

    assert run(main) == "a"


def test_a_finished_context_starts_again_with_its_state() -> None:
    class Counts(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            count = await ctx.store.get("n", 0) + 1
            await ctx.store.set("n", count)
            return StopEvent(result=count)

    async def main() -> list[int]:
        workflow = Counts()
        ctx: Context[Any] = Context(workflow)
        return [await workflow.run(ctx=ctx), await workflow.run(ctx=ctx), await workflow.run()]

    assert run(main) == [1, 2, 1]


def test_a_context_whose_run_is_under_way_is_refused() -> None:
    async def main() -> None:
        workflow = Echo()
        ctx: Context[Any] = Context(workflow)
        handler = workflow.run(ctx=ctx)
        with pytest.raises(ContextStateError, match="is under way"):
            workflow.run(ctx=ctx)
        await handler

    run(main)


def test_only_so_many_runs_at_a_time_and_the_rest_in_order() -> None:
    order: list[int] = []

    class Slow(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            order.append(ev.n)
            await settle(3)
            order.append(-ev.n)
            return StopEvent(result=ev.n)

    async def main() -> list[int]:
        workflow = Slow(num_concurrent_runs=1)
        handlers = [workflow.run(n=n) for n in (1, 2, 3)]
        assert handlers[1].run_id == ""
        assert handlers[2].is_running()
        streamed = await drain(handlers[2])
        assert [type(e) for e in streamed] == [StopEvent]
        return [await handler for handler in handlers]

    assert run(main) == [1, 2, 3]
    assert order == [1, -1, 2, -2, 3, -3]


def test_a_run_that_waits_for_its_turn_can_be_cancelled() -> None:
    from orchestrator import WorkflowCancelledByUser

    async def main() -> None:
        workflow = Echo(num_concurrent_runs=1)
        first, second = workflow.run(text=1), workflow.run(text=2)
        await second.cancel_run()
        with pytest.raises(WorkflowCancelledByUser):
            await second
        assert await first == 1

    run(main)


def test_a_constructor_that_forgets_super_is_told() -> None:
    class Forgetful(Workflow):
        def __init__(self) -> None:
            self.x = 1

        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            return StopEvent()

    with pytest.raises(WorkflowRuntimeError, match=r"does not call super\(\).__init__"):
        Forgetful().run_sync()


def test_names_of_a_workflow() -> None:
    workflow = Typed()
    assert workflow.start_event_class is Topic
    assert workflow.stop_event_class is StopEvent
    assert workflow.workflow_name == "tests.class_api.test_constructor_and_run.Typed"
    assert Typed(workflow_name="mine").workflow_name == "mine"
    assert set(workflow.events) == {Topic, StopEvent}
