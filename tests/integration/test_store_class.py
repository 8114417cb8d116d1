"""Workflow classes over a store: `Workflow(store=…)` and `run(store=…)`."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import orchestrator
from orchestrator import (
    Context,
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledByUser,
    step,
)
from orchestrator.authoring.engines import host_of
from orchestrator.dispatch.local import Binders, close_engine, open_engine
from orchestrator.errors import JournalConflict, NotSerializable, RunReleased, StoreError, UsageError
from orchestrator.journal.memory import MemoryJournal
from orchestrator.journal.open import open_journal
from orchestrator.journal.store import RunFilter
from orchestrator.retry import retry_policy, stop_after_attempt, wait_fixed
from tests.integration.support import run, until, url


class Draft(Event):
    text: str


class Ask(InputRequiredEvent):
    about: str


class Reply(HumanResponseEvent):
    text: str


class Two(Workflow):
    @step
    async def write(self, ctx: Context, ev: StartEvent) -> Draft:
        await ctx.store.set("text", ev.topic)
        return Draft(text=ev.topic)

    @step
    async def finish(self, ctx: Context, ev: Draft) -> StopEvent:
        return StopEvent(result=f"{ev.text} {await ctx.store.get('text')}")


class Waiting(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        reply = await ctx.wait_for_event(Reply, waiter_event=Ask(about="tea"))
        return StopEvent(result=reply.text)


def store_of(kind: str, folder: Path) -> Any:
    match kind:
        case "url":
            return url(folder)
        case "relaxed":
            return url(folder) + "?durability=relaxed"
        case "journal":
            return open_journal(url(folder))
        case "memory":
            return MemoryJournal()
    return open_engine(url(folder), Binders())


@pytest.mark.parametrize("kind", ["url", "relaxed", "journal", "memory", "engine"])
def test_a_store_is_a_url_a_journal_or_an_engine(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        store = store_of(kind, tmp_path)
        assert await Two(store=store).run(topic="a") == "a a"
        handler = Two().run(topic="b", store=store, run_id="mine")
        assert await handler == "b b" == await handler
        assert handler.run_id == "mine"
        if kind == "engine":
            await close_engine(store)
        elif kind == "journal":
            store.close()

    run(main)


def test_what_is_no_store_is_refused() -> None:
    async def main() -> None:
        for wrong in ("mysql://x", 3):
            with pytest.raises(UsageError, match="store"):
                Two(store=wrong).run(topic="a")

    run(main)


def test_run_sync_closes_the_store_it_opened(tmp_path: Path) -> None:
    flow = Two(store=url(tmp_path))
    assert [flow.run_sync(topic=name, run_id=name) for name in "ab"] == ["a a", "b b"]

    async def main() -> Any:
        journal = open_journal(url(tmp_path))
        page = await journal.runs(RunFilter())
        journal.close()
        return [(r.run_id, r.flow, r.kind, r.status, r.outcome["result"]) for r in page.rows]

    done = [(name, "Two", "class", "done", {"result": f"{name} {name}"}) for name in "ba"]
    assert run(main) == done


def test_a_result_that_a_store_cannot_keep_is_refused_with_step_and_path(tmp_path: Path) -> None:
    class Odd(Workflow):
        @step
        async def make(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result={"items": [1, object()]})

    with pytest.raises(NotSerializable, match=r"step `make`.*result\.items\[1\] is a builtins\.object"):
        Odd(store=url(tmp_path)).run_sync()
    assert Odd().run_sync()["items"][0] == 1
    with pytest.raises(NotSerializable, match=r"the run: event `StartEvent`\.topic is a builtins\.object"):
        Two(store=url(tmp_path)).run_sync(topic=object())


def test_attributes_of_the_instance_are_warned_about_once(tmp_path: Path) -> None:
    class Counts(Workflow):
        counter = 0

        @step
        async def count(self, ev: StartEvent) -> StopEvent:
            self.counter += 1
            return StopEvent(result=self.counter)

    with pytest.warns(UserWarning, match=r"step `count` sets self\.counter.*ctx\.store"):
        assert Counts(store=url(tmp_path)).run_sync() == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Counts(store=url(tmp_path)).run_sync()


def test_an_event_from_anywhere_reaches_a_run_that_waits(tmp_path: Path) -> None:
    async def main() -> None:
        handler = Waiting(store=url(tmp_path)).run(run_id="w")
        await until(lambda: handler._start.run is not None and handler._start.run.state.waits)
        await orchestrator.send("w", Reply(text="yes"), store=url(tmp_path))
        assert await handler == "yes"

    run(main)


def test_an_event_reaches_a_run_that_no_process_holds(tmp_path: Path) -> None:
    async def begin() -> None:
        handler = Waiting(store=url(tmp_path)).run(run_id="w")
        await until(lambda: handler._start.run is not None and handler._start.run.state.waits)

    async def send() -> None:
        await orchestrator.send("w", Reply(text="yes"), store=url(tmp_path))

    async def go_on() -> Any:
        return await Waiting(store=url(tmp_path)).resume("w")

    run(begin)
    run(send)
    assert run(go_on) == "yes"


def test_a_cold_body_is_dropped_and_runs_from_the_top_when_its_event_comes(tmp_path: Path) -> None:
    marks: list[str] = []

    class Careful(Workflow):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
            marks.append("top")
            try:
                reply = await ctx.wait_for_event(Reply, waiter_event=Ask(about="tea"))
            except BaseException:
                with pytest.raises(RunReleased):
                    await ctx.store.set("late", 1)
                marks.append("dropped")
                raise
            return StopEvent(result=[reply.text, await ctx.store.get("late", None)])

    async def main() -> None:
        engine = open_engine(url(tmp_path), Binders(), keep_warm_s=0.02, poll_s=0.01)
        engine.serve()
        handler = Careful().run(store=engine, run_id="c")
        await until(lambda: "dropped" in marks)
        assert not engine.runs
        await orchestrator.send("c", Reply(text="yes"), store=engine)
        assert await handler == ["yes", None]
        assert marks == ["top", "dropped", "top"]
        assert [type(e).__name__ async for e in handler.stream_events()] == ["Ask", "StopEvent"]
        await close_engine(engine)

    run(main)


def test_a_stream_goes_on_where_the_run_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        engine = open_engine(url(tmp_path), Binders(), keep_warm_s=0.02, poll_s=0.01)
        engine.serve()
        handler = Waiting().run(store=engine)
        seen: list[str] = []

        async def read() -> None:
            async for event in handler.stream_events():
                seen.append(type(event).__name__)

        reading = asyncio.create_task(read())
        await until(lambda: seen == ["Ask"] and not engine.runs)
        await handler.send_event(Reply(text="yes"))
        await reading
        assert seen == ["Ask", "StopEvent"]
        await close_engine(engine)

    run(main)


def test_cancelling_reaches_a_run_wherever_it_is(tmp_path: Path) -> None:
    async def main() -> None:
        engine = open_engine(url(tmp_path), Binders(), keep_warm_s=0.02, poll_s=0.01)
        engine.serve()
        warm, cold, unbegun = (Waiting().run(store=engine, run_id=name) for name in ("warm", "cold", "unbegun"))
        await unbegun.cancel_run()
        await until(lambda: "cold" in engine.runs)
        await until(lambda: "cold" not in engine.runs)
        await cold.cancel_run()
        await warm.cancel_run()
        for handler in (warm, cold, unbegun):
            with pytest.raises(WorkflowCancelledByUser):
                await handler
        await close_engine(engine)

    run(main)


def test_a_retry_counts_on_over_a_restart(tmp_path: Path) -> None:
    calls: list[int] = []

    class Tries(Workflow):
        @step(retry_policy=retry_policy(wait=wait_fixed(0.05), stop=stop_after_attempt(3)))
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            calls.append(ctx.attempt)
            raise ValueError(f"attempt {ctx.attempt}")

    async def begin() -> None:
        Tries(store=url(tmp_path)).run(run_id="t")
        await until(lambda: calls == [1])
        await asyncio.sleep(0.02)

    async def go_on() -> None:
        with pytest.raises(ValueError, match="attempt 3"):
            await Tries(store=url(tmp_path)).resume("t")

    run(begin)
    run(go_on)
    assert calls == [1, 2, 3]


def test_a_run_whose_step_is_gone_is_set_aside_with_the_reason(tmp_path: Path) -> None:
    def make(name: str) -> Callable[[], Workflow]:
        async def body(self: Any, ctx: Context, ev: StartEvent) -> StopEvent:
            return StopEvent(result=(await ctx.wait_for_event(Reply)).text)

        body.__name__, body.__qualname__ = name, f"Changes.{name}"
        cls = type("Changes", (Workflow,), {name: step(body)})
        return lambda: cls(store=url(tmp_path))

    async def begin() -> None:
        handler = make("old")().run(run_id="x")
        await until(lambda: handler._start.run is not None and handler._start.run.state.waits)

    async def go_on(name: str) -> Any:
        handler = make(name)().resume("x")
        if name == "old":
            await until(lambda: handler._start.run is not None)
            await handler.send_event(Reply(text="yes"))
        return await handler

    run(begin)
    with pytest.raises(StoreError, match="another version of workflow Changes, which had step `old`"):
        run(lambda: go_on("new"))
    assert run(lambda: go_on("old")) == "yes"


def test_resume_names_what_is_wrong(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(UsageError, match="give one"):
            Two().resume("x")
        with pytest.raises(StoreError, match="x"):
            await Two(store=url(tmp_path)).resume("x")
        await Two(store=url(tmp_path)).run(topic="a", run_id="a")
        with pytest.raises(StoreError, match="is one of `Two`, not of `Waiting`"):
            await Waiting(store=url(tmp_path)).resume("a")
        with pytest.raises(JournalConflict):
            await Two(store=url(tmp_path)).run(topic="a", run_id="a")

    run(main)


def test_no_more_runs_than_allowed_go_on_at_a_time(tmp_path: Path) -> None:
    async def main() -> None:
        flow = Waiting(store=url(tmp_path), num_concurrent_runs=1)
        first, second = flow.run(run_id="1"), flow.run(run_id="2")
        clash = flow.run(run_id="1")
        await until(lambda: first._start.run is not None and first._start.run.state.waits)
        assert second._start.run is None
        await first.send_event(Reply(text="one"))
        assert await first == "one"
        await until(lambda: second._start.run is not None and second._start.run.state.waits)
        await second.send_event(Reply(text="two"))
        assert await second == "two"
        with pytest.raises(JournalConflict):
            await clash

    run(main)


def test_state_of_an_ended_context_goes_into_the_store_and_a_running_one_does_not(tmp_path: Path) -> None:
    async def main() -> None:
        flow = Two()
        handler = flow.run(topic="a")
        await handler
        assert await flow.run(ctx=handler.ctx, topic="b", store=url(tmp_path)) == "b b"
        waiting = Waiting()
        running = waiting.run()
        await running.cancel_run()
        with pytest.raises(UsageError, match="resume"):
            waiting.run(ctx=running.ctx, store=url(tmp_path))

    run(main)


def test_events_streamed_by_a_step_are_read_again_later_with_their_class(tmp_path: Path) -> None:
    class Tells(Workflow):
        @step
        async def tell(self, ctx: Context, ev: StartEvent) -> StopEvent:
            ctx.write_event_to_stream(Draft(text="half"))
            ctx.write_event_to_stream(Event(note="plain"))
            return StopEvent(result=1)

    async def again() -> list[Any]:
        handler = Tells(store=url(tmp_path)).resume("t")
        return [event async for event in handler.stream_events()]

    Tells(store=url(tmp_path)).run_sync(run_id="t")
    draft, plain, _ = run(again)
    assert draft == Draft(text="half")
    assert plain.note == "plain"


def test_the_host_of_an_engine_knows_the_newest_workflow_of_a_name(tmp_path: Path) -> None:
    async def main() -> None:
        engine = open_engine(url(tmp_path), Binders())
        first, second = Two(), Two()
        await first.run(topic="a", store=engine)
        await second.run(topic="a", store=engine)
        assert host_of(engine).classes == {"Two": second}
        await close_engine(engine)

    run(main)


def test_a_keeper_that_is_woken_while_it_is_cancelled_ends(tmp_path: Path) -> None:
    async def main() -> None:
        engine = open_engine(url(tmp_path), Binders(), poll_s=5)
        await engine.keeper.open()
        keeping = engine.keeper._loop
        assert keeping is not None
        await asyncio.sleep(0.05)  # it waits
        engine.keeper.wake()
        await asyncio.sleep(0)  # the wake is on its way
        keeping.cancel()
        done, _ = await asyncio.wait({keeping}, timeout=2)
        assert done == {keeping}
        await engine.journal.aclose()

    run(main)


def test_events_and_cancels_that_come_before_the_run_is_committed_reach_it(tmp_path: Path) -> None:
    async def main() -> None:
        handler = Waiting(store=url(tmp_path)).run()
        await handler.send_event(Reply(text="early"))
        assert await handler == "early"
        other = Waiting(store=url(tmp_path)).run()
        other.send_event(Reply(text="unawaited"))
        assert await other == "unawaited"

    run(main)


def test_a_cancelled_run_goes_on_in_its_store_with_its_context(tmp_path: Path) -> None:
    marks: list[str] = []

    class Long(Workflow):
        @step
        async def first(self, ctx: Context, ev: StartEvent) -> Draft:
            marks.append("first")
            await ctx.store.set("seen", ev.topic)
            return Draft(text="x")

        @step
        async def second(self, ctx: Context, ev: Draft) -> StopEvent:
            reply = await ctx.wait_for_event(Reply)
            return StopEvent(result=[await ctx.store.get("seen"), reply.text])

    async def main() -> None:
        flow = Long(store=url(tmp_path))
        handler = flow.run(topic="tea")
        await until(lambda: handler._start.run is not None and handler._start.run.state.waits)
        await handler.cancel_run()
        again = flow.run(ctx=handler.ctx)
        await again.send_event(Reply(text="yes"))
        assert await again == ["tea", "yes"]
        assert again.run_id != handler.run_id
        assert marks == ["first"]

    run(main)


def test_runs_talk_to_each_other_through_the_store(tmp_path: Path) -> None:
    class Tells(Workflow):
        @step
        async def tell(self, ctx: Context, ev: StartEvent) -> Draft:
            ctx.send_event(Reply(text="hello"), run_id=ev.to)
            ctx.send_event(Reply(text="lost"), run_id="nobody")
            return Draft(text="told")

        @step
        async def end(self, ev: Draft) -> StopEvent:
            await asyncio.sleep(0.05)
            return StopEvent(result=ev.text)

    async def main() -> None:
        store = url(tmp_path)
        waiting = Waiting(store=store).run(run_id="w")
        tells = Tells(store=store).run(to="w")
        assert await tells == "told"
        assert await waiting == "hello"
        shown = [type(e).__name__ async for e in tells.stream_events(expose_internal=True)]
        assert shown.count("UnhandledEvent") == 1

    run(main)


def test_cancelling_a_run_waits_for_the_runs_that_it_started(tmp_path: Path) -> None:
    ends: list[str] = []

    class Inner(Workflow):
        @step
        async def wait(self, ev: StartEvent) -> StopEvent:
            try:
                await asyncio.sleep(60)
            finally:
                ends.append("inner")
            return StopEvent()

    class Outer(Workflow):
        @step
        async def call(self, ev: StartEvent, inner: Inner) -> StopEvent:
            return StopEvent(result=await inner.run())

    async def main() -> None:
        outer = Outer(store=url(tmp_path))
        outer.add_workflows(inner=Inner())
        handler = outer.run()
        await until(lambda: handler._start.run is not None and len(handler._start.engine.runs) == 2)
        await asyncio.sleep(0.02)
        await handler.cancel_run()
        assert ends == ["inner"]

    run(main)


def test_a_child_that_the_step_does_not_wait_for_can_be_awaited_later(tmp_path: Path) -> None:
    kept: list[Any] = []

    class Parent(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            kept.append(Two().run(topic="late"))
            return StopEvent(result="first")

    async def main() -> None:
        assert await Parent(store=url(tmp_path)).run() == "first"
        assert await kept[0] == "late late"

    run(main)


def test_the_latest_run_of_a_store_can_be_drawn(tmp_path: Path) -> None:
    async def main() -> None:
        flow = Two(store=url(tmp_path))
        handler = flow.run(topic="a")
        await handler
        assert "finish" in orchestrator.draw_most_recent_execution(flow, filename=None)

    run(main)


@pytest.mark.parametrize("way", ["handler", "context", "send"])
def test_an_event_sent_at_any_moment_of_a_release_arrives(way: str, tmp_path: Path) -> None:
    """The engine lets go of a waiting body at once, so sends meet a run that is warm, leaving or rows."""

    async def one(engine: Any, delay_s: float) -> Any:
        handler = Waiting().run(store=engine)
        await until(lambda: handler._start.run is not None and handler._start.run.state.waits)
        await asyncio.sleep(delay_s)
        reply = Reply(text=way)
        if way == "handler":
            await handler.send_event(reply)
        elif way == "context":
            handler.ctx.send_event(reply)
        else:
            await orchestrator.send(handler.run_id, reply, store=engine)
        return await asyncio.wait_for(handler, 5)

    async def main() -> None:
        engine = open_engine(url(tmp_path), Binders(), keep_warm_s=0.0, poll_s=0.002)
        engine.serve()
        results = await asyncio.gather(*(one(engine, n * 0.0007) for n in range(30)))
        assert results == [way] * 30
        await close_engine(engine)

    run(main)
