"""Forms from JSON Schema: what a page shows for each field, and what a browser sent back as plain JSON. Pure; no HTTP.

The subset that has controls of its own: text, numbers, booleans, enums, lists of text and of choices, each also with null.
Everything else is a field for JSON. What a browser sends is turned into values here and judged by the runtime's own check.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict

from orchestrator.server.views.wording import as_words

Json = Any  # plain JSON
MAX_RADIOS = 5
LONG_NAMES = (
    "note",
    "text",
    "body",
    "comment",
    "reason",
    "description",
    "message",
    "prompt",
    "content",
    "cause",
    "draft",
)


class Choice(TypedDict):
    """One value of an enum; `key` is what the browser sends."""

    key: str
    label: str
    is_chosen: bool


class Field(TypedDict):
    """One control. `control`: text, area, number, checkbox, radios, select, boxes, lines, json."""

    name: str
    id: str
    label: str
    hint: str
    control: str
    is_required: bool
    value: str
    choices: list[Choice]
    step: str
    minimum: str
    maximum: str
    max_length: str
    pattern_hint: str
    error: str


class FormData(Protocol):
    """What a browser sent; Starlette's form has this shape."""

    def getlist(self, key: str, /) -> Sequence[Any]:
        """All values of a name."""
        ...

    def __contains__(self, key: object, /) -> bool: ...


@dataclass(frozen=True, slots=True)
class Filled:
    """A form as sent: the values that could be read, what could not, and the raw texts to fill the form again."""

    values: dict[str, Json]
    errors: dict[str, str]


def fields_of(
    schema: Json,
    *,
    prefix: str = "f",
    skip: Sequence[str] = (),
    values: Mapping[str, Json] | None = None,
    errors: Mapping[str, str] | None = None,
) -> list[Field]:
    """The controls of an object schema, in its order. `values` fill them, `errors` are shown beside them."""
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    required = schema.get("required", ()) if isinstance(schema, dict) else ()
    given, wrong = values or {}, errors or {}
    return [
        _field(name, part, prefix, name in required, given.get(name, _default(part)), wrong.get(name, ""))
        for name, part in properties.items()
        if name not in skip
    ]


def read_form(schema: Json, form: FormData, *, prefix: str = "f", skip: Sequence[str] = ()) -> Filled:
    """The values that a browser sent for an object schema. An empty optional field is left out.

    Returns: values with a text where a value could not be read, and for each of these an error.
    """
    values: dict[str, Json] = {}
    errors: dict[str, str] = {}
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    required = schema.get("required", ()) if isinstance(schema, dict) else ()
    for name, part in properties.items():
        if name in skip:
            continue
        texts = [text for text in form.getlist(f"{prefix}.{name}") if isinstance(text, str)]
        is_known = bool(texts) or f"{prefix}.{name}?" in form
        found = _read(part, texts, is_known, name in required)
        if isinstance(found, _Wrong):
            errors[name] = found.message
            values[name] = found.text
        elif found is not _NOTHING:
            values[name] = found
        elif name in required:
            errors[name] = "this is needed"
    return Filled(values, errors)


def errors_of(problems: Sequence[Any]) -> tuple[dict[str, str], list[str]]:
    """What a schema check found, by field, and what belongs to none. `problems` have a `path` and a `message`."""
    by_field: dict[str, str] = {}
    others: list[str] = []
    for problem in problems:
        name, rest = _first_name(problem.path)
        if not name:
            words = problem.message.split("'")
            if problem.message.endswith("is missing") and len(words) == 3:
                by_field.setdefault(words[1], "this is needed")
            else:
                others.append(problem.message)
            continue
        by_field.setdefault(name, f"{rest}: {problem.message}" if rest else problem.message)
    return by_field, others


def _first_name(path: str) -> tuple[str, str]:
    trimmed = path.lstrip(".")
    for place, char in enumerate(trimmed):
        if char in ".[":
            return trimmed[:place], trimmed[place:]
    return trimmed, ""


class _Nothing:
    pass


_NOTHING = _Nothing()


@dataclass(frozen=True, slots=True)
class _Wrong:
    text: str
    message: str


def control_of(name: str, part: Json) -> str:
    """Which control a schema gets."""
    schema, _ = plain_schema(part)
    enum = schema.get("enum")
    if enum:
        return "radios" if len(enum) <= MAX_RADIOS else "select"
    match schema.get("type"):
        case "boolean":
            return "checkbox"
        case "integer" | "number":
            return "number"
        case "string":
            is_long = schema.get("maxLength", 10_000) > 200 and any(word in name.lower() for word in LONG_NAMES)
            return "area" if is_long else "text"
        case "array":
            items, _ = plain_schema(schema.get("items", {}))
            if items.get("enum"):
                return "boxes"
            return "lines" if items.get("type") == "string" else "json"
    return "json"


def plain_schema(part: Json) -> tuple[dict[str, Json], bool]:
    """A schema without its null, and whether it had one."""
    if not isinstance(part, dict):
        return {}, False
    kinds = part.get("type")
    if isinstance(kinds, list):
        rest = [kind for kind in kinds if kind != "null"]
        has_null = len(rest) < len(kinds)
        plain = {**part, "type": rest[0]} if len(rest) == 1 else {k: v for k, v in part.items() if k != "type"}
        return plain, has_null
    options = part.get("anyOf")
    if isinstance(options, list) and "type" not in part:
        rest = [option for option in options if option != {"type": "null"}]
        if len(rest) == 1 and len(options) == 2 and isinstance(rest[0], dict):
            return {**part, **rest[0], "anyOf": None}, True
    enum = part.get("enum")
    if isinstance(enum, list) and None in enum:
        return {**part, "enum": [value for value in enum if value is not None]}, True
    return part, False


def _default(part: Json) -> Json:
    return part.get("default") if isinstance(part, dict) else None


def _field(name: str, part: Json, prefix: str, is_required: bool, value: Json, error: str) -> Field:
    schema, has_null = plain_schema(part)
    control = control_of(name, part)
    enum = schema.get("enum") or plain_schema(schema.get("items", {}))[0].get("enum") or []
    chosen = value if isinstance(value, list) and control == "boxes" else [value]
    choices: list[Choice] = [
        {"key": _key(option), "label": as_words(str(option)), "is_chosen": option in chosen or _key(option) in chosen}
        for option in enum
    ]
    is_optional = has_null or not is_required
    if is_optional and control in ("radios", "select"):
        is_none = not any(choice["is_chosen"] for choice in choices)
        choices.insert(0, {"key": "", "label": "No answer", "is_chosen": is_none})
    return {
        "name": f"{prefix}.{name}",
        "id": f"{prefix}-{_id(name)}",
        "label": str(schema.get("title") or as_words(name)),
        "hint": str(schema.get("description") or ""),
        "control": control,
        "is_required": is_required and not has_null,
        "value": _text(value, control),
        "choices": choices,
        "step": "1" if schema.get("type") == "integer" else "any",
        "minimum": _number(schema.get("minimum")),
        "maximum": _number(schema.get("maximum")),
        "max_length": _number(schema.get("maxLength")),
        "pattern_hint": _shape_hint(control, schema),
        "error": error,
    }


def _shape_hint(control: str, schema: dict[str, Json]) -> str:
    if control == "lines":
        return "One per line"
    if control != "json":
        return ""
    fields = (plain_schema(schema.get("items", {}))[0] if schema.get("type") == "array" else schema).get("properties")
    names = ", ".join(f'"{name}": …' for name in list(fields or ())[:6])
    if schema.get("type") == "array":
        return f"JSON, such as [{{{names}}}]" if names else "JSON, such as [1, 2]"
    return f"JSON, such as {{{names}}}" if names else "JSON"


def _id(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else f"-{ord(c):x}-" for c in name)


def _number(value: Json) -> str:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _key(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _text(value: Json, control: str) -> str:
    if value is None:
        return ""
    if control == "checkbox":
        return "on" if value is True or value == "on" else ""
    if control == "lines" and isinstance(value, list):
        return "\n".join(str(part) for part in value)
    if isinstance(value, str):
        return value
    return json.dumps(value, indent=2 if control == "json" else None, ensure_ascii=False)


def _read(part: Json, texts: list[str], is_known: bool, is_required: bool) -> Json | _Nothing | _Wrong:
    schema, has_null = plain_schema(part)
    control = control_of("", part)
    nothing: Json | _Nothing = None if has_null and is_required else _NOTHING
    if control == "checkbox":
        return bool(texts and texts[-1]) if is_known else nothing
    if control in ("boxes", "radios", "select"):
        return _read_choices(schema, control, texts, nothing, is_known)
    text = (texts[-1] if texts else "").replace("\r\n", "\n")
    match control:
        case "lines":
            lines = [line.strip() for line in text.split("\n") if line.strip()]
            return lines if lines or is_required else nothing
        case "text" | "area":
            return text if text else nothing
        case "number":
            return _read_number(text, schema, nothing)
    if not text.strip():
        return nothing
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        return _Wrong(text, f"this is not JSON{where}; texts need double quotes")


def _read_choices(
    schema: dict[str, Json], control: str, texts: list[str], nothing: Json | _Nothing, is_known: bool
) -> Json | _Nothing | _Wrong:
    enum = schema.get("enum") or plain_schema(schema.get("items", {}))[0].get("enum") or []
    by_key = {_key(option): option for option in enum}
    if control == "boxes":
        return [by_key.get(text, text) for text in texts] if is_known else nothing
    text = texts[-1] if texts else ""
    return by_key.get(text, text) if text else nothing


def _read_number(text: str, schema: dict[str, Json], nothing: Json | _Nothing) -> Json | _Nothing | _Wrong:
    stripped = text.strip().replace(" ", "")
    if not stripped:
        return nothing
    try:
        if schema.get("type") == "integer":
            return int(stripped)
        value = float(stripped)
        return value if value == value and abs(value) != float("inf") else _Wrong(text, "this is not a number")
    except ValueError:
        return _Wrong(text, "this is not a whole number" if schema.get("type") == "integer" else "this is not a number")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
