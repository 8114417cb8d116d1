"""A deterministic model that needs no network: for `--fake-llm`, first steps and tests. The same question, the same answer.

It makes text out of the question's own words, fills any JSON Schema with fitting values, and calls the first tool it is
offered once. It is no mock of a flow: the whole path of `Llm` (budget, streaming, schema check) runs over it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Iterable
from typing import Any

from orchestrator.errors import StepError
from orchestrator.plugin.llm import ChatReply, ChatRequest, OnDelta, ToolCall, Usage

Json = Any  # plain JSON
MODEL_NAME = "fake"


class FakeModel:
    """Answers from `replies` first (text, a JSON value, or a StepError to raise), then from the question itself."""

    def __init__(self, replies: Iterable[Json] = ()) -> None:
        self._replies: deque[Json] = deque(replies)
        self.requests: list[ChatRequest] = []

    async def complete(self, request: ChatRequest, on_delta: OnDelta | None = None) -> ChatReply:
        """Answer a question, and keep it in `requests`. Raises: a StepError that stands in `replies`."""
        self.requests.append(request)
        question = question_of(request)
        calls: tuple[ToolCall, ...] = ()
        if self._replies:
            reply = self._replies.popleft()
            if isinstance(reply, StepError):
                raise reply
            text = reply if isinstance(reply, str) else json.dumps(reply, ensure_ascii=False)
        elif request.schema is not None:
            text = json.dumps(example_of(request.schema, question), ensure_ascii=False)
        elif request.tools and not any(m.get("role") == "tool" for m in request.messages):
            function = request.tools[0]["function"]
            arguments = example_of(function.get("parameters", {}), question)
            text, calls = "", (ToolCall("call_" + _digest(question)[:8], function["name"], arguments),)
        else:
            text = answer_text(question)
        if on_delta is not None:
            for piece in re.findall(r"\s*\S+|\s+\Z", text):
                on_delta(piece)
        usage = Usage(_tokens(" ".join(str(m.get("content")) for m in request.messages)), _tokens(text))
        return ChatReply(text, MODEL_NAME, usage, 0.0, calls, "tool_calls" if calls else "stop")


def question_of(request: ChatRequest) -> str:
    """The text of the last message that is not the model's own."""
    for message in reversed(request.messages):
        if message.get("role") != "assistant":
            content = message.get("content")
            if isinstance(content, list):
                return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
            return str(content or "")
    return ""


def answer_text(question: str) -> str:
    """A short text on what was asked."""
    lines = [line.strip() for line in question.splitlines() if line.strip()]
    topic = re.sub(r"\s+", " ", lines[0])[:200].rstrip(".:") if lines else "nothing"
    rest = re.sub(r"\s+", " ", " ".join(lines[1:]))[:300].rstrip(".")
    detail = f" It takes into account: {rest}." if rest else ""
    return f"[fake model] {topic}.{detail} (draft {_digest(question)[:6]})"


def example_of(schema: Json, question: str, name: str = "", root: Json = None, depth: int = 0) -> Json:
    """A value that fits a schema, the same for the same question."""
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > 12:
        return None
    if "$ref" in schema:
        return example_of(_follow(root, schema["$ref"]), question, name, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return choose(schema["enum"], question, name)
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            options = [s for s in schema[key] if not (isinstance(s, dict) and s.get("type") == "null")]
            return example_of((options or schema[key])[0], question, name, root, depth + 1)
    if schema.get("allOf"):
        merged: dict[str, Json] = {}
        for part in schema["allOf"]:
            merged |= part if isinstance(part, dict) else {}
        return example_of(merged, question, name, root, depth + 1)
    kind = schema.get("type")
    kind = next((k for k in kind if k != "null"), "null") if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        return {
            key: example_of(part, question, key, root, depth + 1) for key, part in schema.get("properties", {}).items()
        }
    if kind == "array":
        count = max(int(schema.get("minItems", 1)), 1)
        return [example_of(schema.get("items", {}), f"{question} {i}", name, root, depth + 1) for i in range(count)]
    return _scalar(kind, schema, question, name)


def choose(options: list[Json], question: str, name: str) -> Json:
    """The option that the question mentions, else one picked by the question's digest."""
    words = question.lower()
    named = [o for o in options if isinstance(o, str) and len(o) > 1 and re.search(rf"\b{re.escape(o.lower())}", words)]
    if len(named) == 1:
        return named[0]
    return options[int(_digest(question + name)[:8], 16) % len(options)]


def _scalar(kind: Json, schema: dict[str, Json], question: str, name: str) -> Json:
    seed = int(_digest(question + name)[:8], 16)
    if kind == "boolean":
        return seed % 2 == 0
    if kind in ("integer", "number"):
        span = 1.0 if kind == "number" else 10.0
        high_or_none = _bound(schema, "maximum", "exclusiveMaximum")
        low = _bound(schema, "minimum", "exclusiveMinimum")
        low = low if low is not None else min(0.0, (high_or_none or 0.0) - span if high_or_none is not None else 0.0)
        high = high_or_none if high_or_none is not None else low + span
        if kind == "number":
            return round(low + (high - low) * (0.25 + (seed % 1000) / 2000), 4)
        first = int(low) + ("exclusiveMinimum" in schema)
        last = int(high) - ("exclusiveMaximum" in schema)
        return first + seed % max(1, last - first + 1)
    if kind == "null":
        return None
    return _text(schema, question, name)


def _bound(schema: dict[str, Json], *names: str) -> float | None:
    return next((float(schema[name]) for name in names if name in schema), None)


def _text(schema: dict[str, Json], question: str, name: str) -> str:
    known = {"date-time": "2026-01-01T00:00:00Z", "date": "2026-01-01", "duration": "1h", "email": "fake@example.com"}
    if schema.get("format") in known:
        return known[schema["format"]]
    if schema.get("format") in ("uri", "url"):
        return f"https://example.com/{_digest(question)[:6]}"
    words = re.findall(r"\w+", question)[:8] or ["text"]
    text = f"{name.replace('_', ' ')}: {' '.join(words)}" if name else " ".join(words)
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    text = text.ljust(least, ".")
    return text if most is None else text[: int(most)]


def _follow(root: Json, ref: str) -> Json:
    target = root
    for part in ref.removeprefix("#").strip("/").split("/"):
        if part:
            target = target.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(target, dict) else {}
    return target


def _tokens(text: str) -> int:
    return max(1, (len(text) + 3) // 4)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()
