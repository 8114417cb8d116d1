"""`data.*`: small pure functions over JSON values: read, write, choose, reshape."""

from __future__ import annotations

import csv as csv_format
import io
import json as json_format
import re
from typing import Annotated, Any, Literal

from pydantic import Field

from orchestrator.plugin import Plugin, StepError, check_value, parse_json

Json = Any  # plain JSON
Row = dict[str, Json]
Rows = Annotated[list[Row], Field(description="A list of objects.")]
DottedPath = Annotated[str, Field(description="A field, or a.b.0 for a field inside.", min_length=1)]
MISSING = object()
_INDEX = re.compile("[0-9]{1,9}")
Delimiter = Annotated[str, Field(pattern=r"^[^\r\n\"]$", description="One character, no quote or line break.")]
plugin = Plugin("data", doc="Work with JSON and CSV.")


@plugin.step(
    errors=("data.invalid",), effect="none", inline=True, examples=[{"with": {"text": '{"a": 1}'}, "result": {"a": 1}}]
)
def json(text: Annotated[str, Field(description="JSON text.")]) -> Json:
    """Read JSON; NaN, double keys and broken text are errors."""
    try:
        return parse_json(text)
    except ValueError as problem:
        raise StepError("data.invalid", f"this is not JSON: {problem}") from None


@plugin.step(effect="none", inline=True, examples=[{"with": {"value": [1, None]}, "result": "[1, null]"}])
def dump(
    value: Annotated[Json, Field(description="Any value.")],
    indent: Annotated[int | None, Field(ge=0, le=8, description="Spaces for each level; without it one line.")] = None,
) -> str:
    """Write a value as JSON text."""
    return json_format.dumps(value, ensure_ascii=False, indent=indent)


@plugin.step(
    errors=("data.invalid",),
    effect="none",
    inline=True,
    examples=[{"with": {"text": "a,b\n1,x\n"}, "result": [{"a": "1", "b": "x"}]}],
)
def csv(
    text: Annotated[str, Field(description="CSV text with a header line.")],
    delimiter: Delimiter = ",",
    columns: Annotated[list[str] | None, Field(description="Names, if the first line has none.")] = None,
) -> list[dict[str, str | None]]:
    """Read CSV into a list of objects; a line with too many cells is an error."""
    reader = csv_format.DictReader(io.StringIO(text.removeprefix("\ufeff")), columns, delimiter=delimiter, restkey="")
    rows = []
    try:
        for row in reader:
            if "" in row and isinstance(row[""], list):
                raise StepError("data.invalid", f"line {reader.line_num} has more cells than the header has names")
            rows.append(dict(row))
    except csv_format.Error as problem:
        raise StepError("data.invalid", f"line {reader.line_num} is not CSV: {problem}") from None
    return rows


@plugin.step(
    effect="none", inline=True, examples=[{"with": {"rows": [{"a": 1, "b": "x,y"}]}, "result": 'a,b\r\n1,"x,y"\r\n'}]
)
def to_csv(
    rows: Rows,
    columns: Annotated[list[str] | None, Field(description="Which fields, in which order; default all.")] = None,
    delimiter: Delimiter = ",",
) -> str:
    """Write a list of objects as CSV. A cell that a spreadsheet would run as a formula gets a `'` in front."""
    names = columns or list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv_format.writer(out, delimiter=delimiter)
    writer.writerow(names)
    writer.writerows([[_cell(row.get(name)) for name in names] for row in rows])
    return out.getvalue()


@plugin.step(
    effect="none",
    inline=True,
    examples=[
        {
            "with": {
                "items": [{"n": 2, "ok": True}, {"n": 1, "ok": True}, {"n": 3}],
                "where": {"ok": True},
                "sort": "n",
            },
            "result": [{"n": 1, "ok": True}, {"n": 2, "ok": True}],
        }
    ],
)
def select(
    items: Annotated[list[Json], Field(description="The list to choose from.")],
    where: Annotated[
        Row | None, Field(description="Fields (a.b goes inside) and the value, or list of values, they must have.")
    ] = None,
    sort: Annotated[str | None, Field(description="Field to sort by; -field for the other way round.")] = None,
    unique: Annotated[str | None, Field(description="Keep the first item for each value of this field.")] = None,
    limit: Annotated[int | None, Field(ge=0, description="Keep at most so many.")] = None,
) -> list[Json]:
    """Choose items of a list: filter, sort, drop doubles, cut, in this order."""
    found = [item for item in items if all(_fits(find(item, path), want) for path, want in (where or {}).items())]
    if sort is not None:
        path = sort.removeprefix("-")
        found.sort(key=lambda item: _rank(find(item, path)), reverse=sort.startswith("-"))
    if unique is not None:
        kept: dict[str, Json] = {}
        for item in found:
            kept.setdefault(_key(find(item, unique)), item)
        found = list(kept.values())
    return found if limit is None else found[:limit]


@plugin.step(
    errors=("data.missing",),
    effect="none",
    inline=True,
    examples=[{"with": {"value": {"a": {"b": [1, 2]}}, "fields": {"x": "a.b.1"}}, "result": {"x": 2}}],
)
def pick(
    value: Annotated[Json, Field(description="An object, or a list of objects that are all treated so.")],
    fields: Annotated[
        list[str] | dict[str, str], Field(description="Fields to keep, or new names and where to find them.")
    ],
    missing: Annotated[
        Literal["error", "null", "skip"], Field(description="What happens without the field.")
    ] = "error",
) -> Json:
    """Take some fields out of an object, under their own or new names."""
    if isinstance(value, list):
        return [pick(inner, fields, missing) for inner in value]
    paths = fields if isinstance(fields, dict) else {name: name for name in fields}
    found: Row = {}
    for name, path in paths.items():
        inner = find(value, path)
        if inner is not MISSING:
            found[name] = inner
        elif missing == "error":
            raise StepError("data.missing", f'there is no "{path}" in the value')
        elif missing == "null":
            found[name] = None
    return found


@plugin.step(
    effect="none",
    inline=True,
    examples=[{"with": {"values": [{"a": {"b": 1}}, {"a": {"c": 2}}]}, "result": {"a": {"b": 1, "c": 2}}}],
)
def merge(
    values: Annotated[list[Row | None], Field(description="Objects; later ones win, null ones are left out.")],
    deep: Annotated[bool, Field(description="Also merge objects inside.")] = True,
) -> Row:
    """Merge objects into one."""
    merged: Row = {}
    for value in values:
        merged = _merge(merged, value or {}) if deep else merged | (value or {})
    return merged


@plugin.step(
    effect="none",
    inline=True,
    examples=[
        {
            "with": {"items": [{"k": "a"}, {"k": "b"}, {"k": "a"}], "by": "k"},
            "result": {"a": [{"k": "a"}, {"k": "a"}], "b": [{"k": "b"}]},
        }
    ],
)
def group(items: Annotated[list[Json], Field(description="The list.")], by: DottedPath) -> dict[str, list[Json]]:
    """Group the items of a list by a field; items without it are under an empty name."""
    groups: dict[str, list[Json]] = {}
    for item in items:
        value = find(item, by)
        name = "" if value is MISSING or value is None else value if isinstance(value, str) else _key(value)
        groups.setdefault(name, []).append(item)
    return groups


@plugin.step(
    errors=("data.invalid",),
    effect="none",
    inline=True,
    examples=[{"with": {"value": {"n": 1}, "schema": {"n": "int"}}, "result": {"n": 1}}],
)
def check(
    value: Annotated[Json, Field(description="The value to check.")],
    schema: Annotated[Json, Field(description="Its type: shorthand such as {n: int}, or JSON Schema.")],
) -> Json:
    """Give a value back if it fits a type, and fail with every place that does not."""
    problems = check_value(schema, value)
    if problems:
        raise StepError("data.invalid", "; ".join(problems[:5]), details=list(problems))
    return value


def find(value: Json, path: str) -> Json:
    """What stands at a dotted path; MISSING if nothing does. A whole name with dots in it is tried first."""
    if isinstance(value, dict) and path in value:
        return value[path]
    for part in path.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and _INDEX.fullmatch(part) and int(part) < len(value):
            value = value[int(part)]
        else:
            return MISSING
    return value


def _fits(value: Json, want: Json) -> bool:
    if isinstance(want, list) and not isinstance(value, list):
        return any(_fits(value, one) for one in want)
    return value is not MISSING and value == want and isinstance(value, bool) == isinstance(want, bool)


def _rank(value: Json) -> tuple[int, Json]:
    """Numbers before texts before the rest, so that mixed lists can be sorted."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 2, 0
    return (1, value) if isinstance(value, str) else (0, value)


def _key(value: Json) -> str:
    return "" if value is MISSING else json_format.dumps(value, sort_keys=True, ensure_ascii=False)


def _merge(first: Row, second: Row) -> Row:
    merged = dict(first)
    for name, value in second.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merge(merged[name], value) if both else value
    return merged


def _cell(value: Json) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json_format.dumps(value, ensure_ascii=False)
    return f"'{text}" if isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
