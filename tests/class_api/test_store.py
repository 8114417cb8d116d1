"""SEMANTICS 1, row "store"; trap 10 (edit_state: readers see the old state, nested writers raise, exceptions roll back)."""

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel, Field

from orchestrator import Context, StartEvent, StopEvent, Workflow, WorkflowValidationError, step
from orchestrator.retry import retry_policy, stop_after_attempt, wait_none
from tests.class_api.support import A, B, run, settle


def in_step(body: Any, **state: Any) -> Any:
    """Run an async function with the context of a step; gives what it returns."""

    class One(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            return StopEvent(result=await body(ctx))

    async def main() -> Any:
        workflow = One()
        ctx: Context[Any] = Context(workflow)
        for name, value in state.items():
            await ctx.store.set(name, value)
        result = await workflow.run(ctx=ctx)
        return result, dict((await ctx.store.get_state()).items())

    return run(main)


def test_dot_paths_reach_into_dicts_lists_and_objects() -> None:
    async def body(ctx: Context) -> Any:
        await ctx.store.set("user.address.city", "Paris")
        await ctx.store.set("items", [{"n": 1}, {"n": 2}])
        await ctx.store.set("items.1.n", 5)
        return await ctx.store.get("user.address.city"), await ctx.store.get("items.1.n")

    result, state = in_step(body)
    assert result == ("Paris", 5)
    assert state == {"user": {"address": {"city": "Paris"}}, "items": [{"n": 1}, {"n": 5}]}


def test_what_is_missing_is_the_default_or_an_error_that_names_it() -> None:
    async def body(ctx: Context) -> Any:
        with pytest.raises(ValueError, match="Path 'a.b' not found in state"):
            await ctx.store.get("a.b")
        with pytest.raises(ValueError, match="not empty"):
            await ctx.store.set("", 1)
        with pytest.raises(ValueError, match="at most 1000"):
            await ctx.store.get(".".join("a" * 1001))
        return await ctx.store.get("a.b", None)

    assert in_step(body)[0] is None


def test_get_never_hands_out_a_live_reference() -> None:
    async def body(ctx: Context) -> Any:
        given = [1]
        await ctx.store.set("list", given)
        given.append(2)
        got = await ctx.store.get("list")
        got.append(3)
        (await ctx.store.get_state())["list"].append(4)
        return await ctx.store.get("list"), await ctx.store.get("before")

    result, state = in_step(body, before={"a": [1]})
    assert result == ([1], {"a": [1]})
    assert state["list"] == [1]


def test_a_model_in_the_state_is_copied_too() -> None:
    class Doc(BaseModel):
        tags: list[str] = Field(default_factory=list)

    async def body(ctx: Context) -> Any:
        await ctx.store.set("doc", Doc(tags=["a"]))
        doc = await ctx.store.get("doc")
        doc.tags.append("b")
        await ctx.store.set("doc.tags", ["c"])
        return await ctx.store.get("doc.tags.0"), (await ctx.store.get("doc")).tags

    assert in_step(body)[0] == ("c", ["c"])


def test_append_adds_to_a_list_and_makes_it() -> None:
    async def body(ctx: Context) -> Any:
        await ctx.store.append("log", 1)
        await ctx.store.append("log", 2)
        await ctx.store.set("n", 1)
        with pytest.raises(ValueError, match="holds a int at 'n'"):
            await ctx.store.append("n", 1)
        return await ctx.store.get("log")

    result, state = in_step(body, log=[0])
    assert result == [0, 1, 2]
    assert state["log"] == [0, 1, 2]


def test_edit_state_commits_on_exit_and_rolls_back_on_an_exception() -> None:
    async def body(ctx: Context) -> Any:
        async with ctx.store.edit_state() as state:
            state.count = 1
            state["name"] = "x"
        with pytest.raises(KeyError):
            async with ctx.store.edit_state() as state:
                state.count = 99
                raise KeyError
        return await ctx.store.get("count"), await ctx.store.get("name")

    assert in_step(body)[0] == (1, "x")


def test_trap_10_readers_inside_edit_state_see_the_old_state() -> None:
    async def body(ctx: Context) -> Any:
        async with ctx.store.edit_state() as state:
            state.n = 2
            return await ctx.store.get("n")

    assert in_step(body, n=1)[0] == 1


def test_trap_10_nested_writers_inside_edit_state_raise() -> None:
    async def body(ctx: Context) -> Any:
        async with ctx.store.edit_state():
            for write in (ctx.store.set("a", 1), ctx.store.append("a", 1), ctx.store.clear()):
                with pytest.raises(RuntimeError, match="edit_state"):
                    await write
            with pytest.raises(RuntimeError, match="edit_state"):
                async with ctx.store.edit_state():
                    pass

    in_step(body)


def test_edit_state_of_parallel_steps_loses_nothing() -> None:
    class Counts(Workflow):
        @step
        async def go(self, ev: StartEvent) -> list[A]:
            return [A(n=n) for n in range(8)]

        @step
        async def work(self, ctx: Context, ev: A) -> B:
            async with ctx.store.edit_state() as state:
                state.count = state.get("count", 0) + 1
                state.setdefault("seen", []).append(ev.n)
                state.setdefault("by", {})[str(ev.n)] = True
                await asyncio.sleep(0)
            await settle(3)
            return B()

        @step
        async def join(self, ctx: Context, events: list[B]) -> StopEvent:
            state = await ctx.store.get_state()
            return StopEvent(result=(state.count, sorted(state.seen), len(state.by)))

    async def main() -> Any:
        return await Counts().run()

    count, seen, by = run(main)
    assert by == 8
    assert seen == list(range(8))
    assert count == 8


def test_an_edit_that_replaces_what_it_read_makes_others_wait_for_its_commit() -> None:
    class Best(Workflow):
        @step
        async def go(self, ev: StartEvent) -> list[A]:
            return [A(n=n) for n in (5, 9, 7)]

        @step
        async def work(self, ctx: Context, ev: A) -> B:
            async with ctx.store.edit_state() as state:
                state.best = max(state.best, f"{ev.n}")
            await settle(10 if ev.n == 5 else 1)
            return B()

        @step
        async def join(self, ctx: Context, events: list[B]) -> StopEvent:
            return StopEvent(result=await ctx.store.get("best"))

    async def main() -> Any:
        workflow = Best()
        ctx: Context[Any] = Context(workflow)
        await ctx.store.set("best", "0")
        return await workflow.run(ctx=ctx)

    assert run(main) == "9"


class Counter(BaseModel):
    n: int = 0
    items: list[int] = Field(default_factory=list)
    label: str = ""


class Typed(Workflow):
    @step
    async def go(self, ctx: Context[Counter], ev: StartEvent) -> StopEvent:
        async with ctx.store.edit_state() as state:
            assert isinstance(state, Counter)
            state.n += 1
            state.items.append(state.n)
            state.label = f"{state.n} items"
            dumped = state.model_dump()
        return StopEvent(result=(dumped, await ctx.store.get("items.0")))


def test_a_typed_state_is_an_instance_of_its_model() -> None:
    dumped, first = Typed().run_sync()
    assert dumped == {"n": 1, "items": [1], "label": "1 items"}
    assert first == 1


def test_a_typed_state_refuses_unknown_fields() -> None:
    async def main() -> None:
        ctx: Context[Counter] = Context(Typed())
        with pytest.raises(ValueError, match="has no field 'other'"):
            await ctx.store.set("other", 1)

    run(main)


def test_set_state_replaces_merges_or_refuses() -> None:
    class Base(BaseModel):
        n: int = 0

    class More(Base):
        m: int = 1

    class Holds(Workflow):
        @step
        async def go(self, ctx: Context[More], ev: StartEvent) -> StopEvent:
            await ctx.store.set_state(More(n=1, m=2))
            await ctx.store.set_state(Base(n=5))  # type: ignore[arg-type]  # a parent type is merged
            merged = await ctx.store.get_state()
            with pytest.raises(ValueError, match="cannot become a Counter"):
                await ctx.store.set_state(Counter())  # type: ignore[arg-type]
            await ctx.store.clear()
            return StopEvent(result=[merged.n, merged.m, (await ctx.store.get_state()).m])

    assert Holds().run_sync() == [5, 2, 1]


def test_clear_of_an_untyped_state_empties_it() -> None:
    async def body(ctx: Context) -> Any:
        await ctx.store.clear()
        await ctx.store.set("b", 1)

    assert in_step(body, a=1)[1] == {"b": 1}


def test_a_state_model_needs_defaults() -> None:
    class Needy(BaseModel):
        n: int

    class Holds(Workflow):
        @step
        async def go(self, ctx: Context[Needy], ev: StartEvent) -> StopEvent:
            return StopEvent()

    with pytest.raises(WorkflowValidationError, match="Needy cannot be made without arguments"):
        Holds()


def test_unrelated_state_models_are_refused_with_both_steps() -> None:
    class Other(BaseModel):
        x: int = 0

    class Holds(Workflow):
        @step
        async def one(self, ctx: Context[Counter], ev: StartEvent) -> A:
            return A()

        @step
        async def two(self, ctx: Context[Other], ev: A) -> StopEvent:
            return StopEvent()

    with pytest.raises(
        WorkflowValidationError, match=r"test_store.py:\d+: step `two`: its state is Other, but that of step `one`"
    ):
        Holds()


def test_the_most_derived_of_related_models_is_the_state() -> None:
    class Wide(Counter):
        extra: int = 7

    class Holds(Workflow):
        @step
        async def one(self, ctx: Context[Counter], ev: StartEvent) -> A:
            return A()

        @step
        async def two(self, ctx: Context[Wide], ev: A) -> StopEvent:
            return StopEvent(result=(await ctx.store.get_state()).extra)

    assert Holds().run_sync() == 7


def test_a_failed_attempt_leaves_no_write() -> None:
    class Retries(Workflow):
        @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(3)))
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            await ctx.store.append("log", ctx.attempt)
            async with ctx.store.edit_state() as state:
                state.n = state.get("n", 0) + 1
            if ctx.attempt < 3:
                raise ValueError
            return StopEvent(result=(await ctx.store.get("log"), await ctx.store.get("n")))

    assert Retries().run_sync() == ([3], 1)


def test_other_steps_see_a_write_when_the_step_has_ended_or_flushed() -> None:
    class Sees(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> A | B:
            ctx.send_event(A())
            return B()

        @step
        async def writes(self, ctx: Context, ev: A) -> None:
            await ctx.store.set("n", 1)
            await settle(5)
            await ctx.flush()
            await settle(5)
            await ctx.store.set("n", 2)

        @step
        async def reads(self, ctx: Context, ev: B) -> StopEvent:
            seen = []
            for _ in range(4):
                seen.append(await ctx.store.get("n", 0))
                await settle(4)
            return StopEvent(result=seen)

    async def main() -> Any:
        return await Sees().run()

    assert sorted(set(run(main))) == [0, 1, 2]


def test_the_store_is_open_before_during_and_after_a_run_from_outside() -> None:
    class Waits(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            await ctx.wait_for_event(A)
            return StopEvent(result=await ctx.store.get("n"))

    async def main() -> Any:
        workflow = Waits()
        ctx: Context[Any] = Context(workflow)
        await ctx.store.set("n", 1)
        handler = workflow.run(ctx=ctx)
        await settle()
        assert await handler.ctx.store.get("n") == 1
        async with handler.ctx.store.edit_state() as state:
            state.n += 10
        handler.send_event(A())
        return await handler, await ctx.store.get("n")

    assert run(main) == (11, 11)


def test_editing_costs_what_it_touches() -> None:
    class Big(Workflow):
        @step
        async def go(self, ctx: Context, ev: StartEvent) -> StopEvent:
            async with ctx.store.edit_state() as state:
                state.small += 1
                loaded = "big" in object.__getattribute__(state, "_values")
            return StopEvent(result=loaded)

    async def main() -> Any:
        workflow = Big()
        ctx: Context[Any] = Context(workflow)
        await ctx.store.set("big", list(range(10_000)))
        await ctx.store.set("small", 0)
        return await workflow.run(ctx=ctx)

    assert run(main) is False
