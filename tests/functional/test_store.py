"""Functional workflows over a store: the journal that flows and classes use, its engine, its claims, its other readers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.authoring.engines import engine_of
from orchestrator.errors import JournalConflict, RunFinished, StepFailed, UnknownRun
from orchestrator.functional import (
    InvalidResponse,
    ReplayDiverged,
    RequestError,
    RunArgumentError,
    RunContext,
    WorkflowRunState,
    step,
    workflow,
)
from orchestrator.journal.store import RunFilter


class Draft(BaseModel):
    text: str


def make_flow(calls: list[str], store: Any = None, word: str = "", fails: bool = False) -> Any:
    @step
    async def write(topic: str) -> Draft:
        calls.append(topic)
        return Draft(text=topic + word)

    @step
    async def polish(draft: Draft, ctx: RunContext) -> str:
        calls.append(f"polish {draft.text}")
        if fails:
            raise ConnectionError("down")
        ctx.set_state("polished", ctx.get_state("polished", 0) + 1)
        await asyncio.sleep(0.001)
        return draft.text.upper()

    @workflow(store=store)
    async def review(topic: str, ctx: RunContext) -> str:
        ctx.set_state("starts", ctx.get_state("starts", 0) + 1)
        draft = await write(topic + (" again" if word else ""))
        text, answer = await asyncio.gather(polish(draft), ctx.request_info({"draft": draft}, Draft, request_id="q"))
        return f"{text} {answer.text} {ctx.get_state('starts')} {ctx.get_state('polished')}"

    return review


@pytest.fixture(params=["", "?durability=relaxed"], ids=["strict", "relaxed"])
def url(request: Any, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/runs.db{request.param}"


def test_a_run_waits_as_rows_and_goes_on_in_another_process_object(url: str) -> None:
    calls: list[str] = []

    async def first() -> Any:
        return await make_flow(calls, url).run("tea", run_id="r")

    async def second() -> Any:
        flow = make_flow(calls, url)
        with pytest.raises(InvalidResponse, match="stays open"):
            await flow.run(responses={"q": 3})
        return await flow.run(responses={"q": {"text": "good"}})

    paused, done = asyncio.run(first()), asyncio.run(second())
    assert paused.get_final_state() is WorkflowRunState.IDLE_WITH_PENDING_REQUESTS
    assert [e.request_id for e in paused.get_request_info_events()] == ["q"]
    assert done.text == "TEA good 1 1"
    assert calls == ["tea", "polish tea"]
    assert [e.type for e in done if e.executor_id in ("write", "polish")] == ["executor_bypassed"] * 2


def test_a_waiting_run_leaves_the_process_and_shows_in_the_store(url: str) -> None:
    async def main() -> None:
        flow = make_flow([], url)
        engine: Any = engine_of(url)
        engine.serve()  # an engine that does not serve keeps what it has
        await flow.run("tea", run_id="r")
        for _ in range(200):
            if not engine.runs:
                break
            await asyncio.sleep(0.005)
        assert (engine.runs, flow.sessions) == ({}, {})
        (row,) = (await engine.journal.runs(RunFilter(flow="review"))).rows
        assert (row.run_id, row.kind, row.status) == ("r", "function", "waiting")
        await flow.run(responses={"q": {"text": "good"}}, run_id="r")
        assert (await engine.journal.run("r")).status == "done"

    asyncio.run(main())


def test_streams_over_a_store_show_what_happens_and_end_with_the_state(url: str) -> None:
    async def main() -> Any:
        flow = make_flow([], url)
        paused = [e.state or e.type async for e in flow.run("tea", stream=True)]
        return paused, [e.state or e.type async for e in flow.run(responses={"q": {"text": "x"}}, stream=True)]

    paused, done = asyncio.run(main())
    assert paused[:3] == ["started", "IN_PROGRESS", "executor_invoked"]
    assert paused[-1] == "IDLE_WITH_PENDING_REQUESTS"
    assert done[:2] == ["started", "IN_PROGRESS"]
    assert done[-2:] == ["output", "IDLE"]


def test_ids_and_answers_are_checked_against_the_store(url: str) -> None:
    async def main() -> Any:
        flow = make_flow([], url)
        await flow.run("a", run_id="r1")
        await flow.run("b", run_id="r2")
        with pytest.raises(JournalConflict, match="'r1' exists already"):
            await flow.run("a", run_id="r1")
        with pytest.raises(RequestError, match="2 runs wait for q; name one by run_id"):
            await flow.run(responses={"q": {"text": "x"}})
        with pytest.raises(RequestError, match="no request 'p' is open; open: 'q'"):
            await flow.run(responses={"p": 1})
        with pytest.raises(UnknownRun):
            await flow.run(responses={"q": 1}, run_id="r3")
        with pytest.raises(RunArgumentError, match="goes on by its run_id"):
            flow.run(checkpoint_id="c")
        await flow.cancel("r1")
        with pytest.raises(RunFinished):
            await flow.cancel("r1")
        return await flow.run(responses={"q": {"text": "x"}})

    assert asyncio.run(main()).text == "B x 1 1"


def test_a_run_that_has_ended_is_looked_at_by_its_id(url: str) -> None:
    async def main() -> Any:
        calls: list[str] = []
        flow = make_flow(calls, url)
        await flow.run("tea", run_id="r")
        done = await flow.run(responses={"q": {"text": "x"}})
        look = await make_flow(calls, url).run(run_id="r")
        with pytest.raises(RequestError, match="has ended"):
            await flow.run(responses={"q": {"text": "y"}}, run_id="r")
        return done.text, look.text, calls

    assert asyncio.run(main()) == ("TEA x 1 1", "TEA x 1 1", ["tea", "polish tea"])


def test_a_failure_reaches_the_caller_and_stands_in_the_store(url: str) -> None:
    async def main() -> None:
        flow = make_flow([], url, fails=True)
        with pytest.raises(ConnectionError, match="down"):
            await flow.run("tea", run_id="r")
        with pytest.raises(StepFailed, match="down"):
            await flow.run(run_id="r")

    asyncio.run(main())


def test_a_changed_function_aborts_or_forks_a_run_of_a_store(url: str) -> None:
    calls: list[str] = []

    async def main() -> Any:
        await make_flow(calls, url).run("tea", run_id="r")
        changed = make_flow(calls, url, word="!")
        with pytest.raises(ReplayDiverged, match="a call at `write#0`"):
            await changed.run(responses={"q": {"text": "x"}})
        return await changed.run(run_id="r", on_divergence="fork")

    forked = asyncio.run(main())
    assert forked.run_id != "r"
    assert [e.data["draft"].text for e in forked.get_request_info_events()] == ["tea again!"]
    assert calls == ["tea", "polish tea", "tea again", "polish tea again!"]


def test_a_worker_that_knows_the_workflow_goes_on_with_a_run_whose_process_died(url: str) -> None:
    calls: list[str] = []

    async def dies() -> None:
        @workflow(store=url)
        async def story(x: int) -> int:
            await record(1)
            await asyncio.Event().wait()
            return x

        task = asyncio.create_task(story.run(7, run_id="r"))
        while not calls:
            await asyncio.sleep(0.002)
        await asyncio.sleep(0.05)
        engine: Any = engine_of(url)
        engine.abandon()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    @step
    async def record(n: int) -> int:
        calls.append(str(n))
        return n

    async def lives() -> Any:
        @workflow(store=url)
        async def story(x: int) -> int:
            return await record(1) + await record(2) + x

        engine: Any = engine_of(url)
        engine.clock = Later()
        return await story.run(run_id="r")

    asyncio.run(dies())
    assert asyncio.run(lives()).get_outputs() == [10]
    assert calls == ["1", "2"]


class Later:
    """The system's clock, a minute on: the lease of the process that died has run out."""

    def now(self) -> float:
        import time

        return time.time() + 60

    def call_at(self, due: float, callback: Any) -> Any:
        import time

        return asyncio.get_running_loop().call_later(max(0.0, due - time.time() - 60), callback)


def test_many_runs_over_one_store_at_a_time(url: str) -> None:
    async def main() -> Any:
        flow = make_flow([], url)
        runs = await asyncio.gather(*(flow.run(f"t{n}") for n in range(50)))
        answers = (flow.run(responses={"q": {"text": "x"}}, run_id=run.run_id) for run in runs)
        return await asyncio.gather(*answers)

    assert [r.text for r in asyncio.run(main())] == [f"T{n} x 1 1" for n in range(50)]


def test_the_run_that_asked_is_found_by_index_among_a_thousand_others(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db?durability=relaxed"

    @workflow(store=url)
    async def asks(name: str, ctx: RunContext) -> str:
        return f"{name}: {await ctx.request_info(name, str, request_id=name)}"

    async def story() -> tuple[Any, int]:
        await asyncio.gather(*(asks.run(f"q{n}") for n in range(1_000)))
        engine: Any = engine_of(url)
        loads, load = [], engine.journal.load

        async def counted(run_id: str) -> Any:
            loads.append(run_id)
            return await load(run_id)

        engine.journal.load = counted
        return await asks.run(responses={"q500": "yes"}), len(loads)

    done, loads = asyncio.run(story())
    assert done.text == "q500: yes" and loads <= 1


def test_a_run_that_diverged_is_parked_for_everybody_to_see_and_goes_on_when_its_function_is_back(
    tmp_path: Path,
) -> None:
    store = f"sqlite:///{tmp_path}/runs.db"

    def make(text: str) -> Any:
        @workflow(name="parks", store=store)
        async def parks(x: str, ctx: RunContext) -> str:
            return await echo(text) + str(await ctx.request_info("?", str, request_id="q"))

        return parks

    @step
    async def echo(text: str) -> str:
        return text

    async def status(run_id: str) -> tuple[str, Any]:
        journal: Any = engine_of(store).journal  # type: ignore[attr-defined]  # a durable one
        row = await journal.run(run_id)
        return row.status, (row.parked or {}).get("code")

    async def main() -> Any:
        for run_id in ("r", "other"):
            await make("old").run("x", run_id=run_id)
            with pytest.raises(ReplayDiverged):
                await make("new").run(responses={"q": "!"}, run_id=run_id)
        before = await status("r")
        done = await make("old").run(run_id="r")
        return before, done.text, await status("other")

    parked = ("parked", "replay.diverged")
    assert asyncio.run(main()) == (parked, "old!", parked)  # only the one that was named is tried again
