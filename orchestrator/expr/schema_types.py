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


Known = Mapping[int, tuple[Any, TypeT]]  # id of a schema -> the schema, kept so that the id stays its own, and its type
NOTHING_KNOWN: Known = {}
_NONE: frozenset[str] = frozenset()


# A schema is JSON of unknown shape until each keyword is looked at: hence Any.
def from_json_schema(schema: Any, known: Known = NOTHING_KNOWN) -> TypeT:
    """The type of the values that the schema describes; `known` has parts of it by their `id`."""
    return _Reader(schema, known).read(schema, 0)


class _Reader:
    """Reads one schema; `root` is what its references start from."""

    __slots__ = ("known", "root")

    def __init__(self, root: Any, known: Known) -> None:
        self.root = root
        self.known = known

    def read(self, schema: Any, depth: int) -> TypeT:
        if schema.__class__ is not dict and not isinstance(schema, Mapping):
            return ANY
        names = schema.get("type")
        if len(schema) == 1 and names.__class__ is str and names in _SIMPLE:
            return _SIMPLE[names]
        known = self.known.get(id(schema))
        if known is not None:
            return known[1]
        if depth > DEPTH:
            return ANY
        if isinstance(schema.get("$ref"), str):
            return self.read(_resolve(schema["$ref"], self.root), depth + 1)
        if "const" in schema:
            return _literals([schema["const"]])
        if isinstance(schema.get("enum"), list):
            return _literals(schema["enum"])
        for keyword in ("anyOf", "oneOf"):
            if isinstance(schema.get(keyword), list) and schema[keyword]:
                return union(*self.each(schema[keyword], depth))
        if isinstance(schema.get("allOf"), list) and schema["allOf"]:
            return _merge([self.read({**schema, "allOf": None}, depth + 1), *self.each(schema["allOf"], depth)])
        if isinstance(names, list) and names:
            return union(*(self.named(name, schema, depth) for name in names))
        if isinstance(names, str):
            return self.named(names, schema, depth)
        if "properties" in schema:
            return self.named("object", schema, depth)
        return self.named("array", schema, depth) if "items" in schema else ANY

    def each(self, parts: list[Any], depth: int) -> list[TypeT]:
        return [self.read(part, depth + 1) for part in parts]

    def named(self, name: Any, schema: Mapping[str, Any], depth: int) -> TypeT:
        if name == "string":
            return _FORMATS.get(str(schema.get("format")), STR)
        if name == "array":
            return ListT(self.read(schema.get("items"), depth + 1) if "items" in schema else ANY)
        if name != "object":
            return _SIMPLE.get(str(name), ANY)
        properties = schema.get("properties")
        parts: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
        fields = {str(key): self.read(part, depth + 1) for key, part in parts.items()}
        required = schema.get("required")
        needed = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
        optional = [key for key in fields if key not in needed]
        if optional:
            given = {key for key, part in parts.items() if isinstance(part, Mapping) and "default" in part}
            optional = [key for key in optional if key not in given]
        is_open = schema.get("additionalProperties", "properties" not in schema) not in (False, None)
        return ObjectT(fields, is_open, frozenset(optional) if optional else _NONE)


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
