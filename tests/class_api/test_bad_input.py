"""Issue 2, "Bad input": each mistake is an error that names step, event and place; nothing is left running."""

import asyncio
import gc
from typing import Annotated, Any

import pytest

from orchestrator import (
    Collect,
    Context,
    Event,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Take,
    Workflow,
    WorkflowValidationError,
    step,
)
from orchestrator.errors import LimitExceeded
from tests.class_api.support import A, B, run

HERE = r"test_bad_input.py:\d+: step `go` "


def declare(annotations: dict[str, Any], body: str = "async def go({}): ...") -> None:
    """Declare a step with these annotations."""
    names = ", ".join(["self", *(n for n in annotations if n != "return")])
    scope: dict[str, Any] = {}
    exec(body.format(names), scope)
    func = scope["go"]
    func.__annotations__ = annotations
    func.__qualname__ = "W.go"
    func.__code__ = func.__code__.replace(co_filename=__file__)
    step(func)


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ({"return": StopEvent}, "takes no event"),
        ({"ev": StartEvent}, "has no return annotation"),
        ({"ev": StartEvent, "return": str}, "returns str, which is no event"),
        ({"ev": StartEvent, "return": list[int]}, r"returns list\[int\]; a list that a step returns holds events"),
        ({"ev": StartEvent, "n": int, "return": StopEvent}, "parameter `n` is a int, which nothing provides"),
        ({"a": list[A], "b": B, "return": StopEvent}, "`a` is a list of events, so no other event parameter"),
        ({"a": A, "b": A, "return": StopEvent}, "`a` and `b` take the same event `A`"),
        ({"a": A, "b": A | B, "return": StopEvent}, "`b` must be of one class, not a union"),
        ({"ev": Annotated[A, Collect(Take(2))], "return": StopEvent}, r"Collect\(…\) stands on a list of events"),
        ({"ctx": Context[int], "ev": A, "return": StopEvent}, r"Context\[…\] takes a pydantic model"),  # type: ignore[type-var]
    ],
)
def test_a_wrong_signature_is_told_when_the_step_is_declared(annotations: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkflowValidationError, match=HERE + ".*" + message):
        declare(annotations)


def test_a_parameter_without_annotation_is_told() -> None:
    with pytest.raises(WorkflowValidationError, match="parameter `other` has no annotation"):

        class Wrong(Workflow):
            @step
            async def go(self, ev: StartEvent, other) -> StopEvent:  # type: ignore[no-untyped-def]
                return StopEvent()


def test_a_generator_is_no_step() -> None:
    with pytest.raises(WorkflowValidationError, match=HERE + "is a generator"):
        declare({"ev": StartEvent, "return": StopEvent}, "async def go({}): yield 1")


def test_an_annotation_that_names_nothing_is_told_with_its_place() -> None:
    class Wrong(Workflow):
        @step
        async def go(self, ev: "Missing") -> StopEvent:  # type: ignore[name-defined]  # noqa: F821
            return StopEvent()

    with pytest.raises(WorkflowValidationError, match=HERE + "has an annotation that names nothing.*Missing"):
        Wrong()


def test_a_free_function_without_workflow_is_told() -> None:
    with pytest.raises(WorkflowValidationError, match="is a free function; say whose step it is"):

        @step
        async def go(ev: StartEvent) -> StopEvent:
            return StopEvent()


def test_local_classes_are_found_with_postponed_annotations() -> None:
    class Local(Event):
        pass

    class Postponed(Workflow):
        @step
        async def go(self, ev: "StartEvent") -> "Local":
            return Local()

        @step
        async def end(self, ev: "Local") -> "StopEvent":
            return StopEvent(result="found")

    assert Postponed().run_sync() == "found"


def test_unknown_events_unreachable_and_dead_end_steps_are_told_all_at_once() -> None:
    class Orphan(Event):
        pass

    class Dead(Event):
        pass

    class Messy(Workflow):
        @step
        async def go(self, ev: StartEvent) -> A | StopEvent:
            return StopEvent()

        @step
        async def round(self, ev: A | Dead) -> Dead:
            return Dead()

        @step
        async def orphan(self, ev: Orphan) -> StopEvent:
            return StopEvent()

    with pytest.raises(WorkflowValidationError) as caught:
        Messy().validate()
    text = str(caught.value)
    assert "`Orphan`, which no step returns" in text
    assert "round" in text
    assert [d.span.file for d in caught.value.diagnostics] == [__file__] * len(caught.value.diagnostics)
    assert len(caught.value.diagnostics) == 2


@pytest.mark.parametrize("skips", [{"on_step": True}, {"on_step": False}])
def test_graph_checks_can_be_skipped_for_a_step_or_the_workflow(skips: dict[str, bool]) -> None:
    checks = ["dead_end"]

    class Loose(Workflow):
        @step(skip_graph_checks=checks if skips["on_step"] else None)
        async def go(self, ev: StartEvent) -> A | StopEvent:
            return StopEvent(result="ok")

    assert Loose(skip_graph_checks=None if skips["on_step"] else checks).run_sync() == "ok"


def test_a_step_that_takes_the_stop_event_is_told() -> None:
    class Late(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            return StopEvent()

        @step
        async def after(self, ev: StopEvent) -> None:
            return None

    with pytest.raises(WorkflowValidationError, match="`StopEvent`, which ends the run"):
        Late().validate()


def test_a_question_is_an_end_of_its_line() -> None:
    class Asks(Workflow):
        @step
        async def go(self, ev: StartEvent) -> InputRequiredEvent | StopEvent:
            return StopEvent()

        @step
        async def only_asks(self, ev: StartEvent) -> InputRequiredEvent:
            return InputRequiredEvent()

    Asks().validate()


def test_a_step_that_never_ends_is_cancelled_with_the_run() -> None:
    class Never(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            await asyncio.Event().wait()
            return StopEvent()

    async def main() -> None:
        with pytest.raises(TimeoutError, match="Currently active steps: go"):
            await Never(timeout=0.01).run()

    run(main)


def test_a_step_that_swallows_its_cancellation_does_not_keep_the_run_open() -> None:
    class Stubborn(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A | StopEvent:
            ctx.send_event(A())
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(0)
            return StopEvent(result="late")

        @step
        async def stop(self, ev: A) -> StopEvent:
            return StopEvent(result="stopped")

    class Flushing(Stubborn):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A | StopEvent:
            ctx.send_event(A())
            await ctx.flush()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(0)
            return StopEvent(result="late")

    async def main() -> Any:
        return await Flushing().run()

    assert run(main) == "stopped"


def test_a_task_that_a_step_leaves_behind_cannot_act_in_its_name() -> None:
    from orchestrator.errors import RunReleased

    refused: list[str] = []
    left: list[asyncio.Task[None]] = []

    class Leaves(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A:
            async def later() -> None:
                await asyncio.sleep(0)
                for act in (lambda: ctx.send_event(B()), lambda: ctx.write_event_to_stream(B())):
                    try:
                        act()
                    except RunReleased as error:
                        refused.append(str(error))

            left.append(asyncio.create_task(later()))
            return A()

        @step
        async def end(self, ev: A) -> StopEvent:
            await left[0]
            return StopEvent()

    async def main() -> None:
        await Leaves().run()

    run(main)
    assert len(refused) == 2
    assert "step `go`: this call is over" in refused[0]


def test_a_step_that_sends_for_ever_is_stopped_with_its_event_and_place() -> None:
    class Floods(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A | StopEvent:
            while True:
                ctx.send_event(A())

        @step
        async def take(self, ev: A) -> StopEvent:
            return StopEvent()

    with pytest.raises(
        LimitExceeded, match=r"test_bad_input.py:\d+: step `go` sent 50000 events .* the last one a `A`"
    ):
        Floods().run_sync()


def test_a_step_that_streams_for_ever_without_a_pause_is_stopped() -> None:
    class Floods(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            event = A()
            while True:
                ctx.write_event_to_stream(event)

    with pytest.raises(LimitExceeded, match=r"step `go` streamed 250000 events in one go"):
        Floods().run_sync()


def test_a_step_that_streams_more_than_that_with_pauses_is_left_alone() -> None:
    class Talks(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            event = A()
            for n in range(270_000):
                ctx.write_event_to_stream(event)
                if n % 50_000 == 0:
                    await asyncio.sleep(0)
            return StopEvent(result="all")

    assert Talks().run_sync() == "all"


def test_events_that_pile_up_before_a_step_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.runtime.reduction.MAX_UNDELIVERED", 20)

    class Grows(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent | A) -> A | StopEvent:
            ctx.send_event(A())
            return A()

    with pytest.raises(LimitExceeded, match="20 events wait for step `go` already") as caught:
        Grows().run_sync()
    assert f"{__file__}:" in caught.value.__notes__[0]


def test_an_event_that_is_returned_inside_and_outside_of_a_list_cannot_be_joined() -> None:
    class Mixed(Workflow):
        @step
        async def go(self, ev: StartEvent) -> list[A] | B:
            return B()

        @step
        async def work(self, ev: A) -> B:
            return B()

        @step
        async def join(self, events: list[B]) -> StopEvent:
            return StopEvent()

    with pytest.raises(WorkflowValidationError, match="FLW414.*`go` returns one by itself"):
        Mixed().run_sync()


def test_a_starred_parameter_is_told() -> None:
    with pytest.raises(WorkflowValidationError, match="parameter `ev` has a star"):

        class Starred(Workflow):
            @step
            async def go(self, *ev: StartEvent) -> StopEvent:
                return StopEvent()


def test_errors_of_the_runtime_carry_the_places_of_the_steps_they_name() -> None:
    class Slow(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            await asyncio.Event().wait()
            return StopEvent()

    with pytest.raises(TimeoutError) as caught:
        Slow(timeout=0.01).run_sync()
    assert caught.value.__notes__[0].endswith("step `go`")
    assert caught.value.__notes__[0].startswith(f"{__file__}:")


def test_a_step_that_exits_the_process_leaves_no_unread_task_behind(capfd: pytest.CaptureFixture[str]) -> None:
    class Exits(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            raise SystemExit(3)

    with pytest.raises(SystemExit):
        Exits().run_sync()
    gc.collect()
    assert "never retrieved" not in capfd.readouterr().err
