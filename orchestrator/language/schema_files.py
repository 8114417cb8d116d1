"""The JSON Schema of flow files, for editors: where it lies, and its edition for those that know draft 7 only.

The schema in `schemas/flow.schema.json` is written by hand. The parser is the truth; a property test holds them together.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

DRAFT_07 = "http://json-schema.org/draft-07/schema#"
_RENAMED = {"$defs": "definitions", "dependentRequired": "dependencies", "prefixItems": "items"}
_DATA = frozenset({"default", "const", "enum", "examples", "required", "dependentRequired"})

Json = Any  # JSON as it is


def schema_folder() -> Path:
    """The folder of the schemas: beside the package in a checkout, inside it when installed from a wheel."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "schemas"
    return installed if installed.is_dir() else package.parent / "schemas"


@cache
def flow_schema_text() -> str:
    """The text of the schema of flow files, JSON Schema 2020-12."""
    return (schema_folder() / "flow.schema.json").read_text(encoding="utf-8")


def flow_schema() -> dict[str, Json]:
    """The schema of flow files; a fresh copy, so that a caller may extend it."""
    schema: dict[str, Json] = json.loads(flow_schema_text())
    return schema


def to_draft_07(schema: Json) -> Json:
    """The same schema for draft 7: definitions renamed, and `$ref` alone where draft 7 would ignore its neighbours."""
    converted = _convert(schema)
    if isinstance(converted, dict) and "$schema" in converted:
        converted["$schema"] = DRAFT_07
        if "$id" in converted:
            converted["$id"] = converted["$id"].replace(".schema.json", ".draft-07.schema.json")
    return converted


def _convert(schema: Json) -> Json:
    if isinstance(schema, list):
        return [_convert(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result: dict[str, Json] = {}
    for key, value in schema.items():
        name = _RENAMED.get(key) or key
        if key == "$ref":
            result[key] = value.replace("#/$defs/", "#/definitions/")
        elif key in _DATA:
            result[name] = value
        elif key in ("properties", "patternProperties", "$defs"):
            result[name] = {sub: _convert(part) for sub, part in value.items()}
        else:
            result[name] = _convert(value)
    return _isolate_ref(result)


def _isolate_ref(schema: dict[str, Json]) -> dict[str, Json]:
    """Draft 7 ignores everything beside `$ref`, so the reference moves into `allOf`."""
    if "$ref" not in schema or len(schema) == 1:
        return schema
    rest = {key: value for key, value in schema.items() if key != "$ref"}
    rest["allOf"] = [{"$ref": schema["$ref"]}, *rest.get("allOf", [])]
    return rest


def draft_07_text() -> str:
    """The text of `schemas/flow.draft-07.schema.json`."""
    return json.dumps(to_draft_07(flow_schema()), indent=2, ensure_ascii=False) + "\n"
