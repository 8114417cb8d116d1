"""Model answers kept in a file: recorded once against a real endpoint, replayed in tests without one.

The file has one JSON object a line, `{"request": …, "reply": …}`, in the order of recording, so that it can be read, edited
and reviewed. A request is known by its content; the same request asked several times gets its answers in order.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import StepError, UsageError
from orchestrator.plugin.llm import ChatModel, ChatReply, ChatRequest, OnDelta, ToolCall, Usage

Json = Any  # plain JSON


class RecordedModel:
    """Replays a file; with `source`, what the file does not hold is asked there and written down."""

    def __init__(self, path: Path, source: ChatModel | None = None) -> None:
        self._path = path
        self._source = source
        self._replies: defaultdict[str, list[ChatReply]] = defaultdict(list)
        self._used: defaultdict[str, int] = defaultdict(int)
        if path.exists():
            self._read()
        elif source is None:
            raise UsageError(f"there is no recording {path}; record one with [llm] record = {str(path)!r}")

    async def complete(self, request: ChatRequest, on_delta: OnDelta | None = None) -> ChatReply:
        key = request_key(request)
        known, used = self._replies[key], self._used[key]
        self._used[key] += 1
        if used < len(known) or (known and self._source is None):
            reply = known[min(used, len(known) - 1)]
            if on_delta is not None and reply.text:
                on_delta(reply.text)
            return reply
        if self._source is None:
            raise StepError(
                "llm.not_recorded",
                f"{self._path.name} has no answer to this request; record again",
                details={"request": request_json(request)},
            )
        reply = await self._source.complete(request, on_delta)
        known.append(reply)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        entry = {"request": request_json(request), "reply": reply.to_json() | {"finish": reply.finish}}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        return reply

    def _read(self) -> None:
        for number, line in enumerate(self._path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                key = json.dumps(entry["request"], sort_keys=True)
                self._replies[key].append(reply_from_json(entry["reply"]))
            except (ValueError, KeyError, TypeError, AttributeError) as problem:
                raise UsageError(f"{self._path}:{number} is no recorded model answer: {problem}") from None


def request_json(request: ChatRequest) -> dict[str, Json]:
    """A request as it stands in a recording; what was not set is left out."""
    found: dict[str, Json] = {"model": request.model, "messages": list(request.messages)}
    for name, value in (
        ("schema", request.schema),
        ("tools", list(request.tools) or None),
        ("temperature", request.temperature),
        ("max_tokens", request.max_tokens),
    ):
        if value is not None:
            found[name] = value
    return found


def request_key(request: ChatRequest) -> str:
    return json.dumps(request_json(request), sort_keys=True)


def reply_from_json(body: Mapping[str, Json]) -> ChatReply:
    """Raises: KeyError, TypeError for another shape."""
    usage = body.get("usage") or {}
    return ChatReply(
        text=body["text"],
        model=body.get("model", ""),
        usage=Usage(usage.get("input_tokens", 0), usage.get("output_tokens", 0)),
        cost=body.get("cost"),
        tool_calls=tuple(ToolCall(c["id"], c["name"], c["arguments"]) for c in body.get("tool_calls", ())),
        finish=body.get("finish", "stop"),
    )
