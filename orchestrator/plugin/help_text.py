"""A callable's help as text: for `plugin docs`, `plugin show`, editor hover and the plugins page. One source for all."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from orchestrator.plugin.info import CallableInfo, Json

_WORDS = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "null",
    "object": "object",
    "array": "list",
}
_FORMATS = {"duration": "duration", "date-time": "datetime", "secret": "secret"}
MAX_DEPTH = 4


def type_text(schema: Json, defs: Json = None, depth: int = 0) -> str:
    """A schema in the words of the flow language: `str | null`, `[int]`, `{a: str, b?: int}`."""
    defs = defs if defs is not None else (schema.get("$defs", {}) if isinstance(schema, dict) else {})
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return "any"
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return type_text(defs.get(name, {}), defs, depth + 1)
    if "const" in schema:
        return _literal(schema["const"])
    if "enum" in schema:
        return " | ".join(_literal(value) for value in schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " | ".join(dict.fromkeys(type_text(part, defs, depth) for part in schema[key]))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_WORDS.get(k, "any") for k in kind)
    if kind == "array":
        return f"[{type_text(schema.get('items', {}), defs, depth + 1)}]"
    if kind == "object" and schema.get("properties"):
        required = schema.get("required", ())
        fields = (
            f"{name}{'' if name in required else '?'}: {type_text(part, defs, depth + 1)}"
            for name, part in schema["properties"].items()
        )
        return "{" + ", ".join(fields) + "}"
    return str(_FORMATS.get(schema.get("format", ""), _WORDS.get(str(kind), "any")))


def callable_markdown(info: CallableInfo, *, level: int = 2) -> str:
    """Everything about one callable as Markdown."""
    lines = [f"{'#' * level} `{info.name}`", "", info.doc or "No help.", ""]
    if info.fields:
        lines += ["| field | type | default | |", "|---|---|---|---|", *_field_rows(info), ""]
    lines += [f"**Result** `{_cell(result_text(info))}`", ""]
    promises = list(_promises(info))
    if promises:
        lines += [" · ".join(promises), ""]
    for example in info.examples:
        lines += ["```yaml", f"call: {info.name}", "with:"]
        lines += [f"  {name}: {json.dumps(value, ensure_ascii=False)}" for name, value in example.inputs.items()]
        lines += [f"# result: {json.dumps(example.result, ensure_ascii=False)}"] if example.has_result else []
        lines += ["```", ""]
    return "\n".join(lines).rstrip() + "\n"


def plugin_markdown(namespace: str, doc: str, infos: Iterable[CallableInfo]) -> str:
    """The page of one plugin."""
    parts = [f"# {namespace}\n", f"{doc}\n" if doc else ""]
    parts += [callable_markdown(info) for info in sorted(infos, key=lambda i: i.name)]
    return "\n".join(part for part in parts if part)


def result_text(info: CallableInfo) -> str:
    """What a callable gives: a type, or the events it may emit."""
    if info.events:
        return " | ".join(f"{event.name} {type_text(event.schema)}" for event in info.events)
    return type_text(info.result_schema)


def _field_rows(info: CallableInfo) -> Iterable[str]:
    defs = info.input_schema.get("$defs", {})
    for name, schema in info.fields.items():
        default = (
            "required" if name in info.required else f"`{_literal(schema['default'])}`" if "default" in schema else ""
        )
        yield f"| `{name}` | `{_cell(type_text(schema, defs))}` | {default} | {_cell(str(schema.get('description', '')))} |"


def _promises(info: CallableInfo) -> Iterable[str]:
    if info.errors:
        yield "**Errors** " + ", ".join(f"`{code}`" for code in info.errors)
    if info.effect == "none":
        yield "**no effect outside**"
    elif info.effect == "at_most_once":
        yield "**at most once**"
    if info.is_idempotent is False:
        yield "**not idempotent**: give the step an `id`"
    if info.secrets:
        yield "**Secrets** " + ", ".join(f"`{name}`" for name in info.secrets)
    if info.hosts:
        yield "**Hosts** " + ", ".join(f"`{host}`" for host in info.hosts)


def _literal(value: Any) -> str:  # any JSON value
    return value if isinstance(value, str) and value.isidentifier() else json.dumps(value, ensure_ascii=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
