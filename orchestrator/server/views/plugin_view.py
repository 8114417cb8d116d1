"""Callables as a page shows them: by plugin, with their parameters, what they give and how they are written. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from orchestrator.server.views.flow_view import fields_text, type_text
from orchestrator.server.views.wording import short

Json = Any  # plain JSON


class Parameter(TypedDict):
    """A field of `with`."""

    name: str
    type: str
    is_required: bool
    default: str
    about: str


class Callable(TypedDict):
    """One callable."""

    name: str
    about: str
    parameters: list[Parameter]
    gives: str
    errors: str
    facts: list[str]
    yaml: str


class Group(TypedDict):
    """The callables of one plugin."""

    name: str
    provider: str
    callables: list[Callable]


def plugin_groups(infos: Iterable[Mapping[str, Json]], text: str = "") -> list[Group]:
    """Callables by the first part of their name; `text` keeps those that have it in name or docs."""
    groups: dict[str, Group] = {}
    for info in infos:
        shown = callable_view(info)
        if text and text.lower() not in f"{shown['name']} {shown['about']}".lower():
            continue
        name = shown["name"].partition(".")[0]
        group = groups.setdefault(name, {"name": name, "provider": str(info.get("provider") or ""), "callables": []})
        group["callables"].append(shown)
    return [groups[name] for name in sorted(groups)]


def callable_view(info: Mapping[str, Json]) -> Callable:
    """One callable for reading."""
    schema = info.get("input") or {}
    schema = schema if isinstance(schema, dict) else {}
    required = schema.get("required") or ()
    parameters: list[Parameter] = [
        {
            "name": name,
            "type": type_text(part),
            "is_required": name in required,
            "default": short(part["default"], 60) if isinstance(part, dict) and part.get("default") is not None else "",
            "about": str(part.get("description") or "") if isinstance(part, dict) else "",
        }
        for name, part in (schema.get("properties") or {}).items()
    ]
    result = info.get("result")
    name = str(info.get("name"))
    return {
        "name": name,
        "about": str(info.get("doc") or "").strip(),
        "parameters": parameters,
        "gives": fields_text(result) or (type_text(result) if result else ""),
        "errors": ", ".join(map(str, info.get("errors") or ())),
        "facts": _facts(info),
        "yaml": yaml_of(name, parameters),
    }


def _facts(info: Mapping[str, Json]) -> list[str]:
    out = []
    if info.get("effect"):
        out.append(f"effect: {info['effect']}")
    for key in ("secrets", "hosts"):
        if info.get(key):
            out.append(f"{key}: {short(info[key], 80)}")
    return out


def yaml_of(name: str, parameters: Iterable[Parameter]) -> str:
    """A step that calls it, to be copied."""
    step = name.rpartition(".")[2].replace("-", "_")
    needed = [p for p in parameters if p["is_required"]]
    lines = [f"{step}:", "  on: Start", f"  call: {name}"]
    if needed:
        lines.append("  with:")
        lines += [f"    {p['name']}: {_sample(p['type'])}" for p in needed]
    return "\n".join(lines)


def _sample(kind: str) -> str:
    match kind:
        case "integer" | "number":
            return "1"
        case "boolean":
            return "true"
        case "object":
            return "{}"
    return "[]" if kind.startswith("[") or kind == "array" else "${{ ev.text }}"
