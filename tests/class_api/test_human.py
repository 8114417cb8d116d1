"""SEMANTICS 1, row "human"; trap 5 (the waiter event comes once, a woken step does not also get the event)."""

import asyncio
import json
from typing import Any

import pytest

from orchestrator import Context, Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent, Workflow, step
from orchestrator.retry import retry_policy, stop_after_attempt, wait_none
from tests.class_api.support import A, B, drain, forward, run, settle, virtual


class Ask(InputRequiredEvent):
    question: str


class Answer(HumanResponseEvent):
    text: str
    who: str = ""


class Asks(Workflow):
    bodies = 0

    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        type(self).bodies += 1
        answer = await ctx.wait_for_event(Answer, waiter_event=Ask(question="name?"))
        return StopEvent(result=answer.text)


def test_a_returned_question_is_streamed_and_an_answer_starts_the_step_that_takes_it() -> None:
    class Form(Workflow):
        @step
        async def ask(self, ev: StartEvent) -> Ask:
            return Ask(question="go?")

        @step
        async def got(self, ev: Answer) -> StopEvent:
            return StopEvent(result=ev.text)

    async def main() -> Any:
        handler = Form().run()
        async for event in handler.stream_events():
            if isinstance(event, Ask):
                handler.send_event(Answer(text="yes"))
        return await handler

    assert run(main) == "yes"


def test_an_answer_may_be_sent_through_the_context_too() -> None:
    async def main() -> Any:
        handler = Asks().run()
        await settle()
        assert handler.ctx is not None
        handler.ctx.send_event(Answer(text="ctx"))
        return await handler

    assert run(main) == "ctx"


def test_the_body_is_not_run_again_when_the_answer_comes() -> None:
    async def main() -> Any:
        Asks.bodies = 0
        handler = Asks().run()
        await settle()
        await handler.send_event(Answer(text="x"))
        return await handler

    assert run(main) == "x"
    assert Asks.bodies == 1


def test_trap_5_the_waiter_event_is_shown_once() -> None:
    async def main() -> list[Any]:
        handler = Asks().run()
        await settle()
        handler.send_event(Answer(text="x"))
        return await drain(handler)

    assert [type(e) for e in run(main)] == [Ask, StopEvent]


def test_a_waiter_event_is_only_shown_and_starts_no_step() -> None:
    class Shows(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A | StopEvent:
            answer = await ctx.wait_for_event(Answer, waiter_event=A())
            return StopEvent(result=answer.text)

        @step
        async def never(self, ev: A) -> StopEvent:
            return StopEvent(result="wrong")

    async def main() -> Any:
        handler = Shows().run()
        await settle()
        handler.send_event(Answer(text="right"))
        return await handler

    assert run(main) == "right"


def test_requirements_choose_the_event() -> None:
    class Picky(Workflow):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
            answer = await ctx.wait_for_event(Answer, requirements={"who": "ada"})
            return StopEvent(result=answer.text)

    async def main() -> Any:
        handler = Picky().run()
        await settle()
        handler.send_event(Answer(text="no", who="bob"))
        await settle()
        assert not handler.is_done()
        handler.send_event(Answer(text="yes", who="ada"))
        return await handler

    assert run(main) == "yes"


def test_one_event_answers_every_wait_that_it_matches() -> None:
    class Both(Workflow):
        @step
        async def go(self, ev: StartEvent) -> list[A]:
            return [A(n=1), A(n=2)]

        @step
        async def wait(self, ctx: Context, ev: A) -> B:
            await ctx.wait_for_event(Answer)
            return B(n=ev.n)

        @step
        async def join(self, events: list[B]) -> StopEvent:
            return StopEvent(result=[e.n for e in events])

    async def main() -> Any:
        handler = Both().run()
        await settle()
        handler.send_event(Answer(text="all"))
        return await handler

    assert run(main) == [1, 2]


def test_a_woken_step_does_not_also_get_the_event_as_input() -> None:
    inputs: list[str] = []

    class Twice(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent | Answer) -> StopEvent:
            inputs.append(type(ev).__name__)
            answer = await ctx.wait_for_event(Answer)
            return StopEvent(result=answer.text)

    async def main() -> Any:
        handler = Twice().run()
        await settle()
        handler.send_event(Answer(text="x"))
        return await handler

    assert run(main) == "x"
    assert inputs == ["StartEvent"]


def test_two_waits_of_one_step_are_told_apart_by_their_order() -> None:
    class Twice(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            first = await ctx.wait_for_event(Answer)
            second = await ctx.wait_for_event(Answer)
            return StopEvent(result=[first.text, second.text])

    async def main() -> Any:
        handler = Twice().run()
        for text in ("a", "b"):
            await settle()
            handler.send_event(Answer(text=text))
        return await handler

    assert run(main) == ["a", "b"]


def test_the_same_waiter_id_gives_the_same_answer_again() -> None:
    class Same(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            first = await ctx.wait_for_event(Answer, waiter_id="x")
            second = await ctx.wait_for_event(Answer, waiter_id="x")
            return StopEvent(result=first is second)

    async def main() -> Any:
        handler = Same().run()
        await settle()
        handler.send_event(Answer(text="a"))
        return await handler

    assert run(main) is True


def test_parallel_waits_in_one_body_are_all_answered() -> None:
    class Gathers(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            both = await asyncio.gather(
                ctx.wait_for_event(Answer, requirements={"who": "a"}),
                ctx.wait_for_event(Answer, requirements={"who": "b"}),
            )
            return StopEvent(result=[e.text for e in both])

    async def main() -> Any:
        handler = Gathers().run()
        await settle()
        handler.send_event(Answer(text="2", who="b"))
        handler.send_event(Answer(text="1", who="a"))
        return await handler

    assert run(main) == ["1", "2"]


def test_an_answer_that_comes_before_the_wait_is_kept_for_it() -> None:
    class Late(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            await settle(5)
            return StopEvent(result=(await ctx.wait_for_event(Answer)).text)

    async def main() -> Any:
        handler = Late().run()
        handler.send_event(Answer(text="early"))
        return await handler

    assert run(main) == "early"


def test_a_wait_ends_after_its_timeout() -> None:
    class Short(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            try:
                await ctx.wait_for_event(Answer, timeout=10)
            except TimeoutError:
                return StopEvent(result="late")
            return StopEvent()

    async def main() -> Any:
        engine, clock = virtual()
        handler = Short().run(store=engine)
        await forward(clock, 11)
        return await handler

    assert run(main) == "late"


def test_a_wait_has_2000_seconds_by_default_and_may_have_none() -> None:
    class Waits(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            with pytest.raises(TimeoutError):
                await ctx.wait_for_event(Answer)
            return StopEvent(result=(await ctx.wait_for_event(Answer, timeout=None)).text)

    async def main() -> Any:
        engine, clock = virtual()
        handler = Waits().run(store=engine)
        await forward(clock, 1999)
        assert len(handler._start.run.state.timers) == 1
        await forward(clock, 2)
        await forward(clock, 10_000_000)
        handler.send_event(Answer(text="ok"))
        return await handler

    assert run(main) == "ok"


def test_waiting_for_people_does_not_count_against_the_timeout() -> None:
    async def main() -> Any:
        engine, clock = virtual()
        handler = Asks(timeout=5).run(store=engine)
        await forward(clock, 1000)
        handler.send_event(Answer(text="late but fine"))
        return await handler

    assert run(main) == "late but fine"


def test_an_answered_wait_is_kept_for_the_next_attempt() -> None:
    class Retries(Workflow):
        asked = 0

        @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(3)))
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            answer = await ctx.wait_for_event(Answer, waiter_event=Ask(question="?"))
            if ctx.attempt < 3:
                raise ValueError("again")
            return StopEvent(result=(answer.text, ctx.retry_info().retry_number))

    async def main() -> Any:
        handler = Retries().run()
        await settle()
        handler.send_event(Answer(text="once"))
        shown = await drain(handler)
        return await handler, [type(e) for e in shown]

    assert run(main) == (("once", 2), [Ask, StopEvent])


def test_the_retry_counter_is_not_reset_by_a_wait() -> None:
    class Fails(Workflow):
        bodies = 0

        @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(3)))
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            Fails.bodies += 1
            await ctx.wait_for_event(Answer)
            raise ValueError("always")

    async def main() -> None:
        handler = Fails().run()
        await settle()
        handler.send_event(Answer(text="x"))
        with pytest.raises(ValueError, match="always"):
            await handler

    run(main)
    assert Fails.bodies == 3


def test_a_waiting_step_gives_its_place_to_others_and_takes_one_again() -> None:
    class Places(Workflow):
        active = peak = 0

        @step
        async def go(self, ev: StartEvent) -> list[A]:
            return [A(n=n) for n in range(3)]

        @step(num_workers=1)
        async def work(self, ctx: Context, ev: A) -> B:
            await ctx.wait_for_event(Answer)
            Places.active += 1
            Places.peak = max(Places.peak, Places.active)
            await asyncio.sleep(0)
            Places.active -= 1
            return B()

        @step
        async def join(self, events: list[B]) -> StopEvent:
            return StopEvent(result=len(events))

    async def main() -> Any:
        handler = Places().run()
        await settle()
        handler.send_event(Answer(text="go"))
        return await handler

    assert run(main) == 3
    assert Places.peak == 1


class Restarts(Workflow):
    log: list[str] = []

    @step
    async def go(self, ctx: Context, ev: StartEvent) -> A | StopEvent:
        Restarts.log.append("body")
        before = await ctx.store.get("visits", 0)
        await ctx.store.set("visits", before + 1)
        ctx.send_event(A(n=before))
        answer = await ctx.wait_for_event(Answer, waiter_event=Ask(question="?"), timeout=100)
        visits = await ctx.store.get("visits")
        return StopEvent(result=(before, visits, answer.text))

    @step
    async def note(self, ev: A) -> None:
        Restarts.log.append(f"note {ev.n}")


def test_after_a_restart_what_was_done_before_the_wait_is_taken_from_the_journal() -> None:
    async def first() -> str:
        handler = Restarts().run()
        await settle()
        data = json.dumps(handler.ctx.to_dict())
        await handler.cancel_run()
        return data

    async def second(data: str) -> Any:
        workflow = Restarts()
        handler = workflow.run(ctx=Context.from_dict(workflow, json.loads(data)))
        await settle()
        handler.send_event(Answer(text="x"))
        shown = await drain(handler)
        return await handler, [type(e) for e in shown]

    Restarts.log.clear()
    data = run(first)
    assert Restarts.log == ["body", "note 0"]
    result, shown = run(lambda: second(data))
    assert tuple(result) == (0, 1, "x")
    assert Restarts.log == ["body", "note 0", "body"]
    assert shown == [StopEvent]


def test_a_wait_keeps_its_timeout_over_a_restart() -> None:
    class Times(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            try:
                await ctx.wait_for_event(Answer, timeout=100)
            except TimeoutError:
                return StopEvent(result=ctx._run.now())
            return StopEvent()

    async def main() -> Any:
        engine, clock = virtual()
        workflow = Times()
        handler = workflow.run(store=engine)
        begun = clock.now()
        await forward(clock, 60)
        data = handler.ctx.to_dict()
        await handler.cancel_run()
        again = workflow.run(ctx=Context.from_dict(workflow, data), store=engine)
        await forward(clock, 41)
        return await again - begun

    assert run(main) == pytest.approx(100, abs=2)


def test_an_event_that_nobody_takes_is_refused_only_when_the_run_is_over() -> None:
    class Other(Event):
        pass

    async def main() -> Any:
        handler = Asks().run()
        handler.send_event(Other())
        await settle()
        handler.send_event(Answer(text="x"))
        return await handler

    assert run(main) == "x"
