"""Random flows do on the runtime what a naive interpreter does, and their state is the fold of their ticks at any cut."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import RunStalled
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.clock import VirtualClock
from orchestrator.runtime.codec import decode_tick, encode_tick
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.snapshot import decode_state, encode_state, fold
from orchestrator.runtime.state import RunState
from tests.runtime.random_flows import as_workflow, interpret, random_flow

EXAMPLES = settings(max_examples=150, deadline=None)
SEEDS = st.integers(0, 10**9)
NUMBERS = st.integers(0, 996)


def run_flow(seed: int, v: int, fuel: int) -> tuple[list[Any], Any, Actor]:
    """The trace, the result and the run of a random flow."""
    trace: list[Any] = []
    workflow = as_workflow(random_flow(seed), trace)(timeout=None)

    async def main() -> tuple[Any, Actor]:
        handler = workflow.run(v=v, fuel=fuel, store=Engine(clock=VirtualClock()))
        run = handler._start.run
        assert run is not None
        try:
            return await handler, run
        except RunStalled:
            return None, run

    result, run = asyncio.run(main())
    return trace, result, run


def as_json(run: Actor, state: RunState) -> Any:
    return json.loads(json.dumps(encode_state(state, run.plan.codec)))


def ticks_of(run: Actor) -> list[Any]:
    return [tick for tick in run.log if not isinstance(tick, tuple)]


@EXAMPLES
@given(seed=SEEDS, v=NUMBERS, fuel=st.integers(0, 3))
def test_the_runtime_does_what_the_naive_interpreter_does(seed: int, v: int, fuel: int) -> None:
    expected = interpret(random_flow(seed), v, fuel)
    trace, result, _ = run_flow(seed, v, fuel)
    assert (trace, result) == expected


@EXAMPLES
@given(seed=SEEDS, v=NUMBERS, data=st.data())
def test_the_state_is_the_fold_of_a_snapshot_and_the_ticks_after_it(seed: int, v: int, data: st.DataObject) -> None:
    _, _, run = run_flow(seed, v, 2)
    ticks = ticks_of(run)
    cut = data.draw(st.integers(0, len(ticks)), label="cut")
    codec = run.plan.codec
    early = fold(run.plan, RunState(), ticks[:cut])
    restored = decode_state(json.loads(json.dumps(encode_state(early, codec))), run.plan, codec)
    assert as_json(run, fold(run.plan, restored, ticks[cut:])) == as_json(run, run.state)


@EXAMPLES
@given(seed=SEEDS, v=NUMBERS)
def test_ticks_give_the_same_state_after_a_round_trip_through_json(seed: int, v: int) -> None:
    _, _, run = run_flow(seed, v, 2)
    codec = run.plan.codec
    rows = json.loads(json.dumps([encode_tick(x, codec, lambda act: "?") for x in ticks_of(run)]))
    again = [decode_tick(seq, row, codec) for seq, row in enumerate(rows)]
    assert as_json(run, fold(run.plan, RunState(), again)) == as_json(run, run.state)


@EXAMPLES
@given(seed=SEEDS, v=NUMBERS, data=st.data())
def test_a_run_taken_up_from_any_snapshot_ends_in_the_same_state_of_being_done(
    seed: int, v: int, data: st.DataObject
) -> None:
    _, result, run = run_flow(seed, v, 2)
    ticks = ticks_of(run)
    begun = [n for n, tick in enumerate(ticks) if isinstance(tick, t.StepStarted)]
    cut = data.draw(st.sampled_from(begun), label="cut") + 1
    state = decode_state(as_json(run, fold(run.plan, RunState(), ticks[:cut])), run.plan, run.plan.codec)

    async def main() -> Any:
        engine = Engine()
        again = engine.create(run.plan, run_id="again", state=state)
        again.base, again.data = state.seq, run.data
        again.resume()
        await again.wait_finished()
        ended = again.state.result
        return None if ended is None else ended.value.result

    if not any("collect" in name for name in run.plan.steps):  # what is collected depends on the order of arrival
        assert asyncio.run(main()) == result
