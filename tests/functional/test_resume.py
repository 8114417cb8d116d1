"""Going on: from every point at which a process may have died, while the run still works, and never, when it is cancelled."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from orchestrator import Context, StartEvent, StopEvent, Workflow
from orchestrator import step as class_step
from orchestrator.errors import RunCancelled, StepFailed, UnknownRun
from orchestrator.functional import (
    InMemoryCheckpointStorage,
    RunContext,
    WorkflowRunState,
    get_run_context,
    step,
    workflow,
)
from orchestrator.functional.entries import kind_of

STORAGES = [lambda: None, InMemoryCheckpointStorage]
both = pytest.mark.parametrize("make_storage", STORAGES, ids=["memory", "storage"])


def make_story(storage: Any, calls: list[str], world: set[str] | None = None) -> Any:
    """A run with a failure that is caught, nested steps, two branches and a question; `world` outlives a process."""
    world = set() if world is None else world

    @step
    async def work(name: str, ctx: RunContext) -> str:
        calls.append(name)
        await asyncio.sleep(0)
        ctx.set_state("done", [*ctx.get_state("done", []), name])
        return name

    @step
    async def flaky(ctx: RunContext) -> str:
        calls.append("flaky")
        await work("inside")
        if "failed" not in world:
            world.add("failed")
            raise ConnectionError("down")
        return "up"

    async def branch(name: str) -> list[str]:
        return [await work(f"{name}{n}") for n in range(3)]

    @workflow(checkpoint_storage=storage)
    async def story(x: int, ctx: RunContext) -> Any:
        ctx.set_state("starts", ctx.get_state("starts", 0) + 1)
        try:
            up = await flaky()
        except ConnectionError:
            up = await flaky()
        left, right, answer = await asyncio.gather(branch("l"), branch("r"), ctx.request_info("?", int, request_id="q"))
        return [up, *left, *right, answer + x, ctx.get_state("starts"), sorted(ctx.get_state("done"))]

    return story


def test_a_run_goes_on_from_every_entry_at_which_its_process_may_have_died() -> None:
    async def main() -> int:
        first, all_calls = InMemoryCheckpointStorage(), list[str]()
        flow = make_story(first, all_calls)
        run_id = (await flow.run(1)).run_id
        expected = (await flow.run(responses={"q": 41})).get_outputs()
        entries = list(await first.read(run_id) or ())
        for cut in range(1, len(entries)):
            storage, calls = InMemoryCheckpointStorage(), list[str]()
            storage.append(run_id, entries[:cut])
            failed = any(kind_of(e) == "progress" and "ConnectionError" in str(e) for e in entries[:cut])
            outputs = await go_on(make_story(storage, calls, {"failed"} if failed else set()), run_id)
            assert outputs == expected, cut
            assert Counter(calls) <= Counter(all_calls), cut
            assert [kind_of(e) for e in storage._runs[run_id]].count("wait") == 1
        return len(entries)

    assert asyncio.run(main()) > 15


async def go_on(flow: Any, run_id: str) -> Any:
    result = await flow.run(run_id=run_id)
    if result.get_final_state() is WorkflowRunState.IDLE_WITH_PENDING_REQUESTS:
        result = await flow.run(responses={"q": 41})
    return result.get_outputs()


@both
def test_a_question_can_be_answered_while_the_run_still_works(make_storage: Any) -> None:
    passes: list[int] = []

    @step
    async def slow() -> str:
        await asyncio.sleep(0.03)
        return "slow"

    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None, ctx: RunContext) -> Any:
        passes.append(1)
        return list(await asyncio.gather(ctx.request_info("?", str, request_id="q"), slow()))

    async def main() -> Any:
        stream = flow.run(None, stream=True)
        async for event in stream:
            if event.type == "request_info":
                answering = asyncio.create_task(flow.run(responses={"q": "now"}))
        return await stream.get_final_response(), await answering

    first, second = asyncio.run(main())
    assert first.get_outputs() == second.get_outputs() == [["now", "slow"]]
    assert first.get_request_info_events() == []
    assert passes == [1]


@both
def test_a_waiting_run_can_be_cancelled_and_takes_no_answer_then(make_storage: Any) -> None:
    flow = make_story(make_storage(), [])

    async def main() -> None:
        run_id = (await flow.run(1)).run_id
        await flow.cancel(run_id)
        with pytest.raises((ValueError, UnknownRun)):
            await flow.run(responses={"q": 1}, run_id=run_id)
        assert flow.sessions == {}

    asyncio.run(main())


def test_a_working_run_can_be_cancelled_from_elsewhere() -> None:
    log: list[str] = []

    @workflow
    async def flow(x: None) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            log.append("clean")

    async def main() -> None:
        task = asyncio.create_task(flow.run(None, run_id="r"))
        await asyncio.sleep(0.002)
        await flow.cancel("r")
        assert log == ["clean"]
        with pytest.raises(RunCancelled, match="r was cancelled"):
            await task
        with pytest.raises(UnknownRun):
            await flow.cancel("r")

    asyncio.run(main())


def test_two_callers_wait_for_one_run_and_one_leaving_does_not_end_it() -> None:
    @workflow
    async def flow(x: None) -> str:
        await asyncio.sleep(0.01)
        return "done"

    async def main() -> Any:
        first = asyncio.create_task(flow.run(None, run_id="r"))
        await asyncio.sleep(0.001)
        second = asyncio.create_task(flow.run(run_id="r"))
        await asyncio.sleep(0.001)
        first.cancel()
        return await second

    assert asyncio.run(main()).text == "done"


def test_steps_called_inside_a_class_workflow_that_a_function_runs_are_no_calls_of_the_function() -> None:
    seen: list[Any] = []

    @step
    async def work(x: int) -> int:
        seen.append(get_run_context())
        return x

    class Inner(Workflow):
        @class_step
        async def only(self, ev: StartEvent, ctx: Context) -> StopEvent:
            return StopEvent(result=await work(ev.x))

    @workflow
    async def flow(x: int) -> Any:
        return [await Inner().run(x=x), await work(x)]

    result = asyncio.run(flow.run(3))
    assert result.get_outputs() == [[3, 3]]
    assert [e.call_path for e in result if e.type == "executor_completed"] == ["work#0"]
    assert seen[0] is None


def test_a_run_that_has_ended_is_looked_at_by_its_id_and_not_run_again() -> None:
    storage, calls = InMemoryCheckpointStorage(), list[str]()
    flow = make_story(storage, calls)

    async def main() -> Any:
        await flow.run(1, run_id="r")
        done = await flow.run(responses={"q": 41})
        before = len(calls)
        looks = [await flow.run(run_id="r"), await flow.run(responses={"q": 41}, run_id="r")]
        with pytest.raises(ValueError, match="has ended and takes no more answers"):
            await flow.run(responses={"q": 1}, run_id="r")
        assert len(calls) == before
        assert list(storage._runs) == ["r"]
        assert flow.sessions == {}
        return done, looks

    done, looks = asyncio.run(main())
    assert [look.get_outputs() for look in looks] == [done.get_outputs()] * 2
    assert [e.state or e.type for e in looks[0].status_timeline()] == ["IDLE"]  # it is not in progress any more
    assert [event.sequence for event in looks[0]] == [done[-1].sequence]


def test_a_run_that_has_failed_is_looked_at_by_its_id() -> None:
    @workflow(checkpoint_storage=InMemoryCheckpointStorage())
    async def flow(x: None) -> None:
        raise KeyError("why")

    async def main() -> None:
        with pytest.raises(KeyError):
            await flow.run(None, run_id="r")
        await flow.run(run_id="r")

    with pytest.raises(StepFailed, match="why"):
        asyncio.run(main())
