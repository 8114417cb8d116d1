"""SEMANTICS 1, row "fan-out, fan-in"; traps 3 (collect buffers) and 9 (a typed join fires when its stream is exhausted)."""

import asyncio
from typing import Annotated, Any

import pytest

from orchestrator import (
    All,
    Collect,
    Context,
    Event,
    StartEvent,
    StepFailedEvent,
    StopEvent,
    Take,
    Workflow,
    WorkflowValidationError,
    catch_error,
    step,
)
from orchestrator.retry import retry_policy, stop_after_attempt, wait_none
from tests.class_api.support import A, B, C, run


class Split(Workflow):
    """Three members whose workers end in another order than they began."""

    delays = (20, 1, 10)

    @step
    async def split(self, ev: StartEvent) -> list[A]:
        return [A(n=n) for n in range(len(self.delays))]

    @step
    async def work(self, ev: A) -> B:
        for _ in range(self.delays[ev.n]):
            await asyncio.sleep(0)
        return B(n=ev.n)


def test_collect_events_gives_the_expected_list_in_its_order() -> None:
    class Collects(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A | B:
            ctx.send_event(B(n=2))
            ctx.send_event(A(n=1))
            ctx.send_event(B(n=3))

        @step
        async def join(self, ctx: Context, ev: A | B) -> StopEvent:
            events = ctx.collect_events(ev, [A, B, B])
            return None if events is None else StopEvent(result=[(type(e).__name__, e.n) for e in events])

    assert Collects().run_sync() == [("A", 1), ("B", 2), ("B", 3)]


def test_collect_events_with_nothing_expected_gives_an_empty_list() -> None:
    class Nothing(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            return StopEvent(result=ctx.collect_events(ev, []))

    assert Nothing().run_sync() == []


def test_what_collect_events_does_not_take_stays_for_the_next_round() -> None:
    rounds: list[list[int]] = []

    class Rounds(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A | B:
            for n in (1, 2):
                ctx.send_event(A(n=n))
            for n in (10, 20):
                ctx.send_event(B(n=n))

        @step
        async def join(self, ctx: Context, ev: A | B) -> StopEvent:
            events = ctx.collect_events(ev, [A, B])
            if events is not None:
                rounds.append([e.n for e in events])
            return StopEvent(result=rounds) if len(rounds) == 2 else None

    assert Rounds().run_sync() == [[1, 10], [2, 20]]


def test_collect_events_buffers_are_apart_by_their_id() -> None:
    class Two(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A:
            for n in range(4):
                ctx.send_event(A(n=n))

        @step
        async def join(self, ctx: Context, ev: A) -> StopEvent:
            events = ctx.collect_events(ev, [A, A], buffer_id="even" if ev.n % 2 == 0 else "odd")
            return StopEvent(result=[e.n for e in events]) if events and ev.n % 2 else None

    assert Two().run_sync() == [1, 3]


def test_collect_events_takes_exact_types() -> None:
    class Special(A):
        pass

    class Exact(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A | Special:
            ctx.send_event(Special(n=1))
            ctx.send_event(A(n=2))

        @step
        async def join(self, ctx: Context, ev: A | Special) -> StopEvent:
            events = ctx.collect_events(ev, [A])
            return None if events is None else StopEvent(result=events[0].n)

    assert Exact().run_sync() == 2


def test_a_failed_attempt_takes_back_what_it_collected() -> None:
    class Retries(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A:
            ctx.send_event(A(n=1))
            ctx.send_event(A(n=2))

        @step(num_workers=1, retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(3)))
        async def join(self, ctx: Context, ev: A) -> StopEvent:
            events = ctx.collect_events(ev, [A, A])
            if ctx.attempt < 2:
                raise ValueError("once more")
            return None if events is None else StopEvent(result=sorted(e.n for e in events))

    assert Retries().run_sync() == [1, 2]


def test_a_list_is_joined_in_the_order_it_was_emitted() -> None:
    class Joins(Split):
        @step
        async def join(self, events: list[B]) -> StopEvent:
            return StopEvent(result=[e.n for e in events])

    assert Joins().run_sync() == [0, 1, 2]


def test_take_gives_the_first_to_arrive_and_leaves_the_rest() -> None:
    class Takes(Split):
        @step
        async def join(self, events: Annotated[list[B], Collect(Take(2))]) -> StopEvent:
            return StopEvent(result=[e.n for e in events])

    assert Takes().run_sync() == [1, 2]


def test_take_of_more_than_there_are_gives_what_arrived() -> None:
    class Takes(Split):
        @step
        async def join(self, events: Annotated[list[B], Collect(Take(9))]) -> StopEvent:
            return StopEvent(result=sorted(e.n for e in events))

    assert Takes().run_sync() == [0, 1, 2]


def test_collect_all_is_the_same_as_a_plain_list() -> None:
    class Takes(Split):
        @step
        async def join(self, events: Annotated[list[B], Collect(All())]) -> StopEvent:
            return StopEvent(result=len(events))

    assert Takes().run_sync() == 3


@pytest.mark.parametrize("bad", [0, -1, True, "2"])
def test_take_needs_a_positive_whole_number(bad: Any) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Take(bad)


def test_trap_9_an_empty_list_fires_its_join_with_nothing() -> None:
    class Empty(Workflow):
        @step
        async def split(self, ev: StartEvent) -> list[A]:
            return []

        @step
        async def work(self, ev: A) -> B:
            return B()

        @step
        async def join(self, events: list[B]) -> StopEvent:
            return StopEvent(result=events)

    assert Empty().run_sync() == []


def test_none_instead_of_a_list_opens_no_stream() -> None:
    class Maybe(Workflow):
        @step
        async def split(self, ev: StartEvent) -> list[A] | StopEvent | None:
            return StopEvent(result="none") if ev.get("stop") else None

        @step
        async def join(self, events: list[A]) -> StopEvent:
            return StopEvent(result=len(events))

    assert Maybe().run_sync(stop=True) == "none"


def test_members_that_drop_out_fail_or_retry_still_close_the_join() -> None:
    class Mixed(Workflow):
        @step
        async def split(self, ev: StartEvent) -> list[A]:
            return [A(n=n) for n in range(4)]

        @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(2)))
        async def work(self, ctx: Context, ev: A) -> B | None:
            if ev.n == 1:
                return None
            if ev.n == 2 or (ev.n == 3 and ctx.attempt == 1):
                raise ValueError(ev.n)
            return B(n=ev.n)

        @catch_error(for_steps=["work"])
        async def lost(self, ev: StepFailedEvent) -> B:
            return B(n=-1)

        @step
        async def join(self, events: list[B]) -> StopEvent:
            return StopEvent(result=[e.n for e in events])

    assert Mixed().run_sync() == [0, -1, 3]


def test_a_join_takes_lists_of_several_event_types() -> None:
    class Both(Workflow):
        @step
        async def split(self, ev: StartEvent) -> list[A | B]:
            return [A(n=1), B(n=2), A(n=3)]

        @step
        async def join(self, events: list[A | B]) -> StopEvent:
            return StopEvent(result=[type(e).__name__ for e in events])

    assert Both().run_sync() == ["A", "B", "A"]


class Row(Event):
    n: int


class Cell(Event):
    row: int
    n: int


class Sum(Event):
    total: int


def test_nested_fan_outs_join_level_by_level() -> None:
    class Nested(Workflow):
        @step
        async def rows(self, ev: StartEvent) -> list[Row]:
            return [Row(n=n) for n in range(1, 4)]

        @step
        async def cells(self, ev: Row) -> list[Cell]:
            return [Cell(row=ev.n, n=n) for n in range(ev.n)]

        @step
        async def inner(self, events: list[Cell]) -> Sum:
            return Sum(total=sum(e.row for e in events))

        @step
        async def outer(self, events: list[Sum]) -> StopEvent:
            return StopEvent(result=[e.total for e in events])

    assert Nested().run_sync() == [1, 4, 9]


def test_several_event_parameters_are_a_join_and_surplus_waits_for_the_next_round() -> None:
    pairs: list[tuple[int, int]] = []

    class Pairs(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A | B:
            for n in (1, 2):
                ctx.send_event(A(n=n))
            for n in (10, 20):
                ctx.send_event(B(n=n))

        @step
        async def join(self, a: A, b: B) -> StopEvent | None:
            pairs.append((a.n, b.n))
            return StopEvent(result=pairs) if len(pairs) == 2 else None

    assert Pairs().run_sync() == [(1, 10), (2, 20)]


def test_a_list_join_without_a_list_producer_is_refused() -> None:
    class NoList(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A:
            ctx.send_event(A())

        @step
        async def join(self, events: list[A]) -> StopEvent:
            return StopEvent()

    with pytest.raises(WorkflowValidationError, match="step `join`"):
        NoList().run_sync()


def test_a_join_of_different_levels_is_refused() -> None:
    class Levels(Workflow):
        @step
        async def go(self, ev: StartEvent) -> list[A]:
            return [A()]

        @step
        async def other(self, ev: StartEvent) -> C:
            return C()

        @step
        async def join(self, a: A, c: C) -> StopEvent:
            return StopEvent()

    with pytest.raises(WorkflowValidationError, match="FLW415"):
        Levels().run_sync()


@pytest.mark.parametrize("size", [1000])
def test_fan_in_runs_every_body_exactly_once(size: int) -> None:
    calls = {"work": 0, "join": 0}

    class Counts(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A:
            for n in range(size):
                ctx.send_event(A(n=n))

        @step
        async def work(self, ev: A) -> B:
            calls["work"] += 1
            return B(n=ev.n)

        @step
        async def join(self, ctx: Context, ev: B) -> StopEvent:
            calls["join"] += 1
            events = ctx.collect_events(ev, [B] * size)
            return None if events is None else StopEvent(result=len(events))

    async def main() -> Any:
        return await Counts().run()

    assert run(main) == size
    assert calls == {"work": size, "join": size}


def test_ten_thousand_members_are_joined() -> None:
    class Wide(Workflow):
        @step
        async def split(self, ev: StartEvent) -> list[A]:
            return [A(n=n) for n in range(10_000)]

        @step
        async def join(self, events: list[A]) -> StopEvent:
            return StopEvent(result=sum(e.n for e in events))

    assert Wide().run_sync() == sum(range(10_000))
