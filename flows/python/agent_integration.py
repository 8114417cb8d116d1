"""Agents as plain calls, agents as steps, and a workflow that is itself an agent."""

import asyncio

from stand_in import Agent, StandInClient

from orchestrator.functional import WorkflowRunContext, step, workflow

client = StandInClient()
classifier = Agent(name="Classifier", instructions="Name the category of a text.", client=client)
writer = Agent(name="Writer", instructions="Write a short poem.", client=client)


@workflow
async def classify(text: str) -> str:
    """An agent called in place: called again whenever the function runs again."""
    return (await classifier.run(text)).text


@step
async def write_poem(topic: str) -> str:
    """An agent in a step: its answer is kept."""
    return (await writer.run(f"Write a poem about: {topic}")).text


@workflow
async def poem_with_title(topic: str, ctx: WorkflowRunContext) -> str:
    """A poem that a person gives its title."""
    poem = await write_poem(topic)
    title = await ctx.request_info({"poem": poem}, response_type=str, request_id="title")
    return f"{title}\n{poem}"


async def main() -> None:
    """All three."""
    print("category:", (await classify.run("Is it late?")).text)
    await poem_with_title.run("rain")
    before = client.calls
    print((await poem_with_title.run(responses={"title": "Weather"})).text)
    print("model calls after the pause:", client.calls - before)
    agent = classify.as_agent(name="ClassifierAgent")
    print(f"{agent.name}:", (await agent.run("It is late.")).text)


if __name__ == "__main__":
    asyncio.run(main())
