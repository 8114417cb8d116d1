"""Whether a value fits a JSON Schema: fixed parts are checked as data, expressions by their types.

Only what is surely wrong is an error; a value that may be null where null is not allowed is told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from orchestrator.analysis.places import Path
from orchestrator.expr.schema_types import from_json_schema
from orchestrator.expr.suggest import nearest
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
    Simple,
    TypeT,
    is_nullable,
    members,
    simple_of,
    to_text,
    without_null,
)
from orchestrator.ir.model import Json, Value
from orchestrator.ir.record import record

BOOL_WORDS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_SAME = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "null": "null"}
TypeOf = Callable[[Path, str, int, bool], TypeT]  # path, source, ordinal, whole -> type of an expression


@record
class Misfit:
    """One place where a value does not fit. kind: type, null, unknown (a field), missing (a field); guess: what was meant."""

    kind: str
    path: Path
    message: str
    field: str = ""
    guess: str | None = None


def misfits(value: Value, schema: Json, path: Path, type_of: TypeOf) -> Iterator[Misfit]:
    """Everything in a value that does not fit the schema."""
    if schema is True or schema == {} or not isinstance(schema, dict):
        return
    if isinstance(value, dict) and "$expr" in value:
        yield from _type_misfit(type_of(path, value["$expr"], 0, True), schema, path)
        return
    if isinstance(value, dict) and "$text" in value:
        yield from _type_misfit(STR, schema, path)
        return
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        found = [list(misfits(value, option, path, type_of)) for option in options]
        if all(found):
            best = min(found, key=len)
            yield from best if len(options) == 1 or _is_deep(best, path) else [_plain_misfit(value, schema, path)]
        return
    if isinstance(value, dict):
        yield from _object_misfits(value.get("$lit", value), schema, path, type_of)
    elif isinstance(value, list | tuple):
        yield from _list_misfits(value, schema, path, type_of)
    elif not _is_scalar_ok(value, schema):
        yield _plain_misfit(value, schema, path)


def _is_deep(found: list[Misfit], path: Path) -> bool:
    return all(len(misfit.path) > len(path) or misfit.kind in ("unknown", "missing") for misfit in found)


def _plain_misfit(value: Value, schema: Json, path: Path) -> Misfit:
    wanted = from_json_schema(schema)
    return Misfit("type", path, f"{describe(value)} is no {to_text(wanted)}", guess=_meant(value, wanted))


def _meant(value: Value, wanted: TypeT) -> str | None:
    """The value that a misspelt one stands for: a choice, or what other YAML readers take for true and false."""
    if not isinstance(value, str):
        return None
    if without_null(wanted) == BOOL:
        return BOOL_WORDS.get(value.lower())
    if isinstance(inner := without_null(wanted), EnumT):
        return nearest(value, [option for option in inner.values if isinstance(option, str)])
    return None


def _object_misfits(value: dict[str, Value], schema: Json, path: Path, type_of: TypeOf) -> Iterator[Misfit]:
    if not _allows(schema, "object"):
        yield _plain_misfit(value, schema, path)
        return
    properties = schema.get("properties", {})
    extra = schema.get("additionalProperties", True)
    missing = [name for name in schema.get("required", ()) if name not in value]
    for name, item in value.items():
        if name in properties:
            yield from misfits(item, properties[name], (*path, name), type_of)
        elif extra is False:
            guess = nearest(name, missing) or nearest(name, [n for n in properties if n not in value])
            if guess in missing:
                missing.remove(guess)  # one mistake, one message
            yield Misfit("unknown", (*path, name), f"there is no field `{name}`", name, guess)
        elif isinstance(extra, dict):
            yield from misfits(item, extra, (*path, name), type_of)
    for name in missing:
        yield Misfit("missing", path, f"the field `{name}` is missing", name)


def _list_misfits(
    value: list[Value] | tuple[Value, ...], schema: Json, path: Path, type_of: TypeOf
) -> Iterator[Misfit]:
    if not _allows(schema, "array"):
        yield _plain_misfit(value, schema, path)
        return
    items = schema.get("items", True)
    for n, item in enumerate(value):
        yield from misfits(item, items, (*path, n), type_of)


def _allows(schema: Json, kind: str) -> bool:
    if "enum" in schema or "const" in schema:
        return False
    named = schema.get("type")
    if named is None:
        return True
    return kind in named if isinstance(named, list) else named == kind


def _is_scalar_ok(value: Value, schema: Json) -> bool:
    if "enum" in schema:
        return any(value == option and isinstance(value, bool) == isinstance(option, bool) for option in schema["enum"])
    if "const" in schema:
        return bool(value == schema["const"])
    named = schema.get("type")
    if named is None:
        return "properties" not in schema
    kinds = named if isinstance(named, list) else [named]
    match value:
        case None:
            return "null" in kinds
        case bool():
            return "boolean" in kinds
        case int():
            return "integer" in kinds or "number" in kinds
        case float():
            return "number" in kinds or ("integer" in kinds and value.is_integer())
        case _:
            return "string" in kinds


def _type_misfit(found: TypeT, schema: Json, path: Path) -> Iterator[Misfit]:
    if found == ANY or (found.__class__ is Simple and _SAME.get(found.name) == schema.get("type")):
        return
    wanted = from_json_schema(schema)
    if found == ANY or wanted == ANY:
        return
    inner = without_null(found)
    if found == NULL or not may_fit(inner, wanted):
        if found == NULL and is_nullable(wanted):
            return
        yield Misfit("type", path, f"this is {to_text(found)}, not {to_text(wanted)}")
    elif is_nullable(found) and not is_nullable(wanted):
        yield Misfit("null", path, f"this may be null, and {to_text(wanted)} may not")


def may_fit(found: TypeT, wanted: TypeT) -> bool:
    """Whether some value of one type is one of the other."""
    return any(_pair_fits(one, two) for one in members(found) for two in members(wanted))


def _pair_fits(found: TypeT, wanted: TypeT) -> bool:
    if wanted == ANY or found in (ANY, wanted):
        return True
    texts = (STR, DURATION, DATETIME)
    match found, wanted:
        case EnumT(values=mine), EnumT(values=theirs):
            return any(value in theirs for value in mine)
        case EnumT(values=mine), _:
            return any(_pair_fits(simple_of(value), wanted) for value in mine)
        case _, EnumT(values=theirs):
            return any(_pair_fits(found, simple_of(value)) for value in theirs)
        case ListT(item=mine_item), ListT(item=their_item):
            return may_fit(mine_item, their_item)
        case ObjectT(), ObjectT():
            return _objects_fit(found, wanted)
        case _:
            if found in texts and wanted in texts:
                return True
            return found in (INT, FLOAT) and wanted in (INT, FLOAT)


def _objects_fit(found: ObjectT, wanted: ObjectT) -> bool:
    for name, kind in wanted.fields.items():
        mine = found.fields.get(name)
        if mine is None:
            if name not in wanted.optional and not found.is_open:
                return False
        elif not may_fit(mine, kind):
            return False
    return wanted.is_open or found.is_open or all(name in wanted.fields for name in found.fields)


def describe(value: Value) -> str:
    """A fixed value in a message."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value}"' if len(value) <= 40 else f'"{value[:37]}…"'
        case int() | float():
            return str(value)
        case list() | tuple():
            return "a list"
        case _:
            return "a mapping"
