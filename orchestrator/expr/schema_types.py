"""Reads a JSON Schema (2020-12) as a type of the expression language, as far as its structure goes. Validates nothing.

What it does not know becomes `any`; references go only to `$defs` of the same schema, and recursion ends in `any`.
An object that lists its properties counts as closed unless it says otherwise: a field that it does not list is more
likely a slip of the pen than an undocumented extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.expr.types import (
    ANY,
    BOOL,
    DATETIME,
    DURATION,
    FLOAT,
    INT,
    NULL,
    STR,
    EnumT,
    ListT,
    ObjectT,
    TypeT,
    union,
)

DEPTH = 24
_FORMATS = {"duration": DURATION, "date-time": DATETIME}
_SIMPLE = {"string": STR, "integer": INT, "number": FLOAT, "boolean": BOOL, "null": NULL}


# A schema is JSON of unknown shape until each keyword is looked at: hence Any.
def from_json_schema(schema: Any) -> TypeT:
    """The type of the values that the schema describes."""
    return _read(schema, schema, 0)


def _read(schema: Any, root: Any, depth: int) -> TypeT:
    if not isinstance(schema, Mapping) or depth > DEPTH:
        return ANY
    if isinstance(schema.get("$ref"), str):
        return _read(_resolve(schema["$ref"], root), root, depth + 1)
    if "const" in schema:
        return _literals([schema["const"]])
    if isinstance(schema.get("enum"), list):
        return _literals(schema["enum"])
    for keyword in ("anyOf", "oneOf"):
        if isinstance(schema.get(keyword), list) and schema[keyword]:
            return union(*(_read(part, root, depth + 1) for part in schema[keyword]))
    if isinstance(schema.get("allOf"), list) and schema["allOf"]:
        return _merge([_read({**schema, "allOf": None}, root, depth + 1), *_each(schema["allOf"], root, depth)])
    names = schema.get("type")
    if isinstance(names, list) and names:
        return union(*(_read_named(name, schema, root, depth) for name in names))
    if isinstance(names, str):
        return _read_named(names, schema, root, depth)
    if "properties" in schema:
        return _read_named("object", schema, root, depth)
    return _read_named("array", schema, root, depth) if "items" in schema else ANY


def _read_named(name: Any, schema: Mapping[str, Any], root: Any, depth: int) -> TypeT:
    if name == "string":
        return _FORMATS.get(str(schema.get("format")), STR)
    if name == "array":
        return ListT(_read(schema.get("items"), root, depth + 1) if "items" in schema else ANY)
    if name != "object":
        return _SIMPLE.get(str(name), ANY)
    properties = schema.get("properties")
    fields = {
        str(key): _read(part, root, depth + 1)
        for key, part in (properties.items() if isinstance(properties, Mapping) else ())
    }
    required = schema.get("required")
    needed = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
    known = properties if isinstance(properties, Mapping) else {}
    defaults = {key for key, part in known.items() if isinstance(part, Mapping) and "default" in part}
    is_open = schema.get("additionalProperties", "properties" not in schema) not in (False, None)
    return ObjectT(fields, is_open, frozenset(fields.keys() - needed - defaults))


def _each(parts: list[Any], root: Any, depth: int) -> list[TypeT]:
    return [_read(part, root, depth + 1) for part in parts]


def _merge(parts: list[TypeT]) -> TypeT:
    """What satisfies all parts: objects put together, else the first part that says anything."""
    known = [part for part in parts if part != ANY]
    objects = [part for part in known if isinstance(part, ObjectT)]
    if not known or len(objects) < len(known):
        return known[0] if known else ANY
    fields = {name: kind for part in objects for name, kind in part.fields.items()}
    needed = {name for part in objects for name in part.fields if name not in part.optional}
    return ObjectT(fields, all(part.is_open for part in objects), frozenset(fields.keys() - needed))


def _literals(values: list[Any]) -> TypeT:
    if all(value is None or isinstance(value, str | int | float) for value in values):
        literals = [EnumT((value,)) for value in values if value is not None and not isinstance(value, bool)]
        others = [NULL if value is None else BOOL for value in values if value is None or isinstance(value, bool)]
        return union(*literals, *others)
    return ANY


def _resolve(ref: str, root: Any) -> Any:
    if ref == "#":
        return root
    if not ref.startswith("#/"):
        return None
    found = root
    for part in ref[2:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return found
