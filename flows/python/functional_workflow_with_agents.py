"""Two agents called like functions: one writes a poem, the other reviews it."""

import asyncio

from stand_in import Agent, StandInClient

from orchestrator.functional import workflow

client = StandInClient()
writer = Agent(name="Writer", instructions="Write a short poem.", client=client)
reviewer = Agent(name="Reviewer", instructions="Review the poem.", client=client)


@workflow
async def poem_workflow(topic: str) -> str:
    """A poem and what a reader says about it."""
    poem = (await writer.run(f"Write a poem about: {topic}")).text
    review = (await reviewer.run(f"Review this poem: {poem}")).text
    return f"Poem:\n{poem}\n\nReview: {review}"


async def main() -> None:
    """One run."""
    result = await poem_workflow.run("the sea")
    print(result.text)


if __name__ == "__main__":
    asyncio.run(main())
