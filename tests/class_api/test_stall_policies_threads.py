"""SEMANTICS 1, rows "stall" and "per-step timeout, rate, idempotency"; sync steps in threads."""

import asyncio
import contextvars
import gc
import threading
import weakref
from typing import Any

import pytest

from orchestrator import (
    Context,
    HumanResponseEvent,
    StartEvent,
    StepFailedEvent,
    StopEvent,
    Workflow,
    WorkflowValidationError,
    catch_error,
    step,
)
from orchestrator.errors import RunReleased, RunStalled, StepTimedOut
from orchestrator.retry import retry_policy, stop_after_attempt, wait_none
from tests.class_api.support import A, B, drain, forward, run, settle, virtual


def test_a_run_that_can_make_no_progress_fails_at_once_and_says_why() -> None:
    class Stalls(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A | B:
            ctx.send_event(A())

        @step
        async def join(self, ctx: Context, ev: A | B) -> StopEvent:
            events = ctx.collect_events(ev, [A, B])
            return None if events is None else StopEvent()

    with pytest.raises(RunStalled, match=r"step `join` has collected 1 A in buffer `default` and waits for more"):
        Stalls(timeout=None).run_sync()


def test_a_stalled_join_says_what_it_lacks() -> None:
    class Stalls(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A | B:
            ctx.send_event(A())

        @step
        async def join(self, a: A, b: B) -> StopEvent:
            return StopEvent()

    with pytest.raises(RunStalled, match="step `join` has A and waits for B"):
        Stalls().run_sync()


def test_a_run_that_people_can_reach_does_not_stall() -> None:
    class Reachable(Workflow):
        @step
        async def go(self, ev: StartEvent) -> None:
            return None

        @step
        async def answer(self, ev: HumanResponseEvent) -> StopEvent:
            return StopEvent(result=ev.text)

    async def main() -> Any:
        handler = Reachable().run()
        await settle()
        assert not handler.is_done()
        handler.send_event(HumanResponseEvent(text="hi"))
        return await handler

    assert run(main) == "hi"


class Open(Workflow):
    @step
    async def go(self, ev: StartEvent) -> None:
        return None

    @step
    async def take(self, ev: A) -> StopEvent:
        return StopEvent(result=ev.n)


def test_a_type_named_external_can_come_from_outside() -> None:
    async def main() -> Any:
        handler = Open(external=[A]).run()
        await settle()
        handler.send_event(A(n=4))
        return await handler

    assert run(main) == 4


def test_the_same_without_external_is_refused() -> None:
    with pytest.raises(WorkflowValidationError, match=r"external=\["):
        Open().run_sync()


class Slow(Workflow):
    @step(timeout=0.01)
    async def go(self, ev: StartEvent) -> StopEvent:
        await asyncio.sleep(5)
        return StopEvent()


def test_a_step_has_a_timeout_of_its_own() -> None:
    with pytest.raises(StepTimedOut, match="step `go` took longer than 0.01 s"):
        Slow().run_sync()


def test_a_timed_out_step_can_be_retried_and_caught() -> None:
    class Caught(Workflow):
        attempts = 0

        @step(timeout=0.01, retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(2)))
        async def go(self, ev: StartEvent) -> StopEvent:
            Caught.attempts += 1
            await asyncio.sleep(5)
            return StopEvent()

        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> StopEvent:
            return StopEvent(result=(Caught.attempts, type(ev.exception).__name__))

    assert Caught().run_sync() == (2, "StepTimedOut")


def test_a_timeout_stands_still_while_the_step_waits_for_somebody() -> None:
    class Waits(Workflow):
        @step(timeout=0.05)
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            return StopEvent(result=(await ctx.wait_for_event(A)).n)

    async def main() -> Any:
        handler = Waits().run()
        await asyncio.sleep(0.1)
        handler.send_event(A(n=1))
        return await handler

    assert run(main) == 1


def test_asyncio_timeout_and_task_groups_work_in_every_step() -> None:
    class Scopes(Workflow):
        @step
        async def go(self, ev: StartEvent) -> list[A]:
            return [A(n=n) for n in range(3)]

        @step
        async def work(self, ev: A) -> B:
            task = asyncio.current_task()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await asyncio.sleep(5)
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))
            assert asyncio.current_task() is task
            return B()

        @step
        async def join(self, events: list[B]) -> StopEvent:
            return StopEvent(result=len(events))

    async def main() -> Any:
        return await Scopes().run()

    assert run(main) == 3


def test_giving_up_a_wait_by_oneself_closes_it() -> None:
    class GivesUp(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            try:
                async with asyncio.timeout(0.001):
                    await ctx.wait_for_event(A)
            except TimeoutError:
                return StopEvent(result=len(ctx._run.state.open_waits))
            return StopEvent()

    async def main() -> Any:
        return await GivesUp().run()

    assert run(main) == 0


def test_a_rate_bounds_the_starts_of_a_step() -> None:
    starts: list[float] = []

    class Rated(Workflow):
        @step
        async def go(self, ev: StartEvent) -> list[A]:
            return [A(n=n) for n in range(5)]

        @step(rate=(2, 10), num_workers=None)
        async def work(self, ctx: Context, ev: A) -> B:
            starts.append(ctx._run.now())
            return B()

        @step
        async def join(self, events: list[B]) -> StopEvent:
            return StopEvent(result=len(events))

    async def main() -> Any:
        engine, clock = virtual()
        handler = Rated(timeout=None).run(store=engine)
        for _ in range(3):
            await forward(clock, 10)
        return await handler

    assert run(main) == 5
    assert [round(t - starts[0]) for t in starts] == [0, 0, 10, 10, 20]


def test_the_idempotency_key_is_the_same_over_attempts_and_another_per_event() -> None:
    keys: list[str] = []

    class Keys(Workflow):
        @step
        async def go(self, ev: StartEvent) -> list[A]:
            return [A(n=1), A(n=2)]

        @step(num_workers=1, retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(2)))
        async def work(self, ctx: Context, ev: A) -> B:
            keys.append(ctx.idempotency_key)
            if ctx.attempt == 1:
                raise ValueError
            return B()

        @step
        async def join(self, events: list[B]) -> StopEvent:
            return StopEvent()

    Keys().run_sync()
    assert len(set(keys)) == 2
    assert len(keys) == 4


@pytest.mark.parametrize(
    "options",
    [{"timeout": 0}, {"timeout": True}, {"rate": 5}, {"rate": (0, 1)}, {"effect": "some"}, {"num_workers": 0}],
)
def test_policies_that_cannot_be_meant_are_refused_with_their_place(options: dict[str, Any]) -> None:
    with pytest.raises(WorkflowValidationError, match=r"test_stall_policies_threads.py:\d+: step `go`"):

        class Wrong(Workflow):
            @step(**options)
            async def go(self, ev: StartEvent) -> StopEvent:
                return StopEvent()


place: contextvars.ContextVar[str] = contextvars.ContextVar("place", default="nowhere")


def test_a_sync_step_runs_in_a_thread_with_the_context_variables_and_may_send_and_stream() -> None:
    class Threads(Workflow):
        @step
        def go(self, ctx: Context, ev: StartEvent) -> A | B:
            assert threading.current_thread() is not threading.main_thread()
            ctx.write_event_to_stream(A(n=1))
            ctx.send_event(B(n=2))
            ctx.store.set_sync("where", place.get())
            with ctx.store.edit_state_sync() as state:
                state.count = 1
            ctx.store.append_sync("log", 1)
            assert ctx.store.get_sync("count") == 1
            return A(n=3)

        @step
        def join(self, ctx: Context, ev: A | B) -> StopEvent | None:
            events = ctx.collect_events(ev, [A, B])
            if events is None:
                return None
            return StopEvent(
                result=(ctx.store.get_sync("where"), [e.n for e in events], ctx.store.get_state_sync().log)
            )

    async def main() -> Any:
        place.set("here")
        handler = Threads().run()
        shown = await drain(handler)
        return [type(e) for e in shown], await handler

    assert run(main) == ([A, StopEvent], ("here", [3, 2], [1]))


def test_an_inline_sync_step_runs_in_the_loop() -> None:
    class Inline(Workflow):
        @step(inline=True)
        def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            ctx.store.set_sync("a", 1)
            return StopEvent(result=threading.current_thread() is threading.main_thread())

    assert Inline().run_sync() is True


def test_sync_steps_run_side_by_side() -> None:
    barrier = threading.Barrier(3, timeout=5)

    class Parallel(Workflow):
        @step
        def go(self, ev: StartEvent) -> list[A]:
            return [A(n=n) for n in range(3)]

        @step
        def work(self, ev: A) -> B:
            barrier.wait()
            return B()

        @step
        def join(self, events: list[B]) -> StopEvent:
            return StopEvent(result=len(events))

    assert Parallel().run_sync() == 3


def test_a_timed_out_thread_keeps_its_place_and_its_context_does_nothing_more() -> None:
    release = threading.Event()
    seen: list[str] = []
    active: list[int] = [0, 0]

    class Stuck(Workflow):
        @step(timeout=0.02, num_workers=1, retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(2)))
        def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            active[0] += 1
            active[1] = max(active)
            if ctx.attempt == 2:
                active[0] -= 1
                return StopEvent(result="second")
            release.wait(5)
            active[0] -= 1
            try:
                ctx.send_event(A())
            except RunReleased:
                seen.append("released")
            return StopEvent(result="first")

    async def main() -> Any:
        handler = Stuck().run()
        await asyncio.sleep(0.05)
        release.set()
        try:
            return await handler
        finally:
            while not seen:
                await asyncio.sleep(0.001)

    with pytest.raises(StepTimedOut):
        run(main)
    assert seen == ["released"]
    assert active[1] == 1


def test_an_async_form_of_the_store_in_a_thread_is_not_needed() -> None:
    class Wrong(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            from orchestrator import ContextStateError

            with pytest.raises(ContextStateError, match="async form"), ctx.store.edit_state_sync():
                pass
            return StopEvent()

    Wrong().run_sync()


def test_a_flood_of_events_is_worked_off_and_others_get_their_turn() -> None:
    class Flood(Workflow):
        @step
        async def go(self, ev: StartEvent | A) -> A | StopEvent:
            n = ev.get("n", 0) if isinstance(ev, StartEvent) else ev.n
            return StopEvent() if n == 5000 else A(n=n + 1)

    async def main() -> int:
        handler = Flood().run()
        turns = 0
        while not handler.is_done():
            await asyncio.sleep(0)
            turns += 1
        await handler
        return turns

    assert run(main) >= 5000 // 256


def test_a_run_that_nobody_holds_is_freed_without_the_garbage_collector() -> None:
    class Uses(Workflow):
        @step
        async def go(self, ev: StartEvent) -> A:
            return A(n=1)

        @step
        async def end(self, ctx: Context, ev: A) -> StopEvent:
            ctx.write_event_to_stream(A(n=2))
            await ctx.store.set("n", 1)
            await asyncio.sleep(0)
            return StopEvent(result=ev.n)

    async def main() -> Any:
        workflow = Uses()
        handler = workflow.run()
        await handler
        gc.disable()
        try:
            handler = workflow.run()
            await handler
            left = weakref.ref(workflow.latest_run)
            del handler
            await asyncio.sleep(0)
            return left()
        finally:
            gc.enable()

    assert run(main) is None
