"""A workflow behind the interface of an agent: messages in, a response with text out, questions as approval requests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.functional.errors import RunArgumentError
from orchestrator.functional.events import WorkflowEvent, WorkflowRunResult

if TYPE_CHECKING:  # a workflow makes agents
    from orchestrator.functional.stream import ResponseStream
    from orchestrator.functional.workflow import FunctionalWorkflow


@dataclass(frozen=True, slots=True)
class AgentContent:
    """A part of a message. `type` is text, or function_approval_request for a question that waits for an answer."""

    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AgentMessage:
    """A message of the agent."""

    role: str
    contents: tuple[AgentContent, ...]
    author_name: str = ""

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return "".join(content.text for content in self.contents)


@dataclass(frozen=True, slots=True)
class AgentResponse:
    """What the agent answered; `raw_representation` is the run's result."""

    messages: tuple[AgentMessage, ...]
    raw_representation: WorkflowRunResult

    @property
    def text(self) -> str:
        """All text of the messages."""
        return "".join(message.text for message in self.messages)

    @property
    def user_input_requests(self) -> list[AgentContent]:
        """The questions that wait for an answer; `run(responses={content.id: answer})` goes on."""
        parts = (content for message in self.messages for content in message.contents)
        return [content for content in parts if content.type == "function_approval_request"]


class AgentResponseStream:
    """Messages of a streaming agent as its workflow brings them, then the response."""

    def __init__(self, agent: FunctionalWorkflowAgent, stream: ResponseStream) -> None:
        self._agent = agent
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[AgentMessage]:
        async for event in self._stream:
            message = _message_of(event, self._agent.name)
            if message is not None:
                yield message

    async def get_final_response(self) -> AgentResponse:
        """The response, when the run has paused or ended."""
        return self._agent.response_of(await self._stream.get_final_response())


class FunctionalWorkflowAgent:
    """A functional workflow that can stand wherever an agent is expected.

    Example: agent = poem_workflow.as_agent(name="PoemAgent"); print((await agent.run("the ocean")).text)
    """

    def __init__(self, workflow: FunctionalWorkflow[Any], *, name: str | None, description: str | None) -> None:
        self.workflow = workflow
        self.name = name or workflow.name
        self.description = description or workflow.description
        self.id = f"FunctionalWorkflowAgent_{self.name}"

    def run(
        self,
        messages: Any = None,  # the workflow's input, untouched
        *,
        stream: bool = False,
        responses: dict[str, Any] | None = None,
        checkpoint_id: str | None = None,
        checkpoint_storage: Any = None,  # as for FunctionalWorkflow.run
        run_id: str | None = None,
    ) -> Any:
        """Run the workflow: an awaitable of an `AgentResponse`, or with `stream=True` an `AgentResponseStream`.

        Raises: as `FunctionalWorkflow.run`.
        """
        options: dict[str, Any] = {"responses": responses, "checkpoint_id": checkpoint_id, "run_id": run_id}
        options["checkpoint_storage"] = checkpoint_storage
        if messages is not None or not (responses or checkpoint_id or self.workflow.shape.input is None):
            options["message"] = messages
        if stream:
            return AgentResponseStream(self, self.workflow.run(stream=True, **options))
        return self._run(options)

    async def _run(self, options: dict[str, Any]) -> AgentResponse:
        return self.response_of(await self.workflow.run(**options))

    @property
    def pending_requests(self) -> dict[str, WorkflowEvent]:
        """The open questions of runs that wait in this process, by id."""
        return {
            name: event for session in self.workflow.sessions.values() for name, event in session.open_events().items()
        }

    def response_of(self, result: WorkflowRunResult) -> AgentResponse:
        """A run's result as a response."""
        if not isinstance(result, WorkflowRunResult):
            raise RunArgumentError(f"{type(result).__name__} is no result of a workflow run")
        found = (_message_of(event, self.name) for event in result)
        return AgentResponse(tuple(message for message in found if message is not None), result)


def _message_of(event: WorkflowEvent, name: str) -> AgentMessage | None:
    if event.type == "output":
        return AgentMessage("assistant", (AgentContent("text", _text_of(event.data)),), name)
    if event.type == "request_info":
        arguments = {"request_id": event.request_id, "data": event.data}
        content = AgentContent("function_approval_request", "", event.request_id, "request_info", arguments)
        return AgentMessage("assistant", (content,), name)
    return None


def _text_of(value: Any) -> str:
    """A result as text: text itself, an agent's response by its text, other values as JSON where that is possible."""
    if isinstance(value, str):
        return value
    text = getattr(value, "text", None)
    if isinstance(text, str):
        return text
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        return str(value)
