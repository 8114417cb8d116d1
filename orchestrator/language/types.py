"""The type shorthand of flow files as values, and those as JSON Schema 2020-12. Reads no file: see `type_reader`.

`str int float bool any duration datetime`, `[T]`, `{f: T}`, `a | b`, `T | null`, an imported model, a JSON Schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, assert_never

from orchestrator.ir.record import record
from orchestrator.language.nodes import PlainData, Scalar

JsonSchema = dict[str, Any]  # JSON as it is

PRIMITIVES: dict[str, JsonSchema] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "any": {},
    "duration": {"type": "string", "format": "duration"},
    "datetime": {"type": "string", "format": "date-time"},
}
TYPE_WORDS = (*PRIMITIVES, "null")
# What other languages call them; `_fold`ed.
TYPE_SYNONYMS = {
    "string": "str", "text": "str", "varchar": "str", "integer": "int", "long": "int", "number": "float",
    "double": "float", "decimal": "float", "boolean": "bool", "object": "any", "dict": "any", "mapping": "any",
    "date": "datetime", "time": "datetime", "timestamp": "datetime", "timedelta": "duration", "none": "null",
    "nil": "null", "undefined": "null",
}  # fmt: skip


@record
class Primitive:
    """One of `str int float bool any duration datetime`."""

    name: str


@record
class NullType:
    """Only null."""


@record
class EnumType:
    """One of a few fixed values."""

    values: tuple[Scalar, ...]


@record
class ListType:
    """A list whose items are of one type."""

    item: TypeIR


@record
class FieldType:
    """A field of an object; without a default and not nullable it must be given."""

    type: TypeIR
    has_default: bool = False
    default: PlainData = None
    description: str = ""

    @property
    def is_required(self) -> bool:
        return not self.has_default and not accepts_null(self.type)


@record
class ObjectType:
    """A mapping with these fields and no other."""

    fields: Mapping[str, FieldType] = field(default_factory=dict)


@record
class UnionType:
    """Any of these types, in the order written; at least two."""

    members: tuple[TypeIR, ...]


@record
class ModelType:
    """A model that `imports:` brings in under this name."""

    name: str


@record
class SchemaType:
    """A JSON Schema written out, or `path`, a file of the project that holds one."""

    schema: PlainData = None
    path: str | None = None


TypeIR = Primitive | NullType | EnumType | ListType | ObjectType | UnionType | ModelType | SchemaType
ANY = Primitive("any")


def accepts_null(type_: TypeIR) -> bool:
    """Whether a field of this type may be left out."""
    match type_:
        case NullType() | Primitive("any"):
            return True
        case EnumType(values=values):
            return None in values
        case UnionType(members=members):
            return any(accepts_null(member) for member in members)
        case _:
            return False


def type_to_schema(type_: TypeIR, models: Mapping[str, JsonSchema] | None = None) -> JsonSchema:
    """The type as JSON Schema 2020-12.

    `models` holds the schema of each imported model and, under its path, of each schema file; what is not there becomes
    `{"$ref": "#/$defs/Name"}` and `{}`.
    """
    known = models or {}
    match type_:
        case Primitive(name=name):
            return dict(PRIMITIVES[name])
        case NullType():
            return {"type": "null"}
        case EnumType(values=values):
            return {"enum": list(values)}
        case ListType(item=item):
            return {"type": "array", "items": type_to_schema(item, known)}
        case ObjectType(fields=fields):
            return fields_to_schema(fields, known)
        case UnionType(members=members):
            return _union_to_schema(members, known)
        case ModelType(name=name):
            return known.get(name) or {"$ref": f"#/$defs/{name}"}
        case SchemaType(schema=schema, path=path):
            if path is not None:
                return known.get(path, {})
            return dict(schema) if isinstance(schema, dict) else {}
        case _:
            assert_never(type_)


def fields_to_schema(fields: Mapping[str, FieldType], models: Mapping[str, JsonSchema] | None = None) -> JsonSchema:
    """The schema of an object with exactly these fields."""
    properties: JsonSchema = {}
    for name, spec in fields.items():
        schema = type_to_schema(spec.type, models)
        if spec.has_default:
            schema["default"] = spec.default
        if spec.description:
            schema["description"] = spec.description
        properties[name] = schema
    result: JsonSchema = {"type": "object", "properties": properties, "additionalProperties": False}
    required = [name for name, spec in fields.items() if spec.is_required]
    if required:
        result["required"] = required
    return result


def _union_to_schema(members: tuple[TypeIR, ...], models: Mapping[str, JsonSchema]) -> JsonSchema:
    schemas = [type_to_schema(member, models) for member in members]
    if all(set(schema) == {"type"} for schema in schemas):
        return {"type": [schema["type"] for schema in schemas]}
    return {"anyOf": schemas}


def type_to_text(type_: TypeIR) -> str:
    """The type in the shorthand, for messages."""
    match type_:
        case Primitive(name=name) | ModelType(name=name):
            return name
        case NullType():
            return "null"
        case EnumType(values=values):
            return " | ".join("null" if value is None else str(value) for value in values)
        case ListType(item=item):
            return f"[{type_to_text(item)}]"
        case ObjectType(fields=fields):
            return "{" + ", ".join(f"{name}: {type_to_text(spec.type)}" for name, spec in fields.items()) + "}"
        case UnionType(members=members):
            return " | ".join(type_to_text(member) for member in members)
        case SchemaType(path=path):
            return f"schema {path}" if path else "a JSON Schema"
        case _:
            assert_never(type_)


def conforms(value: PlainData, type_: TypeIR) -> bool:
    """Whether plain data is of a type, as far as it is known here: models and schemas accept everything."""
    match type_:
        case Primitive(name=name):
            return _is_primitive(value, name)
        case NullType():
            return value is None
        case EnumType(values=values):
            return any(value == v and type(value) is type(v) for v in values)
        case ListType(item=item):
            return isinstance(value, list) and all(conforms(v, item) for v in value)
        case ObjectType(fields=fields):
            if not isinstance(value, dict) or not value.keys() <= fields.keys():
                return False
            return all(conforms(value[n], f.type) if n in value else not f.is_required for n, f in fields.items())
        case UnionType(members=members):
            return any(conforms(value, member) for member in members)
        case ModelType() | SchemaType():
            return True
        case _:
            assert_never(type_)


def _is_primitive(value: PlainData, name: str) -> bool:
    match name:
        case "any":
            return True
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return isinstance(value, str)
