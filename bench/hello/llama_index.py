"""Cold start of llama-index-workflows."""

import asyncio

from _report import report
from workflows import Workflow, step
from workflows.events import StartEvent, StopEvent


class Hello(Workflow):
    @step
    async def greet(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=f"hello {ev.name}")


async def main() -> str:
    return await Hello().run(name="world")


report(asyncio.run(main()))
