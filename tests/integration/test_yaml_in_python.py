"""A class step or a workflow function that runs a flow file: a child run, whose pause surfaces outside."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Context, RequestEvent, StartEvent, StopEvent, Workflow, WorkflowCancelledByUser, load, step
from orchestrator.errors import StepFailed, UsageError
from orchestrator.functional import (
    FileCheckpointStorage,
    InMemoryCheckpointStorage,
    InvalidResponse,
    WorkflowRunState,
    workflow,
)
from orchestrator.functional import step as functional_step
from orchestrator.journal.open import open_journal
from orchestrator.journal.store import RunFilter
from tests.integration.support import PLAIN, STEPS, asked, review, run, until, url, write


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    return None if request.param == "memory" else url(tmp_path)


def class_around(folder: Path, calls: list[str] | None = None) -> type[Workflow]:
    class Outer(Workflow):
        @step
        async def publish(self, ctx: Context, ev: StartEvent) -> StopEvent:
            if calls is not None:
                calls.append("publish")
            out = await review(folder).run(text=ev.text)
            return StopEvent(result=[out["by"], out["text"]])

    return Outer


def test_a_class_step_runs_a_flow_as_its_child(tmp_path: Path, store: str | None) -> None:
    async def main() -> None:
        handler = class_around(tmp_path)(store=store, timeout=None).run(text="tea", run_id="outer")
        request = await asked(handler)
        assert request.id.startswith("outer.publish-")
        assert request.id.endswith("~ask-4")
        await handler.answer(request.id, user="kim", verdict="approve")
        assert await handler == ["kim", "published tea"]
        events = [event async for event in handler.stream_events()]
        assert [type(e) for e in events] == [RequestEvent, StopEvent]
        assert events[0].id == request.id

    run(main)
    if store is not None:
        journal = open_journal(store)
        rows = run(lambda: journal.runs(RunFilter())).rows
        journal.close()
        assert [(r.flow, r.parent, r.status) for r in rows] == [("review", "outer", "done"), ("Outer", None, "done")]


def test_cancelling_a_class_run_cancels_the_flow_it_started(tmp_path: Path, store: str | None) -> None:
    async def main() -> None:
        handler = class_around(tmp_path)(store=store).run(text="tea")
        await asked(handler)
        engine = handler._start.engine
        child = next(r for r in engine.runs.values() if r.parent is not None)
        await handler.cancel_run()
        with pytest.raises(WorkflowCancelledByUser):
            await handler
        await until(lambda: child.is_over)
        assert child.state.status == "cancelled"

    run(main)


def test_a_flow_that_fails_fails_the_class_step(tmp_path: Path, store: str | None) -> None:
    def fail(text: str) -> str:
        raise ValueError("no tea")

    class Outer(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            file = write(tmp_path, "plain", PLAIN)
            return StopEvent(result=await load(file, steps={"my.publish": fail}).run(text="x"))

    with pytest.raises(StepFailed, match="no tea"):
        Outer(store=store).run_sync()


def test_another_process_joins_the_flow_that_the_step_had_started(tmp_path: Path) -> None:
    calls: list[str] = []

    async def begin() -> None:
        handler = class_around(tmp_path, calls)(store=url(tmp_path), timeout=None).run(text="tea", run_id="o")
        await asked(handler)

    async def go_on() -> Any:
        handler = class_around(tmp_path, calls)(store=url(tmp_path), timeout=None).resume("o")
        await handler.answer((await until_asked(handler)).id, user="kim", verdict="approve")
        return await handler

    async def until_asked(handler: Any) -> Any:
        for _ in range(200):
            found = await handler.requests()
            if found:
                return found[0]
            await asyncio.sleep(0.01)
        raise AssertionError("it asks nothing")

    run(begin)
    assert run(go_on) == ["kim", "published tea"]
    assert calls == ["publish", "publish"]
    journal = open_journal(url(tmp_path))
    assert len(run(lambda: journal.runs(RunFilter(parent="o"))).rows) == 1
    journal.close()


def test_several_flows_at_a_time_are_several_children(tmp_path: Path, store: str | None) -> None:
    class Many(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            flow = load(write(tmp_path, "plain", PLAIN), steps=STEPS)
            outs = await asyncio.gather(*(flow.run(text=str(n)) for n in range(5)))
            return StopEvent(result=[o["text"] for o in outs])

    assert Many(store=store).run_sync() == [f"published {n}" for n in range(5)]


# Functions.


def function_around(folder: Path, calls: list[str] | None = None, **options: Any) -> Any:
    @functional_step
    async def count(text: str) -> int:
        if calls is not None:
            calls.append("count")
        return len(text)

    @workflow(**options)
    async def outer(text: str) -> list[Any]:
        size = await count(text)
        out = await review(folder).run(text=text)
        return [size, out["by"], out["text"]]

    return outer


NAME = "review#0/ask-4"
YES = {"as": "kim", "verdict": "approve"}


def test_a_function_runs_a_flow_as_its_child(tmp_path: Path) -> None:
    def shorten(text: str) -> str:
        return text[:2]

    @workflow
    async def outer(text: str) -> str:
        flow = load(write(tmp_path, "plain", PLAIN), steps={"my.publish": shorten})
        outs = await asyncio.gather(flow.run(text=text), flow.run(text=text[::-1]))
        return " ".join(out["text"] for out in outs)

    result = run(lambda: outer.run("tea"))
    assert result.get_outputs() == ["te ae"]
    assert [e.executor_id for e in result if e.type == "executor_completed"] == ["plain", "plain"]


@pytest.mark.parametrize("kind", ["memory", "checkpoints", "store"])
def test_what_the_flow_asks_the_function_asks(kind: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "memory": {},
        "checkpoints": {"checkpoint_storage": InMemoryCheckpointStorage()},
        "store": {"store": url(tmp_path)},
    }[kind]
    calls: list[str] = []

    async def main() -> None:
        outer = function_around(tmp_path, calls, **options)
        paused = await outer.run("tea")
        assert paused.get_final_state() is WorkflowRunState.IDLE_WITH_PENDING_REQUESTS
        (request,) = paused.get_request_info_events()
        assert request.request_id == NAME
        assert request.data["title"] == 'Publish "tea"?'
        for wrong in ({"verdict": "approve"}, {"as": "kim", "verdict": "maybe"}, {"as": "kim"}):
            with pytest.raises(InvalidResponse):
                await outer.run(responses={NAME: wrong})
        again = await outer.run(responses={NAME: {"as": "lee", "verdict": "approve"}})
        (request,) = again.get_request_info_events()
        assert "lee" in request.data["problem"]
        done = await outer.run(responses={request.request_id: YES})
        assert done.get_outputs() == [[3, "kim", "published tea"]]

    run(main)
    assert calls == ["count"]


@pytest.mark.parametrize("kind", ["checkpoints", "store"])
def test_another_process_answers_what_the_flow_asked(kind: str, tmp_path: Path) -> None:
    calls: list[str] = []

    def options() -> dict[str, Any]:
        if kind == "store":
            return {"store": url(tmp_path)}
        return {"checkpoint_storage": FileCheckpointStorage(tmp_path / "checkpoints")}

    paused = run(lambda: function_around(tmp_path, calls, **options()).run("tea", run_id="f"))
    assert [e.request_id for e in paused.get_request_info_events()] == [NAME]
    done = run(lambda: function_around(tmp_path, calls, **options()).run(responses={NAME: YES}, run_id="f"))
    assert done.get_outputs() == [[3, "kim", "published tea"]]
    assert calls == ["count"]


def test_a_flow_that_fails_fails_the_function_where_it_awaits_it(tmp_path: Path) -> None:
    def fail(text: str) -> str:
        raise ValueError("no tea")

    @workflow
    async def outer(text: str) -> str:
        flow = load(write(tmp_path, "plain", PLAIN), steps={"my.publish": fail})
        try:
            await flow.run(text=text)
        except StepFailed as error:
            return f"caught {error}"
        return "?"

    assert run(lambda: outer.run("x")).get_outputs() == ["caught ValueError: no tea"]


def test_wrong_inputs_are_told_at_the_call(tmp_path: Path) -> None:
    @workflow
    async def outer(text: str) -> str:
        with pytest.raises(UsageError, match="txt"):
            load(write(tmp_path, "plain", PLAIN), steps=STEPS).run(txt=text)
        return "told"

    assert run(lambda: outer.run("x")).get_outputs() == ["told"]


def test_the_runs_of_a_function_and_its_flow_are_in_the_store_like_all_others(tmp_path: Path) -> None:
    async def main() -> None:
        outer = function_around(tmp_path, store=url(tmp_path))
        await outer.run("tea", run_id="f")
        await outer.run(responses={NAME: YES}, run_id="f")

    run(main)
    journal = open_journal(url(tmp_path))
    rows = run(lambda: journal.runs(RunFilter())).rows
    journal.close()
    assert [(r.flow, r.kind, r.parent, r.status) for r in rows] == [
        ("review", "yaml", "f", "done"),
        ("outer", "function", None, "done"),
    ]


def test_people_answer_the_request_itself_and_not_the_question_that_repeats_it(tmp_path: Path) -> None:
    async def main() -> None:
        outer = function_around(tmp_path, [], store=url(tmp_path))
        await outer.run("tea")
        store = open_journal(url(tmp_path))
        try:
            open_now = [row for _, row in await store.requests()]
        finally:
            await store.aclose()
        assert [(row.request_id, row.flow == outer.name) for row in open_now] == [(NAME.rpartition("/")[2], False)]

    run(main)
