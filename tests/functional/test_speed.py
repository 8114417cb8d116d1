"""Cost per step: small, and the same for the ten thousandth step. Bounds are loose; `make bench` has the figures."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.functional import RunContext, SQLiteCheckpointStorage, step, workflow


@step
async def increment(x: int) -> int:
    return x + 1


@workflow
async def chain(n: int) -> int:
    value = 0
    for _ in range(n):
        value = await increment(value)
    return value


@workflow
async def replayed(n: int, ctx: RunContext) -> int:
    value = 0
    for _ in range(n):
        value = await increment(value)
    return value + int(await ctx.request_info("?", int, request_id="q"))


def per_step_us(n: int, **options: Any) -> float:
    """The best of three."""
    best = float("inf")
    for _ in range(3):
        gc.collect()
        began = time.process_time()
        assert asyncio.run(chain.run(n, **options)).get_outputs() == [n]
        best = min(best, time.process_time() - began)
    return best / n * 1e6


def test_a_step_without_storage_costs_at_most_30_us() -> None:
    assert per_step_us(1000) < 30


def test_the_cost_of_a_step_is_flat_to_ten_thousand() -> None:
    assert per_step_us(10_000) < 3 * per_step_us(1000) + 2


def test_recorded_steps_are_nothing_that_the_garbage_collector_walks() -> None:
    kept: list[int] = []

    @workflow
    async def counted(n: int) -> None:
        before = [gc.collect(), gc.collect(), len(gc.get_objects())]
        for value in range(n):
            await increment(value)
        gc.collect()
        gc.collect()  # a tuple of tuples is let go of one pass later
        kept.append(len(gc.get_objects()) - before[2])

    asyncio.run(counted.run(1000))
    assert kept[0] < 500


def test_a_large_result_has_a_short_repr() -> None:
    """`asyncio.run` makes the repr of what it returns, twice."""
    assert len(repr(asyncio.run(chain.run(1000)))) < 300


def test_a_relaxed_durable_step_costs_at_most_60_us(tmp_path: Path) -> None:
    storage = SQLiteCheckpointStorage(tmp_path / "runs.db", is_relaxed=True)
    assert per_step_us(1000, checkpoint_storage=storage) < 60
    storage.close()


def test_a_replay_is_linear_too() -> None:
    async def main() -> float:
        await replayed.run(5000)
        began = time.process_time()
        result = await replayed.run(responses={"q": 1})
        assert result.get_outputs() == [5001]
        return (time.process_time() - began) / 5000 * 1e6

    assert asyncio.run(main()) < 60


@pytest.mark.parametrize("n", [1000])
def test_a_wide_gather_is_linear(n: int) -> None:
    @workflow
    async def wide(x: int) -> int:
        return sum(await asyncio.gather(*(increment(i) for i in range(x))))

    @workflow
    async def asks(x: int, ctx: RunContext) -> int:
        return len(await asyncio.gather(*(ctx.request_info(i, int) for i in range(x))))

    async def main() -> float:
        began = time.process_time()
        await wide.run(n)
        paused = await asks.run(n)
        answers = {e.request_id: 1 for e in paused.get_request_info_events()}
        assert (await asks.run(responses=answers)).get_outputs() == [n]
        return time.process_time() - began

    assert asyncio.run(main()) < 1.0
