"""The filters and tests: each example of the tables, and the edges."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.expr import ExprError, compile_expr
from orchestrator.expr.filters import FILTERS, documented
from orchestrator.expr.predicates import TESTS

# LANGUAGE.md section 3
PROMISED_FILTERS = """
    abs date default duration first float fromjson int items join keys last length list lower map max min reject
    rejectattr replace round select selectattr sort split sum title tojson trim unique upper urlencode values
""".split()  # noqa: SIM905
PROMISED_TESTS = "in defined none eq ne gt ge lt le string number".split()  # noqa: SIM905


def value(source: str, **scope: Any) -> Any:
    return compile_expr(source).evaluate({"ev": {}, **scope})


def failure(source: str, **scope: Any) -> str:
    with pytest.raises(ExprError) as caught:
        value(source, **scope)
    return caught.value.message


def test_everything_that_the_language_promises_is_there() -> None:
    assert set(PROMISED_FILTERS) <= set(FILTERS)
    assert set(PROMISED_TESTS) <= set(TESTS)


@pytest.mark.parametrize("spec", FILTERS.values(), ids=lambda spec: spec.name)
def test_the_example_of_each_filter_is_true(spec: Any) -> None:
    source, expected = spec.example
    assert value(source) == expected
    assert f"`{spec.signature}`" in documented()


@pytest.mark.parametrize("spec", TESTS.values(), ids=lambda spec: spec.name)
def test_the_example_of_each_test_is_true(spec: Any) -> None:
    source, expected = spec.example
    assert value(source) is expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("l | map(attribute='a.b', default=0)", [1, 0]),
        ("l | selectattr('a.b', 'defined') | length", 1),
        ("l | rejectattr('ok') | map(attribute='n')", [2]),
        ("l | selectattr('n', 'in', [2, 3]) | map(attribute='n')", [2]),
        ("['b', 'A', 'c'] | sort", ["A", "b", "c"]),
        ("['b', 'A'] | sort(case_sensitive=true, reverse=true)", ["b", "A"]),
        ("l | sort(attribute='n', reverse=true) | map(attribute='n')", [2, 1]),
        ("[{'a': 1, 'b': 2}, {'a': 1, 'b': 1}] | sort(attribute='a,b') | map(attribute='b')", [1, 2]),
        ("{'b': 1, 'a': 2} | items | sort", [["a", 2], ["b", 1]]),
        ("[{'a': 1}, {'a': 1}] | unique | length", 1),
        ("['a', 'A'] | unique(true)", ["a", "A"]),
        ("['x', 'y'] | map('upper') | join", "XY"),
        ("['x'] | map('replace', 'x', 'y')", ["y"]),
        ("[1.25, 2.35] | map('round', 1)", [1.2, 2.4]),
        ("l | min(attribute='n') == l[0]", True),
        ("[3, 1] | max", 3),
        ("'42.9' | int", 42),
        ("'ff' | int(base=16)", 255),
        ("'x' | int(0)", 0),
        ("null | int(default=null)", None),
        ("' 1.5 ' | float", 1.5),
        ("2.5 | round", 2),
        ("2.1 | round(method='ceil')", 3),
        ("2.19 | round(1, 'floor')", 2.1),
        ("'a,b,c' | split(',', 1)", ["a", "b,c"]),
        ("' a  b ' | split", ["a", "b"]),
        ("'xxaxx' | trim('x')", "a"),
        ("'a.a.a' | replace('.', '-', 1)", "a-a.a"),
        ("\"it's o'clock (now)\" | title", "It's O'clock (Now)"),
        ("'one two three' | truncate(7, true, '', 0)", "one two"),
        ("{'q': 'a b', 'n': 1} | urlencode", "q=a+b&n=1"),
        ("{'a': [1, {'b': null}]} | tojson | fromjson", {"a": [1, {"b": None}]}),
        ("'{}' | fromjson", {}),
        ("[1, 2, 3] | reverse", [3, 2, 1]),
        ("'abc' | last", "c"),
        ("[0, 1, '', 'a'] | select", [1, "a"]),
        ("[[1, 2], [3]] | map('length') | sum", 3),
        ("'2h' | duration('m')", 120),
        ("'PT1H30M' | duration", "90m"),
        ("0.25 | duration", "250ms"),
        ("0 | duration", "0s"),
        ("'1.5h' | duration('s')", 5400),
        ("0 | date('%F %T %z')", "1970-01-01 00:00:00 +0000"),
        ("'2026-03-05T07:08:09+02:00' | date('%-d %B %Y, %A, %I:%M %p %j %V')", "5 March 2026, Thursday, 05:08 AM 064 10"),
        ("'2026-07-01T12:00:00' | date('%H:%M %Z', timezone='America/New_York')", "08:00 EDT"),
    ],
)  # fmt: skip
def test_filters_do_what_the_table_says(source: str, expected: Any) -> None:
    rows = [{"n": 1, "ok": True, "a": {"b": 1}}, {"n": 2, "ok": False}]
    assert value(source, l=rows) == expected


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("'x' | int", "found 'x' where a whole number should be"),
        ("null | float", "found null where a number should be"),
        ("'nan' | float", "where a number should be"),
        ("[1, 'a'] | sort", "compares numbers with numbers or texts with texts"),
        ("[{}] | sort", "an item is an object"),
        ("['a'] | sum", "`sum` adds numbers"),
        ("5 | length", "not a number"),
        ("'a' | join", "`join` works on a list, not on text"),
        ("[1] | items", "`items` works on an object, not on a list"),
        ("'[1,' | fromjson", "the text is not JSON"),
        ("'NaN' | fromjson", "the text is not JSON"),
        ("'\"\\\\ud800\"' | fromjson", "half a character"),
        ("'1e999' | fromjson", "not a finite number"),
        ("'x' | date", "needs a moment"),
        ("0 | date('%Q')", "`%Q` is not known"),
        ("0 | date(timezone='../../etc/passwd')", "there is no time zone"),
        ("'soon' | duration", "needs one such as"),
        ("[] | max", "is empty, so it has no max"),
        ("[[]] | map('first')", "an item is empty"),
        ("'a' | abs", "`abs` works on a number"),
        ("null | upper", "works on text, not on null"),
        ("1 | round(99)", "from -15 to 15"),
        ("[{}] | selectattr('x')", "an item has no `x`"),
        ("'a' is divisibleby 2", "needs numbers"),
    ],
)
def test_a_filter_that_cannot_work_says_why(source: str, part: str) -> None:
    assert part in failure(source)
