"""A stand-in for agents on a language model: deterministic, offline, quick. Swap it for your own client.

`Agent.run` takes a text or a list of messages and gives a response with `.text` and `.messages`, as agents commonly do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Message:
    """One message of a conversation."""

    role: str
    text: str
    author: str = ""


@dataclass(frozen=True)
class Response:
    """What an agent answered."""

    messages: list[Message] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text of all messages."""
        return "\n".join(message.text for message in self.messages)


class StandInClient:
    """A model that answers from its instructions and the last message; counts its calls."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.calls = 0

    async def complete(self, instructions: str, messages: Sequence[Message]) -> str:
        """The answer to a conversation."""
        self.calls += 1
        await asyncio.sleep(self.delay_s)
        last = messages[-1].text if messages else ""
        topic = last.rpartition(":")[2].strip() or last
        wish = instructions.lower()
        if "review" in wish:
            return f"Clear and short; could say more about {topic.splitlines()[0].lower()}"
        if "poem" in wish:
            return f"{topic.capitalize()} at dawn,\n{topic} at dusk,\nand quiet in between."
        if "category" in wish or "classify" in wish:
            return "question" if last.rstrip().endswith("?") else "statement"
        return f"[{len(messages)}] {instructions.rstrip('.')}: {topic}"


class Agent:
    """A named set of instructions on a model."""

    def __init__(self, name: str, instructions: str, client: StandInClient) -> None:
        self.name = name
        self.instructions = instructions
        self.client = client

    async def run(self, messages: str | Sequence[Message]) -> Response:
        """Answer a text or a conversation."""
        given = [Message("user", messages)] if isinstance(messages, str) else list(messages)
        text = await self.client.complete(self.instructions, given)
        return Response([Message("assistant", text, self.name)])
