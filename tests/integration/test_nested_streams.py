"""What a run shows comes up on the stream of the run that started it, whatever kind of workflow the two are."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import RequestEvent, StartEvent, StopEvent, Workflow, load, step
from orchestrator.functional import workflow
from tests.integration.support import run, url, write

TALK = """
flow: talk
inputs: {text: str}
outputs: {text: str}
steps:
  say:
    on: Start
    call: my.say
    with: {text: "${{ inputs.text }}"}
    emit: {event: Stop, with: {text: "${{ result }}"}}
"""
MODULE = """
from orchestrator.functional import RunContext, WorkflowEvent, workflow

@workflow
async def confirm(text: str, ctx: RunContext) -> str:
    ctx.add_event(WorkflowEvent("progress", data={"part": "half"}))
    return f"{text} {await ctx.request_info({'text': text}, str, request_id='sure')}"
"""
OUTER = """
flow: outer
imports: {confirm: my_confirm:confirm}
inputs: {text: str}
outputs: {out: str}
steps:
  work:
    on: Start
    call: flow.confirm
    with: {text: "${{ inputs.text }}"}
    emit: {event: Stop, with: {out: "${{ result }}"}}
"""


async def say(text: str) -> AsyncIterator[str]:
    for word in text.split():
        yield word


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    return None if request.param == "memory" else url(tmp_path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "orchestrator.toml").write_text('[python]\nallow = ["my_confirm"]\n', "utf-8")
    (tmp_path / "my_confirm.py").write_text(MODULE, "utf-8")
    sys.modules.pop("my_confirm", None)
    return tmp_path


def talk(folder: Path) -> Any:
    return load(write(folder, "talk", TALK), steps={"my.say": say})


def test_what_a_flow_file_shows_is_in_the_stream_of_the_function_that_runs_it(
    tmp_path: Path, store: str | None
) -> None:
    @workflow(store=store)
    async def outer(text: str) -> str:
        return str((await talk(tmp_path).run(text=text))["text"])

    async def main() -> list[Any]:
        return [event async for event in outer.run("one two", stream=True)]

    events = run(main)
    assert [e.data for e in events if e.type == "output"] == ["onetwo"]
    shown = [e for e in events if e.type not in ("started", "status", "output") and "executor" not in e.type]
    assert "one" in str(shown[0].data) and "two" in str(shown[1].data)
    assert all(e.run_id and e.at for e in shown)


def test_what_a_flow_file_shows_is_in_the_stream_of_the_class_that_runs_it(tmp_path: Path, store: str | None) -> None:
    class Outer(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result=(await talk(tmp_path).run(text=ev.get("text")))["text"])

    async def main() -> list[Any]:
        handler = Outer(store=store).run(text="one two")
        return [event async for event in handler.stream_events()]

    assert [str(e) for e in run(main) if "one" in str(e) or "two" in str(e)]


def test_what_a_function_shows_and_asks_is_in_the_stream_of_the_flow_file_that_calls_it(
    project: Path, store: str | None
) -> None:
    async def main() -> tuple[list[Any], Any]:
        handler = load(write(project, "outer", OUTER), store=store).run(text="tea")
        seen: list[Any] = []
        async for event in handler.stream_events():
            seen.append(event)
            if isinstance(event, RequestEvent):
                await handler.answer(event.id, user="kim", answer="yes")
        return seen, await handler

    events, result = run(main)
    assert result["out"] == "tea yes"
    assert {e["part"] for e in events if e.get("type") == "progress"} == {
        "half"
    }  # each pass over the function shows it
    assert [e.show for e in events if isinstance(e, RequestEvent)] == [{"text": "tea"}]
