"""What a process lacks for a flow that was compiled with another version of the code."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.authoring.project import Project
from orchestrator.dispatch.capability import lack_of
from orchestrator.dispatch.local import engine_on
from orchestrator.dispatch.submit import submit_run
from orchestrator.server.opening import open_desk

FLOW = """
flow: chain
inputs: {n: int}
outputs: {n: int}
steps:
  a:
    on: Start
    call: t.work
    with: {n: "${{ inputs.n }}"}
  b:
    on: a
    call: t.work
    with: {n: "${{ ev.result.n + 1 }}"}
    emit: {event: Stop, with: {n: "${{ result.n }}"}}
"""


def lack(tmp_path: Path, then: Callable[..., object], text: str = FLOW) -> str | None:
    path = tmp_path / "chain.flow.yaml"
    path.write_text(textwrap.dedent(text))
    old = Project.open(tmp_path, steps={"t.work": typed("n: int", "n")})
    flow = old.compile(path).checked()
    return lack_of(flow, Project.open(tmp_path, steps={"t.work": then}).catalog, lambda name: True)


def typed(params: str, *fields: str) -> Any:
    """A step `work` with these parameters, whose result has these fields."""
    lines = "\n    ".join(f"{name}: int" for name in fields)
    source = f"from pydantic import BaseModel\nclass Out(BaseModel):\n    {lines}\ndef work({params}) -> Out: ..."
    names: dict[str, Any] = {"__name__": "release"}
    exec(source, names)
    return names["work"]


def test_the_same_callable_fits(tmp_path: Path) -> None:
    assert lack(tmp_path, typed("n: int", "n")) is None


def test_a_callable_with_more_optional_parameters_and_fields_fits(tmp_path: Path) -> None:
    assert lack(tmp_path, typed("n: int, fast: bool = False", "n", "more")) is None


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        (typed("count: int", "n"), "step `a`, with.n: `t.work` takes no `n`"),
        (typed("n: int, unit: str", "n"), "step `a`, call: `t.work` needs `unit`"),
        (typed("n: list[str]", "n"), "step `a`, with.n: this is int, not [str]"),
        (typed("n: int", "total"), "step `b`, with.n: "),
    ],
    ids=["renamed parameter", "one parameter more", "parameter of another type", "result without the field"],
)
def test_a_callable_of_another_shape_is_named_with_what_does_not_fit(tmp_path: Path, then: Any, reason: str) -> None:
    said = lack(tmp_path, then)
    assert said is not None and reason in said and "another version" in said


def test_a_run_whose_step_changed_is_parked_by_a_server_over_a_file_and_can_be_looked_at(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    path = tmp_path / "chain.flow.yaml"
    path.write_text(FLOW)
    old = Project.open(tmp_path, steps={"t.work": typed("n: int", "n")})
    plan = old.plan(old.compile(path).checked())
    (tmp_path / "new").mkdir()
    new = Project.open(tmp_path / "new", steps={"t.work": typed("count: int", "n")})

    async def main() -> None:
        async with engine_on(url, old.plan) as engine:
            await submit_run(engine, plan, {"n": 1}, run_id="r")
        desk = open_desk(new, url)
        await desk.start()
        try:
            assert desk.store is not None
            async with asyncio.timeout(10):
                while (row := await desk.store.store.run("r")).status != "parked":
                    await asyncio.sleep(0.01)
            assert "`t.work` takes no `n`" in row.parked["message"]
            assert (await desk.store.path("r", None))[0].name == "chain"
        finally:
            await desk.stop()

    asyncio.run(main())
