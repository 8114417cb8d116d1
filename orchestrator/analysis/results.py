"""The result of a step's verb as JSON Schema, from the IR and the catalog."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from orchestrator.analysis.people import outcomes_of
from orchestrator.expr.schema_types import from_json_schema
from orchestrator.expr.types import TypeT
from orchestrator.ir.model import AskIR, CallIR, FlowIR, Json, StepIR, Value
from orchestrator.ir.schemas import inline_refs
from orchestrator.plugin.info import CallableInfo
from orchestrator.plugin.shorthand import schema_of

NULL: Json = {"type": "null"}
TEXT: Json = {"type": "string"}
ERROR: Json = {
    "type": "object",
    "properties": {
        "code": TEXT,
        "message": TEXT,
        "step": TEXT,
        "attempt": {"type": "integer"},
        "details": {},
    },
    "required": ["code", "message", "step", "attempt", "details"],
    "additionalProperties": False,
}


class CatalogLike(Protocol):
    """What the checker needs of a catalog."""

    def get(self, name: str) -> CallableInfo | None:
        """What is known of a callable; None if there is none."""

    def suggest(self, name: str) -> str | None:
        """The callable that was probably meant."""


def result_schema(step: StepIR, flow: FlowIR, catalog: CatalogLike) -> Json:
    """The result of a step; `{}` where nothing is known of it, null where it has no verb."""
    body = step.body
    match body.kind:
        case "call":
            assert body.call is not None
            result = call_result(body.call, catalog)
            if step.fallback is not None:
                result = either(result, call_result(step.fallback, catalog))
        case "ask":
            assert body.ask is not None
            result = ask_result(body.ask)
            if step.for_each is not None:
                kept = {name: result["properties"][name] for name in ("outcome", "answers")}
                return {"type": "array", "items": closed_object({"item": {}, **kept})}
        case "wait":
            assert body.wait is not None
            event = flow.events.get(body.wait.event or "")
            return NULL if body.wait.event is None else {} if event is None else event.schema
        case "none":
            return NULL
        case _:
            return {}
    if step.for_each is None:
        return result
    if step.for_each.keeps_errors:
        result = either(result, closed_object({"error": ERROR}))
    return {"type": "array", "items": result}


def call_result(call: CallIR, catalog: CatalogLike) -> Json:
    """The result of a call; the `data` of a structured answer has the schema that the call asks for."""
    info = catalog.get(call.target)
    if info is None:
        return {}
    schema = plain_result(info)
    asked = constant(call.with_.get("schema"))
    if asked is None or not isinstance(schema, dict) or "data" not in schema.get("properties", {}):
        return schema
    try:
        data = schema_of(asked)
    except ValueError:
        return schema
    return {**schema, "properties": {**schema["properties"], "data": data}}


@lru_cache(maxsize=1024)
def plain_type(info: CallableInfo) -> TypeT:
    """The same as a type: it is the same in every flow, and large."""
    return from_json_schema(plain_result(info))


@lru_cache(maxsize=1024)
def plain_result(info: CallableInfo) -> Json:
    """The result of a callable, made to be put into other schemas; `{}` where it is not known."""
    return {} if info.result_schema is True else inline_refs(info.result_schema)


def ask_result(ask: AskIR) -> Json:
    """Outcome, answers and voters of a request, and the shown text where it may be edited."""
    properties: dict[str, Json] = {
        "outcome": {"enum": list(all_outcomes(ask))},
        "answers": {"type": "array", "items": answer_schema(ask)},
        "voters": {"type": "array", "items": TEXT},
    }
    if ask.edit is not None:
        properties[ask.edit] = TEXT
    return closed_object(properties)


def answer_schema(ask: AskIR) -> Json:
    """One answer: the form's fields, who gave it and when."""
    form = ask.form if isinstance(ask.form, dict) else {}
    properties = {**form.get("properties", {}), "as": TEXT, "at": {"type": "string", "format": "date-time"}}
    schema = closed_object(properties)
    schema["required"] = [*form.get("required", ()), "as", "at"]
    return schema


def all_outcomes(ask: AskIR) -> tuple[str, ...]:
    """Everything that `outcome` can read as."""
    outcomes = outcomes_of(ask)
    if len(ask.verdicts) > 1 and not ask.undecided_as_timeout and "undecided" not in outcomes:
        outcomes = (*outcomes, "undecided")
    return outcomes


def either(one: Json, two: Json) -> Json:
    """A value of one of two schemas."""
    if one == two:
        return one
    return {"anyOf": [one, two]} if one and two else {}


def closed_object(properties: dict[str, Json]) -> Json:
    """An object with exactly these fields."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def constant(value: Value) -> Json:
    """A value without expressions as plain JSON; None if it holds one, or is null."""
    if isinstance(value, dict):
        if "$expr" in value or "$text" in value:
            return None
        inner = value.get("$lit", value)
        parts = {key: constant(item) for key, item in inner.items()}
        return None if any(part is None and inner[key] is not None for key, part in parts.items()) else parts
    if isinstance(value, list | tuple):
        items = [constant(item) for item in value]
        return (
            None if any(part is None and item is not None for part, item in zip(items, value, strict=True)) else items
        )
    return value
