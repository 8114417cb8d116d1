"""Asking a language model: one question, a checked answer. Knows the shape of a chat, not where the model runs.

A `ChatModel` answers one request (over HTTP, from a recording, or a built-in fake). `Llm` is what callables get: it adds the
run's budget, streaming, and for a structured answer the check by schema with one repair.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from orchestrator.errors import StepError
from orchestrator.plugin.http_body import parse_json
from orchestrator.plugin.secrets import SecretVault

Json = Any  # plain JSON
OnDelta = Callable[[str], None]
WRAPPED = "answer"


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request to a model. `schema` is the JSON Schema object that the answer must fit."""

    messages: tuple[Json, ...]
    model: str = ""
    schema: Json = None
    tools: tuple[Json, ...] = ()
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or several requests."""

    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def total(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens)

    def to_json(self) -> dict[str, int]:
        return {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens, "total_tokens": self.total}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model wants called; `arguments` is what it gave for the parameters."""

    id: str
    name: str
    arguments: Json

    def to_json(self) -> dict[str, Json]:
        return {"id": self.id, "name": self.name, "arguments": self.arguments}


@dataclass(frozen=True, slots=True)
class ChatReply:
    """The model's answer. `data` is the checked structured answer; `cost` None means that the price is not known."""

    text: str
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish: str = "stop"
    data: Json = None

    def to_json(self) -> dict[str, Json]:
        """The reply as plain JSON: what a step gives as its result."""
        return {
            "text": self.text,
            "data": self.data,
            "usage": self.usage.to_json(),
            "cost": self.cost,
            "model": self.model,
            "tool_calls": [call.to_json() for call in self.tool_calls],
        }


class ChatModel(Protocol):
    """Anything that answers chat requests. Raises: StepError."""

    async def complete(self, request: ChatRequest, on_delta: OnDelta | None = None) -> ChatReply: ...


class Ledger(Protocol):
    """Keeps what runs have spent beyond this process."""

    async def spent(self, run_id: str) -> Json: ...

    async def keep_spent(self, run_id: str, spent: Json) -> None: ...


class Budget:
    """What one run may spend on models. A request is refused once the limit is reached, never cut off in the middle.

    With a ledger, what other processes spent on the run counts too; without limits nothing is kept.
    """

    def __init__(self, *, max_tokens: int | None = None, max_cost: float | None = None, run_id: str = "") -> None:
        self.max_tokens = max_tokens
        self.max_cost = max_cost
        self.run_id = run_id
        self.spent = Usage()
        self.cost = 0.0

    @property
    def is_bounded(self) -> bool:
        """Whether there is a limit at all."""
        return self.max_tokens is not None or self.max_cost is not None

    def check(self) -> None:
        """Raises: StepError `limit.llm_tokens`, `limit.llm_cost`."""
        if self.max_tokens is not None and self.spent.total >= self.max_tokens:
            raise StepError(
                "limit.llm_tokens",
                f"this run has used {self.spent.total} of its {self.max_tokens} model tokens; raise [limits] llm_tokens",
                details={"used": self.spent.total, "limit": self.max_tokens},
            )
        if self.max_cost is not None and self.cost >= self.max_cost:
            raise StepError(
                "limit.llm_cost",
                f"this run has spent {self.cost:.4f} of its {self.max_cost:g} for models; raise [limits] llm_cost",
                details={"used": self.cost, "limit": self.max_cost},
            )

    def add(self, reply: ChatReply) -> None:
        self.spent += reply.usage
        self.cost += reply.cost or 0.0

    async def read(self, ledger: Ledger | None) -> None:
        """Take over what was spent elsewhere."""
        found = await ledger.spent(self.run_id) if ledger is not None and self.is_bounded else None
        if found is not None:
            self.spent = max(self.spent, Usage(found["input_tokens"], found["output_tokens"]), key=lambda u: u.total)
            self.cost = max(self.cost, found["cost"])

    async def write(self, ledger: Ledger | None) -> None:
        """Let other processes know."""
        if ledger is not None and self.is_bounded:
            await ledger.keep_spent(self.run_id, self.spent.to_json() | {"cost": self.cost})


class Llm:
    """The language model that a project's config names.

    Example:
        async def summary(llm: Llm, text: str) -> str:
            return (await llm.chat(f"Summarise: {text}")).text
    """

    def __init__(
        self,
        model: ChatModel,
        *,
        default_model: str = "",
        budget: Budget | None = None,
        on_delta: OnDelta | None = None,
        vault: SecretVault | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self._vault = vault
        self._ledger = ledger
        self._model = model
        self._default = default_model
        self._budget = budget or Budget()
        self._on_delta = on_delta

    async def chat(
        self,
        prompt: str | None = None,
        *,
        messages: Sequence[Json] = (),
        system: str | None = None,
        schema: Json = None,
        tools: Sequence[Json] = (),
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> ChatReply:
        """Ask once. With `schema` (shorthand or JSON Schema) the answer's `data` fits it.

        Raises: StepError `llm.rate_limit`, `llm.auth`, `llm.bad_json`, `llm.bad_reply`, `limit.llm_tokens`,
        `limit.llm_cost`, `timeout`, `http.*`; `type.payload` for a wrong question.
        """
        request = ChatRequest(
            build_messages(prompt, messages, system),
            model or self._default,
            tools=tuple(tool_definition(tool) for tool in tools),
            temperature=temperature,
            max_tokens=max_tokens,
        )
        if schema is None:
            return await self._ask(request)
        return await self._ask_for_data(request, schema)

    async def _ask(self, request: ChatRequest) -> ChatReply:
        await self._budget.read(self._ledger)
        self._budget.check()
        if self._vault is not None and self._vault.resolved:
            self._vault.refuse_in(
                json.dumps([request.messages, request.tools], ensure_ascii=False), "a question to a model"
            )
        reply = await self._model.complete(request, self._on_delta)
        self._budget.add(reply)
        await self._budget.write(self._ledger)
        return reply

    async def _ask_for_data(self, request: ChatRequest, schema: Json) -> ChatReply:
        """Ask for JSON, check it, and if it does not fit let the model mend it once."""
        wanted, is_wrapped = answer_schema(schema)
        request = replace(request, schema=wanted)
        reply = await self._ask(request)
        if reply.tool_calls:
            return reply
        data, problem = read_answer(reply, wanted)
        if problem is not None:
            again = replace(
                request,
                messages=(
                    *request.messages,
                    {"role": "assistant", "content": reply.text[:20_000]},
                    {
                        "role": "user",
                        "content": f"This does not fit the wanted JSON: {problem}. Send the whole JSON again, mended.",
                    },
                ),
            )
            second = await self._ask(again)
            data, problem = read_answer(second, wanted)
            reply = replace(second, usage=reply.usage + second.usage, cost=_sum(reply.cost, second.cost))
        if problem is not None:
            raise StepError(
                "llm.bad_json",
                f"the model's answer does not fit the schema, also after asking again: {problem}",
                details={"problem": problem, "text": reply.text[:2000], "model": reply.model},
            )
        return replace(reply, data=data[WRAPPED] if is_wrapped else data)


def build_messages(prompt: str | None, messages: Sequence[Json], system: str | None) -> tuple[Json, ...]:
    """The chat to send. Raises: StepError `type.payload` unless exactly one of prompt and messages is given."""
    if (prompt is None) == (not messages):
        raise StepError("type.payload", "give either `prompt` or `messages`")
    for message in messages:
        if not isinstance(message, Mapping) or "role" not in message:
            raise StepError("type.payload", "every message needs a `role` and `content`")
    chat = list(messages) if messages else [{"role": "user", "content": prompt}]
    return ({"role": "system", "content": system}, *chat) if system else tuple(chat)


def tool_definition(tool: Json) -> Json:
    """`{name, description, parameters}` with parameters in shorthand or JSON Schema, as the wire format wants it."""
    from orchestrator.plugin.shorthand import schema_of

    if not isinstance(tool, Mapping):
        raise StepError("type.payload", "a tool is a mapping with `name`, `description` and `parameters`")
    if tool.get("type") == "function" and "function" in tool:
        return dict(tool)
    if not isinstance(tool.get("name"), str):
        raise StepError("type.payload", "a tool needs a `name`")
    try:
        parameters = schema_of(tool.get("parameters", {}))
    except ValueError as problem:
        raise StepError("type.payload", f"tool {tool['name']}: {problem}") from None
    function = {"name": tool["name"], "description": tool.get("description", ""), "parameters": parameters}
    return {"type": "function", "function": function}


def answer_schema(schema: Json) -> tuple[Json, bool]:
    """The schema to ask with, and whether it was put into an object because models answer with objects only."""
    from orchestrator.plugin.schema_check import SchemaRefused, compile_schema
    from orchestrator.plugin.shorthand import schema_of

    try:
        wanted = schema_of(schema)
        is_wrapped = not (isinstance(wanted, dict) and (wanted.get("type") == "object" or "$ref" in wanted))
        if is_wrapped:
            wanted = {"type": "object", "properties": {WRAPPED: wanted}, "required": [WRAPPED]}
        compile_schema(wanted)
    except (ValueError, SchemaRefused) as problem:
        raise StepError("type.payload", f"`schema` cannot be used: {problem}") from None
    return wanted, is_wrapped


def read_answer(reply: ChatReply, schema: Json) -> tuple[Json, str | None]:
    """The JSON in a reply, and what is wrong with it, if anything."""
    from orchestrator.plugin.schema_check import compile_schema

    try:
        data = find_json(reply.text)
    except ValueError as problem:
        cut = " (it was cut off at max_tokens)" if reply.finish == "length" else ""
        return None, f"{problem}{cut}"
    problems = compile_schema(schema).problems(data)
    return data, "; ".join(str(p) for p in problems[:5]) if problems else None


def find_json(text: str) -> Json:
    """The JSON of an answer that may stand in a code fence or between sentences. Raises: ValueError."""
    stripped = text.strip()
    candidates = [stripped]
    candidates += [m.strip() for m in re.findall(r"```(?:json)?\s*\n(.*?)```", text, re.DOTALL)[:3]]
    start, end = stripped.find("{"), stripped.rfind("}")
    if 0 <= start < end:
        candidates.append(stripped[start : end + 1])
    first: ValueError | None = None
    for candidate in candidates:
        try:
            return parse_json(candidate)
        except ValueError as problem:
            first = first or problem
    raise ValueError(f"it is not JSON ({first})")


def schema_instruction(schema: Json) -> str:
    """How the wanted shape is told to a model that has no switch for it."""
    return "Answer with JSON only, no other text. It must fit this JSON Schema:\n" + json.dumps(
        schema, ensure_ascii=False
    )


def _sum(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second
