"""The event classes, and the ten traps of SEMANTICS 1 by number (where a trap has its own file, the test here is the short form)."""

import asyncio
import json
from typing import Any

import pytest
from pydantic import PrivateAttr, ValidationError

from orchestrator import (
    Context,
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowRuntimeError,
    step,
)
from orchestrator.retry import retry_policy, stop_after_attempt, wait_fixed, wait_none
from tests.class_api.support import A, B, drain, forward, run, settle, virtual


class Note(Event):
    text: str
    tags: list[str] = []


def test_declared_fields_are_checked_and_undeclared_ones_kept() -> None:
    note = Note(text="x", extra=1)
    assert (note.text, note.extra, note["extra"], note["text"]) == ("x", 1, 1, "x")
    with pytest.raises(ValidationError):
        Note()
    with pytest.raises(AttributeError):
        _ = note.missing
    with pytest.raises(KeyError):
        _ = note["missing"]


def test_an_event_can_be_changed_before_it_is_emitted() -> None:
    note = Note(text="x")
    note["score"] = 3
    note.text = "y"
    assert (note.score, note.text) == (3, "y")


def test_an_event_is_always_true() -> None:
    assert Note(text="")
    assert len(Note(text="")) == 0


def test_a_dump_nests_undeclared_fields_and_validation_takes_them_flat_or_nested() -> None:
    dumped = Note(text="x", extra=1).model_dump()
    assert dumped == {"text": "x", "tags": [], "_data": {"extra": 1}}
    assert Note.model_validate(dumped) == Note(text="x", extra=1)
    assert Note.model_validate({"text": "x", "extra": 1}) == Note(text="x", extra=1)
    assert json.loads(Note(text="x", extra=1).model_dump_json()) == dumped


def test_private_attributes_may_be_given_as_arguments() -> None:
    class Hidden(Event):
        n: int
        _secret: str = PrivateAttr(default="none")

    hidden = Hidden(n=1, _secret="s")
    assert (hidden._secret, Hidden(n=1)._secret) == ("s", "none")
    assert hidden.model_dump() == {"n": 1}


def test_a_stop_event_takes_its_result_by_place_or_name() -> None:
    assert StopEvent("a").result == StopEvent(result="a").result == "a"
    assert StopEvent().result is None


def test_trap_1_a_plain_stop_event_gives_its_result_and_a_subclass_itself() -> None:
    class End(StopEvent):
        n: int

    class Plain(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result=5)

    class Sub(Workflow):
        @step
        async def go(self, ev: StartEvent) -> End:
            return End(n=5)

    assert Plain().run_sync() == 5
    assert Sub().run_sync() == End(n=5)


def test_trap_2_types_are_exact_in_routing_waiting_collecting_and_targeting() -> None:
    class Answer(HumanResponseEvent):
        pass

    class Better(Answer):
        pass

    class Waits(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            return StopEvent(result=type(await ctx.wait_for_event(Answer)).__name__)

    async def main() -> Any:
        handler = Waits().run()
        await settle()
        handler.send_event(Better())
        await settle()
        assert not handler.is_done()
        handler.send_event(Answer())
        return await handler

    assert run(main) == "Answer"


def test_trap_2_a_targeted_send_is_checked_at_once() -> None:
    class Targets(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A | B:
            with pytest.raises(WorkflowRuntimeError, match="no step `nope`; this workflow has go, one, two"):
                ctx.send_event(A(), step="nope")
            with pytest.raises(WorkflowRuntimeError, match="step `two` takes B, not A"):
                ctx.send_event(A(), step="two")
            with pytest.raises(WorkflowRuntimeError, match="only events can be sent"):
                ctx.send_event("text")  # type: ignore[arg-type]
            ctx.send_event(A(), step="one")

        @step
        async def one(self, ev: A) -> StopEvent:
            return StopEvent(result="one")

        @step
        async def two(self, ev: B) -> StopEvent:
            return StopEvent(result="two")

    assert Targets().run_sync() == "one"


def test_trap_3_collect_buffers_belong_to_the_step_and_their_name() -> None:
    class Steps(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A:
            for n in (1, 2):
                ctx.send_event(A(n=n))

        @step
        async def one(self, ctx: Context, ev: A) -> B | None:
            both = ctx.collect_events(ev, [A, A])
            return None if both is None else B(n=sum(e.n for e in both))

        @step
        async def two(self, ctx: Context, ev: A) -> B | None:
            both = ctx.collect_events(ev, [A, A])
            return None if both is None else B(n=10 * sum(e.n for e in both))

        @step
        async def end(self, ctx: Context, ev: B) -> StopEvent | None:
            both = ctx.collect_events(ev, [B, B])
            return None if both is None else StopEvent(result=sorted(e.n for e in both))

    assert Steps().run_sync() == [3, 30]


def test_trap_4_get_in_and_len_see_only_undeclared_fields() -> None:
    note = Note(text="x", extra=1)
    assert (note.get("text"), note.get("extra"), note.get("none", 7)) == (None, 1, 7)
    assert ("text" in note, "extra" in note, len(note)) == (False, True, 1)
    assert (list(note), list(note.keys()), list(note.values()), dict(note.items())) == (
        ["extra"],
        ["extra"],
        [1],
        {"extra": 1},
    )
    assert note.dict() == {"extra": 1}


def test_trap_5_the_waiter_event_comes_once_over_retries() -> None:
    class Asks(Workflow):
        @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(3)))
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            await ctx.wait_for_event(HumanResponseEvent, waiter_event=InputRequiredEvent(), waiter_id="w")
            if ctx.attempt < 3:
                raise ValueError
            return StopEvent()

    async def main() -> list[Any]:
        handler = Asks().run()
        await settle()
        handler.send_event(HumanResponseEvent())
        return await drain(handler)

    assert [type(e) for e in run(main)] == [InputRequiredEvent, StopEvent]


def test_trap_6_cancel_leaves_a_context_that_can_be_resumed_and_an_end_does_not() -> None:
    class Waits(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            return StopEvent(result=(await ctx.wait_for_event(A)).n)

    async def main() -> Any:
        workflow = Waits()
        handler = workflow.run()
        await settle()
        await handler.cancel_run()
        assert handler.ctx.is_running
        again = workflow.run(ctx=handler.ctx)
        await settle()
        again.send_event(A(n=4))
        result = await again
        assert not again.ctx.is_running
        return result

    assert run(main) == 4


def test_a_stop_event_drops_the_rest_and_is_the_last_streamed() -> None:
    class Drops(Workflow):
        ran = False

        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A | StopEvent:
            ctx.send_event(StopEvent(result="first"))
            ctx.send_event(InputRequiredEvent())
            return A()

        @step
        async def never(self, ev: A) -> StopEvent:
            Drops.ran = True
            return StopEvent(result="second")

    async def main() -> Any:
        handler = Drops().run()
        return await handler, [type(e) for e in await drain(handler)][-1]

    assert run(main) == ("first", StopEvent)
    assert not Drops.ran


def test_trap_8_a_delayed_retry_keeps_the_run_from_being_idle() -> None:
    class Delays(Workflow):
        @step(retry_policy=retry_policy(wait=wait_fixed(100), stop=stop_after_attempt(2)))
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            if ctx.attempt == 1:
                raise ValueError
            return StopEvent(result=ctx.attempt)

    async def main() -> Any:
        engine, clock = virtual()
        handler = Delays(timeout=None).run(store=engine)
        await forward(clock, 99)
        assert not handler.is_done()
        await forward(clock, 2)
        return await handler

    assert run(main) == 2


def test_trap_9_a_typed_join_fires_once_its_stream_is_exhausted_waits_and_all() -> None:
    class Waits(Workflow):
        @step
        async def split(self, ev: StartEvent) -> list[A]:
            return [A(n=n) for n in range(3)]

        @step
        async def work(self, ctx: Context, ev: A) -> B | None:
            if ev.n == 1:
                await ctx.wait_for_event(HumanResponseEvent)
            return None if ev.n == 2 else B(n=ev.n)

        @step
        async def join(self, events: list[B]) -> StopEvent:
            return StopEvent(result=[e.n for e in events])

    async def main() -> Any:
        handler = Waits().run()
        await settle()
        assert not handler.is_done()
        handler.send_event(HumanResponseEvent())
        return await handler

    assert run(main) == [0, 1]


def test_trap_10_an_edit_is_isolated_and_rolled_back_when_it_raises() -> None:
    class Edits(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            with pytest.raises(RuntimeError, match="edit_state"):
                async with ctx.store.edit_state() as state:
                    state.n = 1
                    seen = await ctx.store.get("n", "old")
                    await ctx.store.set("other", 1)
            return StopEvent(result=(seen, await ctx.store.get("n", "gone")))

    assert Edits().run_sync() == ("old", "gone")


def test_streams_may_be_left_early_and_read_again() -> None:
    class Talks(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            for n in range(3):
                ctx.write_event_to_stream(A(n=n))
                await asyncio.sleep(0)
            return StopEvent()

    async def main() -> Any:
        handler = Talks().run()
        async for event in handler.stream_events():
            if isinstance(event, A) and event.n == 1:
                break
        return len(await drain(handler)), await handler

    assert run(main) == (4, None)
