"""Payloads of functional runs as JSON for the runtime's tick codec. Knows the workflow's annotations, no storage."""

from __future__ import annotations

from typing import Any

from orchestrator.functional.events import WorkflowErrorDetails, WorkflowEvent, WorkflowRunState
from orchestrator.functional.failures import Failure
from orchestrator.functional.signature import FunctionShape
from orchestrator.functional.values import Encoded, Json, Value, encode, plain_json, read_json, untyped

_SHOWN = "shown:"


class FunctionCodec:
    """The `ValueCodec` of a functional workflow; without a shape it reads every workflow's runs, annotations apart."""

    def __init__(self, shape: FunctionShape | None = None) -> None:
        self._shape = shape

    def encode(self, type: str, value: Value, where: str) -> Json:
        """A payload as JSON. Raises: NotSerializable."""
        if isinstance(value, WorkflowEvent):
            return _event_to_json(value)
        if type == "Start":
            hint = self._shape.input_hint if self._shape is not None else None
            return {name: encode(item, hint, f"{where}: the message") for name, item in value.items()}
        if type == "Request":
            return {**value, "data": encode(value["data"], _type_of(value["data"]), f"{where}: the request data")}
        hint = self._shape.return_hint if type == "Stop" and self._shape is not None else None
        return encode(value, hint, f"{where}: {type}")

    def decode(self, type: str, data: Json) -> Value:
        """A payload."""
        if type.startswith(_SHOWN):
            return _event_from_json(data)
        if type == "Start":
            return {name: read_json(item) for name, item in data.items()}
        if type == "Request":
            return {**data, "data": read_json(data["data"])}
        return read_json(data)

    def encode_value(self, value: Value, where: str) -> Json:
        """A result, a read or a state value as JSON. Raises: NotSerializable."""
        return encode(value, None, where)

    def decode_value(self, data: Json) -> Value:
        """The inverse of `encode_value`."""
        return read_json(data)

    def question(self, announced: Value) -> Json:
        """What a question announces, for displays: its text, source and schema, and the data it shows, as plain JSON."""
        return {**announced, "data": plain_json(announced["data"])}

    def stream_type(self, value: Value) -> str:
        """The event type of what is only shown."""
        return f"{_SHOWN}{getattr(value, 'type', type(value).__name__)}"


def _type_of(value: Value) -> type[Any]:
    return type(value.live) if type(value) is Encoded else type(value)


def _event_to_json(event: WorkflowEvent) -> Json:
    out: dict[str, Json] = {"type": event.type, "at": event.at}
    for name in ("executor_id", "call_path"):
        if getattr(event, name):
            out[name] = getattr(event, name)
    more = event.more()
    details = more.pop("details", None)
    if details is not None:
        out["details"] = [details.error_type, details.message, details.executor_id, details.attempt]
    for name in ("request_type", "response_type"):  # types live in code
        more.pop(name, None)
    out.update(more)
    try:
        out["data"] = untyped(encode(event.data, type(event.data), ""))
    except Exception:  # it was shown; what cannot be kept of it is named, and the run goes on
        out["data"] = f"<{type(event.data).__qualname__}>"
    return out


def _event_from_json(data: Json) -> WorkflowEvent:
    options = {
        name: value for name, value in data.items() if name not in ("type", "at", "data", "call_path", "details")
    }
    if "details" in data:
        kind, message, step, attempt = data["details"]
        options["details"] = WorkflowErrorDetails(kind, message, None, step, attempt)
    if "state" in options:
        options["state"] = WorkflowRunState(options["state"])
    options.setdefault("origin", "FRAMEWORK")
    event = WorkflowEvent(data["type"], read_json(data["data"]), **options)
    event.at, event.call_path = data["at"], data.get("call_path", "")
    return event


def failure_of(noted: Any) -> Failure | None:  # as a note holds it: live, or JSON in a run that is kept
    """The failure in a note."""
    return noted if noted is None or isinstance(noted, Failure) else Failure.from_json(noted)
