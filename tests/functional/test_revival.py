"""Runs whose process died, or that were rows for a while: whoever serves their store goes on with them, asked or not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator.authoring.engines import engine_of, host_of
from orchestrator.authoring.run_service import RunService
from orchestrator.functional import RunContext, step, workflow
from orchestrator.runtime.answering import AnswerRefused
from orchestrator.runtime.sink import SnapshotRule


class Later:
    """The system's clock, a minute on: the lease of the process that died has run out."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock

    def now(self) -> float:
        return float(self._clock.now() + 60)

    def call_at(self, due: float, then: Any) -> Any:
        return self._clock.call_at(due - 60, then)


def story_that(works: Any, url: str) -> Any:
    """One branch asks at once, the other one works."""

    @step
    async def work() -> str:
        return str(await works())

    @workflow(name="story", store=url)
    async def story(n: int, ctx: RunContext) -> str:
        answer, worked = await asyncio.gather(ctx.request_info("ok?", str, request_id="q"), work())
        return f"{answer} {worked}"

    return story


async def die_in_the_middle(url: str) -> None:
    begun = asyncio.Event()

    async def hangs() -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(story_that(hangs, url).run(1, run_id="r"))
    await begun.wait()
    engine: Any = engine_of(url)
    await engine.sinks["r"].flush()
    engine.abandon()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_branch_that_worked_when_its_process_died_goes_on_though_the_other_one_waits(tmp_path: Path) -> None:
    url, done = f"sqlite:///{tmp_path}/runs.db", asyncio.Event()

    async def serve() -> list[str]:
        async def works() -> str:
            done.set()
            return "worked"

        engine: Any = engine_of(url)
        engine.clock, engine.keep_warm_s = Later(engine.clock), 0.05
        host_of(engine).add(story_that(works, url))
        engine.serve()
        await asyncio.wait_for(done.wait(), 10)
        await until_at_rest(engine, "r")
        return [row.request_id for _, row in await engine.journal.requests()]

    asyncio.run(die_in_the_middle(url))
    assert asyncio.run(serve()) == ["q"]


async def until_at_rest(engine: Any, run_id: str) -> None:
    while run_id in engine.sinks:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("answer", [3, "fine"])
def test_a_question_behind_a_snapshot_is_answered_in_a_process_that_never_saw_it(tmp_path: Path, answer: Any) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"

    @step
    async def one(n: int) -> int:
        return n

    @workflow(name="long", store=url)
    async def long(n: int, ctx: RunContext) -> str:
        for i in range(n):
            await one(i)
        return await ctx.request_info("ok?", str, request_id="q")

    async def asks() -> None:
        engine: Any = engine_of(url)
        engine.snapshots = SnapshotRule(0, 0, 0)
        await long.run(3, run_id="r")
        assert (await engine.journal.load("r")).snapshot is not None

    async def answers() -> str:
        engine: Any = engine_of(url)
        host_of(engine).add(long.build())
        await RunService(engine).answer("r", "q", user="kim", form={"answer": answer})
        return str((await long.run(run_id="r")).get_outputs()[0])

    asyncio.run(asks())
    if answer == "fine":
        assert asyncio.run(answers()) == "fine"
    else:
        with pytest.raises(AnswerRefused, match="stays open"):
            asyncio.run(answers())
