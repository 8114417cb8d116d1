"""A round-robin chat of three agents: a loop over a list of messages is all it takes."""

import asyncio

from stand_in import Agent, Message, StandInClient

from orchestrator.functional import step, workflow

client = StandInClient()
agents = [
    Agent(name="Ann", instructions="Say yes", client=client),
    Agent(name="Bob", instructions="Ask why", client=client),
    Agent(name="Cleo", instructions="Sum up", client=client),
]


@step
async def speak(turn: int, messages: list[Message]) -> Message:
    """One turn of the agent whose turn it is."""
    return (await agents[turn % len(agents)].run(messages)).messages[0]


@workflow
async def group_chat(topic: str) -> str:
    """Two rounds."""
    messages = [Message("user", topic)]
    for turn in range(2 * len(agents)):
        messages.append(await speak(turn, messages))
    return "\n".join(f"{message.author or message.role}: {message.text}" for message in messages)


async def main() -> None:
    """One chat."""
    print(await group_chat("Shall we have tea"))


if __name__ == "__main__":
    asyncio.run(main())
