"""One test per row of SEMANTICS section 2; what a row says beyond it is tested in the file that its docstring names."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import JournalConflict, NotSerializable
from orchestrator.functional import (
    FileCheckpointStorage,
    InMemoryCheckpointStorage,
    InvalidResponse,
    RequestError,
    RunArgumentError,
    RunContext,
    SignatureError,
    WorkflowEvent,
    WorkflowRunState,
    get_run_context,
    step,
    workflow,
)

PAUSED = WorkflowRunState.IDLE_WITH_PENDING_REQUESTS


@step
async def double(n: int) -> int:
    await asyncio.sleep(0)
    return 2 * n


@workflow
async def asks_twice(topic: str, ctx: RunContext) -> list[Any]:
    return list(await asyncio.gather(*(ctx.request_info(topic, int, request_id=name) for name in "ab")))


def test_row_decorator() -> None:
    """More in test_signatures.py."""
    storage = InMemoryCheckpointStorage()

    @workflow(name="named", description="Doubles", checkpoint_storage=storage)
    async def full(n: int) -> int:
        return await double(n)

    async def main() -> list[Any]:
        return [await full(1), (await full.run(1)).text, (await full.build().run(1)).get_outputs()]

    assert asyncio.run(main()) == [2, "", [2]]
    assert (full.name, full.description, full.as_agent().name) == ("named", "Doubles", "named")
    assert full.as_agent(name="A").name == "A"


def test_row_input() -> None:
    """More in test_signatures.py."""

    @workflow
    async def nothing() -> int:
        return 7

    @workflow
    async def anything(x: Any) -> str:
        return repr(x)

    assert asyncio.run(nothing.run()).get_outputs() == [7]
    assert asyncio.run(anything.run(None)).text == "None"
    with pytest.raises(SignatureError, match=r"test_rows.py:\d+: .*\(a, b\)"):

        @workflow
        async def two(a: int, b: int) -> None:
            """Two inputs are refused at once."""


def test_row_run_arguments() -> None:
    """More in test_arguments.py."""

    async def main() -> None:
        first, second = await asks_twice.run("x", run_id="run-1"), await asks_twice.run("y", run_id="run-2")
        assert [r.get_final_state() for r in (first, second)] == [PAUSED, PAUSED]
        with pytest.raises(RequestError, match=r"run-1.*run-2"):
            await asks_twice.run(responses={"a": 1})
        with pytest.raises(JournalConflict):
            await asks_twice.run("z", run_id="run-1")
        with pytest.raises(RunArgumentError):
            await asks_twice.run("x", responses={"a": 1})
        done = await asks_twice.run(responses={"a": 1, "b": 2}, run_id="run-2")
        assert done.get_outputs() == [[1, 2]]

    asyncio.run(main())


def test_row_result() -> None:
    """More in test_streams.py."""
    result = asyncio.run(asks_twice.run("x", include_status_events=True))
    assert isinstance(result, list) and all(isinstance(event, WorkflowEvent) for event in result)
    assert (result.text, result.get_outputs(), result.get_intermediate_outputs()) == ("", [], [])
    assert [event.request_id for event in result.get_request_info_events()] == ["a", "b"]
    assert result.get_final_state() is PAUSED
    assert [event.state for event in result.status_timeline()][-1] is PAUSED


def test_row_stream() -> None:
    """More in test_streams.py."""
    gate: list[str] = []

    @workflow
    async def slow(x: str, ctx: RunContext) -> str:
        ctx.add_event(WorkflowEvent("progress", data=x))
        while not gate:  # ends only when the reader has seen the event
            await asyncio.sleep(0.001)
        return x

    async def main() -> str:
        stream = slow.run("x", stream=True)
        async for event in stream:
            gate.extend([event.type] if event.type == "progress" else [])
        return str((await stream.get_final_response()).text)

    assert asyncio.run(asyncio.wait_for(main(), 10)) == "x"


def test_row_events() -> None:
    """More in test_streams.py and the tests of seed 002."""

    @workflow(checkpoint_storage=InMemoryCheckpointStorage())
    async def flow(x: int, ctx: RunContext) -> int:
        ctx.add_event(WorkflowEvent("mine"))
        return await double(x) + int(await ctx.request_info("n?", int, request_id="n"))

    async def main() -> list[list[WorkflowEvent]]:
        first = await flow.run(1, include_status_events=True)
        return [first, await flow.run(responses={"n": 3}, include_status_events=True)]

    phases = asyncio.run(main())
    events = [event for phase in phases for event in phase]
    named = {"status", "executor_invoked", "executor_completed", "executor_bypassed", "request_info", "output", "mine"}
    assert named <= {event.type for event in events}
    assert all(event.run_id and event.at for event in events)
    numbers = [event.sequence for event in events]  # rising over both looks
    assert numbers == sorted(set(numbers))


def test_row_step(tmp_path: Path) -> None:
    """More in test_steps.py, test_quiet.py and test_divergence.py."""
    calls: list[int] = []

    @step
    async def slow(n: int) -> int:
        calls.append(n)
        await asyncio.sleep(0.01 * (3 - n))
        return n

    @workflow(checkpoint_storage=FileCheckpointStorage(tmp_path))
    async def flow(x: str, ctx: RunContext) -> list[int]:
        third = slow(3)  # its ordinal is taken here, not where it is awaited
        return [*await asyncio.gather(slow(1), slow(2)), await third, int(await ctx.request_info(x, int))]

    async def main() -> list[Any]:
        (request,) = (await flow.run("x")).get_request_info_events()
        return list((await flow.run(responses={str(request.request_id): 4})).get_outputs())

    assert asyncio.run(main()) == [[1, 2, 3, 4]] and sorted(calls) == [1, 2, 3]
    assert asyncio.run(slow(1)) == 1  # transparent outside


def test_row_request_info() -> None:
    """More in test_traps.py and test_quiet.py."""

    async def main() -> list[Any]:
        await asks_twice.run("x", run_id="r")
        partly = await asks_twice.run(responses={"a": 1}, run_id="r")
        assert [event.request_id for event in partly.get_request_info_events()] == ["b"]
        with pytest.raises(InvalidResponse, match="stays open"):
            await asks_twice.run(responses={"b": "word"}, run_id="r")
        return list((await asks_twice.run(responses={"b": 2}, run_id="r")).get_outputs())

    assert asyncio.run(main()) == [[1, 2]]


def test_row_state(tmp_path: Path) -> None:
    """More in test_state.py."""

    @workflow(checkpoint_storage=FileCheckpointStorage(tmp_path))
    async def counts(x: Any, ctx: RunContext) -> int:
        ctx.set_state("n", ctx.get_state("n", 0) + 1)
        await ctx.request_info("go?", bool, request_id="go")
        return int(ctx.get_state("n"))

    @workflow(checkpoint_storage=FileCheckpointStorage(tmp_path))
    async def keeps(x: Any, ctx: RunContext) -> None:
        ctx.set_state("bad", {"inner": object()})

    async def main() -> Any:
        await counts.run(1)
        return (await counts.run(responses={"go": True})).get_outputs()

    assert asyncio.run(main()) == [1]
    with pytest.raises(NotSerializable, match="inner"):
        asyncio.run(keeps.run(1))


def test_row_checkpoints() -> None:
    """More in test_checkpoints.py; that the cost of a step is constant, in test_speed.py."""
    storage = InMemoryCheckpointStorage()

    @workflow(checkpoint_storage=storage)
    async def flow(x: int, ctx: RunContext) -> int:
        return await double(x) + int(await ctx.request_info(x, int, request_id="n"))

    async def main() -> list[Any]:
        for user in ("kim", "lee"):
            await flow.run(len(user), run_id=user)
        latest = await storage.get_latest(workflow_name="flow", run_id="kim")
        assert latest is not None and latest.run_id == "kim" and latest.steps == {"double#0": 6}
        return list((await flow.run(responses={"n": 1}, checkpoint_id=latest.checkpoint_id)).get_outputs())

    assert asyncio.run(main()) == [7]


def test_row_runs() -> None:
    """More in test_streams.py and trap 7."""

    async def main() -> list[Any]:
        asks_twice.run("dropped").close()
        asks_twice.run("dropped", stream=True)
        runs = await asyncio.gather(*(asks_twice.run(str(n)) for n in range(50)))
        ends = (asks_twice.run(responses={"a": n, "b": n}, run_id=run.run_id) for n, run in enumerate(runs))
        return [end.get_outputs() for end in await asyncio.gather(*ends)]

    assert asyncio.run(main()) == [[[n, n]] for n in range(50)]


def test_row_nesting(tmp_path: Path) -> None:
    """More in test_nesting.py; server and drawing in tests/server/test_store_api.py and test_engine.py."""

    @workflow
    async def outer(topic: str) -> list[Any]:
        assert get_run_context() is not None
        return [topic, *(await asks_twice(topic))]

    async def main() -> list[Any]:
        requests = (await outer.run("x")).get_request_info_events()
        return list((await outer.run(responses={str(r.request_id): 5 for r in requests})).get_outputs())

    assert asyncio.run(main()) == [["x", 5, 5]]
