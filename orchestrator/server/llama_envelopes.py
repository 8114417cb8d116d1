"""Events, handlers and graphs in the JSON shapes that `llama-agents-client` reads. Pure; knows no route."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orchestrator.events import Event, InternalEvent, StopEvent
from orchestrator.ir.link import routes
from orchestrator.ir.model import FlowIR
from orchestrator.server.book import RunDetail
from orchestrator.server.problems import Refused
from orchestrator.server.tick_views import to_json

Json = Any  # plain JSON
STATUSES = {"done": "completed", "failed": "failed", "timeout": "failed", "cancelled": "cancelled"}


@dataclass(frozen=True, slots=True)
class Given:
    """An event as a client sent it: its name (None: the one that is expected) and its fields."""

    name: str | None
    value: Json


def envelope(event: Any, *, with_qualified_name: bool = True) -> dict[str, Json]:
    """An event with its class's name and those of its bases."""
    cls = type(event)
    value = _dumped(event)
    return {
        "value": value,
        "qualified_name": _qualified(cls) if with_qualified_name else None,
        "type": cls.__name__,
        "types": _bases(cls),
    }


def named_envelope(name: str, value: Json) -> dict[str, Json]:
    """An event that has no class: of a flow file, or of a functional workflow."""
    shown = value if isinstance(value, dict) else {"value": value}
    return {"value": shown, "qualified_name": None, "type": name, "types": None}


def _qualified(cls: type[Any]) -> str:
    """Where the client finds the class: the framework's own are in its package."""
    module = "workflows.events" if cls.__module__ == "orchestrator.events" else cls.__module__
    return f"{module}.{cls.__name__}"


def _dumped(event: Any) -> Json:
    try:
        return event.model_dump(mode="json")
    except Exception:  # a field that JSON does not know, such as an exception, is shown as it can be
        return {name: to_json(value) for name, value in event}


def _bases(cls: type[Any]) -> list[str] | None:
    names = [base.__name__ for base in cls.__mro__[1:] if issubclass(base, Event) and base is not Event]
    return names or None


def is_internal(event: Any) -> bool:
    """Whether an event is what the runtime says about itself."""
    return isinstance(event, InternalEvent)


def result_envelope(result: Any) -> dict[str, Json] | None:
    """What a run gave: its stop event, or its outputs in one."""
    if result is None:
        return None
    if isinstance(result, StopEvent):
        return envelope(result)
    return {"value": {"result": to_json(result)}, "qualified_name": None, "type": "StopEvent", "types": None}


def handler_view(handler_id: str, detail: RunDetail, result: Json) -> dict[str, Json]:
    """A run as a handler."""
    row = detail.row
    status = STATUSES.get(row.status, "running")
    error = row.error or {}
    ended = _iso(row.ended_at) if row.ended_at is not None else None
    return {
        "handler_id": handler_id,
        "workflow_name": row.flow,
        "run_id": row.run_id,
        "error": str(error.get("message") or error.get("code") or row.status)
        if status in ("failed", "cancelled")
        else None,
        "result": result if status == "completed" else None,
        "result_unreadable": False,
        "status": status,
        "started_at": _iso(row.created_at),
        "updated_at": ended or _iso(row.created_at),
        "completed_at": ended,
    }


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def read_event(data: Json, expected: str | None = None) -> Given:
    """An event in any form that clients send: an envelope, its JSON text, or with `expected` the bare fields.

    Raises: Refused 400.
    """
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except ValueError:
            raise Refused(400, "event.malformed", "the event is text that is not JSON") from None
    if not isinstance(data, dict):
        raise Refused(400, "event.malformed", "an event is a JSON object, or the JSON text of one")
    if "value" not in data and "data" in data and "type" in data:
        data = {**data, "value": data["data"]}
    is_bare = ("qualified_name" not in data or "type" not in data) and "value" not in data
    if is_bare:
        if expected is None:
            raise Refused(400, "event.malformed", "an event has a `type` and a `value`")
        return Given(None, data)
    name = data.get("type") or str(data.get("qualified_name") or "").rpartition(".")[2]
    if not isinstance(name, str) or not name:
        if expected is None:
            raise Refused(400, "event.malformed", "an event has a `type` and a `value`")
        name = expected
    return Given(name, data.get("value") if data.get("value") is not None else {})


def flat(value: Mapping[str, Json]) -> dict[str, Json]:
    """The fields of a dumped event: undeclared ones stand under `_data`."""
    inner = value.get("_data")
    if isinstance(inner, dict):
        return {**{name: item for name, item in value.items() if name != "_data"}, **inner}
    return dict(value)


def entry_envelopes(entry: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    """The events in one entry of a log."""
    data = entry["data"]
    match entry["type"]:
        case "stream" | "event.received":
            yield named_envelope(data["event"], data["value"])
        case "step.ended" | "step.failed" | "step.flushed" | "step.polled":
            for item in data["emitted"] if isinstance(data["emitted"], list) else ():
                yield named_envelope(item["event"], item["value"])


def graph_view(name: str, ir: FlowIR) -> dict[str, Json]:
    """Steps and events as nodes, with what emits and what takes them as edges."""
    heard = routes(ir)
    emitters: dict[str, list[str]] = {}
    for step in ir.steps.values():
        for event in step.emits:
            emitters.setdefault(event, []).append(step.name)
    nodes: list[Json] = [
        {
            "id": step.name,
            "label": step.title or step.name,
            "node_type": "step",
            "description": step.description or None,
        }
        for step in ir.steps.values()
    ]
    edges: list[Json] = []
    for declared in ir.events.values():
        if declared.name not in heard and declared.name not in emitters and declared.name != ir.start:
            continue
        nodes.append(
            {
                "id": f"event:{declared.name}",
                "label": declared.name,
                "node_type": "event",
                "event_type": declared.name,
                "event_types": [declared.name, *declared.bases],
                "event_schema": declared.schema if isinstance(declared.schema, dict) else None,
                "produced_by": emitters.get(declared.name, []),
            }
        )
        edges += [
            {"source": step, "target": f"event:{declared.name}", "label": None}
            for step in emitters.get(declared.name, ())
        ]
        edges += [
            {"source": f"event:{declared.name}", "target": step, "label": None} for step in heard.get(declared.name, ())
        ]
        if declared.kind in ("ask", "answer") or declared.external:
            edges.append(_outside(declared.name, declared.kind == "ask"))
    if any("outside" in (edge["source"], edge["target"]) for edge in edges):
        nodes.append({"id": "outside", "label": "people or systems outside", "node_type": "external"})
    return {"name": name, "nodes": nodes, "edges": edges, "description": ir.description or None}


def _outside(event: str, goes_out: bool) -> Json:
    node = f"event:{event}"
    return (
        {"source": node, "target": "outside", "label": None}
        if goes_out
        else {"source": "outside", "target": node, "label": None}
    )
