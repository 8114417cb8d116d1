"""The type shorthand of the flow language as JSON Schema, for values that a step gets at run time.

The language layer reads the same shorthand with spans and diagnostics; here it is data, and a fault is one error.
"""

from __future__ import annotations

import re
from typing import Any

Json = Any  # plain JSON

SCALARS: dict[str, Json] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "any": {},
    "duration": {"type": "string", "format": "duration"},
    "datetime": {"type": "string", "format": "date-time"},
    "null": {"type": "null"},
}
_JSON_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_LONG_KEYS = frozenset({"type", "fields", "default", "description", "schema"})
_COMBINERS = ("anyOf", "oneOf", "allOf", "enum")


def schema_of(value: Json) -> Json:
    """The JSON Schema that a `schema:` field means: itself, or what the shorthand stands for. Raises: ValueError."""
    return value if is_json_schema(value) else shorthand_schema(value)


def is_json_schema(value: Json) -> bool:
    """Whether a value is JSON Schema rather than shorthand; the two have no type name in common but `null`."""
    if isinstance(value, bool):
        return True
    if not isinstance(value, dict):
        return False
    kind = value.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    if kind is not None and all(isinstance(k, str) and k in _JSON_TYPES for k in kinds):
        return True
    if any(isinstance(key, str) and key.startswith("$") for key in value) or "const" in value:
        return True
    return any(isinstance(value.get(key), list) and len(value) <= 3 for key in _COMBINERS)


def shorthand_schema(value: Json, path: str = "schema") -> Json:
    """`{verdict: approve | reject, tags: [str], note: str | null}` as JSON Schema. Raises: ValueError with the path."""
    if isinstance(value, str):
        return _union(value, path)
    if value is None:
        return {"type": "null"}
    if isinstance(value, list):
        if len(value) != 1:
            raise ValueError(f"{path}: a list type has one member, such as [str]")
        return {"type": "array", "items": shorthand_schema(value[0], f"{path}[0]")}
    if isinstance(value, dict):
        if "schema" in value and set(value) <= _LONG_KEYS and isinstance(value["schema"], dict | bool):
            return value["schema"]
        if value and set(value) <= _LONG_KEYS and ("type" in value or isinstance(value.get("fields"), dict)):
            return _long(value, path)
        return _object(value, path)
    raise ValueError(f"{path}: {value!r} is not a type; quote it if it is a word")


def _object(fields: dict[str, Json], path: str) -> Json:
    properties = {name: shorthand_schema(kind, f"{path}.{name}") for name, kind in fields.items()}
    required = [name for name, schema in properties.items() if "default" not in schema and not _takes_null(schema)]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _long(value: dict[str, Json], path: str) -> Json:
    schema = dict(_object(value["fields"], path) if "fields" in value else shorthand_schema(value["type"], path))
    for key in ("default", "description"):
        if key in value:
            schema[key] = value[key]
    return schema


def _union(text: str, path: str) -> Json:
    parts = [part.strip() for part in text.split("|")]
    if not all(parts):
        raise ValueError(f'{path}: "{text}" has an empty member')
    schemas = [SCALARS[p] for p in parts if p in SCALARS]
    words = [part for part in parts if part not in SCALARS]
    for word in words:
        near = next((name for name in SCALARS if _is_one_edit(word, name)), None)
        if len(parts) == 1 or near:
            hint = f'; did you mean "{near}"?' if near else f"; the types are {', '.join(SCALARS)}"
            raise ValueError(f'{path}: "{word}" is not a type{hint}')
        if not re.fullmatch(r"[\w.-]+", word):
            raise ValueError(f'{path}: "{word}" cannot be a member of an enum')
    if words:
        schemas = [{"type": "string", "enum": words}, *schemas]
    return dict(schemas[0]) if len(schemas) == 1 else {"anyOf": schemas}


def _is_one_edit(first: str, second: str) -> bool:
    """Whether one letter put in, left out, changed or swapped with the next makes one word the other."""
    if abs(len(first) - len(second)) > 1:
        return False
    start = next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
    rest, other = first[start:], second[start:]
    swapped = len(rest) > 1 and len(other) > 1 and rest[:2] == other[1::-1] and rest[2:] == other[2:]
    return rest[1:] == other or rest == other[1:] or rest[1:] == other[1:] or swapped


def _takes_null(schema: Json) -> bool:
    return schema.get("type") == "null" or any(s.get("type") == "null" for s in schema.get("anyOf", ()))
