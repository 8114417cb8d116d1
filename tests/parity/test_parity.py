"""One workflow, three ways: a flow file and a class leave the same event trace, a function the same calls and outputs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Workflow
from orchestrator.authoring.handler import WorkflowHandler
from orchestrator.authoring.loaded import load
from orchestrator.events import Event
from orchestrator.functional import FunctionalWorkflow
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from tests.parity import classes, functions, work, yaml_flows

Json = Any  # plain JSON
Trace = list[tuple[Any, ...]]
ENDS_IN_FAILURE = ("fails", "spent")
BRANCHES_MEET = ("nested-fan-out",)  # whose branches run beside each other: only the order within a step is given
SAME_EVENT = {"Start": "StartEvent", "Stop": "StopEvent"}


@dataclass(frozen=True, slots=True)
class Triple:
    """The three forms of one workflow, and inputs to run them with."""

    name: str
    flow: str
    cls: type[Workflow]
    function: FunctionalWorkflow[Any, Any] | Any
    inputs: tuple[dict[str, Json], ...]


WORDS = {"words": ["a", "bee", "sea"]}
TRIPLES = (
    Triple("chain", yaml_flows.CHAIN, classes.Chain, functions.chain, ({"n": 4},)),
    Triple("branch", yaml_flows.BRANCH, classes.Branch, functions.branch, ({"n": 4}, {"n": 40})),
    Triple("loop", yaml_flows.LOOP, classes.Loop, functions.loop, ({"n": 3}, {"n": 99})),
    Triple("fan-out", yaml_flows.FAN_OUT, classes.FanOut, functions.fan_out, (WORDS, {"words": []})),
    Triple("join", yaml_flows.JOIN, classes.Join, functions.join, ({"n": 4},)),
    Triple("first", yaml_flows.FIRST, classes.First, functions.first, (WORDS,)),
    Triple("retry", yaml_flows.RETRY, classes.Retry, functions.retry, ({"n": 4},)),
    Triple("fails", yaml_flows.FAILS, classes.Fails, functions.fails, ({"n": 4},)),
    Triple("state", yaml_flows.STATE, classes.State, functions.state, (WORDS,)),
    Triple("wait", yaml_flows.WAIT, classes.Wait, functions.wait, ({"n": 4},)),
    Triple("nested", yaml_flows.NESTED, classes.Nested, functions.nested, ({"n": 4},)),
    Triple("spent", yaml_flows.SPENT, classes.Spent, functions.spent, ({"n": 4},)),
    Triple("rescue", yaml_flows.RESCUE, classes.Rescue, functions.rescue, ({"n": 4},)),
    Triple("either", yaml_flows.EITHER, classes.Either, functions.either, ({"n": 4}, {"n": 40})),
    Triple(
        "nested-fan-out",
        yaml_flows.NESTED_FAN_OUT,
        classes.NestedFanOut,
        functions.nested_fan_out,
        ({"lines": [["a", "b"], ["c"]]}, {"lines": [["a"], [], ["c"]]}, {"lines": []}),
    ),
    Triple(
        "two-listeners", yaml_flows.TWO_LISTENERS, classes.TwoListeners, functions.two_listeners, ({"text": "tea"},)
    ),
)
CASES = [(triple, inputs) for triple in TRIPLES for inputs in triple.inputs]
IDS = [f"{triple.name}-{n}" for n, (triple, _) in enumerate(CASES)]


def trace_of(run: Actor) -> Trace:
    """What the steps of a run did, in order: started, failed, or emitted these events with these fields."""
    steps: dict[int, str] = {}
    found: Trace = []
    for entry in run.log:
        if isinstance(entry, t.StepStarted):
            steps[entry.act] = entry.step
            found.append(("start", entry.step, entry.attempt))
        elif isinstance(entry, t.StepSettled) and entry.error is not None:
            found.append(("fail", steps[entry.act], entry.again_at is not None))
        elif isinstance(entry, t.StepSettled):
            found += [("emit", steps[entry.act], *shown(member)) for item in entry.emitted for member in members(item)]
    return found


def members(item: Any) -> tuple[Any, ...]:  # an emission or a Fan
    return item.members if isinstance(item, t.Fan) else (item,)


def shown(emission: Any) -> tuple[str, Json]:
    """An emission as (event, fields), whichever API it came from."""
    name, value = emission[0], emission[1]
    fields = value.model_dump() if isinstance(value, Event) else value
    if name in ("Stop", "StopEvent"):
        fields = {"result": value.result if isinstance(value, Event) else value["result"]}
    return SAME_EVENT.get(name, name), dict(fields)


def run_both(start: Callable[[], WorkflowHandler], answer: Json) -> tuple[Trace, Json, str | None]:
    """Run a flow or a class: its trace, its result, and the step that it failed in."""

    async def main() -> tuple[Trace, Json, str | None]:
        handler = start()
        run = handler._start.run
        assert run is not None
        if answer is not None:
            while not (run.state.open_waits or run.is_over):
                await asyncio.sleep(0)
            handler.send_event(answer)
        try:
            result = await handler
        except Exception:
            return trace_of(run), None, (run.state.error or {}).get("step")
        return trace_of(run), result["result"] if isinstance(result, dict) else result, None

    return asyncio.run(main())


def as_yaml(triple: Triple, inputs: dict[str, Json], folder: Path) -> tuple[Trace, Json, str | None]:
    (folder / "chain.flow.yaml").write_text(yaml_flows.CHAIN, "utf-8")
    file = folder / f"{triple.name}.flow.yaml"
    file.write_text(triple.flow, "utf-8")
    flow = load(file, steps=work.callables())
    answer = classes.Approved(by="kim") if triple.name == "wait" else None
    return run_both(lambda: flow.run(**inputs), answer)


def as_class(triple: Triple, inputs: dict[str, Json]) -> tuple[Trace, Json, str | None]:
    answer = classes.Approved(by="kim") if triple.name == "wait" else None
    return run_both(lambda: triple.cls().run(**inputs), answer)


def as_function(triple: Triple, inputs: dict[str, Json]) -> tuple[list[str], Json, str | None]:
    """The steps whose calls settled, in order, the output, and the step that it failed in."""

    async def main() -> list[Any]:
        seen: list[Any] = []
        try:
            async for event in triple.function.run(inputs, stream=True):
                seen.append(event)
            if triple.name == "wait":
                async for event in triple.function.run(responses={"approve": "kim"}, stream=True):
                    seen.append(event)
        except ValueError:
            assert triple.name in ENDS_IN_FAILURE
        return seen

    seen = asyncio.run(main())
    done = [event.executor_id for event in seen if event.type == "executor_completed"]
    failed = [event.executor_id for event in seen if event.type == "executor_failed"]
    outputs = [event.data for event in seen if event.type == "output"]
    return done, outputs[-1] if outputs else None, failed[-1] if failed and triple.name in ENDS_IN_FAILURE else None


@pytest.mark.parametrize(("triple", "inputs"), CASES, ids=IDS)
def test_a_flow_file_and_a_class_leave_the_same_trace(triple: Triple, inputs: dict[str, Json], tmp_path: Path) -> None:
    flow, cls = as_yaml(triple, inputs, tmp_path), as_class(triple, inputs)
    if triple.name in BRANCHES_MEET:
        for trace, *_ in (flow, cls):
            trace.sort(key=lambda entry: (entry[1], entry[0]))
    assert flow == cls


@pytest.mark.parametrize(("triple", "inputs"), CASES, ids=IDS)
def test_a_function_settles_the_same_calls_in_order_and_gives_the_same(
    triple: Triple, inputs: dict[str, Json], tmp_path: Path
) -> None:
    trace, result, failed = as_yaml(triple, inputs, tmp_path)
    flow = load(tmp_path / f"{triple.name}.flow.yaml", steps=work.callables()).flow
    calls = {name for name, step in flow.steps.items() if step.body.call and step.body.call.target.startswith("work.")}
    settled = [entry[1] for entry in trace if entry[0] == "emit" and entry[1] in calls]
    done, output, failed_in = as_function(triple, inputs)
    own = [name for name in done if name in calls]  # a sub-flow's steps are in its own path
    assert (own, output, failed_in) == (settled, result, failed)


def test_there_are_at_least_fifteen_triples() -> None:
    assert len({triple.name for triple in TRIPLES}) >= 15
