"""A functional workflow is a flow like others: its IR, its plan on any engine, its run through a snapshot of the runtime."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.draw.graph import graph_of
from orchestrator.draw.model import NodeKind
from orchestrator.functional import InMemoryCheckpointStorage, RunContext, step, workflow
from orchestrator.functional.sink import RecordSink
from orchestrator.ir.codec import flow_from_json, flow_hash, flow_to_json
from orchestrator.runtime import ticks as t
from orchestrator.runtime.engine import current_engine
from orchestrator.runtime.snapshot import decode_state, encode_state


class Draft(BaseModel):
    text: str


def make_flow(storage: Any, calls: list[str]) -> Any:
    @step
    async def write(topic: str) -> Draft:
        calls.append(topic)
        return Draft(text=topic)

    @step
    async def fail() -> None:
        calls.append("fail")
        raise KeyError("x")

    @workflow(checkpoint_storage=storage, description="Reviews")
    async def review(topic: str, ctx: RunContext) -> str:
        """A review."""
        draft = await write(topic)
        ctx.set_state("seen", [ctx.get_state("seen", 0), {"draft": draft.text}])
        try:
            await fail()
        except KeyError:
            answer = await ctx.request_info({"draft": draft}, Draft, request_id="q")
        return f"{draft.text} {answer.text} {ctx.get_state('seen')}"

    return review


def test_the_ir_of_a_function_says_what_it_takes_and_where_it_is() -> None:
    flow = make_flow(None, []).ir
    assert (flow.kind, flow.name, flow.description, list(flow.steps)) == ("function", "review", "Reviews", ["review"])
    assert flow.inputs == {"type": "object", "properties": {"topic": {"type": "string"}}, "required": ["topic"]}
    assert flow.steps["review"].body.kind == "procedure"
    assert flow.origin is not None
    assert Path(flow.origin.file).name == "test_engine.py"
    assert flow_hash(flow_from_json(json.loads(json.dumps(flow_to_json(flow))))) == flow_hash(flow)


def test_moving_and_commenting_a_function_makes_no_new_version() -> None:
    def build(above: str) -> str:
        names: dict[str, Any] = {}
        exec(
            f"from orchestrator.functional import workflow\n{above}\n@workflow\nasync def f(x: int) -> int:\n  return x",
            names,
        )
        return flow_hash(names["f"].ir)

    assert build("") == build("# a comment\n\n\n")


def test_the_plan_runs_on_an_engine_that_knows_nothing_of_the_functional_api() -> None:
    async def main() -> Any:
        actor = current_engine().create(make_flow(None, []).plan)
        told: list[Any] = []
        actor.on_finish = told.append
        actor.apply(t.Started(0, 0.0, -1, "Start", {"topic": "tea"}))
        for _ in range(100):
            await asyncio.sleep(0)
        assert actor.is_quiet
        actor.apply(t.EventIn(0, 0.0, -1, "?q", {"text": "good"}))
        await actor.wait_finished()
        assert told == [actor]
        return actor.state.result

    result = asyncio.run(main())
    assert (result.type, result.value) == ("Stop", "tea good [0, {'draft': 'tea'}]")


def test_a_waiting_run_goes_through_a_snapshot_of_the_runtime_into_a_new_process_object() -> None:
    storage, calls = InMemoryCheckpointStorage(), list[str]()

    async def main() -> Any:
        first = make_flow(storage, calls)
        stream = first.run("tea", stream=True)
        await stream.get_final_response()
        actor = (await stream._start())[0].actor
        text = json.dumps(encode_state(actor.state, first.plan.codec))
        plan = make_flow(storage, calls).plan
        again = current_engine().create(
            plan, run_id=actor.run_id, state=decode_state(json.loads(text), plan, plan.codec)
        )
        again.base = again.state.seq
        again.sink = RecordSink(again, storage)
        again.apply(t.EventIn(0, 0.0, -1, "?q", plan.codec.decode("?q", {"text": "good"})))
        await again.wait_finished()
        await again.sink.flush()
        return again.state.result

    assert asyncio.run(main()).value.live == "tea good [0, {'draft': 'tea'}]"
    assert calls == ["tea", "fail"]


def test_two_functional_runs_and_a_task_factory_share_a_loop() -> None:
    @step
    async def work(x: int) -> int:
        await asyncio.sleep(0)
        return x

    async def branch(x: int) -> int:
        return await work(x)

    @workflow
    async def flow(x: int) -> list[int]:
        return list(await asyncio.gather(branch(x), branch(x + 1)))

    async def main() -> Any:
        results = await asyncio.gather(*(flow.run(n) for n in range(20)))
        assert asyncio.get_running_loop().get_task_factory() is None
        return results

    results = asyncio.run(main())
    assert [r.get_outputs() for r in results] == [[[n, n + 1]] for n in range(20)]
    assert {e.call_path for r in results for e in r if e.call_path} == {"branch~0/work#0", "branch~1/work#0"}


@pytest.mark.parametrize("fails_at", [1, 2, 4])
def test_a_storage_that_fails_ends_the_run_with_its_error_and_nothing_of_it_stays(fails_at: int) -> None:
    class Failing(InMemoryCheckpointStorage):
        count = 0

        def append(self, run_id: str, entries: Any) -> Any:
            self.count += 1
            if self.count >= fails_at:
                raise OSError("disk full")
            return super().append(run_id, entries)

    async def main() -> None:
        with pytest.raises(OSError, match="disk full"):
            await make_flow(Failing(), []).run("tea")
        assert len(asyncio.all_tasks()) == 1
        assert current_engine().runs == {}

    asyncio.run(main())


def test_the_drawing_of_a_function_joins_what_it_may_ask_to_its_one_step() -> None:
    @workflow
    async def asks(x: str) -> str:
        return x

    graph = graph_of(asks.ir)
    step = next(node.id for node in graph.nodes if node.kind is NodeKind.PROCEDURE)
    outside = next(node.id for node in graph.nodes if node.kind is NodeKind.OUTSIDE)
    assert (step, outside) in {(edge.source, edge.target) for edge in graph.edges}
