"""The ten traps of reference/agent-framework.md section 8, each by name, in memory and over a storage."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator.functional import (
    InMemoryCheckpointStorage,
    InvalidResponse,
    ReplayDiverged,
    WorkflowRunContext,
    WorkflowRunState,
    step,
    workflow,
)

STORAGES = [lambda: None, InMemoryCheckpointStorage]
both = pytest.mark.parametrize("make_storage", STORAGES, ids=["memory", "storage"])


@both
def test_trap_1_parallel_calls_of_one_step_never_swap_results(make_storage: Any) -> None:
    delays = {"a": 0.004, "b": 0.001}

    @step
    async def slow(name: str) -> str:
        await asyncio.sleep(delays[name])
        return f"r-{name}"

    async def branch(name: str) -> str:
        await asyncio.sleep(delays[name])
        return await slow(name)

    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None, ctx: WorkflowRunContext) -> list[str]:
        parts = await asyncio.gather(branch("a"), branch("b"))
        await ctx.request_info("?", str, request_id="q")
        return parts

    async def main() -> Any:
        await flow.run(None)
        delays.update(a=0.001, b=0.004)
        return await flow.run(responses={"q": "go"})

    result = asyncio.run(main())
    assert result.get_outputs() == [["r-a", "r-b"]]
    assert [e.type for e in result if e.executor_id == "slow"] == ["executor_bypassed"] * 2


@both
def test_trap_2_an_automatic_request_id_does_not_shift_when_a_slow_step_runs_beside_it(make_storage: Any) -> None:
    @step
    async def slow() -> str:
        await asyncio.sleep(0.01)
        return "slow"

    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None, ctx: WorkflowRunContext) -> list[str]:
        return list(await asyncio.gather(slow(), ctx.request_info("?", str)))

    async def main() -> Any:
        (asked,) = (await flow.run(None)).get_request_info_events()
        return asked.request_id, await flow.run(responses={asked.request_id: "yes"})

    request_id, result = asyncio.run(main())
    assert request_id == "auto::0"
    assert result.get_outputs() == [["slow", "yes"]]


@both
def test_trap_3_all_parallel_requests_surface_and_earlier_answers_are_remembered(make_storage: Any) -> None:
    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None, ctx: WorkflowRunContext) -> list[str]:
        return list(await asyncio.gather(*(ctx.request_info(n, str, request_id=n) for n in ("r1", "r2", "r3"))))

    async def main() -> Any:
        asked = [[e.request_id for e in (await flow.run(None)).get_request_info_events()]]
        for name in ("r2", "r1"):
            result = await flow.run(responses={name: name.upper()})
            asked.append([e.request_id for e in result.get_request_info_events()])
        return asked, await flow.run(responses={"r3": "R3"})

    asked, result = asyncio.run(main())
    assert asked == [["r1", "r2", "r3"], ["r1", "r3"], ["r3"]]
    assert result.get_outputs() == [["R1", "R2", "R3"]]


@both
def test_trap_4_a_sibling_of_a_pausing_branch_ends_before_run_returns_and_is_not_run_again(make_storage: Any) -> None:
    log: list[str] = []

    @step
    async def sibling(n: int) -> int:
        await asyncio.sleep(0.005)
        log.append(f"done {n}")
        return n

    async def branch() -> int:
        return await sibling(1) + await sibling(2)

    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None, ctx: WorkflowRunContext) -> int:
        answer, total = await asyncio.gather(ctx.request_info("?", int, request_id="q"), branch())
        return int(answer) + total

    async def main() -> Any:
        await flow.run(None)
        assert log == ["done 1", "done 2"]
        assert len(asyncio.all_tasks()) == 1
        return await flow.run(responses={"q": 10})

    assert asyncio.run(main()).get_outputs() == [13]
    assert log == ["done 1", "done 2"]


@both
def test_trap_5_state_writes_are_not_applied_again_on_replay(make_storage: Any) -> None:
    @step
    async def count(ctx: WorkflowRunContext) -> None:
        ctx.set_state("steps", ctx.get_state("steps", 0) + 1)

    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None, ctx: WorkflowRunContext) -> Any:
        ctx.set_state("body", ctx.get_state("body", 0) + 1)
        await count()
        for name in ("q1", "q2"):
            await ctx.request_info("?", str, request_id=name)
        ctx.set_state("body", ctx.get_state("body", 0) + 1)
        return [ctx.get_state("body"), ctx.get_state("steps")]

    async def main() -> Any:
        await flow.run(None)
        await flow.run(responses={"q1": "a"})
        return await flow.run(responses={"q2": "b"})

    assert asyncio.run(main()).get_outputs() == [[2, 1]]


@both
@pytest.mark.parametrize("kind", ["except", "base", "gather", "group", "finally"])
def test_trap_6_a_pause_cannot_be_swallowed_and_harms_no_group(make_storage: Any, kind: str) -> None:
    log: list[str] = []

    async def guarded(ctx: WorkflowRunContext) -> Any:
        catch = {"except": Exception, "base": BaseException}.get(kind, KeyError)
        try:
            return await ctx.request_info("?", str, request_id="q")
        except catch:
            log.append("swallowed")
            return "swallowed"
        finally:
            log.append("finally")

    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None, ctx: WorkflowRunContext) -> Any:
        if kind == "gather":
            return (await asyncio.gather(guarded(ctx), return_exceptions=True))[0]
        if kind == "group":
            async with asyncio.TaskGroup() as group:
                task = group.create_task(guarded(ctx))
            return task.result()
        return await guarded(ctx)

    async def main() -> Any:
        paused = await flow.run(None)
        assert paused.get_outputs() == []
        assert paused.get_final_state() is WorkflowRunState.IDLE_WITH_PENDING_REQUESTS
        assert log[-1] == "finally"
        return await flow.run(responses={"q": "yes"})

    assert asyncio.run(main()).get_outputs() == ["yes"]


@both
def test_trap_7_a_dropped_run_or_stream_locks_nothing(make_storage: Any) -> None:
    @workflow(checkpoint_storage=make_storage())
    async def flow(x: int) -> int:
        await asyncio.sleep(0)
        return x

    async def main() -> Any:
        flow.run(1).close()
        flow.run(2, stream=True)
        async for _ in flow.run(3, stream=True):
            break
        task = asyncio.create_task(flow.run(4))
        await asyncio.sleep(0)
        task.cancel()
        return await asyncio.gather(*(flow.run(n) for n in range(5)))

    assert [r.get_outputs() for r in asyncio.run(main())] == [[n] for n in range(5)]


@both
def test_trap_8_a_step_retried_in_a_loop_keeps_the_index_of_its_success(make_storage: Any) -> None:
    calls: list[int] = []

    @step
    async def flaky(n: int) -> str:
        calls.append(n)
        if len(calls) < 3:
            raise ConnectionError("down")
        return f"ok at {n}"

    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None, ctx: WorkflowRunContext) -> str:
        for n in range(5):
            try:
                found = await flaky(n)
                break
            except ConnectionError:
                continue
        await ctx.request_info("?", str, request_id="q")
        return found

    async def main() -> Any:
        await flow.run(None)
        return await flow.run(responses={"q": "go"})

    assert asyncio.run(main()).text == "ok at 2"
    assert calls == [0, 1, 2]


@both
def test_trap_9_a_real_divergence_names_the_step_and_both_calls(make_storage: Any) -> None:
    suffix = {"now": "1"}

    @step
    async def fetch(url: str) -> str:
        return url

    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None, ctx: WorkflowRunContext) -> str:
        found = await fetch(f"http://x/{suffix['now']}")
        await ctx.request_info("?", str, request_id="q")
        return found

    async def main() -> None:
        await flow.run(None)
        suffix["now"] = "2"
        await flow.run(responses={"q": "go"})

    with pytest.raises(ReplayDiverged) as caught:
        asyncio.run(main())
    assert (caught.value.step, caught.value.path) == ("fetch", "fetch#0")
    assert caught.value.recorded == "fetch(url='http://x/1')"
    assert caught.value.new == "fetch(url='http://x/2')"
    assert all(word in str(caught.value) for word in ("continue", "fork", "left as it was"))


@both
def test_trap_10_a_wrongly_typed_answer_is_refused_and_its_request_stays_open(make_storage: Any) -> None:
    passes: list[int] = []

    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None, ctx: WorkflowRunContext) -> int:
        passes.append(1)
        return int(await ctx.request_info("?", int, request_id="q")) + 1

    async def main() -> Any:
        await flow.run(None)
        with pytest.raises(InvalidResponse, match=r"'q' .*stays open"):
            await flow.run(responses={"q": "many"})
        assert len(passes) == 1
        return await flow.run(responses={"q": 41})

    assert asyncio.run(main()).get_outputs() == [42]
