"""A run's key/value state: who sees a write when, and that a replay sees what the first pass saw."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator.errors import NotSerializable
from orchestrator.functional import (
    InMemoryCheckpointStorage,
    RunArgumentError,
    RunContext,
    get_run_context,
    step,
    workflow,
)

STORAGES = [lambda: None, InMemoryCheckpointStorage]
both = pytest.mark.parametrize("make_storage", STORAGES, ids=["memory", "storage"])


@both
def test_a_replay_reads_what_the_first_pass_read(make_storage: Any) -> None:
    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None, ctx: RunContext) -> Any:
        seen = [ctx.get_state("n", "none")]
        ctx.set_state("n", 1)
        seen.append(ctx.get_state("n"))
        ctx.set_state("n", 2)
        await ctx.request_info("?", str, request_id="q")
        return [*seen, ctx.get_state("n")]

    async def main() -> Any:
        await flow.run(None)
        return await flow.run(responses={"q": "go"})

    assert asyncio.run(main()).get_outputs() == [["none", 1, 2]]


def test_a_value_that_was_read_or_set_can_be_changed_without_changing_the_state() -> None:
    @workflow
    async def flow(x: None, ctx: RunContext) -> Any:
        items = [1]
        ctx.set_state("items", items)
        items.append(2)
        ctx.get_state("items").append(3)
        return ctx.get_state("items")

    assert asyncio.run(flow(None)) == [1]


def test_a_steps_write_is_seen_inside_at_once_and_outside_when_it_succeeds() -> None:
    seen: list[Any] = []

    @step
    async def write(ctx: RunContext) -> None:
        ctx.set_state("k", 1)
        seen.append(("inside", ctx.get_state("k")))
        await asyncio.sleep(0.004)

    @workflow
    async def flow(x: None, ctx: RunContext) -> Any:
        task = asyncio.create_task(write())
        await asyncio.sleep(0.002)
        seen.append(("during", ctx.get_state("k")))
        await task
        return ctx.get_state("k")

    assert asyncio.run(flow(None)) == 1
    assert seen == [("inside", 1), ("during", None)]


def test_what_an_inner_step_commits_is_not_undone_by_the_outer_one() -> None:
    @step
    async def inner(ctx: RunContext) -> None:
        ctx.set_state("k", ctx.get_state("k") + 1)

    @step
    async def outer(ctx: RunContext) -> None:
        ctx.set_state("k", 1)
        await inner()

    @workflow
    async def flow(x: None, ctx: RunContext) -> Any:
        await outer()
        return ctx.get_state("k")

    assert asyncio.run(flow(None)) == 2


@both
def test_a_step_that_asks_keeps_what_it_wrote_before_and_writes_it_once(make_storage: Any) -> None:
    @step
    async def review(ctx: RunContext) -> str:
        ctx.set_state("rounds", ctx.get_state("rounds", 0) + 1)
        answer = await ctx.request_info("?", str, request_id="q")
        return f"{answer} {ctx.get_state('rounds')}"

    @workflow(checkpoint_storage=make_storage())
    async def flow(x: None, ctx: RunContext) -> Any:
        return [await review(), ctx.get_state("rounds")]

    async def main() -> Any:
        await flow.run(None)
        return await flow.run(responses={"q": "fine"})

    assert asyncio.run(main()).get_outputs() == [["fine 1", 1]]


def test_a_failed_step_leaves_no_write() -> None:
    @step
    async def fail(ctx: RunContext) -> None:
        ctx.set_state("k", 1)
        raise KeyError("k")

    @workflow
    async def flow(x: None, ctx: RunContext) -> Any:
        try:
            await fail()
        except KeyError:
            return ctx.get_state("k", "clean")

    assert asyncio.run(flow(None)) == "clean"


@pytest.mark.parametrize(("key", "says"), [("_k", "underscore"), ("", "non-empty"), (3, "non-empty")])
def test_bad_keys_are_refused(key: Any, says: str) -> None:
    @workflow
    async def flow(x: None, ctx: RunContext) -> None:
        ctx.set_state(key, 1)

    with pytest.raises(RunArgumentError, match=says):
        asyncio.run(flow(None))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"a": [1, {2}]}, r"state `k`, set in step `write#0`, .* a\[1\] is a set"),
        ({1: 2}, "the value has the key 1, which is not text"),
        (object(), "the value is a object"),
    ],
)
def test_state_that_is_no_json_is_refused_with_step_and_path_when_it_is_set(value: Any, says: str) -> None:
    @step
    async def write(ctx: RunContext) -> None:
        ctx.set_state("k", value)

    @workflow(checkpoint_storage=InMemoryCheckpointStorage())
    async def flow(x: None) -> None:
        await write()

    with pytest.raises(NotSerializable, match=says):
        asyncio.run(flow.run(None))


@both
def test_values_that_contain_themselves_are_refused_by_name(make_storage: Any) -> None:
    endless: list[Any] = []
    endless.append(endless)

    @step
    async def give(x: None) -> list[Any]:
        return endless

    @workflow(checkpoint_storage=make_storage())
    async def result(x: None) -> None:
        await give(None)

    @workflow(checkpoint_storage=make_storage())
    async def state(x: None, ctx: RunContext) -> None:
        ctx.set_state("k", endless)

    @workflow(checkpoint_storage=make_storage())
    async def question(x: None, ctx: RunContext) -> None:
        await ctx.request_info(endless, response_type=str, request_id="q")

    for flow, said in (
        (result, "workflow `result`: the result of step `give` cannot be kept: it contains itself"),
        (state, "workflow `state`: state `k`, set in the workflow function, cannot be kept: it contains itself"),
        (question, "workflow `question`: the data of request 'q' cannot be kept: it contains itself"),
    ):
        with pytest.raises(NotSerializable, match=said):
            asyncio.run(flow.run(None))
    with pytest.raises(NotSerializable, match="workflow `result`: the message cannot be kept"):
        asyncio.run(result.run(endless))


def test_runs_of_one_definition_do_not_see_each_others_state() -> None:
    @workflow
    async def flow(x: int) -> Any:
        ctx = get_run_context()
        assert ctx is not None
        before = ctx.get_state("k")
        ctx.set_state("k", x)
        await asyncio.sleep(0.001)
        return [before, ctx.get_state("k")]

    async def main() -> Any:
        return await asyncio.gather(*(flow(n) for n in range(50)))

    assert asyncio.run(main()) == [[None, n] for n in range(50)]
