"""pydantic-ai agents as steps, and flows as agents' tools. Needs the extra `[agents]`.

A step runs an agent with the project's model: what `[llm]` says about endpoint, key, budget, recording and the fake holds for
every request of the agent, and its text goes to the run's stream. One call of the step is one run of the agent: a second
attempt begins anew. An agent is given by a function that makes it and imports pydantic-ai, so that the plugin is quick to import.

Example:
    @functools.cache
    def reader() -> Agent[None, Ticket]:
        from pydantic_ai import Agent

        return Agent(output_type=Ticket, instructions="You read tickets.", tools=[flow_tool(load("find.flow.yaml"))])

    @support.step(errors=ERRORS)
    async def read(llm: Llm, ctx: Context, text: str) -> Ticket:
        "Read a ticket."
        return await run_agent(reader, text, llm=llm, ctx=ctx)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.errors import OrchestratorError, PluginError, StepError

if TYPE_CHECKING:  # the extra, loaded with the first agent
    from pydantic_ai import Agent, Tool
    from pydantic_ai.messages import ModelMessage, ModelResponse, UserContent
    from pydantic_ai.models.function import AgentInfo
    from pydantic_ai.tools import ToolDefinition

    from orchestrator.authoring.loaded import LoadedFlow
    from orchestrator.plugin.llm import Llm
    from orchestrator.plugin.services import StepContext

__all__ = ["ERRORS", "flow_tool", "run_agent"]

Json = Any  # plain JSON
Deps = TypeVar("Deps")
Output = TypeVar("Output")
INSTALL = 'agents need the extra: pip install "orchestrator-flows[agents]"'
MAX_REQUESTS = 30
ERRORS = (
    "agent.failed",
    "agent.limit",
    "agent.not_installed",
    "llm.rate_limit",
    "llm.auth",
    "llm.bad_json",
    "llm.bad_reply",
    "llm.refused",
    "llm.not_configured",
    "llm.not_recorded",
    "limit.llm_tokens",
    "limit.llm_cost",
    "secret.denied",
    "http.4xx",
    "http.5xx",
    "http.connect",
    "timeout",
)


async def run_agent(
    agent: Agent[Deps, Output] | Callable[[], Agent[Deps, Output]],
    prompt: str,
    *,
    llm: Llm,
    ctx: StepContext | None = None,
    deps: Deps = None,  # type: ignore[assignment]  # as in pydantic-ai: an agent without deps takes None
    max_requests: int = MAX_REQUESTS,
) -> Output:
    """What an agent makes of a prompt, asked of the project's model. With `ctx` each tool call shows on the run's stream.

    Raises: StepError `agent.limit` after `max_requests`, `agent.failed` if it comes to no result, `agent.not_installed`;
    those of `Llm.chat`.
    """
    try:
        from pydantic_ai.agent import AbstractAgent
        from pydantic_ai.exceptions import AgentRunError, UsageLimitExceeded
        from pydantic_ai.models.function import FunctionModel
        from pydantic_ai.usage import UsageLimits
    except ImportError as missing:
        raise StepError("agent.not_installed", INSTALL) from missing

    made = agent if isinstance(agent, AbstractAgent) else agent()

    async def ask(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        response = await _ask(llm, messages, info)
        if ctx is not None:
            for call in response.tool_calls:
                ctx.write({"type": "agent.tool", "step": ctx.step, "tool": call.tool_name, "with": call.args_as_dict()})
        return response

    limits = UsageLimits(request_limit=max_requests)
    try:
        result = await made.run(prompt, deps=deps, model=FunctionModel(ask, model_name="project"), usage_limits=limits)
    except UsageLimitExceeded as problem:
        raise StepError("agent.limit", f"the agent came to no result within {max_requests} requests") from problem
    except AgentRunError as problem:
        raise StepError("agent.failed", f"the agent came to no result: {problem}") from problem
    return result.output


def flow_tool(flow: LoadedFlow, *, name: str = "", description: str = "") -> Tool[Any]:
    """A flow as a tool of an agent: its inputs are the tool's parameters, its outputs the answer.

    A run that fails is told to the agent, which may go on. The flow runs in this process, in its store if it was loaded with
    one; it should ask no people, as the agent waits for it.

    Raises: CompileFailed for a flow with errors.
    """
    try:
        from pydantic_ai import Tool
    except ImportError as missing:
        raise PluginError(INSTALL, plugin="agents") from missing
    ir = flow.flow

    async def call(**inputs: Any) -> Json:
        try:
            return await flow.run(inputs)
        except OrchestratorError as problem:
            return {"error": {"code": problem.code, "message": str(problem)}}

    return Tool.from_schema(
        call,
        name=name or ir.name.replace("-", "_"),
        description=description or ir.description or ir.title,
        json_schema=ir.inputs or {"type": "object", "properties": {}},
    )


async def _ask(llm: Llm, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """One request of an agent, put to the project's model."""
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.usage import RequestUsage

    settings = info.model_settings or {}
    chat = list(_chat_of(messages))
    if info.instructions:
        chat.insert(0, {"role": "system", "content": info.instructions})
    reply = await llm.chat(
        messages=chat,
        tools=[_tool_of(tool) for tool in (*info.function_tools, *info.output_tools)],
        temperature=settings.get("temperature"),
        max_tokens=settings.get("max_tokens"),
    )
    calls = [ToolCallPart(call.name, call.arguments, call.id) for call in reply.tool_calls]
    usage = RequestUsage(input_tokens=reply.usage.input_tokens, output_tokens=reply.usage.output_tokens)
    text = [TextPart(reply.text)] if reply.text or not calls else []
    return ModelResponse([*text, *calls], usage=usage, model_name=reply.model or None)


def _tool_of(tool: ToolDefinition) -> Json:
    about = {"name": tool.name, "description": tool.description or "", "parameters": tool.parameters_json_schema}
    return {"type": "function", "function": about}


def _chat_of(messages: Iterable[ModelMessage]) -> Iterator[Json]:
    """The agent's history as chat messages."""
    from pydantic_ai.messages import ModelRequest

    for message in messages:
        if isinstance(message, ModelRequest):
            yield from _request_of(message)
        else:
            yield _answer_of(message)


def _request_of(message: Any) -> Iterator[Json]:  # a ModelRequest
    from pydantic_ai.messages import RetryPromptPart, SystemPromptPart, ToolReturnPart, UserPromptPart

    for part in message.parts:
        match part:
            case SystemPromptPart():
                yield {"role": "system", "content": part.content}
            case UserPromptPart():
                yield {"role": "user", "content": _text_of(part.content)}
            case ToolReturnPart():
                yield {"role": "tool", "tool_call_id": part.tool_call_id, "content": part.model_response_str()}
            case RetryPromptPart() if part.tool_name is None:
                yield {"role": "user", "content": part.model_response()}
            case RetryPromptPart():
                yield {"role": "tool", "tool_call_id": part.tool_call_id, "content": part.model_response()}
            case _:
                raise StepError("agent.failed", f"the project's model takes no {type(part).__name__} of an agent")


def _answer_of(message: ModelResponse) -> Json:
    calls = [
        {"id": c.tool_call_id, "type": "function", "function": {"name": c.tool_name, "arguments": c.args_as_json_str()}}
        for c in message.tool_calls
    ]
    answer: dict[str, Json] = {"role": "assistant", "content": message.text or None}
    return answer | ({"tool_calls": calls} if calls else {})


def _text_of(content: str | Iterable[UserContent] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    parts = list(content)
    if not all(isinstance(part, str) for part in parts):
        raise StepError("type.payload", "the project's model takes text only; images and files cannot be sent to it")
    return "\n".join(str(part) for part in parts)


def __dir__() -> list[str]:
    return __all__
