"""Cold start of agent-framework-core, functional API."""

import asyncio
import warnings

from _report import report

warnings.simplefilter("ignore")
from agent_framework import step, workflow  # noqa: E402


@step
async def greet(name: str) -> str:
    return f"hello {name}"


@workflow
async def hello(name: str) -> str:
    return await greet(name)


async def main() -> str:
    return (await hello.build().run("world")).get_outputs()[0]


report(asyncio.run(main()))
