"""Small questions to JSON Schemas that decide how an event is filled. Checks no data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orchestrator.ir.model import Json

ERROR_SCHEMA: Json = {
    "type": "object",
    "properties": {
        "code": {"type": "string"},
        "message": {"type": "string"},
        "step": {"type": "string"},
        "attempt": {"type": "integer"},
        "details": {},
    },
    "required": ["code", "message", "step", "attempt", "details"],
}
FAILED_SCHEMA: Json = {
    "type": "object",
    "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
    "required": ["code", "message"],
    "additionalProperties": False,
}
EMPTY_SCHEMA: Json = {"type": "object", "properties": {}, "additionalProperties": False}
_KINDS = ("null", "boolean", "integer", "number", "string", "array", "object")
_ALL = frozenset(_KINDS)
_SINGLE = {kind: frozenset({kind}) for kind in _KINDS}


def object_schema(properties: dict[str, Json], required: Iterable[str] | None = None) -> Json:
    """A closed object; every property is required unless said otherwise."""
    needed = list(properties if required is None else required)
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


def members(schema: Json) -> Iterator[Json]:
    """The alternatives of a union, flattened; a schema without alternatives is its only member."""
    stack = [schema]
    while stack:
        item = stack.pop()
        options = (item.get("anyOf") or item.get("oneOf")) if isinstance(item, dict) else None
        if options:
            stack += reversed(options)
        else:
            yield item


def kinds_of(schema: Json) -> frozenset[str]:
    """The JSON types that a value of the schema may have; all of them where the schema does not say."""
    if isinstance(schema, dict):
        kind = schema.get("type")
        if kind.__class__ is str and "enum" not in schema and "const" not in schema and "anyOf" not in schema:
            return _SINGLE[kind] if kind in _SINGLE else frozenset({kind})
    found: set[str] = set()
    for member in members(schema):
        if not isinstance(member, dict):
            return _ALL
        if "enum" in member or "const" in member:
            values = member["enum"] if "enum" in member else [member["const"]]
            found.update(_kind(value) for value in values)
            continue
        kind = member.get("type")
        if kind is None:
            if "properties" not in member:
                return _ALL
            kind = "object"
        found.update(kind if isinstance(kind, list) else [kind])
    return frozenset(found)


def _kind(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def is_known(schema: Json) -> bool:
    """Whether the schema says anything about the type of the value."""
    return kinds_of(schema) != _ALL


def is_mapping(schema: Json) -> bool:
    """Whether every value of the schema is a mapping."""
    return kinds_of(schema) == frozenset({"object"})


def may_be_mapping(schema: Json) -> bool:
    """Whether some value of the schema is a mapping."""
    return "object" in kinds_of(schema)


def properties_of(schema: Json) -> dict[str, Json]:
    """The named fields of an object schema."""
    if not isinstance(schema, dict):
        return {}
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def required_of(schema: Json) -> frozenset[str]:
    """The fields that must be there."""
    return frozenset(schema.get("required", ())) if isinstance(schema, dict) else frozenset()


def is_closed(schema: Json) -> bool:
    """Whether an object may have no other fields than the named ones."""
    return isinstance(schema, dict) and schema.get("additionalProperties") is False


def may_fit(source: Json, target: Json) -> bool:
    """Whether some value of `source` could be one of `target`, by JSON type and fixed values alone."""
    mine, theirs = kinds_of(source), kinds_of(target)
    if "integer" in mine and "number" in theirs:
        return True
    if not mine & theirs:
        return False
    fixed, wanted = _fixed_values(source), _fixed_values(target)
    if fixed is None or wanted is None:
        return True
    return any(value in wanted for value in fixed)


def _fixed_values(schema: Json) -> list[Json] | None:
    out: list[Json] = []
    for member in members(schema):
        if not isinstance(member, dict) or ("enum" not in member and "const" not in member):
            return None
        out += member["enum"] if "enum" in member else [member["const"]]
    return out


def union_of(schemas: Iterable[Json]) -> Json:
    """A schema for a value of any of these; equal ones count once."""
    distinct: list[Json] = []
    for schema in schemas:
        if schema is True or schema == {}:
            return {}
        if schema not in distinct:
            distinct.append(schema)
    if len(distinct) == 1:
        return distinct[0]
    return {"anyOf": distinct} if distinct else {}


def merge_objects(schemas: list[Json]) -> Json:
    """One object schema for what several emitters send: a field is required if all of them send it."""
    names = dict.fromkeys(name for schema in schemas for name in properties_of(schema))
    properties = {
        name: union_of(properties_of(schema)[name] for schema in schemas if name in properties_of(schema))
        for name in names
    }
    required = [name for name in names if all(name in required_of(schema) for schema in schemas)]
    merged = object_schema(properties, required)
    if not all(is_closed(schema) for schema in schemas):
        merged.pop("additionalProperties")
    return merged


def has_null(schema: Json) -> bool:
    """Whether null is a value of the schema."""
    return "null" in kinds_of(schema)
