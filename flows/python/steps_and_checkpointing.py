"""Steps are kept: a run restored from its last checkpoint computes nothing twice."""

import asyncio

from orchestrator.functional import InMemoryCheckpointStorage, step, workflow

storage = InMemoryCheckpointStorage()
calls = {"fetch": 0, "summarise": 0, "is_short": 0}


@step
async def fetch(url: str) -> str:
    """Costly: kept."""
    calls["fetch"] += 1
    return f"contents of {url}"


@step(name="summary")
async def summarise(text: str) -> str:
    """Costly: kept."""
    calls["summarise"] += 1
    return text[:8]


async def is_short(text: str) -> bool:
    """Cheap, no step: runs again."""
    calls["is_short"] += 1
    return len(text) < 10


@workflow(checkpoint_storage=storage)
async def pipeline(url: str) -> str:
    """Fetch and shorten."""
    text = await fetch(url)
    summary = await summarise(text)
    return summary if await is_short(summary) else "too long"


async def main() -> None:
    """Run, then run again from the checkpoint."""
    first = await pipeline.run("https://example.com")
    print("first:", first.text, calls)
    checkpoint = await storage.get_latest(workflow_name=pipeline.name)
    assert checkpoint is not None
    second = await pipeline.run(checkpoint_id=checkpoint.checkpoint_id)
    print("second:", second.text, calls)
    print("events:", [event.type for event in second])


if __name__ == "__main__":
    asyncio.run(main())
