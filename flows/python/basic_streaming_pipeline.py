"""A run that is watched: events come while it works, the result comes last."""

import asyncio

from orchestrator.functional import WorkflowEvent, WorkflowRunContext, step, workflow


@step
async def fetch(page: int) -> str:
    """A page, after a while."""
    await asyncio.sleep(0.01)
    return f"page {page}"


@workflow
async def reading(pages: int, ctx: WorkflowRunContext) -> str:
    """Fetch pages one by one and tell how far it got."""
    texts = []
    for page in range(1, pages + 1):
        texts.append(await fetch(page))
        ctx.add_event(WorkflowEvent("progress", data=f"{page} of {pages}"))
    return ", ".join(texts)


async def main() -> None:
    """Watch one run."""
    stream = reading.run(3, stream=True)
    async for event in stream:
        if event.type == "progress":
            print("progress:", event.data)
        elif event.type == "output":
            print("output:", event.data)
    result = await stream.get_final_response()
    print("state:", result.get_final_state())


if __name__ == "__main__":
    asyncio.run(main())
