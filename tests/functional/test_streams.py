"""Streams and results: events when they happen, in order, with run, number and time; dropped streams; failures."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import RunCancelled
from orchestrator.functional import (
    InMemoryCheckpointStorage,
    RunArgumentError,
    RunContext,
    WorkflowEvent,
    WorkflowRunState,
    step,
    workflow,
)

FIRST = ("started", "progress", "executor_invoked", "executor_completed")


def make_flow(storage: Any = None, url: str | None = None) -> Any:
    @step
    async def work(n: int) -> int:
        await asyncio.sleep(0.02)
        return n

    @workflow(checkpoint_storage=storage, store=url)
    async def flow(x: int, ctx: RunContext) -> int:
        ctx.add_event(WorkflowEvent("progress", data="first"))
        return await work(x) + await work(x)

    return flow


@pytest.mark.parametrize("kind", ["memory", "storage", "strict", "relaxed"])
def test_events_come_within_ten_milliseconds_of_happening(kind: str, tmp_path: Path) -> None:
    storage = InMemoryCheckpointStorage() if kind == "storage" else None
    url = f"sqlite:///{tmp_path}/runs.db?durability={kind}" if kind in ("strict", "relaxed") else None

    async def lags() -> dict[str, float]:
        stream = make_flow(storage, url).run(1, stream=True)
        return dict(reversed([(event.type, time.time() - event.at) async for event in stream]))

    async def main() -> list[dict[str, float]]:
        await make_flow(storage, url).run(1)  # imports and opening the store are paid here
        return [await lags() for _ in range(5)]

    first = [max(lag[kind] for kind in FIRST) for lag in asyncio.run(main())]
    assert min(first) < 0.01  # the machine may be busy now and then


def test_a_step_that_never_waits_does_not_keep_events_back() -> None:
    @step
    async def busy(n: int) -> int:
        time.sleep(0.001)  # noqa: ASYNC251  # it is the point
        return n

    @workflow
    async def flow(x: int) -> None:
        for n in range(x):
            await busy(n)

    async def main() -> list[float]:
        stream = flow.run(60, stream=True)
        return [time.time() - event.at async for event in stream if event.type == "executor_completed"]

    waits = sorted(asyncio.run(main()))
    assert waits[len(waits) * 3 // 4] < 0.01  # the rest is left to whatever else the machine does
    assert waits[-1] < 0.06  # all steps together take that long: none was kept to the end


def test_every_event_has_run_number_and_time() -> None:
    async def main() -> Any:
        return [e async for e in make_flow().run(1, stream=True)]

    events = asyncio.run(main())
    assert len({e.run_id for e in events}) == 1
    assert events[0].run_id
    assert [e.sequence for e in events] == sorted({e.sequence for e in events})
    assert [e.at for e in events] == sorted(e.at for e in events)
    assert all(abs(e.at - time.time()) < 5 for e in events)
    assert [e.call_path for e in events if e.executor_id == "work"] == ["work#0", "work#0", "work#1", "work#1"]


def test_order_of_events_on_success_and_on_a_pause() -> None:
    @step
    async def work() -> str:
        return "w"

    @workflow
    async def flow(x: None, ctx: RunContext) -> str:
        return await work() + str(await ctx.request_info("?", str, request_id="q"))

    async def shown(**options: Any) -> list[str]:
        return [e.state or e.type async for e in flow.run(stream=True, **options)]

    async def main() -> Any:
        return await shown(message=None), await shown(responses={"q": "!"})

    paused, done = asyncio.run(main())
    begin = ["started", "IN_PROGRESS"]
    waiting = ["request_info", "IN_PROGRESS_PENDING_REQUESTS", "IDLE_WITH_PENDING_REQUESTS"]
    assert paused == [*begin, "executor_invoked", "executor_completed", *waiting]
    assert done == [*begin, "executor_bypassed", "output", "IDLE"]


async def collect(stream: Any, seen: list[Any]) -> None:
    async for event in stream:
        seen.append(event)


def test_a_failed_run_raises_its_own_error_and_shows_it() -> None:
    class OwnError(Exception): ...

    @workflow
    async def flow(x: None) -> None:
        raise OwnError("why")

    async def main() -> Any:
        stream = flow.run(None, stream=True)
        seen = []
        with pytest.raises(OwnError, match="why"):
            await collect(stream, seen)
        with pytest.raises(OwnError):
            await stream.get_final_response()
        with pytest.raises(OwnError):
            await flow.run(None)
        return seen

    *_, failed, status = asyncio.run(main())
    assert (failed.type, failed.details.error_type, failed.details.message) == ("failed", "OwnError", "why")
    assert "raise OwnError" in failed.details.traceback
    assert status.state is WorkflowRunState.FAILED


def test_get_final_response_works_without_reading_and_events_are_still_there() -> None:
    async def main() -> Any:
        stream = make_flow().run(1, stream=True)
        result = await stream.get_final_response()
        return result, [e.type async for e in stream]

    result, types = asyncio.run(main())
    assert result.get_outputs() == [2]
    assert types[0] == "started"
    assert types.count("executor_completed") == 2


def test_a_stream_that_is_left_lets_its_run_go_on_and_aclose_cancels_it() -> None:
    ended: list[str] = []

    @workflow
    async def flow(x: str) -> None:
        try:
            await asyncio.sleep(0.01)
            ended.append(f"{x} done")
        except asyncio.CancelledError:
            ended.append(f"{x} cancelled")
            raise

    async def main() -> None:
        async for _ in flow.run("left", stream=True):
            break
        async with flow.run("closed", stream=True) as stream:
            await stream.__anext__()
            await asyncio.sleep(0.002)
        assert ended == ["closed cancelled"]
        with pytest.raises(RunCancelled):
            await stream.get_final_response()
        await asyncio.sleep(0.02)

    asyncio.run(main())
    assert ended == ["closed cancelled", "left done"]


def test_cancelling_the_caller_cancels_the_run_and_waits_for_its_cleanup() -> None:
    log: list[str] = []

    @workflow
    async def flow(x: None) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.001)
            log.append("clean")

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flow.run(None), 0.01)
        assert log == ["clean"]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_siblings_of_a_failing_branch_are_cancelled_before_run_raises() -> None:
    log: list[str] = []

    @step
    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            log.append("ended")

    @step
    async def fail() -> None:
        raise ValueError("x")

    @workflow
    async def flow(x: None) -> None:
        await asyncio.gather(slow(), fail())

    async def main() -> None:
        with pytest.raises(ValueError, match="x"):
            await flow.run(None)
        assert log == ["ended"]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_text_outputs_and_intermediate_outputs() -> None:
    @workflow
    async def flow(x: Any, ctx: RunContext) -> Any:
        ctx.add_event(WorkflowEvent("intermediate", data=1))
        return x

    results = [asyncio.run(flow.run(x)) for x in ("a", None, [1, 2], 3)]
    assert [r.text for r in results] == ["a", "", "", ""]
    assert [r.get_outputs() for r in results] == [["a"], [], [[1, 2]], [3]]
    assert results[0].get_intermediate_outputs() == [1]
    assert [e.state for e in results[0].status_timeline()] == [WorkflowRunState.IN_PROGRESS, WorkflowRunState.IDLE]


def test_add_event_takes_events_only() -> None:
    @workflow
    async def flow(x: None, ctx: RunContext) -> None:
        ctx.add_event("progress")  # type: ignore[arg-type]

    with pytest.raises(RunArgumentError, match="takes a WorkflowEvent, not str"):
        asyncio.run(flow.run(None))


def test_a_thousand_runs_of_one_definition_at_a_time() -> None:
    async def main() -> Any:
        flow = make_flow()
        return await asyncio.gather(*(flow.run(n) for n in range(1000)))

    results = asyncio.run(main())
    assert [r.get_outputs() for r in results] == [[2 * n] for n in range(1000)]
    assert len({r.run_id for r in results}) == 1000


def test_a_run_that_has_ended_is_forgotten() -> None:
    flow = make_flow()

    async def main() -> Any:
        stream = flow.run(1, stream=True)
        await stream.get_final_response()
        session = weakref.ref((await stream._start())[0])
        assert flow.sessions == {}
        return session

    session = asyncio.run(main())
    gc.collect()
    assert session() is None
