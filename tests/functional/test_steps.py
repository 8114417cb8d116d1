"""`@step`: what is kept, what is compared, retry, time limits, recorded failures, nested steps."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.errors import NotSerializable, StepTimedOut
from orchestrator.functional import InMemoryCheckpointStorage, RunContext, step, workflow
from orchestrator.functional.errors import SignatureError
from orchestrator.runtime.clock import VirtualClock
from orchestrator.runtime.engine import current_engine

STORAGES = [lambda: None, InMemoryCheckpointStorage]
both = pytest.mark.parametrize("make_storage", STORAGES, ids=["memory", "storage"])


class Draft(BaseModel):
    text: str


@dataclass
class Point:
    x: int
    y: int


def types_of(result: Any, name: str) -> list[str]:
    return [e.type.removeprefix("executor_") for e in result if e.executor_id == name]


@both
def test_a_mutated_result_does_not_reach_what_was_kept(make_storage: Any) -> None:
    @step
    async def load() -> dict[str, list[int]]:
        return {"k": [1]}

    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None, ctx: RunContext) -> Any:
        found = await load()
        found["k"].append(1)
        await ctx.request_info("?", str, request_id="q")
        return found

    async def main() -> Any:
        await flow.run(None)
        return await flow.run(responses={"q": "go"})

    assert asyncio.run(main()).get_outputs() == [{"k": [1, 1]}]


@both
@pytest.mark.parametrize(
    "value", [Draft(text="t"), [Draft(text="u")], Point(1, 2), (1, "a"), {1: {2}}, b"x", float("inf"), None]
)
def test_a_typed_result_comes_back_as_it_was(make_storage: Any, value: Any) -> None:
    hint = list[Draft] if isinstance(value, list) else type(value)

    async def make() -> Any:
        return value

    make.__annotations__["return"] = hint
    load = step(make)

    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None, ctx: RunContext) -> bool:
        found = await load()
        await ctx.request_info("?", str, request_id="q")
        return bool(found == value and type(found) is type(value))

    async def main() -> Any:
        await flow.run(None)
        return await flow.run(responses={"q": "go"})

    result = asyncio.run(main())
    assert (result.get_outputs(), types_of(result, "make")) == ([True], ["bypassed"])


def test_a_result_that_a_storage_cannot_keep_is_refused_with_function_step_and_path() -> None:
    @step
    async def load():  # type: ignore[no-untyped-def]  # without an annotation on purpose
        return {"items": [1, {"lock": asyncio.Lock()}]}

    @workflow(checkpoint_storage=InMemoryCheckpointStorage())
    async def flow(x: None) -> Any:
        return await load()

    with pytest.raises(
        NotSerializable, match=r"workflow `flow`: the result of step `load` .*items\[1\]\.lock is a Lock"
    ):
        asyncio.run(flow.run(None))


def test_in_memory_a_result_may_be_anything() -> None:
    lock = asyncio.Lock()

    @step
    async def load() -> Any:
        return {"lock": lock}

    @workflow
    async def flow(x: None, ctx: RunContext) -> bool:
        found = await load()
        await ctx.request_info("?", str, request_id="q")
        return found["lock"] is lock

    async def main() -> Any:
        await flow.run(None)
        return await flow.run(responses={"q": "go"})

    assert asyncio.run(main()).get_outputs() == [True]


@both
def test_retry_makes_so_many_attempts_and_shows_each(make_storage: Any) -> None:
    tries: list[int] = []

    @step(retry=3)
    async def flaky() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("down")
        return "up"

    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None) -> str:
        return await flaky()

    result = asyncio.run(flow.run(None))
    assert types_of(result, "flaky") == ["invoked", "failed", "invoked", "failed", "invoked", "completed"]
    assert [e.details.attempt for e in result if e.type == "executor_failed"] == [1, 2]


def test_retry_gives_up_with_the_last_error() -> None:
    @step(retry=2)
    async def flaky() -> None:
        raise ConnectionError("down")

    @workflow
    async def flow(x: None) -> None:
        await flaky()

    with pytest.raises(ConnectionError, match="down"):
        asyncio.run(flow.run(None))


def test_a_retry_policy_decides_about_delays_and_gets_failures_from_one() -> None:
    seen: list[int] = []

    class Policy:
        def next(
            self, elapsed_time: float, attempts: int, error: Exception, *, seed: int | None = None
        ) -> float | None:
            seen.append(attempts)
            return 3600.0 if attempts < 3 else None

    @step(retry=Policy())
    async def flaky() -> None:
        raise ConnectionError("down")

    @workflow
    async def flow(x: None) -> None:
        await flaky()

    async def main() -> None:
        clock = current_engine().clock = VirtualClock()
        task = asyncio.create_task(flow.run(None))
        while not task.done():
            await asyncio.sleep(0)
            clock.advance_to_next()
        with pytest.raises(ConnectionError):
            await task
        assert clock.now() >= 1_800_000_000.0 + 7200

    asyncio.run(main())
    assert seen == [1, 2, 3]


def test_a_failed_attempt_leaves_no_state_behind_and_inner_steps_are_not_repeated() -> None:
    inner: list[int] = []

    @step
    async def child(n: int) -> int:
        inner.append(n)
        return n

    @step(retry=2)
    async def flaky(ctx: RunContext) -> Any:
        ctx.set_state("n", ctx.get_state("n", 0) + 1)
        await child(1)
        if len(inner) == 1 and not ctx.get_state("again", False):
            ctx.set_state("lost", True)
            inner.append(99)
            raise ConnectionError("down")
        return [ctx.get_state("n"), ctx.get_state("lost")]

    @workflow
    async def flow(x: None) -> Any:
        return await flaky()

    assert asyncio.run(flow(None)) == [1, None]
    assert inner == [1, 99]


def test_a_time_limit_ends_an_attempt() -> None:
    @step(timeout=0.01)
    async def slow() -> None:
        await asyncio.sleep(60)

    @workflow
    async def flow(x: None) -> str:
        try:
            await slow()
        except StepTimedOut as error:
            return str(error)
        return "?"

    assert asyncio.run(flow(None)) == "step `slow` took longer than 0.01 s"


class OwnError(Exception):
    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


@both
@pytest.mark.parametrize("error", [KeyError("k"), OwnError("own", 7)])
def test_a_recorded_failure_is_raised_again_as_its_own_type(make_storage: Any, error: Exception) -> None:
    @step
    async def fail() -> None:
        raise error

    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None, ctx: RunContext) -> Any:
        try:
            await fail()
        except (KeyError, OwnError) as caught:
            found = [type(caught).__name__, list(caught.args), getattr(caught, "number", None)]
        await ctx.request_info("?", str, request_id="q")
        return found

    async def main() -> Any:
        await flow.run(None)
        return await flow.run(responses={"q": "go"})

    expected = [type(error).__name__, list(error.args), getattr(error, "number", None)]
    assert asyncio.run(main()).get_outputs() == [expected]


@both
def test_nested_steps_are_both_kept(make_storage: Any) -> None:
    ran: list[str] = []

    @step
    async def inner(n: int) -> int:
        ran.append(f"inner {n}")
        return n

    @step
    async def outer(n: int, ctx: RunContext) -> int:
        ran.append(f"outer {n}")
        total = await inner(n) + await inner(n + 1)
        return total + int(await ctx.request_info("?", int, request_id=f"q{n}"))

    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None) -> int:
        return await outer(1) + await outer(5)

    async def main() -> Any:
        await flow.run(None)
        await flow.run(responses={"q1": 0})
        return await flow.run(responses={"q5": 0})

    assert asyncio.run(main()).get_outputs() == [14]
    assert [r for r in ran if r.startswith("inner")] == ["inner 1", "inner 2", "inner 5", "inner 6"]
    assert ran.count("outer 1") == ran.count("outer 5") == 2


@both
def test_results_taken_in_order_of_completion_replay_in_that_order(make_storage: Any) -> None:
    delays = {1: 0.009, 2: 0.001, 3: 0.005}
    saved: list[int] = []
    passes: list[list[int]] = []

    @step
    async def fetch(n: int) -> int:
        await asyncio.sleep(delays[n])
        return n

    @step
    async def save(n: int) -> int:
        saved.append(n)
        return n

    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None, ctx: RunContext) -> Any:
        order = []
        for each in asyncio.as_completed([fetch(n) for n in delays]):
            order.append(await save(await each))
        passes.append(list(order))
        await ctx.request_info("?", str, request_id="q")
        return order

    async def main() -> Any:
        await flow.run(None)
        return await flow.run(responses={"q": "go"})

    outputs = asyncio.run(main()).get_outputs()
    assert sorted(saved) == [1, 2, 3]  # which comes first is the machine's affair; that it stays so is ours
    assert (outputs, passes) == ([saved], [saved, saved])


@both
def test_a_breath_for_the_loop_between_two_results_does_not_change_their_order(make_storage: Any) -> None:
    passes: list[list[str]] = []
    gates: list[asyncio.Event] = []

    @step
    async def fetch(name: str) -> str:
        await gates[-1].wait()
        if name == "slow":
            time.sleep(0.02)  # long enough for the run to let the loop breathe after it  # noqa: ASYNC251
        return name

    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None, ctx: RunContext) -> Any:
        gates.append(asyncio.Event())
        order: list[str] = []

        async def note(name: str) -> None:
            order.append(await fetch(name))

        tasks = [asyncio.ensure_future(note(name)) for name in ("slow", "quick")]
        await asyncio.sleep(0)
        gates[-1].set()
        await asyncio.gather(*tasks)
        passes.append(order)
        await ctx.request_info("?", str, request_id="q")
        return order

    async def main() -> Any:
        await flow.run(None)
        return await flow.run(responses={"q": "go"})

    outputs = asyncio.run(main()).get_outputs()
    assert passes == [outputs[0], outputs[0]]


def test_arguments_that_change_after_the_call_do_not_make_it_another_call() -> None:
    @step
    async def speak(messages: list[str]) -> str:
        return f"m{len(messages)}"

    @workflow
    async def flow(x: None, ctx: RunContext) -> Any:
        messages = ["start"]
        for _ in range(3):
            messages.append(await speak(messages))
        await ctx.request_info("?", str, request_id="q")
        return messages

    async def main() -> Any:
        await flow.run(None)
        return await flow.run(responses={"q": "go"})

    assert asyncio.run(main()).get_outputs() == [["start", "m1", "m2", "m3"]]


def test_positional_and_keyword_spelling_are_the_same_call() -> None:
    spelling = {"keyword": False}

    @step
    async def add(a: int, b: int) -> int:
        return a + b

    @workflow
    async def flow(x: None, ctx: RunContext) -> int:
        found = await (add(b=2, a=1) if spelling["keyword"] else add(1, 2))
        await ctx.request_info("?", str, request_id="q")
        return found

    async def main() -> Any:
        await flow.run(None)
        spelling["keyword"] = True
        return await flow.run(responses={"q": "go"})

    assert asyncio.run(main()).get_outputs() == [3]


@both
def test_a_step_that_is_tried_again_makes_the_calls_inside_that_failed_again(make_storage: Any) -> None:
    calls: list[str] = []

    @step
    async def good() -> str:
        calls.append("good")
        return "g"

    @step
    async def flaky() -> str:
        calls.append("flaky")
        if calls.count("flaky") < 3:
            raise ConnectionError(f"down {len(calls)}")
        return "f"

    @step(retry=3)
    async def outer(ctx: RunContext) -> str:
        found = await good() + await flaky()
        return found + str(await ctx.request_info("?", str, request_id="q"))

    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None) -> str:
        return await outer()

    async def main() -> Any:
        await flow.run(None)
        return await flow.run(responses={"q": "!"})

    assert asyncio.run(main()).text == "gf!"
    assert calls == ["good", "flaky", "flaky", "flaky"]


def test_a_restored_run_has_all_attempts_of_the_step_it_failed_in() -> None:
    storage, calls = InMemoryCheckpointStorage(), list[int]()

    @step(retry=2)
    async def flaky() -> str:
        calls.append(1)
        if len(calls) < 4:
            raise ConnectionError(f"down {len(calls)}")
        return "up"

    @workflow(checkpoint_storage=storage)
    async def flow(x: None) -> str:
        return await flaky()

    async def main() -> Any:
        with pytest.raises(ConnectionError, match="down 2"):
            await flow.run(None)
        latest = await storage.get_latest(workflow_name="flow")
        assert latest is not None
        return await flow.run(checkpoint_id=latest.checkpoint_id)

    assert asyncio.run(main()).text == "up"


def test_the_timeout_of_a_step_is_seconds_or_a_timedelta_and_nothing_else() -> None:
    async def slow() -> None: ...

    assert step(timeout=timedelta(seconds=2))(slow).step.timeout_s == 2.0
    for wrong in ("5", 0, timedelta(0), True):
        with pytest.raises(SignatureError, match="timeout is"):
            step(timeout=wrong)(slow)  # type: ignore[call-overload]
