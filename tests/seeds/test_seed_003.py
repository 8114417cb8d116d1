"""The examples of seed 003: basic use, streaming, store, parallel steps, snapshot."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from orchestrator import Context, Event, JsonSerializer, StartEvent, StopEvent, Workflow, step
from tests.seeds.notebook import EXAMPLES, Notebook


@dataclass
class Chunk:
    delta: str


class DeepSeek:
    """A local stand-in for the model class of the example: it streams a fixed text."""

    def __init__(self, model: str, api_key: str) -> None:
        self.words = ["Call ", "me ", "Ishmael."]

    async def astream_complete(self, prompt: str) -> AsyncIterator[Chunk]:
        async def chunks() -> AsyncIterator[Chunk]:
            for word in self.words:
                await asyncio.sleep(0)
                yield Chunk(word)

        return chunks()


def test_basic_use_runs_three_steps(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        notebook = await Notebook().run("003_01")
        await notebook.main()

    asyncio.run(main())
    assert capsys.readouterr().out.splitlines() == [
        "Hello World!",
        "First step complete.",
        "Second step complete.",
        "Workflow complete.",
    ]


def test_streaming_shows_progress_while_steps_run(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        notebook = await Notebook(DeepSeek=DeepSeek).run("003_01", "003_02")
        await notebook.main()

    asyncio.run(main())
    out = capsys.readouterr().out
    shown = "".join(line for line in out.splitlines(keepends=True) if not line.startswith(("Running", "Step ")))
    assert "step_one run" in out
    assert "Running step step_two" in out
    assert out.rstrip().endswith("Final result Workflow complete.")
    assert [w for w in ("Call ", "me ", "Ishmael.") if w not in out] == [], shown


def test_store_example_sets_and_gets() -> None:
    class Keeps(Workflow):
        @step
        async def work(self, ctx: Context, ev: StartEvent) -> StopEvent:
            notebook = await Notebook(ctx=ctx).run("003_03")
            return StopEvent(result=notebook.db)

    assert Keeps().run_sync() == [1, 2, 3]


class StepTwoEvent(Event):
    query: str


class StepThreeEvent(Event):
    answer: str


def test_parallel_example_starts_three_steps_and_collects_them() -> None:
    async def main() -> object:
        names = {"step": step, "Context": Context, "StartEvent": StartEvent}
        cell = "003_04"
        notebook = Notebook(**names, StepTwoEvent=StepTwoEvent, StepThreeEvent=StepThreeEvent, Workflow=Workflow)
        text = next((p for p in EXAMPLES.glob(f"{cell}*"))).read_text()
        head, tail = text.split("# 等待所有事件到达\n")
        join = "    @step\n    async def gather(self, ctx: Context, ev: StepThreeEvent) -> StopEvent:\n"
        body = "".join(f"    {line}\n" for line in tail.splitlines())
        source = "class Parallel(Workflow):\n" + "".join(f"    {line}\n" for line in head.splitlines())
        source += "    @step\n    async def answer(self, ev: StepTwoEvent) -> StepThreeEvent:\n"
        source += "        return StepThreeEvent(answer=ev.query.upper())\n"
        source += join + body + "        return StopEvent(result=[e.answer for e in res])\n"
        notebook.names.update(StopEvent=StopEvent)
        await notebook.execute(source, "<parallel>")
        return await notebook.Parallel().run()

    assert asyncio.run(main()) == ["QUERY 1", "QUERY 2", "QUERY 3"]


class Database(dict[str, str]):
    def set(self, key: str, value: str) -> None:
        self[key] = value


def test_snapshot_example_saves_and_restores() -> None:
    class Counts(Workflow):
        @step
        async def work(self, ctx: Context, ev: StartEvent) -> StopEvent:
            count = await ctx.store.get("count", default=0) + 1
            await ctx.store.set("count", count)
            return StopEvent(result=count)

    async def main() -> object:
        workflow = Counts()
        ctx: Context = Context(workflow)
        assert await workflow.run(ctx=ctx) == 1
        notebook = Notebook(ctx=ctx, my_workflow=workflow, my_db=Database(), json=json, Context=Context)
        notebook.names["JsonSerializer"] = JsonSerializer
        text = EXAMPLES.joinpath("003_05_snapshot.txt").read_text()
        await notebook.execute(text.replace("run(..., ctx", "run(ctx"), "<snapshot>")
        return notebook.result

    assert asyncio.run(main()) == 2
