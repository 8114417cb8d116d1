"""Forms from JSON Schema: which control a field gets, and what comes back from a browser."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.datastructures import FormData

from orchestrator.plugin.schema_check import compile_schema
from orchestrator.server.views.forms import control_of, errors_of, fields_of, read_form

SCHEMA: Any = {
    "type": "object",
    "required": ["name", "size", "kind"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "size": {"type": "integer", "minimum": 1},
        "kind": {"enum": ["a", "b"]},
        "ratio": {"type": ["number", "null"]},
        "is_new": {"type": "boolean", "default": True},
        "tags": {"type": "array", "items": {"type": "string"}},
        "parts": {"type": "array", "items": {"enum": ["x", "y", "z"]}},
        "more": {"type": "object"},
        "level": {"enum": [1, 2, None]},
    },
}


def read(**sent: Any) -> Any:
    pairs = [(f"f.{name}", v) for name, value in sent.items() for v in (value if isinstance(value, list) else [value])]
    return read_form(SCHEMA, FormData(pairs))


@pytest.mark.parametrize(
    ("name", "schema", "control"),
    [
        ("x", {"type": "string"}, "text"),
        ("notes", {"type": ["string", "null"]}, "area"),
        ("x", {"type": "integer"}, "number"),
        ("x", {"anyOf": [{"type": "number"}, {"type": "null"}]}, "number"),
        ("x", {"type": "boolean"}, "checkbox"),
        ("x", {"enum": ["a", "b"]}, "radios"),
        ("x", {"enum": list("abcdefgh")}, "select"),
        ("x", {"type": "array", "items": {"enum": ["a"]}}, "boxes"),
        ("x", {"type": "array", "items": {"type": "string"}}, "lines"),
        ("x", {"type": "array", "items": {"type": "object"}}, "json"),
        ("x", {"type": "object"}, "json"),
        ("x", True, "json"),
    ],
)
def test_every_schema_has_a_control(name: str, schema: Any, control: str) -> None:
    assert control_of(name, schema) == control


def test_a_form_comes_back_as_values_of_the_schema() -> None:
    sent = {"name": "Ö <b>", "size": "3", "kind": "b", "ratio": "0.5", "tags": "one\r\n\r\n two ", "more": '{"a": [1]}'}
    filled = read(**sent, is_new=["on"], parts=["x", "z"], level="2", **{"parts?": "1", "is_new?": "1"})
    assert filled.errors == {}
    assert filled.values == {
        "name": "Ö <b>",
        "size": 3,
        "kind": "b",
        "ratio": 0.5,
        "is_new": True,
        "tags": ["one", "two"],
        "parts": ["x", "z"],
        "more": {"a": [1]},
        "level": 2,
    }


def test_an_empty_optional_field_is_left_out_and_an_unticked_box_is_false() -> None:
    filled = read(name="n", size="1", kind="a", ratio="", tags="", more=" ", level="", **{"is_new?": "1"})
    assert filled.values == {"name": "n", "size": 1, "kind": "a", "is_new": False}


def test_what_cannot_be_read_is_kept_and_named() -> None:
    filled = read(name="", size="many", kind="c", more="{oops")
    assert filled.errors["size"] == "this is not a whole number"
    assert filled.errors["more"].startswith("this is not JSON (line 1")
    assert filled.errors["name"] == "this is needed"
    fields = {f["label"]: f for f in fields_of(SCHEMA, values=filled.values, errors=filled.errors)}
    assert fields["Size"]["value"] == "many"
    assert fields["More"]["value"] == "{oops"


@pytest.mark.parametrize("text", ["NaN", "Infinity", '{"a": NaN}', "[" * 50_000])
def test_numbers_that_are_none_are_refused(text: str) -> None:
    assert "more" in read(name="n", size="1", kind="a", more=text).errors


def test_what_the_schema_refuses_is_told_at_its_field() -> None:
    found, others = errors_of(compile_schema(SCHEMA).problems({"name": "n", "size": 0, "kind": "q", "odd": 1}))
    assert set(found) == {"size", "kind"}
    assert others == ["unknown field odd"]


def test_a_missing_field_is_told_at_its_field() -> None:
    assert errors_of(compile_schema(SCHEMA).problems({"name": "n", "kind": "a"}))[0] == {"size": "this is needed"}


def test_odd_field_names_give_ids_that_html_allows() -> None:
    fields = fields_of({"properties": {'a"><b x': {"type": "string"}}})
    assert fields[0]["id"] == "f-a-22--3e--3c-b-20-x"
