"""JSON Schema: what is refused, what is checked, and that nothing hangs or goes out."""

from __future__ import annotations

import time
from typing import Any

import pytest

from orchestrator.plugin.pattern_guard import pattern_problem
from orchestrator.plugin.schema_check import SchemaRefused, compile_schema
from orchestrator.plugin.shorthand import is_json_schema, schema_of


def problems(schema: Any, value: Any) -> list[str]:
    return [str(p) for p in compile_schema(schema).problems(value)]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"items": [{"n": 1}]}, []),
        ({"items": [{"n": "x"}]}, [".items[0].n: must be integer, not string"]),
        ({"items": [{}]}, [".items[0]: 'n' is missing"]),
        ({"items": [{"n": 1, "m": 2, "o": 3}]}, [".items[0]: unknown fields m, o"]),
        ({"items": [], "kind": "c"}, ['.kind: must be one of "a", "b"']),
        ({"items": 3, "kind": None}, [".items: must be array, not integer", '.kind: must be one of "a", "b"']),
        ({"items": [{"n": True}]}, [".items[0].n: must be integer, not boolean"]),
    ],
)
def test_every_place_that_does_not_fit_is_named(value: Any, wanted: list[str]) -> None:
    item = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    schema = {"properties": {"items": {"type": "array", "items": {"$ref": "#/$defs/i"}}, "kind": {"enum": ["a", "b"]}}}
    assert problems(schema | {"$defs": {"i": item}}, value) == wanted


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "http://127.0.0.1:1/x"}, "leads out of the schema"),
        ({"$ref": "file:///etc/passwd"}, "leads out of the schema"),
        ({"properties": {"a": {"$ref": "other.json"}}}, "leads out of the schema"),
        ({"$dynamicRef": "http://x/"}, "leads out of the schema"),
        ({"$ref": "#/$defs/none"}, "leads nowhere"),
        ({"a": {"$id": "http://x/"}}, '"$id" inside'),
        ({"pattern": "(a+)+$"}, "repeats a repeat"),
        ({"patternProperties": {"(?=a)": {}}}, "looks ahead"),
        ({"pattern": "("}, "not a regular expression"),
        ({"type": "strng"}, "not JSON Schema"),
        ({"minimum": float("nan")}, "not JSON"),
        ({"x": {1, 2}}, "not JSON"),
        ({"anyOf": [{}] * 6000}, "more than 5000"),
    ],
)
def test_a_schema_that_could_do_harm_is_refused(schema: Any, words: str) -> None:
    with pytest.raises(SchemaRefused) as refused:
        compile_schema(schema)
    assert words in str(refused.value)


def test_a_schema_nested_too_deep_is_refused() -> None:
    schema: Any = {}
    for _ in range(100):
        schema = {"items": schema}
    with pytest.raises(SchemaRefused, match="deeper than 64"):
        compile_schema(schema)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "nan is not a JSON number"),
        ({"a": [float("inf")]}, "inf"),
        ("\ud800", "surrogate"),
        (2**63, "64 bits"),
        ({1: 2}, "key 1 is not text"),
        ({"a": object()}, "a object is not a JSON value"),
        ([0] * 200_000, "more than 100000 parts"),
    ],
)
def test_a_value_that_is_no_json_is_refused_under_any_schema(value: Any, words: str) -> None:
    assert words in problems({}, value)[0]


def test_a_value_nested_too_deep_is_refused() -> None:
    value: Any = 1
    for _ in range(5000):
        value = [value]
    assert "nested deeper" in problems({}, value)[0]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "^(a|b|ab)*c$"}, "ab" * 50_000),
        ({"pattern": "^a*a*a*a*a*b$"}, "a" * 50_000),
        ({"uniqueItems": True}, [{"a": i} for i in range(20_000)]),
        ({"$ref": "#"}, 1),
        ({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}, 1),
    ],
)
def test_no_check_takes_for_ever(schema: Any, value: Any) -> None:
    began = time.process_time()
    try:
        compile_schema(schema).problems(value)
    except SchemaRefused:
        pass
    assert time.process_time() - began < 5


def test_a_schema_whose_branches_double_is_stopped() -> None:
    defs = {f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}, {"$ref": f"#/$defs/d{i + 1}"}]} for i in range(18)}
    found = problems({"$defs": defs | {"d18": {"type": "string"}}, "$ref": "#/$defs/d0"}, 1)
    assert "more than 20005 steps" in found[0]


def test_unique_items_knows_that_one_is_one_point_zero_and_not_true() -> None:
    assert problems({"uniqueItems": True}, [1, 1.0]) == ["the list has the same item twice"]
    assert problems({"uniqueItems": True}, [1, True, "1", {"a": 1}, {"a": 2}]) == []


@pytest.mark.parametrize(
    "pattern", ["^[a-z]+(-[a-z]+)*$", r"^\d{4}-\d{2}$", "(foo|bar)+", "^[^@]+@[^@]+$", r"(\w+\s)*x", "a{2,5}"]
)
def test_plain_patterns_pass(pattern: str) -> None:
    assert pattern_problem(pattern) is None


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+",
        "(a*)*",
        "(a|aa)+$",
        r"(\w+\d*)+",
        "(?!x)a",
        "(?<=x)a",
        r"(a)\1",
        "(.*)*",
        "(a{1,50}){1,50}",
        "(",
        "a" * 2000,
        "(x+x+)+y",
    ],
)
def test_exploding_patterns_are_refused(pattern: str) -> None:
    assert pattern_problem(pattern) is not None


@pytest.mark.parametrize(
    ("short", "schema"),
    [
        ("str", {"type": "string"}),
        ("a | b", {"type": "string", "enum": ["a", "b"]}),
        ("str | null", {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (["int"], {"type": "array", "items": {"type": "integer"}}),
        ({"type": "int", "default": 3}, {"type": "integer", "default": 3}),
        ({"schema": {"type": "string"}}, {"type": "string"}),
    ],
)
def test_shorthand_becomes_json_schema(short: Any, schema: Any) -> None:
    assert schema_of(short) == schema


def test_an_object_wants_what_is_neither_optional_nor_has_a_default() -> None:
    schema = schema_of({"a": "str", "b": "str | null", "c": {"type": "int", "default": 1}, "type": "str"})
    assert schema["required"] == ["a", "type"]
    assert schema["additionalProperties"] is False


def test_an_object_with_a_field_named_type_is_written_with_fields() -> None:
    assert schema_of({"fields": {"type": "str"}})["properties"] == {"type": {"type": "string"}}


@pytest.mark.parametrize("wrong", ["strng", "itn | null", ["a", "b"], 7, "a | ", {"a": ["x"]}])
def test_a_wrong_shorthand_says_where(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"^schema"):
        schema_of(wrong)


@pytest.mark.parametrize(
    "schema", [True, {"type": "object"}, {"type": ["string", "null"]}, {"$ref": "#"}, {"enum": [1]}, {"const": 1}]
)
def test_json_schema_is_taken_as_it_is(schema: Any) -> None:
    assert is_json_schema(schema)
    assert schema_of(schema) is schema
