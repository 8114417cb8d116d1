"""The table of filters: name, what it takes and gives, parameters, meaning and an example that a test runs.

The parser checks names and arguments against it, the evaluator calls `run`, the checker knows the types by `takes`
and, in `filter_types`, by name. `form` says how the evaluator must call it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from orchestrator.expr import filter_lists as lists
from orchestrator.expr import filter_text as text
from orchestrator.expr.operators import MISSING


class Required:
    """The type of `REQUIRED`: the parameter has no default."""

    __slots__ = ()


REQUIRED: Final = Required()


class Form(Enum):
    """How a filter is evaluated."""

    PLAIN = "plain"  # run(fuel, value, *arguments)
    SOFT = "soft"  # the same, and the result may be MISSING
    DEFAULT = "default"  # looks whether its value is there at all
    MAP = "map"  # per item: a field, or another filter
    SELECT = "select"  # per item: a test
    SELECT_ATTR = "selectattr"  # per item: a test of a field


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of a filter or test; a constant one must be written out (a field's or filter's name)."""

    name: str
    default: Any = REQUIRED  # a plain value, or MISSING for "nothing"
    is_constant: bool = False
    is_keyword: bool = False  # only by name


@dataclass(frozen=True, slots=True)
class FilterSpec:
    """One filter. `takes` and `gives` are words for the documentation; `takes` is also what the checker goes by."""

    name: str
    takes: str
    gives: str
    summary: str
    example: tuple[str, Any]  # a source and the plain value it gives
    run: Callable[..., Any]
    params: tuple[Param, ...] = ()
    form: Form = Form.PLAIN
    is_variadic: bool = False

    @property
    def signature(self) -> str:
        """`round(precision=0, method='common')`."""
        shown = [p.name if p.default in (REQUIRED, MISSING) else f"{p.name}={_word(p.default)}" for p in self.params]
        shown += ["…"] if self.is_variadic else []
        return f"{self.name}({', '.join(shown)})" if shown else self.name


def _word(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else json.dumps(value)


_ATTRIBUTE = Param("attribute", None, is_constant=True)
_CASE = Param("case_sensitive", False)


def _unused(*_: Any) -> Any:
    raise AssertionError("the evaluator handles this filter itself")


def _date(*args: Any) -> str:
    from orchestrator.expr.filter_time import date  # its imports cost more than all else here

    return date(*args)


def _duration(*args: Any) -> Any:
    from orchestrator.expr.filter_time import duration

    return duration(*args)


_TEXT = (
    FilterSpec(
        "capitalize",
        "text",
        "text",
        "First letter upper case, the rest lower.",
        ("'aB' | capitalize", "Ab"),
        text.capitalize,
    ),
    FilterSpec(
        "date",
        "datetime",
        "text",
        "A moment by a format of `%` letters, in a time zone.",
        ("'2026-12-01T09:05:00Z' | date('%d.%m.%Y %H:%M', 'Europe/Berlin')", "01.12.2026 10:05"),
        _date,
        (Param("format", "%Y-%m-%d"), Param("timezone", "UTC")),
    ),
    FilterSpec(
        "duration",
        "duration",
        "duration",
        "Seconds or a duration as the shortest duration text; with a unit (ms s m h d) as a number of it.",
        ("5400 | duration", "90m"),
        _duration,
        (Param("unit", None),),
    ),
    FilterSpec(
        "fromjson",
        "text",
        "any",
        "The data that a JSON text holds.",
        ("'[1, true]' | fromjson", [1, True]),
        text.fromjson,
    ),
    FilterSpec("lower", "text", "text", "All letters lower case.", ("'AB' | lower", "ab"), text.lower),
    FilterSpec(
        "replace",
        "text",
        "text",
        "Every `old` replaced by `new`, or the first `count`.",
        ("'a-b' | replace('-', '_')", "a_b"),
        text.replace,
        (Param("old"), Param("new"), Param("count", None)),
    ),
    FilterSpec(
        "split",
        "text",
        "list of text",
        "The parts between separators; without one, between spaces.",
        ("'a,b' | split(',')", ["a", "b"]),
        text.split,
        (Param("separator", None), Param("maxsplit", -1)),
    ),
    FilterSpec(
        "string", "any", "text", "The value as it would stand in text.", ("true | string", "true"), text.to_string
    ),
    FilterSpec(
        "title", "text", "text", "Every word with an upper case letter first.", ("'ab CD' | title", "Ab Cd"), text.title
    ),
    FilterSpec(
        "tojson",
        "any",
        "text",
        "The value as JSON.",
        ("{'a': null} | tojson", '{"a": null}'),
        text.tojson,
        (Param("indent", None),),
    ),
    FilterSpec(
        "trim",
        "text",
        "text",
        "Without spaces (or `chars`) at both ends.",
        ("' a ' | trim", "a"),
        text.trim,
        (Param("chars", None),),
    ),
    FilterSpec(
        "truncate",
        "text",
        "text",
        "Cut to a length at a word, with `end` after it.",
        ("'one two three' | truncate(8, leeway=0)", "one..."),
        text.truncate,
        (Param("length", 255), Param("killwords", False), Param("end", "..."), Param("leeway", 5)),
    ),
    FilterSpec("upper", "text", "text", "All letters upper case.", ("'ab' | upper", "AB"), text.upper),
    FilterSpec(
        "urlencode",
        "any",
        "text",
        "Percent-encoded for a URL (`/` stays); an object becomes a query.",
        ("'a b/c?' | urlencode", "a%20b/c%3F"),
        text.urlencode,
    ),
)

_NUMBERS = (
    FilterSpec("abs", "number", "number", "Without its sign.", ("(-3) | abs", 3), text.absolute),
    FilterSpec(
        "float",
        "any",
        "float",
        "A number of the value; fails on anything else unless a default is given.",
        ("'1.5' | float", 1.5),
        text.to_float,
        (Param("default", MISSING),),
    ),
    FilterSpec(
        "int",
        "any",
        "int",
        "A whole number of the value; fails on anything else unless a default is given.",
        ("'42' | int", 42),
        text.to_integer,
        (Param("default", MISSING), Param("base", 10)),
    ),
    FilterSpec(
        "round",
        "number",
        "number",
        "Rounded to `precision` digits; `method` is common, ceil or floor.",
        ("2.345 | round(1)", 2.3),
        text.round_number,
        (Param("precision", 0), Param("method", "common")),
    ),
)

_LISTS = (
    FilterSpec(
        "default",
        "any",
        "any",
        "The value, or the first argument where it is not there or null (with `true`: or empty).",
        ("null | default('x')", "x"),
        _unused,
        (Param("default_value", ""), Param("boolean", False)),
        Form.DEFAULT,
    ),
    FilterSpec("first", "list or text", "item", "The first item.", ("[1, 2] | first", 1), lists.first, (), Form.SOFT),
    FilterSpec(
        "items", "object", "list", "The [key, value] pairs of an object.", ("{'a': 1} | items", [["a", 1]]), lists.items
    ),
    FilterSpec(
        "join",
        "list",
        "text",
        "The items as one text, with a separator between them.",
        ("[1, 'b'] | join(', ')", "1, b"),
        lists.join,
        (Param("d", ""), _ATTRIBUTE),
    ),
    FilterSpec("keys", "object", "list of text", "The keys of an object.", ("{'a': 1} | keys", ["a"]), lists.keys),
    FilterSpec("last", "list or text", "item", "The last item.", ("[1, 2] | last", 2), lists.last, (), Form.SOFT),
    FilterSpec(
        "length", "list, object or text", "int", "How many items or characters.", ("[1, 2] | length", 2), lists.length
    ),
    FilterSpec(
        "list",
        "list, object or text",
        "list",
        "A list of the items, keys or characters.",
        ("'ab' | list", ["a", "b"]),
        lists.as_list,
    ),
    FilterSpec(
        "map",
        "list",
        "list",
        "Of each item a field (`attribute='a.b'`), or what a filter makes of it.",
        ("[{'a': 1}] | map(attribute='a')", [1]),
        lists.apply,
        (Param("filter", None, True), Param("attribute", None, True, True), Param("default", MISSING, False, True)),
        Form.MAP,
        True,
    ),
    FilterSpec(
        "max",
        "list",
        "item",
        "The largest item.",
        ("[1, 3, 2] | max", 3),
        lists.largest,
        (_CASE, _ATTRIBUTE),
        Form.SOFT,
    ),
    FilterSpec(
        "min",
        "list",
        "item",
        "The smallest item.",
        ("[1, 3, 2] | min", 1),
        lists.smallest,
        (_CASE, _ATTRIBUTE),
        Form.SOFT,
    ),
    FilterSpec(
        "reject",
        "list",
        "list",
        "The items for which a test does not hold; without one, the empty ones.",
        ("[1, 5] | reject('gt', 2)", [1]),
        lists.reject,
        (Param("test", None, True),),
        Form.SELECT,
        True,
    ),
    FilterSpec(
        "rejectattr",
        "list",
        "list",
        "The items for whose field a test does not hold.",
        ("[{'ok': true}] | rejectattr('ok')", []),
        lists.reject,
        (Param("attribute", is_constant=True), Param("test", None, True)),
        Form.SELECT_ATTR,
        True,
    ),
    FilterSpec("reverse", "list or text", "same", "In reverse order.", ("[1, 2] | reverse", [2, 1]), lists.reverse),
    FilterSpec(
        "select",
        "list",
        "list",
        "The items for which a test holds; without one, those that are not empty.",
        ("[1, 5] | select('gt', 2)", [5]),
        lists.select,
        (Param("test", None, True),),
        Form.SELECT,
        True,
    ),
    FilterSpec(
        "selectattr",
        "list",
        "list",
        "The items for whose field a test holds.",
        ("[{'n': 1}, {'n': 5}] | selectattr('n', 'gt', 2)", [{"n": 5}]),
        lists.select,
        (Param("attribute", is_constant=True), Param("test", None, True)),
        Form.SELECT_ATTR,
        True,
    ),
    FilterSpec(
        "sort",
        "list",
        "list",
        "In order; `attribute` may name several fields with commas.",
        ("[2, 1] | sort", [1, 2]),
        lists.sort,
        (Param("reverse", False), _CASE, _ATTRIBUTE),
    ),
    FilterSpec(
        "sum",
        "list",
        "number",
        "The items added.",
        ("[{'n': 1}, {'n': 2}] | sum('n')", 3),
        lists.total,
        (_ATTRIBUTE, Param("start", 0)),
    ),
    FilterSpec(
        "unique",
        "list",
        "list",
        "Without repeated items; the first of each stays.",
        ("['a', 'A', 'b'] | unique", ["a", "b"]),
        lists.unique,
        (_CASE, _ATTRIBUTE),
    ),
    FilterSpec("values", "object", "list", "The values of an object.", ("{'a': 1} | values", [1]), lists.values),
)

ALIASES: Final = {"count": "length", "d": "default"}
FILTERS: Final[dict[str, FilterSpec]] = {spec.name: spec for spec in (*_TEXT, *_NUMBERS, *_LISTS)}


def find_filter(name: str) -> FilterSpec | None:
    """The filter of that name or alias."""
    return FILTERS.get(ALIASES.get(name, name))


def documented() -> str:
    """The table as Markdown, for the reference."""
    rows = []
    for name in sorted(FILTERS):
        spec = FILTERS[name]
        cells = (f"`{spec.signature}`", spec.takes, spec.gives, spec.summary, f"`{spec.example[0]}`")
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(["| filter | takes | gives | meaning | example |", "|---|---|---|---|---|", *rows, ""])
