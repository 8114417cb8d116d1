"""Cold start of the class API."""

import asyncio

from _report import report

from orchestrator import StartEvent, StopEvent, Workflow, step


class Hello(Workflow):
    @step
    async def greet(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=f"hello {ev.name}")


async def main() -> str:
    return await Hello().run(name="world")


report(asyncio.run(main()))
