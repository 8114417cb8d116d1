"""When a pause surfaces: every task has ended or waits, whatever asyncio construct it waits in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from orchestrator.functional import RunContext, RunReleased, WorkflowRunState, step, workflow

Body = Callable[[RunContext], Awaitable[Any]]


async def ask(ctx: RunContext) -> str:
    return str(await ctx.request_info("?", str, request_id="q"))


async def in_wait(ctx: RunContext) -> Any:
    done, _ = await asyncio.wait([asyncio.create_task(ask(ctx))])
    return done.pop().result()


async def in_wait_for(ctx: RunContext) -> Any:
    return await asyncio.wait_for(ask(ctx), 60)


async def in_shield(ctx: RunContext) -> Any:
    return await asyncio.shield(ask(ctx))


async def in_as_completed(ctx: RunContext) -> Any:
    (each,) = asyncio.as_completed([ask(ctx)])
    return await each


async def in_task(ctx: RunContext) -> Any:
    return await asyncio.create_task(ask(ctx))


async def behind_a_queue(ctx: RunContext) -> Any:
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def feed() -> None:
        await queue.put(await ask(ctx))

    task = asyncio.create_task(feed())
    found = await queue.get()
    await task
    return found


async def behind_a_lock(ctx: RunContext) -> Any:
    lock = asyncio.Lock()

    async def hold() -> str:
        async with lock:
            return await ask(ctx)

    found, _ = await asyncio.gather(hold(), hold_briefly(lock))
    return found


async def hold_briefly(lock: asyncio.Lock) -> None:
    await asyncio.sleep(0.001)
    async with lock:
        return


async def in_nested_groups(ctx: RunContext) -> Any:
    async with asyncio.TaskGroup() as outer:

        async def inner() -> str:
            async with asyncio.TaskGroup() as group:
                return await group.create_task(ask(ctx))

        task = outer.create_task(inner())
    return task.result()


async def in_a_timeout(ctx: RunContext) -> Any:
    async with asyncio.timeout(60):
        return await ask(ctx)


BODIES = [
    in_wait,
    in_wait_for,
    in_shield,
    in_as_completed,
    in_task,
    behind_a_queue,
    behind_a_lock,
    in_nested_groups,
    in_a_timeout,
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_a_pause_surfaces_and_resumes_in(body: Body) -> None:
    @workflow
    async def flow(x: None, ctx: RunContext) -> Any:
        return await body(ctx)

    async def main() -> Any:
        async with asyncio.timeout(3):
            paused = await flow.run(None)
            assert paused.get_final_state() is WorkflowRunState.IDLE_WITH_PENDING_REQUESTS
            assert len(asyncio.all_tasks()) == 1
            return await flow.run(responses={"q": "yes"})

    assert asyncio.run(main()).text == "yes"


def test_a_pause_waits_for_a_timer_and_a_thread_that_a_sibling_works_in() -> None:
    log: list[str] = []

    async def sibling() -> None:
        await asyncio.to_thread(log.append, "thread")
        await asyncio.sleep(0.01)
        log.append("timer")

    @workflow
    async def flow(x: None, ctx: RunContext) -> Any:
        task = asyncio.create_task(sibling())
        found = await ask(ctx)
        await task
        return found

    asyncio.run(flow.run(None))
    assert log == ["thread", "timer"]


def test_a_background_task_that_never_used_the_run_cannot_hold_up_a_pause() -> None:
    kept: list[asyncio.Task[None]] = []

    async def reader() -> None:
        await asyncio.get_running_loop().create_future()

    @workflow
    async def flow(x: None, ctx: RunContext) -> str:
        if not kept:
            kept.append(asyncio.create_task(reader()))
        return await ask(ctx)

    async def main() -> Any:
        async with asyncio.timeout(5):
            await flow.run(None)
        assert not kept[0].done()
        result = await flow.run(responses={"q": "yes"})
        kept[0].cancel()
        return result

    assert asyncio.run(main()).text == "yes"


def test_tasks_that_a_library_makes_inside_shift_no_path() -> None:
    connections: list[int] = []
    calls: list[str] = []

    async def connect() -> None:
        for n in range(3 if not connections else 0):
            connections.append(n)
            await asyncio.create_task(asyncio.sleep(0))

    @step
    async def work(name: str) -> str:
        calls.append(name)
        return name

    async def branch(name: str) -> str:
        return await work(name)

    @workflow
    async def flow(x: None, ctx: RunContext) -> Any:
        await connect()
        parts = await asyncio.gather(branch("a"), branch("b"))
        return [*parts, await ask(ctx)]

    async def main() -> Any:
        await flow.run(None)
        return await flow.run(responses={"q": "c"})

    assert asyncio.run(main()).get_outputs() == [["a", "b", "c"]]
    assert calls == ["a", "b"]


def test_numbering_leaves_the_loop_as_it_was_and_keeps_the_factory_that_was_there() -> None:
    made: list[str] = []

    def factory(loop: Any, coro: Any, **options: Any) -> Any:
        made.append(coro.__name__)
        return asyncio.Task(coro, loop=loop, **options)

    async def child() -> int:
        return 1

    @workflow
    async def flow(x: None) -> int:
        return await asyncio.create_task(child())

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert (await flow.run(None), loop.get_task_factory())[1] is None
        loop.set_task_factory(factory)
        await flow.run(None)
        assert loop.get_task_factory() is factory
        assert "child" in made

    asyncio.run(main())


def test_code_that_outlives_a_pause_can_record_nothing() -> None:
    caught: list[BaseException] = []
    ran: list[int] = []

    @step
    async def work() -> None:
        ran.append(1)

    @workflow
    async def flow(x: None, ctx: RunContext) -> str:
        try:
            return await ask(ctx)
        finally:
            for attempt in (work, lambda: ctx.set_state("a", 1)):
                try:
                    made = attempt()
                    if made is not None:
                        await made
                except RunReleased as error:
                    caught.append(error)

    asyncio.run(flow.run(None))
    assert (len(caught), ran) == (2, [])
    assert flow.sessions.popitem()[1].actor.state.vars == {}


def test_a_body_that_swallows_everything_for_ever_is_left_behind(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr("orchestrator.functional.passes.RELEASE_ROUND_S", 0.01)

    is_over: list[int] = []

    @step
    async def work() -> None: ...

    @workflow
    async def flow(x: None, ctx: RunContext) -> None:
        while not is_over:
            try:
                await ask(ctx)
                await work()
            except BaseException:
                continue

    async def main() -> WorkflowRunState:
        async with asyncio.timeout(5):
            paused = await flow.run(None)
        is_over.append(1)
        (left,) = asyncio.all_tasks() - {asyncio.current_task()}
        left.cancel()
        await left
        return paused.get_final_state()

    assert asyncio.run(main()) is WorkflowRunState.IDLE_WITH_PENDING_REQUESTS
    assert "ignores cancellation" in caplog.text


def test_async_cleanup_runs_to_its_end_at_a_pause() -> None:
    log: list[str] = []

    class Client:
        async def __aenter__(self) -> Client:
            return self

        async def __aexit__(self, *exc: object) -> None:
            await asyncio.sleep(0.001)
            log.append("closed")

    @workflow
    async def flow(x: None, ctx: RunContext) -> str:
        async with Client():
            return await ask(ctx)

    asyncio.run(flow.run(None))
    assert log == ["closed"]


def test_context_calls_from_a_thread_reach_the_run() -> None:
    threads: list[int] = []

    @workflow
    async def flow(x: None, ctx: RunContext) -> Any:
        def in_thread() -> Any:
            threads.append(threading.get_ident())
            ctx.set_state("k", [1])
            return ctx.get_state("k")

        return await asyncio.to_thread(in_thread)

    assert asyncio.run(flow(None)) == [1]
    assert threads != [threading.get_ident()]


async def turn(times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def turned(times: int, coro: Any) -> Any:
    await turn(times)
    return await coro


INTERLEAVED = [(first, second, depth) for first in range(5) for second in range(5) for depth in (0, 1, 2, 6)]


@pytest.mark.parametrize(("first", "second", "depth"), INTERLEAVED)
def test_what_follows_the_end_of_a_task_happens_before_the_pause(first: int, second: int, depth: int) -> None:
    log: list[str] = []

    async def short() -> None:
        await turn(first)
        log.append("short")

    async def follows() -> None:
        waits: Any = asyncio.create_task(short())
        for _ in range(depth):
            waits = asyncio.gather(waits)
        await waits
        log.append("followed")

    async def asks(ctx: RunContext) -> str:
        await turn(second)
        return await ask(ctx)

    @workflow
    async def flow(x: None, ctx: RunContext) -> Any:
        return await asyncio.gather(follows(), turned(first, asks(ctx)))

    asyncio.run(flow.run(None))
    assert log == ["short", "followed"]


@pytest.mark.parametrize(("first", "second", "depth"), INTERLEAVED)
def test_a_failure_just_before_a_pause_is_a_failure_and_no_pause(first: int, second: int, depth: int) -> None:
    async def fail() -> None:
        await turn(first)
        raise ConnectionError("down")

    async def asks(ctx: RunContext) -> str:
        await turn(second)
        return await ask(ctx)

    @workflow
    async def flow(x: None, ctx: RunContext) -> Any:
        waits: Any = asyncio.create_task(fail())
        asking = asyncio.create_task(asks(ctx))
        for _ in range(depth):
            waits = asyncio.gather(waits)
        await waits
        return await asking

    with pytest.raises(ConnectionError):
        asyncio.run(flow.run(None))
