"""Workflow classes and functions that a flow file calls: `imports: score: my_flows:Score`, `call: flow.score`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Event, HumanResponseEvent, LoadedFlow, WorkflowCancelledByUser, WorkflowHandler, load
from orchestrator.errors import StepFailed
from orchestrator.journal.open import open_journal
from orchestrator.journal.store import RunFilter
from tests.integration.support import asked, run, until, url, write

MODULE = """
from pydantic import BaseModel
from orchestrator import (
    Context, Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent, Workflow, step,
)
from orchestrator.functional import RunContext, workflow

class Begin(StartEvent):
    text: str
    weight: int = 2

class Scored(StopEvent):
    score: int

class Score(Workflow):
    @step
    async def count(self, ev: Begin) -> Scored:
        if ev.text == "bad":
            raise ValueError("no score")
        return Scored(score=len(ev.text) * ev.weight)

class Loose(Workflow):
    @step
    async def go(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result={"seen": ev.get("text")})

class Ask(InputRequiredEvent):
    about: str

class Asks(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        reply = await ctx.wait_for_event(HumanResponseEvent, waiter_event=Ask(about="tea"))
        return StopEvent(result=reply.text)

class Draft(BaseModel):
    text: str
    length: int

@workflow
async def shorten(text: str, ctx: RunContext) -> Draft:
    return Draft(text=text[:3], length=len(text))

@workflow
async def confirm(draft: Draft, ctx: RunContext) -> str:
    answer = await ctx.request_info({"text": draft.text}, str, request_id="sure")
    return f"{draft.text} {answer}"

ready = Score(timeout=5)
nothing = 3
"""

FLOW = """
flow: outer
imports:
  child: my_flows:{name}
inputs: {{text: str}}
outputs: {{out: any}}
steps:
  work:
    on: Start
    call: flow.child
    with: {with_}
    emit: {{event: Stop, with: {{out: "${{{{ result{field} }}}}"}}}}
"""


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    return None if request.param == "memory" else url(tmp_path)


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "orchestrator.toml").write_text('[python]\nallow = ["my_flows"]\n', "utf-8")
    (tmp_path / "my_flows.py").write_text(MODULE, "utf-8")
    sys.modules.pop("my_flows", None)
    yield tmp_path
    sys.modules.pop("my_flows", None)


def outer(
    folder: Path, name: str, field: str = "", with_: str = '{text: "${{ inputs.text }}"}', **options: Any
) -> LoadedFlow:
    text = FLOW.format(name=name, field=field, with_=with_)
    return load(write(folder, "outer", text), **options)


def findings(flow: LoadedFlow) -> list[str]:
    return [f"{d.code} {d.message}" for d in flow.check() if d.severity != "info"]


@pytest.mark.parametrize(
    ("name", "field", "out"),
    [("Score", ".score", 6), ("ready", ".score", 6), ("Loose", ".seen", "tea"), ("shorten", ".length", 3)],
)
def test_classes_and_functions_are_called(name: str, field: str, out: Any, tmp_path: Path, store: str | None) -> None:
    flow = outer(tmp_path, name, field, store=store)
    assert findings(flow) == []
    assert flow.run_sync(text="tea") == {"out": out}
    if store is not None:
        runs = open_journal(store)
        page = run(lambda: runs.runs(RunFilter()))
        runs.close()
        child, parent = page.rows
        assert (child.parent, child.status, parent.flow) == (parent.run_id, "done", "outer")


def test_checking_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "my_flows.py").write_text(MODULE + "\nraise SystemExit(3)\n", "utf-8")
    assert findings(outer(tmp_path, "Score", ".score")) == []
    assert "my_flows" not in sys.modules


@pytest.mark.parametrize(
    ("name", "with_", "field", "code", "words"),
    [
        ("Score", "{}", "", "FLW", "text"),
        ("Score", '{text: "x", wieght: 2}', "", "FLW", "wieght"),
        ("Score", "{text: 3}", "", "FLW503", "3 is no str"),
        ("Score", '{text: "x"}', ".scor", "FLW", "scor"),
        ("shorten", '{txt: "x"}', "", "FLW", "txt"),
        ("shorten", '{text: "x"}', ".lenght", "FLW", "lenght"),
        ("nothing", "{}", "", "FLW510", "neither a pydantic model nor a workflow"),
        ("Scor", "{}", "", "FLW510", "defines no `Scor`"),
    ],
)
def test_what_they_take_and_give_is_checked(
    name: str, with_: str, field: str, code: str, words: str, tmp_path: Path
) -> None:
    found = findings(outer(tmp_path, name, field, with_))
    assert any(line.startswith(code) and words in line for line in found), found


def test_a_module_that_is_not_allowed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "orchestrator.toml").write_text("", "utf-8")
    assert any("does not allow Python" in line for line in findings(outer(tmp_path, "Score", ".score")))


def test_a_child_that_fails_fails_the_step_with_its_reason(tmp_path: Path, store: str | None) -> None:
    with pytest.raises(StepFailed, match="no score") as error:
        outer(tmp_path, "Score", ".score", store=store).run_sync(text="bad")
    assert (error.value.step, error.value.code) == ("work", "flow.failed")


def test_a_class_asks_through_the_flow_that_calls_it(tmp_path: Path, store: str | None) -> None:
    class Answer(HumanResponseEvent):
        text: str

    async def main() -> None:
        handler = outer(tmp_path, "Asks", store=store).run(text="tea")
        shown: list[Event] = []
        async for event in handler.stream_events():
            shown.append(event)
            if event.get("about") == "tea":
                await until(lambda: any(r.state.waits for r in handler._start.engine.runs.values()))
                handler.send_event(HumanResponseEvent(text="yes"))
        assert await handler == {"out": "yes"}
        assert len(shown) == 2

    run(main)


def test_a_function_asks_through_the_flow_that_calls_it(tmp_path: Path, store: str | None) -> None:
    with_ = '{draft: {text: "${{ inputs.text }}", length: 3}}'

    async def main() -> None:
        handler = outer(tmp_path, "confirm", "", with_, store=store).run(text="tea")
        request = await asked(handler)
        assert request.id.endswith("~sure")
        assert request.show == {"content": {"text": "tea"}}
        with pytest.raises(Exception, match="must be str"):
            await handler.answer(request.id, user="kim", answer=3)
        await handler.answer(request.id, user="kim", answer="fine")
        assert await handler == {"out": "tea fine"}

    run(main)


@pytest.mark.parametrize("name", ["Asks", "confirm"])
def test_cancelling_goes_down(name: str, tmp_path: Path, store: str | None) -> None:
    with_ = '{draft: {text: "x", length: 3}}' if name == "confirm" else "{}"

    async def main() -> None:
        handler = outer(tmp_path, name, "", with_, store=store).run(text="tea")
        children = await until(lambda: [r for r in handler._start.engine.runs.values() if r.parent])
        await until(lambda: children[0].state.open_waits)
        await handler.cancel_run()
        with pytest.raises(WorkflowCancelledByUser):
            await handler
        await until(lambda: children[0].is_over)
        assert children[0].state.status == "cancelled"

    run(main)


def test_a_handler_is_of_the_same_class(tmp_path: Path) -> None:
    async def main() -> None:
        handler = outer(tmp_path, "Score", ".score").run(text="tea")
        assert type(handler) is WorkflowHandler
        await handler

    run(main)
