"""The same workflows as functions: what a flow file calls is a step here, the wiring between is plain Python."""

from __future__ import annotations

import asyncio
from typing import Any

from orchestrator.functional import RunContext, step, workflow
from tests.parity import work

Inputs = dict[str, Any]  # what the flow file has as its inputs


@step
async def double(n: int) -> int:
    return work.double(n)


@step
async def raise_it(n: int) -> int:
    return work.add(n, 1)


@step
async def grow(n: int) -> int:
    return work.add(n, 100)


@step
async def halve(n: int) -> int:
    return work.halve(n)


@step
async def try_it(n: int) -> int:
    return work.double(n)


@step
async def shout(text: str) -> str:
    return work.shout(text)


@step
async def left(n: int) -> int:
    return work.double(n)


@step
async def right(n: int) -> int:
    return work.add(n, 5)


@step
async def burst(n: int) -> int:
    return work.burst(n)


@step
async def count(text: str) -> int:
    return work.size(text)


@step
async def measure(text: str) -> int:
    return work.size(text)


@step
async def add_ten(n: int) -> int:
    return work.add(n, 10)


@workflow
async def chain(inputs: Inputs) -> int:
    return await raise_it(await double(inputs["n"]))


@workflow
async def branch(inputs: Inputs) -> int:
    n = inputs["n"]
    return await (grow(n) if n < 10 else halve(n))


@workflow
async def loop(inputs: Inputs) -> int:
    n = await try_it(inputs["n"])
    while n <= 100:
        n = await try_it(n)
    return n


@workflow
async def fan_out(inputs: Inputs) -> str:
    return " ".join(await asyncio.gather(*(shout(text) for text in inputs["words"])))


@workflow
async def join(inputs: Inputs) -> int:
    first, second = await asyncio.gather(left(inputs["n"]), right(inputs["n"]))
    return first * second


@workflow
async def first(inputs: Inputs) -> str:
    return " ".join([await shout(text) for text in inputs["words"][:2]])


@workflow
async def retry(inputs: Inputs) -> int:
    flaky = work.Flaky()

    @step(name="flaky", retry=3)
    async def third_try(n: int) -> int:
        return flaky.flaky(n)

    return await third_try(inputs["n"])


@workflow
async def fails(inputs: Inputs) -> int:
    return await burst(await double(inputs["n"]))


@workflow
async def state(inputs: Inputs, ctx: RunContext) -> int:
    for text in inputs["words"]:
        ctx.set_state("count", ctx.get_state("count", 0) + await count(text))
    return int(ctx.get_state("count", 0))


@workflow
async def wait(inputs: Inputs, ctx: RunContext) -> str:
    n = await double(inputs["n"])
    by = await ctx.request_info({"n": n}, response_type=str, request_id="approve")
    return f"{n} by {by}"


@workflow
async def nested(inputs: Inputs) -> int:
    inner = await chain.run({"n": inputs["n"]})
    return await add_ten(inner.get_outputs()[0])


@workflow
async def two_listeners(inputs: Inputs) -> str:
    size, loud = await asyncio.gather(measure(inputs["text"]), shout(inputs["text"]))
    return f"{loud} {size}"


@workflow
async def spent(inputs: Inputs) -> int:
    @step(name="burst", retry=2)
    async def twice(n: int) -> int:
        return work.burst(n)

    return await twice(inputs["n"])


@step(name="rescue")
async def rescue_it(text: str) -> str:
    return work.shout(text)


@workflow
async def rescue(inputs: Inputs) -> int | str:
    n = await double(inputs["n"])
    try:
        return await burst(n)
    except ValueError:
        return await rescue_it("burst")


@workflow
async def either(inputs: Inputs) -> str:
    n = inputs["n"]
    return f"{'Small' if n < 10 else 'Big'} {await double(n)}"


@workflow
async def nested_fan_out(inputs: Inputs) -> str:
    async def joined(words: list[str]) -> str:
        return " ".join([await shout(text) for text in words])

    return "; ".join([await joined(words) for words in inputs["lines"]])
