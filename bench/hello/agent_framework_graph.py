"""Cold start of agent-framework-core, graph API."""

import asyncio
from typing import Never

from _report import report
from agent_framework import Executor, WorkflowBuilder, WorkflowContext, handler


class Greeter(Executor):
    @handler
    async def greet(self, name: str, ctx: WorkflowContext[Never, str]) -> None:
        await ctx.yield_output(f"hello {name}")


async def main() -> str:
    greeter = Greeter(id="greeter")
    return (await WorkflowBuilder(start_executor=greeter, output_from=[greeter]).build().run("world")).get_outputs()[0]


report(asyncio.run(main()))
