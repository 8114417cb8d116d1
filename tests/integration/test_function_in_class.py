"""A workflow function that a step of a class awaits: a child run of the step's, whose pause surfaces outside."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator import Event, RequestEvent, StartEvent, StopEvent, Workflow, step
from orchestrator.authoring.engines import engine_of
from orchestrator.functional import RunContext, WorkflowEvent, workflow
from orchestrator.functional import step as call
from orchestrator.journal.open import open_journal
from orchestrator.journal.store import RunFilter
from tests.integration.support import run, url


class Draft(BaseModel):
    text: str


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    return None if request.param == "memory" else url(tmp_path)


def class_around(calls: list[str]) -> type[Workflow]:
    @call
    async def write(topic: str) -> str:
        calls.append(topic)
        return topic

    @workflow
    async def review(topic: str, ctx: RunContext) -> Draft:
        ctx.add_event(WorkflowEvent("progress", data={"at": topic}))
        return Draft(text=f"{await write(topic)} {await ctx.request_info(topic, str, request_id='ok')}")

    class Outer(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            draft = await review(str(ev.get("topic")))
            return StopEvent(result=draft.text)

    return Outer


def test_what_the_function_asks_and_shows_is_on_the_stream_of_the_class(store: str | None) -> None:
    calls: list[str] = []

    async def main() -> tuple[list[Any], Any]:
        handler = class_around(calls)(store=store).run(topic="tea")
        seen: list[Any] = []
        async for event in handler.stream_events():
            seen.append(event)
            if isinstance(event, RequestEvent):
                await handler.answer(event.id, user="kim", answer="fine")
        return seen, await handler

    seen, result = run(main)
    assert (result, calls) == ("tea fine", ["tea"])
    assert sum(isinstance(event, RequestEvent) for event in seen) == 1
    assert any(type(event) is Event and event.get("type") == "progress" and event.get("at") == "tea" for event in seen)


def test_another_process_takes_up_both_runs_and_no_step_runs_twice(tmp_path: Path) -> None:
    calls: list[str] = []

    async def asks() -> None:
        handler = class_around(calls)(store=url(tmp_path)).run(topic="tea", run_id="outer")
        while not await handler.requests():
            await asyncio.sleep(0.01)
        engine: Any = engine_of(url(tmp_path))
        await engine.aclose()

    async def answers() -> Any:
        handler = class_around(calls)(store=url(tmp_path)).resume("outer")
        while not (requests := await handler.requests()):
            await asyncio.sleep(0.01)
        await handler.answer(requests[0].id, user="kim", answer="fine")
        return await handler

    run(asks)
    assert run(answers) == "tea fine" and calls == ["tea"]
    journal = open_journal(url(tmp_path))
    rows = run(lambda: journal.runs(RunFilter())).rows
    journal.close()
    assert [(r.flow, r.kind, r.parent, r.status) for r in rows] == [
        ("review", "function", "outer", "done"),
        ("Outer", "class", None, "done"),
    ]


def test_run_of_a_function_in_a_step_is_a_run_of_its_own() -> None:
    @workflow
    async def alone(x: int, ctx: RunContext) -> int:
        return int(await ctx.request_info("?", int, request_id="alone"))

    class Around(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            result = await alone.run(1)
            return StopEvent(result=(result.run_id, [event.request_id for event in result.get_request_info_events()]))

    async def main() -> None:
        handler = Around().run()
        inner, asked = await handler
        assert inner != handler.run_id and asked == ["alone"]

    asyncio.run(main())
