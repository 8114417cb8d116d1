"""Fills an object from outside with what its schema promises: defaults, and null for fields that may be null."""

from __future__ import annotations

import copy

from orchestrator.ir.model import Json


def missing_fields(schema: Json) -> dict[str, Json]:
    """The value of every field that may be left out: its default, or null where null is allowed."""
    if not isinstance(schema, dict):
        return {}
    required = schema.get("required", ())
    out: dict[str, Json] = {}
    for name, field in schema.get("properties", {}).items():
        if name in required:
            continue
        if isinstance(field, dict) and "default" in field:
            out[name] = field["default"]
        elif allows_null(field):
            out[name] = None
    return out


def complete_object(schema: Json, data: dict[str, Json]) -> dict[str, Json]:
    """`data` with the fields that it leaves out; fields that must be given stay missing. Never changes `data`."""
    gaps = {name: value for name, value in missing_fields(schema).items() if name not in data}
    return {**data, **copy.deepcopy(gaps)} if gaps else data


def allows_null(schema: Json) -> bool:
    """Whether null is a value of the schema, as far as its top level says."""
    if schema is True or schema == {}:
        return True
    if not isinstance(schema, dict):
        return False
    if "enum" in schema:
        return None in schema["enum"]
    kind = schema.get("type")
    if kind is not None:
        return kind == "null" or (isinstance(kind, list) and "null" in kind)
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return any(allows_null(option) for option in options)
    return "properties" not in schema and "const" not in schema
