"""`run()`: which arguments go together, which run gets the answers, and what is refused before anything runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator.errors import JournalConflict, RunError, UnknownRun
from orchestrator.functional import (
    InMemoryCheckpointStorage,
    RequestError,
    RunArgumentError,
    RunContext,
    UnknownCheckpoint,
    workflow,
)


def make_flow(storage: Any = None) -> Any:
    @workflow(checkpoint_storage=storage)
    async def flow(x: str, ctx: RunContext) -> str:
        return f"{x} {await ctx.request_info({'for': x}, str, request_id='q')}"

    return flow


@pytest.fixture(params=["memory", "storage"])
def flow(request: Any) -> Any:
    return make_flow(InMemoryCheckpointStorage() if request.param == "storage" else None)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"message": "x", "responses": {"q": 1}}, "a message starts a run and responses"),
        ({"message": "x", "checkpoint_id": "c"}, "a message starts a run and checkpoint_id"),
        ({"responses": {}}, "responses is empty"),
        ({"responses": ["q"]}, "dict of request id"),
        ({"checkpoint_id": "c"}, "needs a checkpoint_storage"),
        ({"message": "x", "on_divergence": "maybe"}, "on_divergence is"),
        ({"message": "x", "run_id": ""}, "run_id is"),
        ({}, "needs a message"),
        ({"message": "x", "checkpoint_storage": object()}, "no checkpoint storage"),
        ({"message": "x", "checkpoint_storage": InMemoryCheckpointStorage(), "store": "memory:"}, "both say where"),
    ],
)
def test_conflicting_arguments_are_refused_when_run_is_called(arguments: Any, says: str) -> None:
    with pytest.raises(RunArgumentError, match=says) as caught:
        make_flow().run(**arguments)
    assert isinstance(caught.value, ValueError)


def test_an_unknown_request_id_is_refused_and_the_open_ones_are_listed(flow: Any) -> None:
    async def main() -> Any:
        await flow.run("a")
        with pytest.raises(RequestError, match="no request 'p' is open; open: 'q'"):
            await flow.run(responses={"p": "x"})
        with pytest.raises(RequestError, match="'p'"):
            await flow.run(responses={"q": "x", "p": "x"})
        return await flow.run(responses={"q": "fine"})

    assert asyncio.run(main()).text == "a fine"


def test_answers_with_nothing_open_are_refused(flow: Any) -> None:
    with pytest.raises(RequestError, match="open: none"):
        asyncio.run(flow.run(responses={"q": "x"}))


def test_answers_that_fit_two_runs_are_refused_and_the_runs_are_listed(flow: Any) -> None:
    async def main() -> Any:
        ids = [(await flow.run(x)).run_id for x in "ab"]
        with pytest.raises(RequestError, match="2 runs wait") as caught:
            await flow.run(responses={"q": "x"})
        assert all(run_id in str(caught.value) for run_id in ids)
        return [(await flow.run(responses={"q": "x"}, run_id=run_id)).text for run_id in reversed(ids)]

    assert asyncio.run(main()) == ["b x", "a x"]


def test_a_run_can_be_given_its_id_and_is_found_by_it(flow: Any) -> None:
    async def main() -> Any:
        assert (await flow.run("a", run_id="mine")).run_id == "mine"
        with pytest.raises(JournalConflict, match="'mine' exists already"):
            await flow.run("a", run_id="mine")
        with pytest.raises(UnknownRun, match="'other'"):
            await flow.run(responses={"q": "x"}, run_id="other")
        return await flow.run(responses={"q": "x"}, run_id="mine")

    assert asyncio.run(main()).text == "a x"


def test_a_run_id_alone_goes_on_with_a_waiting_run(flow: Any) -> None:
    async def main() -> Any:
        await flow.run("a", run_id="mine")
        again = await flow.run(run_id="mine")
        with pytest.raises(UnknownRun, match="give a message to start it"):
            await flow.run(run_id="other")
        return again

    assert [e.request_id for e in asyncio.run(main()).get_request_info_events()] == ["q"]


def test_an_accepted_answer_may_be_sent_again_unchanged_but_not_changed() -> None:
    @workflow
    async def flow(x: None, ctx: RunContext) -> Any:
        return list(await asyncio.gather(*(ctx.request_info(n, str, request_id=n) for n in "ab")))

    async def main() -> Any:
        await flow.run(None)
        await flow.run(responses={"a": "1"})
        repeated = await flow.run(responses={"a": "1"})
        with pytest.raises(RequestError, match="answered otherwise"):
            await flow.run(responses={"a": "2"})
        return repeated, await flow.run(responses={"a": "1", "b": "2"})

    repeated, done = asyncio.run(main())
    assert [e.request_id for e in repeated.get_request_info_events()] == ["b"]
    assert done.get_outputs() == [["1", "2"]]


def test_a_message_while_a_run_waits_starts_another_one(flow: Any) -> None:
    async def main() -> Any:
        first, second = await flow.run("a"), await flow.run("b")
        assert first.run_id != second.run_id
        return await flow.run(responses={"q": "x"}, run_id=first.run_id)

    assert asyncio.run(main()).text == "a x"


def test_a_direct_call_that_pauses_says_how_to_go_on() -> None:
    flow = make_flow()

    async def main() -> Any:
        with pytest.raises(RunError, match=r"paused for 'q'.*run\(responses=") as caught:
            await flow("a")
        return await flow.run(responses={"q": "x"}, run_id=caught.value.run_id)

    assert asyncio.run(main()).text == "a x"


def test_a_run_that_waits_in_memory_goes_on_in_another_event_loop() -> None:
    flow = make_flow()
    asyncio.run(flow.run("a"))
    assert asyncio.run(flow.run(responses={"q": "x"})).text == "a x"


def test_run_sync_needs_no_event_loop() -> None:
    flow = make_flow()
    flow.run_sync("a")
    assert flow.run_sync(responses={"q": "x"}).text == "a x"


@pytest.mark.parametrize("checkpoint_id", ["nonsense", "0011.000001"])
def test_an_unknown_checkpoint_is_refused(checkpoint_id: str) -> None:
    flow = make_flow(InMemoryCheckpointStorage())
    with pytest.raises(UnknownCheckpoint, match="checkpoint"):
        asyncio.run(flow.run(checkpoint_id=checkpoint_id))


def test_a_checkpoint_of_another_workflow_is_refused() -> None:
    storage = InMemoryCheckpointStorage()

    async def main() -> None:
        await make_flow(storage).run("a")
        latest = await storage.get_latest(workflow_name="flow")
        assert latest is not None
        await workflow(name="other", checkpoint_storage=storage)(lone).run(checkpoint_id=latest.checkpoint_id)

    with pytest.raises(RunArgumentError, match="of workflow `flow`, not `other`"):
        asyncio.run(main())


async def lone(x: str) -> str:
    return x


def test_build_gives_the_same_workflow_over_another_storage() -> None:
    storage = InMemoryCheckpointStorage()
    built = make_flow().build(checkpoint_storage=storage)
    asyncio.run(built.run("a"))
    assert asyncio.run(storage.list_checkpoint_ids(workflow_name="flow")) != []
    assert make_flow(storage).build().storage is storage


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_request_id_that_is_used_twice_is_refused_with_both_places(is_kept: bool) -> None:
    @workflow(checkpoint_storage=InMemoryCheckpointStorage() if is_kept else None)
    async def twice(x: str, ctx: RunContext) -> list[str]:
        return list(await asyncio.gather(*(ctx.request_info(n, str, request_id="same") for n in range(2))))

    with pytest.raises(RequestError, match=r"'same' is used twice in run \w+ \(at `.*!ask#0` and `.*!ask#1`\)"):
        asyncio.run(twice.run("x"))


def test_unknown_ids_and_wrongly_typed_answers_are_refused_before_anything_runs_again() -> None:
    calls: list[str] = []

    @workflow
    async def counts(x: str, ctx: RunContext) -> str:
        calls.append(x)
        return str(await ctx.request_info(x, str, request_id="right"))

    async def main() -> None:
        await counts.run("x")
        for wrong in ({"wrong": "a"}, {"right": "a", "wrong": "b"}, {"right": 3}):
            with pytest.raises(RequestError):
                await counts.run(responses=wrong)
        assert calls == ["x"]
        assert (await counts.run(responses={"right": "a"})).text == "a"

    asyncio.run(main())
