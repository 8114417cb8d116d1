"""SEMANTICS 1, row "errors"; traps 7 (sends before a failure) and 8 (retry arithmetic)."""

import asyncio
import random
from typing import Any

import pytest

from orchestrator import (
    Context,
    HumanResponseEvent,
    StartEvent,
    StepFailedEvent,
    StopEvent,
    Workflow,
    WorkflowFailedEvent,
    WorkflowValidationError,
    catch_error,
    step,
)
from orchestrator.errors import WorkflowRuntimeError
from orchestrator.retry import retry_policy, stop_after_attempt, wait_fixed, wait_incrementing, wait_none, wait_random
from tests.class_api.support import A, B, drain, forward, run, settle, virtual

AT_ONCE = retry_policy(wait=wait_none(), stop=stop_after_attempt(3))


class Fails(Workflow):
    @step
    async def go(self, ev: StartEvent) -> StopEvent:
        raise ValueError("broken")


def test_a_failed_step_fails_the_run_with_its_own_exception_and_a_last_event() -> None:
    async def main() -> list[Any]:
        handler = Fails().run()
        with pytest.raises(ValueError, match="broken"):
            await handler
        assert isinstance(handler.exception(), ValueError)
        return await drain(handler)

    (event,) = run(main)
    assert isinstance(event, WorkflowFailedEvent)
    assert (event.step_name, event.attempts, str(event.exception)) == ("go", 1, "broken")


def test_trap_7_sends_before_a_failure_are_not_delivered() -> None:
    seen: list[int] = []

    class Sends(Workflow):
        @step(retry_policy=AT_ONCE)
        async def go(self, ctx: Context, ev: StartEvent) -> A | StopEvent:
            ctx.send_event(A(n=ctx.attempt))
            if ctx.attempt < 3:
                raise ValueError
            await settle(3)
            return None

        @step
        async def got(self, ev: A) -> StopEvent:
            seen.append(ev.n)
            return StopEvent()

    Sends().run_sync()
    assert seen == [3]


def test_trap_7_sends_that_a_wait_committed_are_not_delivered_twice() -> None:
    seen: list[int] = []

    class Sends(Workflow):
        @step(retry_policy=AT_ONCE)
        async def go(self, ctx: Context, ev: StartEvent) -> A | StopEvent:
            ctx.send_event(A(n=1))
            await ctx.wait_for_event(HumanResponseEvent)
            if ctx.attempt < 3:
                raise ValueError
            return StopEvent()

        @step
        async def got(self, ev: A) -> None:
            seen.append(ev.n)

    async def main() -> None:
        handler = Sends().run()
        await settle()
        handler.send_event(HumanResponseEvent())
        await handler

    run(main)
    assert seen == [1]


def test_trap_8_attempts_count_failures_from_1_and_waits_count_from_0() -> None:
    calls: list[int] = []

    class Policy:
        def next(self, elapsed: float, attempts: int, error: BaseException) -> float | None:
            calls.append(attempts)
            return 0 if attempts < 3 else None

    class Tries(Workflow):
        @step(retry_policy=Policy())
        async def go(self, ev: StartEvent) -> StopEvent:
            raise ValueError

    with pytest.raises(ValueError):
        Tries().run_sync()
    assert calls == [1, 2, 3]
    policy = retry_policy(wait=wait_incrementing(10, 5), stop=stop_after_attempt(9))
    assert [policy.next(0, n, ValueError()) for n in (1, 2, 3)] == [10, 15, 20]


def test_trap_8_a_delayed_retry_frees_its_place_and_the_run_is_not_idle() -> None:
    order: list[str] = []

    class Delays(Workflow):
        @step
        async def go(self, ev: StartEvent) -> list[A]:
            return [A(n=1), A(n=2)]

        @step(num_workers=1, retry_policy=retry_policy(wait=wait_fixed(60), stop=stop_after_attempt(2)))
        async def work(self, ctx: Context, ev: A) -> B:
            order.append(f"{ev.n}/{ctx.attempt}")
            if ev.n == 1 and ctx.attempt == 1:
                raise ValueError
            return B()

        @step
        async def join(self, events: list[B]) -> StopEvent:
            return StopEvent(result=len(events))

    async def main() -> Any:
        engine, clock = virtual()
        handler = Delays(timeout=None).run(store=engine)
        await settle()
        assert order == ["1/1", "2/1"]
        assert not handler.is_done()
        await forward(clock, 59)
        assert order == ["1/1", "2/1"]
        await forward(clock, 2)
        return await handler

    assert run(main) == 2
    assert order == ["1/1", "2/1", "1/2"]


def test_a_retry_delay_and_its_counter_survive_a_restart() -> None:
    attempts: list[int] = []

    class Tries(Workflow):
        @step(retry_policy=retry_policy(wait=wait_fixed(60), stop=stop_after_attempt(3)))
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            attempts.append(ctx.attempt)
            raise ValueError("no")

    async def main() -> None:
        engine, clock = virtual()
        workflow = Tries(timeout=None)
        handler = workflow.run(store=engine)
        await forward(clock, 61)
        data = handler.ctx.to_dict()
        await handler.cancel_run()
        again = workflow.run(ctx=Context.from_dict(workflow, data), store=engine)
        await forward(clock, 30)
        assert attempts == [1, 2]
        await forward(clock, 31)
        with pytest.raises(ValueError, match="no"):
            await again

    run(main)
    assert attempts == [1, 2, 3]


def test_retry_info_tells_what_happened() -> None:
    seen: list[Any] = []

    class Tells(Workflow):
        @step(retry_policy=retry_policy(wait=wait_fixed(10), stop=stop_after_attempt(2)))
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            info = ctx.retry_info()
            seen.append(
                (info.retry_number, info.elapsed_seconds, str(info.last_exception), info.last_failed_at is None)
            )
            if ctx.attempt == 1:
                raise ValueError("first")
            return StopEvent()

    async def main() -> None:
        engine, clock = virtual()
        handler = Tells().run(store=engine)
        await forward(clock, 10)
        await handler

    run(main)
    assert seen == [(0, 0.0, "None", True), (1, 10.0, "first", False)]


def test_jitter_is_the_same_in_every_replay_of_a_run() -> None:
    policy = retry_policy(wait=wait_random(0, 100), stop=stop_after_attempt(9))
    random.seed(1)
    first = policy.next(0, 1, ValueError(), seed=7)
    random.seed(2)
    assert policy.next(0, 1, ValueError(), seed=7) == first
    assert policy.next(0, 1, ValueError(), seed=8) != first


def test_a_policy_that_raises_means_stop_and_is_the_cause() -> None:
    class Bad:
        def next(self, elapsed: float, attempts: int, error: BaseException, *, seed: int | None = None) -> float | None:
            raise RuntimeError("policy bug")

    class Tries(Workflow):
        @step(retry_policy=Bad())
        async def go(self, ev: StartEvent) -> StopEvent:
            raise ValueError("first")

    with pytest.raises(ValueError, match="first") as caught:
        Tries().run_sync()
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_handler_takes_the_failure_of_its_step_with_all_that_is_known() -> None:
    class Caught(Workflow):
        @step(retry_policy=AT_ONCE)
        async def go(self, ev: StartEvent) -> StopEvent:
            raise KeyError("k")

        @catch_error(for_steps=["go"])
        async def rescue(self, ev: StepFailedEvent) -> StopEvent:
            known = (ev.step_name, type(ev.input_event).__name__, type(ev.exception).__name__, ev.attempts)
            return StopEvent(result=known)

    assert Caught().run_sync() == ("go", "StartEvent", "KeyError", 3)


def test_a_scoped_handler_wins_over_the_wildcard() -> None:
    class Two(Workflow):
        @step
        async def go(self, ev: StartEvent) -> A:
            return A()

        @step
        async def one(self, ev: A) -> StopEvent:
            raise ValueError

        @catch_error
        async def anything(self, ev: StepFailedEvent) -> StopEvent:
            return StopEvent(result="wildcard")

        @catch_error(for_steps=["one"])
        async def scoped(self, ev: StepFailedEvent) -> StopEvent:
            return StopEvent(result="scoped")

    assert Two().run_sync() == "scoped"


def test_a_handler_has_a_budget_per_line_of_events() -> None:
    rescued: list[int] = []

    class Budget(Workflow):
        @step
        async def go(self, ev: StartEvent | A) -> StopEvent:
            raise ValueError("again")

        @catch_error(max_recoveries=2)
        async def rescue(self, ev: StepFailedEvent) -> A:
            rescued.append(len(rescued))
            return A()

    with pytest.raises(ValueError, match="again"):
        Budget().run_sync()
    assert rescued == [0, 1]


def test_lines_have_budgets_of_their_own() -> None:
    class Lines(Workflow):
        @step
        async def go(self, ev: StartEvent) -> list[A]:
            return [A(n=n) for n in range(3)]

        @step
        async def work(self, ev: A) -> B:
            raise ValueError

        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> B:
            return B()

        @step
        async def join(self, events: list[B]) -> StopEvent:
            return StopEvent(result=len(events))

    assert Lines().run_sync() == 3


def test_a_handler_that_fails_fails_the_run() -> None:
    class Worse(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            raise ValueError("first")

        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> StopEvent:
            raise KeyError("second")

    with pytest.raises(KeyError, match="second"):
        Worse().run_sync()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("for_steps=['nope']", "no step of"),
        ("for_steps=['go'], max_recoveries=0", "at least 1"),
        ("for_steps='go'", "list of step names"),
        ("for_steps=['other']", "a handler itself"),
    ],
)
def test_handlers_that_cannot_be_meant_are_refused(code: str, message: str) -> None:
    def make() -> None:
        class Wrong(Workflow):
            @step
            async def go(self, ev: StartEvent) -> StopEvent:
                return StopEvent()

            @catch_error(for_steps=["go"])
            async def other(self, ev: StepFailedEvent) -> StopEvent:
                return StopEvent()

            @eval(f"catch_error({code})", {"catch_error": catch_error})  # type: ignore[untyped-decorator]
            async def rescue(self, ev: StepFailedEvent) -> StopEvent:
                return StopEvent()

        Wrong().validate()

    with pytest.raises(WorkflowValidationError, match=message):
        make()


def test_two_wildcards_are_refused() -> None:
    class Two(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            return StopEvent()

        @catch_error
        async def one(self, ev: StepFailedEvent) -> StopEvent:
            return StopEvent()

        @catch_error
        async def two(self, ev: StepFailedEvent) -> StopEvent:
            return StopEvent()

    with pytest.raises(WorkflowValidationError, match="both catch errors of every step"):
        Two().validate()


def test_a_handler_takes_exactly_a_step_failed_event() -> None:
    with pytest.raises(WorkflowValidationError, match="takes exactly a StepFailedEvent"):

        class Wrong(Workflow):
            @catch_error
            async def rescue(self, ev: A) -> StopEvent:
                return StopEvent()


def test_timeouts_and_cancels_of_the_run_are_not_routed_to_handlers() -> None:
    class Hangs(Workflow):
        rescued = False

        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            await asyncio.sleep(3600)
            return StopEvent()

        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> StopEvent:
            Hangs.rescued = True
            return StopEvent()

    async def main() -> None:
        engine, clock = virtual()
        handler = Hangs(timeout=5).run(store=engine)
        await forward(clock, 6)
        with pytest.raises(TimeoutError):
            await handler

    run(main)
    assert not Hangs.rescued


def test_a_step_that_returns_what_it_does_not_declare_is_told_with_its_place() -> None:
    class Wrong(Workflow):
        @step
        async def go(self, ev: StartEvent) -> A | StopEvent:
            return B()  # type: ignore[return-value]

        @step
        async def next(self, ev: A) -> StopEvent:
            return StopEvent()

    with pytest.raises(
        WorkflowRuntimeError, match=r"test_errors_and_retries.py:\d+: step `go` returned a B, but declares"
    ) as caught:
        Wrong().run_sync()
    assert "A or StopEvent or None" in str(caught.value)


@pytest.mark.parametrize("value", ["text", 5, [A()], A])
def test_a_step_that_returns_no_event_is_told_with_its_place(value: Any) -> None:
    class Wrong(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            return value  # type: ignore[no-any-return]

    with pytest.raises(WorkflowRuntimeError, match=r"test_errors_and_retries.py:\d+: step `go` returned"):
        Wrong().run_sync()


def test_a_wrong_return_goes_through_retry_and_catch() -> None:
    class Caught(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            return "text"  # type: ignore[return-value]

        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> StopEvent:
            return StopEvent(result=type(ev.exception).__name__)

    assert Caught().run_sync() == "WorkflowRuntimeError"


def test_a_step_that_cancels_itself_fails_and_does_not_look_like_the_callers_cancellation() -> None:
    class Own(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            raise asyncio.CancelledError

    with pytest.raises(WorkflowRuntimeError, match="step `go` raised CancelledError"):
        Own().run_sync()


def test_a_base_exception_of_a_step_ends_the_run() -> None:
    class Odd(BaseException):
        pass

    class Raises(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            raise Odd("odd")

        @catch_error
        async def rescue(self, ev: StepFailedEvent) -> StopEvent:
            return StopEvent()

    with pytest.raises(Odd, match="odd"):
        Raises().run_sync()


def test_a_failure_cancels_the_other_steps() -> None:
    cancelled: list[int] = []

    class Parallel(Workflow):
        @step
        async def go(self, ev: StartEvent) -> list[A]:
            return [A(n=1), A(n=2)]

        @step
        async def work(self, ev: A) -> B:
            if ev.n == 1:
                await settle(3)
                raise ValueError("one")
            try:
                await asyncio.sleep(3600)
            finally:
                cancelled.append(ev.n)
            return B()

        @step
        async def join(self, events: list[B]) -> StopEvent:
            return StopEvent()

    async def main() -> None:
        with pytest.raises(ValueError, match="one"):
            await Parallel().run()

    run(main)
    assert cancelled == [2]
