"""Fan-out and fan-in with asyncio.gather: three sources at a time, then one summary."""

import asyncio

from orchestrator.functional import workflow


async def research_web(topic: str) -> str:
    """What the web says."""
    await asyncio.sleep(0.02)
    return f"web: {topic} is popular"


async def research_papers(topic: str) -> str:
    """What science says."""
    await asyncio.sleep(0.03)
    return f"papers: {topic} is well studied"


async def research_news(topic: str) -> str:
    """What the papers say."""
    await asyncio.sleep(0.01)
    return f"news: {topic} made headlines"


async def synthesize(sources: list[str]) -> str:
    """One text of many."""
    return "; ".join(sources)


@workflow
async def research_pipeline(topic: str) -> str:
    """Ask all sources at once."""
    web, papers, news = await asyncio.gather(research_web(topic), research_papers(topic), research_news(topic))
    return await synthesize([web, papers, news])


async def main() -> None:
    """One run."""
    result = await research_pipeline.run("tea")
    print(result.text)


if __name__ == "__main__":
    asyncio.run(main())
