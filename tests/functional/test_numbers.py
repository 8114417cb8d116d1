"""The numbers of a run's events rise over its whole life: over pauses, refused and partial answers, and in other processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.functional import (
    FileCheckpointStorage,
    InMemoryCheckpointStorage,
    InvalidResponse,
    RunContext,
    SQLiteCheckpointStorage,
    WorkflowEvent,
    get_run_context,
    step,
    workflow,
)

Place = Callable[[Path], dict[str, Any]]
PLACES: dict[str, Place] = {
    "nowhere": lambda path: {},
    "memory": lambda path: {"checkpoint_storage": InMemoryCheckpointStorage()},
    "files": lambda path: {"checkpoint_storage": FileCheckpointStorage(path)},
    "sqlite": lambda path: {"checkpoint_storage": SQLiteCheckpointStorage(path / "c.db")},
    "store": lambda path: {"store": f"sqlite:///{path}/runs.db"},
    "relaxed store": lambda path: {"store": f"sqlite:///{path}/runs.db?durability=relaxed"},
}


@step
async def shout(text: str) -> str:
    return text.upper()


@workflow
async def asks(text: str, ctx: RunContext) -> str:
    async def branch(name: str) -> str:
        return await shout(name) + str(await ctx.request_info(name, int, request_id=name))

    return "".join(await asyncio.gather(branch("a"), branch("b")))


async def numbers(flow: Any, **options: Any) -> list[int]:
    shown: list[int] = []
    try:
        async for event in flow.run(run_id="r", stream=True, **options):
            shown.append(event.sequence)
    except InvalidResponse:
        pass
    return shown


@pytest.mark.parametrize("place", PLACES)
def test_numbers_rise_from_the_first_look_to_the_last(place: str, tmp_path: Path) -> None:
    flow = asks.build(**PLACES[place](tmp_path))

    async def main() -> list[list[int]]:
        first = await numbers(flow, message="x")
        answers: list[Any] = [{"a": "no number"}, {"a": 1}, {"a": 1}, {"b": 2}]
        return [first, *[await numbers(flow, responses=answer) for answer in answers]]

    looks = asyncio.run(main())
    told = [number for look in looks for number in look]
    assert looks.pop(1) == []  # a wrong answer is refused before anything is shown
    assert all(looks) and told == sorted(set(told)), looks


@pytest.mark.parametrize("place", ["files", "sqlite", "store", "relaxed store"])
def test_numbers_rise_over_processes(place: str, tmp_path: Path) -> None:
    def process(**options: Any) -> list[int]:
        return asyncio.run(numbers(asks.build(**PLACES[place](tmp_path)), **options))

    told = process(message="x") + process(responses={"a": 1}) + process() + process(responses={"b": 2})
    assert told == sorted(set(told))


@pytest.mark.parametrize("place", ["nowhere", "memory", "store"])
def test_the_result_and_the_stream_of_a_look_have_the_same_numbers(place: str, tmp_path: Path) -> None:
    flow = asks.build(**PLACES[place](tmp_path))

    async def main() -> Any:
        stream = flow.run("x", run_id="r", stream=True)
        shown = [event async for event in stream]
        again = flow.run(responses={"a": 1}, run_id="r", include_status_events=True)
        return shown, await stream.get_final_response(), await again

    shown, first, second = asyncio.run(main())
    kept = [event.sequence for event in shown if event.type not in ("started", "status")]
    assert kept == [event.sequence for event in first]
    assert second[0].type == "started" and second[0].sequence > shown[-1].sequence


@pytest.mark.parametrize("place", ["store", "relaxed store"])
def test_an_answer_that_is_given_again_shows_what_is_still_open(place: str, tmp_path: Path) -> None:
    flow = asks.build(**PLACES[place](tmp_path))

    async def main() -> Any:
        await flow.run("x", run_id="r")
        await flow.run(responses={"a": 1})
        return await flow.run(responses={"a": 1})

    assert [event.request_id for event in asyncio.run(main()).get_request_info_events()] == ["b"]


def test_numbers_of_events_that_were_only_shown_are_not_given_again_after_a_crash(tmp_path: Path) -> None:
    @step
    async def talk(count: int) -> None:
        ctx = get_run_context()
        assert ctx is not None
        for number in range(count):
            ctx.add_event(WorkflowEvent("token", data=number))
            await asyncio.sleep(0)
        await asyncio.Event().wait()  # it never comes to a result that would be kept

    @workflow
    async def talks(count: int) -> None:
        await talk(count)

    async def last_number(options: dict[str, Any], is_first: bool) -> int:
        flow = talks.build(checkpoint_storage=FileCheckpointStorage(tmp_path))
        async for event in flow.run(run_id="r", stream=True, **options):
            if not is_first or event.data == 12_499:
                return int(event.sequence)
        raise AssertionError

    before = asyncio.run(last_number({"message": 12_500}, True))
    assert asyncio.run(last_number({}, False)) > before


def test_a_mark_of_the_numbers_makes_no_checkpoint_of_its_own() -> None:
    storage = InMemoryCheckpointStorage()

    @workflow(checkpoint_storage=storage)
    async def talks(count: int, ctx: RunContext) -> str:
        for number in range(count):
            ctx.add_event(WorkflowEvent("token", data=number))
        return str(await ctx.request_info("?", str, request_id="q"))

    async def main() -> Any:
        await talks.run(2_500, run_id="r")
        (last,) = await storage.list_checkpoint_ids(workflow_name="talks")
        return await talks.run(checkpoint_id=last, responses={"q": "yes"})

    result = asyncio.run(main())
    assert result.run_id == "r" and result.text == "yes"  # it went on, and was not forked
