"""A chat model behind any OpenAI-compatible HTTP endpoint. Knows the wire format and which failure means what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from orchestrator.errors import StepError
from orchestrator.plugin.http_body import parse_json
from orchestrator.plugin.http_client import (
    HttpClient,
    HttpPool,
    HttpRequest,
    HttpResponse,
    HttpStream,
    check_status,
)
from orchestrator.plugin.http_url import host_of
from orchestrator.plugin.llm import ChatReply, ChatRequest, OnDelta, ToolCall, Usage, schema_instruction
from orchestrator.plugin.secrets import Secret, SecretVault

Json = Any  # plain JSON
Prices = Mapping[str, tuple[float, float]]  # model -> price of a million input tokens, of a million output tokens
MAX_REPLY_BYTES = 20 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is: base URL up to and without `/chat/completions`."""

    base_url: str
    api_key: Secret | None = None
    timeout_s: float = 300.0
    prices: Prices | None = None


class OpenAiModel:
    """Answers chat requests over HTTP."""

    def __init__(self, pool: HttpPool, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        key = endpoint.api_key
        host = urlsplit(endpoint.base_url).hostname or ""
        secrets = {key.name or "LLM_API_KEY": key.reveal()} if key else {}
        vault = SecretVault(secrets.get, hosts=dict.fromkeys(secrets, (host,)))
        for name in secrets:
            vault.get(name)
        self._http = HttpClient(pool, vault=vault)
        self._masker = vault.masker()
        self._has_schema_switch = True

    async def complete(self, request: ChatRequest, on_delta: OnDelta | None = None) -> ChatReply:
        """One request. Raises: StepError `llm.rate_limit`, `llm.auth`, `llm.bad_reply`, `timeout`, `http.*`."""
        try:
            return await self._send(request, on_delta)
        except StepError as problem:
            if request.schema is None or not self._has_schema_switch or not _refuses_schema(problem):
                raise
        self._has_schema_switch = False  # older endpoints know no response_format; from now on the prompt says it
        return await self._send(request, on_delta)

    async def _send(self, request: ChatRequest, on_delta: OnDelta | None) -> ChatReply:
        body = self._body(request)
        if on_delta is not None:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        key = self._endpoint.api_key
        call = HttpRequest(
            "POST",
            f"{self._endpoint.base_url.rstrip('/')}/chat/completions",
            headers={"Accept": "text/event-stream" if on_delta else "application/json"},
            json=body,
            bearer=key.reveal() if key else None,
            timeout_s=self._endpoint.timeout_s,
            max_bytes=MAX_REPLY_BYTES,
            redirects=0,
        )
        async with self._http.stream(call) as stream:
            kind = stream.headers.get("content-type", "")
            if stream.status >= 300 or on_delta is None or "event-stream" not in kind:
                response = HttpResponse(stream.status, stream.headers, await stream.read(), stream.url)
                self._check(response)
                return self._reply(_json_of(response), request)
            return await self._read_stream(stream, on_delta, request)

    def _body(self, request: ChatRequest) -> dict[str, Json]:
        messages = list(request.messages)
        body: dict[str, Json] = {"model": request.model}
        if request.schema is not None:
            if self._has_schema_switch:
                form = {"name": "answer", "schema": request.schema}
                body["response_format"] = {"type": "json_schema", "json_schema": form}
            else:
                messages = [{"role": "system", "content": schema_instruction(request.schema)}, *messages]
        if request.tools:
            body["tools"] = list(request.tools)
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.max_tokens is not None:
            body["max_tokens"] = request.max_tokens
        return body | {"messages": messages}

    def _check(self, response: HttpResponse) -> None:
        where = host_of(response.url)
        if 300 <= response.status < 400:
            raise StepError("llm.bad_reply", f"{where} redirects; set [llm] base_url to where the endpoint is now")
        try:
            check_status(response, masker=self._masker)
        except StepError as problem:
            text = self._masker.text(_error_text(response))
            if response.status == 429:
                raise StepError(
                    "llm.rate_limit", f"{where}: {text}", details=problem.details, retry_after=problem.retry_after
                ) from None
            if response.status in (401, 403):
                raise StepError("llm.auth", f"{where} refused the key ([llm] api_key): {text}") from None
            raise

    async def _read_stream(self, stream: HttpStream, on_delta: OnDelta, request: ChatRequest) -> ChatReply:
        """Server-sent events to one reply, handing every piece of text on as it comes."""
        text: list[str] = []
        calls: dict[int, dict[str, str]] = {}
        merged: dict[str, Json] = {"model": request.model}
        finish, is_done = "", False
        async for line in stream.lines():
            if not line.startswith("data:"):
                continue
            data = line[5:].strip()
            if data == "[DONE]":
                is_done = True
                break
            chunk = _parse_chunk(data)
            if "error" in chunk:
                raise StepError("llm.bad_reply", f"the model broke off: {_message_of(chunk['error'])}")
            merged |= {k: chunk[k] for k in ("model", "usage") if chunk.get(k)}
            try:
                piece, reason = _take(chunk, calls)
            except (AttributeError, TypeError, ValueError, OverflowError) as problem:
                raise StepError("llm.bad_reply", f"the model's stream is broken: {problem}") from None
            if piece:
                text.append(piece)
                on_delta(piece)
            finish = reason or finish
        if not is_done and not finish:
            raise StepError("llm.bad_reply", "the model's stream ended in the middle of the answer")
        tool_calls = [{"id": c["id"], "function": c} for c in calls.values()]
        message = {"content": "".join(text), "tool_calls": tool_calls}
        merged["choices"] = [{"message": message, "finish_reason": finish or "stop"}]
        return self._reply(merged, request)

    def _reply(self, body: Json, request: ChatRequest) -> ChatReply:
        try:
            choice = body["choices"][0]
            message = choice["message"]
            text = message.get("content") or ""
            if isinstance(text, list):  # some endpoints send content as parts
                text = "".join(part.get("text", "") for part in text)
            usage = body.get("usage") or {}
            counted = Usage(int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
            calls = tuple(_tool_call(call) for call in message.get("tool_calls") or ())
            refusal = message.get("refusal")
        except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as problem:
            raise StepError(
                "llm.bad_reply",
                f"the endpoint's answer is not a chat completion ({type(problem).__name__}: {problem})",
                details={"body": json.dumps(body)[:500]},
            ) from None
        if refusal and not text:
            raise StepError("llm.refused", f"the model refused: {str(refusal)[:500]}")
        model = str(body.get("model") or request.model)
        cost = usage.get("cost") if isinstance(usage.get("cost"), int | float) else self._cost(model, request, counted)
        return ChatReply(text, model, counted, cost, calls, str(choice.get("finish_reason") or "stop"))

    def _cost(self, model: str, request: ChatRequest, usage: Usage) -> float | None:
        prices = self._endpoint.prices or {}
        price = prices.get(model) or prices.get(request.model)
        return None if price is None else (usage.input_tokens * price[0] + usage.output_tokens * price[1]) / 1_000_000


def _json_of(response: HttpResponse) -> Json:
    try:
        return response.json()
    except StepError as problem:
        raise StepError("llm.bad_reply", problem.message, details=problem.details) from None


def _parse_chunk(data: str) -> dict[str, Json]:
    try:
        chunk = parse_json(data)
    except ValueError as problem:
        raise StepError(
            "llm.bad_reply", f"the model's stream is broken: {problem}", details={"data": data[:500]}
        ) from None
    if not isinstance(chunk, dict):
        raise StepError("llm.bad_reply", "the model's stream is broken: an event is not an object")
    return chunk


def _take(chunk: Mapping[str, Json], calls: dict[int, dict[str, str]]) -> tuple[str, str]:
    """The text and the reason to end of one event; its tool calls are added to `calls`."""
    pieces, finish = [], ""
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        pieces.append(delta.get("content") or "")
        _add_calls(calls, delta.get("tool_calls") or ())
        finish = choice.get("finish_reason") or finish
    return "".join(pieces), finish


def _add_calls(calls: dict[int, dict[str, str]], deltas: Json) -> None:
    """Tool calls come in pieces: name first, then the arguments as text."""
    for delta in deltas:
        call = calls.setdefault(int(delta.get("index", len(calls))), {"id": "", "name": "", "arguments": ""})
        function = delta.get("function") or {}
        call["id"] = delta.get("id") or call["id"]
        call["name"] = function.get("name") or call["name"]
        call["arguments"] += function.get("arguments") or ""


def _tool_call(call: Json) -> ToolCall:
    function = call["function"]
    arguments = function.get("arguments") or "{}"
    try:
        parsed = parse_json(arguments) if isinstance(arguments, str) else arguments
    except ValueError as problem:
        raise StepError(
            "llm.bad_json", f"the model called {function['name']} with arguments that are not JSON: {problem}"
        ) from None
    return ToolCall(str(call.get("id") or ""), function["name"], parsed)


def _refuses_schema(problem: StepError) -> bool:
    if problem.code not in ("http.400", "http.404", "http.415", "http.422", "http.501"):
        return False
    text = str((problem.details or {}).get("body", "")).lower()
    return "response_format" in text or "json_schema" in text


def _error_text(response: HttpResponse) -> str:
    try:
        return _message_of(parse_json(response.body)["error"])[:500]
    except (ValueError, KeyError, TypeError):
        return response.text[:500] or f"status {response.status}"


def _message_of(error: Json) -> str:
    return str(error.get("message") or error) if isinstance(error, dict) else str(error)
