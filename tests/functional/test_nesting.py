"""A workflow inside another one: its steps are kept, its questions surface outside, its state is its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator.functional import InMemoryCheckpointStorage, RunArgumentError, RunContext, step, workflow

STORAGES = [lambda: None, InMemoryCheckpointStorage]
both = pytest.mark.parametrize("make_storage", STORAGES, ids=["memory", "storage"])
calls: list[str] = []


@step
async def work(name: str) -> str:
    calls.append(name)
    return name


@workflow
async def inner(name: str, ctx: RunContext) -> str:
    ctx.set_state("n", ctx.get_state("n", 0) + 1)
    done = await work(name)
    answer = await ctx.request_info({"name": name}, str, request_id=f"ask {name}")
    return f"{done} {answer} {ctx.get_state('n')}"


@pytest.fixture(autouse=True)
def _fresh() -> None:
    calls.clear()


@both
@pytest.mark.parametrize("by_run", [False, True], ids=["called", "run"])
def test_a_pause_inside_surfaces_outside_and_goes_on_inside(make_storage: Any, by_run: bool) -> None:
    @workflow(checkpoint_storage=make_storage())
    async def outer(x: None, ctx: RunContext) -> Any:
        found = (await inner.run("a")).text if by_run else await inner("a")
        return [found, ctx.get_state("n")]

    async def main() -> Any:
        paused = await outer.run(None)
        (asked,) = paused.get_request_info_events()
        assert asked.request_id == "ask a"
        return await outer.run(responses={"ask a": "yes"})

    assert asyncio.run(main()).get_outputs() == [["a yes 1", None]]
    assert calls == ["a"]


@both
def test_inner_workflows_run_side_by_side_and_are_kept_when_done(make_storage: Any) -> None:
    @workflow(checkpoint_storage=make_storage())
    async def outer(x: None, ctx: RunContext) -> Any:
        return list(await asyncio.gather(inner("a"), inner("b")))

    async def main() -> Any:
        paused = await outer.run(None)
        assert len(paused.get_request_info_events()) == 2
        await outer.run(responses={"ask b": "2"})
        return await outer.run(responses={"ask a": "1"})

    result = asyncio.run(main())
    assert result.get_outputs() == [["a 1 1", "b 2 1"]]
    assert calls == ["a", "b"]
    assert [e.type for e in result if e.executor_id == "inner"][-1] == "executor_completed"


def test_the_result_of_an_inner_run_holds_its_own_events() -> None:
    seen: list[Any] = []

    @workflow
    async def plain(x: str) -> str:
        return await work(x)

    @workflow
    async def outer(x: None) -> None:
        await work("before")
        seen.append(await plain.run("p"))

    asyncio.run(outer.run(None))
    assert [(e.type, e.data) for e in seen[0]] == [
        ("executor_invoked", {"args": ("p",), "kwargs": {}}),
        ("executor_completed", "p"),
        ("output", "p"),
    ]
    assert seen[0].get_final_state() == "IDLE"


def test_an_inner_failure_is_the_outer_codes_to_catch() -> None:
    @workflow
    async def fails(x: None) -> None:
        raise KeyError("inside")

    @workflow
    async def outer(x: None) -> str:
        try:
            await fails(None)
        except KeyError as error:
            return f"caught {error}"
        return "?"

    assert asyncio.run(outer.run(None)).text == "caught 'inside'"


def test_streaming_an_inner_run_is_refused_with_what_to_do() -> None:
    @workflow
    async def outer(x: None) -> None:
        inner.run("a", stream=True)

    with pytest.raises(RunArgumentError, match=r"await `inner\(\.\.\.\)`"):
        asyncio.run(outer.run(None))


def test_an_inner_run_with_an_id_of_its_own_is_a_run_of_its_own() -> None:
    @workflow
    async def outer(x: None) -> Any:
        paused = await inner.run("a", run_id="apart")
        return str(paused.get_final_state())

    async def main() -> Any:
        first = await outer.run(None)
        return first.text, await inner.run(responses={"ask a": "1"}, run_id="apart")

    state, result = asyncio.run(main())
    assert (state, result.text) == ("IDLE_WITH_PENDING_REQUESTS", "a 1 1")


def test_an_agent_of_a_workflow_inside_a_workflow_pauses_the_outer_run() -> None:
    agent = inner.as_agent("Asker")

    @workflow
    async def outer(x: None) -> str:
        return str((await agent.run("a")).text)

    async def main() -> Any:
        await outer.run(None)
        return await outer.run(responses={"ask a": "1"})

    assert asyncio.run(main()).text == "a 1 1"


def test_the_result_of_an_inner_run_is_numbered_in_the_outer_run() -> None:
    @step
    async def work(x: int) -> int:
        return x

    @workflow(name="inner/odd~name")
    async def inner(x: int) -> int:
        return await work(x)

    @workflow
    async def outer(x: int) -> list[Any]:
        return [await inner.run(x), await inner.run(x)]

    result = asyncio.run(outer.run(1))
    for found in result.get_outputs()[0]:
        numbers = [event.sequence for event in found]
        assert [event.type for event in found] == ["executor_invoked", "executor_completed", "output"]
        assert numbers == sorted(set(numbers)) and all(event.run_id == result.run_id and event.at for event in found)
