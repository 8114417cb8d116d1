"""Types: how they are put together, written, read from a JSON Schema, and which fields may be absent."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.expr.schema_types import from_json_schema
from orchestrator.expr.types import (
    ANY,
    BOOL,
    INT,
    NULL,
    STR,
    EnumT,
    ListT,
    ObjectT,
    TypeT,
    optional_paths,
    partial_fields,
    to_text,
    type_of_value,
    union,
    widened,
    without_null,
)


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ((STR, STR), "str"),
        ((STR, NULL, STR), "str | null"),
        ((STR, ANY), "any"),
        ((EnumT(("a",)), EnumT(("b", "a"))), "a | b"),
        ((EnumT(("a",)), STR), "str"),
        ((EnumT(("a",)), INT, NULL), "a | int | null"),
        ((union(INT, NULL), union(STR, NULL)), "int | null | str"),
        ((), "any"),
    ],
)
def test_a_union_is_flat_and_without_repeats(types: tuple[TypeT, ...], expected: str) -> None:
    assert to_text(union(*types)) == expected


def test_null_and_literals_can_be_taken_away() -> None:
    assert without_null(union(STR, NULL)) == STR
    assert without_null(NULL) == ANY
    assert widened(union(EnumT(("a", "b")), NULL)) == union(STR, NULL)


def test_the_type_of_a_first_value_is_read_from_it() -> None:
    kind = type_of_value({"round": 0, "tags": ["a"], "none": None, "deep": {"ok": True}, "empty": []})
    assert to_text(kind) == "{round: int, tags: [str], none: null, deep: {ok: bool}, empty: [any]}"


class Inner(BaseModel):
    name: str
    tags: list[str] = []
    parent: Inner | None = None


class Model(BaseModel):
    inner: Inner
    score: float | None
    note: str = ""


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, "str"),
        ({"type": "string", "format": "date-time"}, "datetime"),
        ({"type": "string", "format": "duration"}, "duration"),
        ({"enum": ["a", "b", None]}, "a | b | null"),
        ({"const": "x"}, "x"),
        ({"type": ["integer", "null"]}, "int | null"),
        ({"anyOf": [{"type": "number"}, {"type": "boolean"}]}, "float | bool"),
        ({"type": "array", "items": {"type": "string"}}, "[str]"),
        ({"type": "array"}, "[any]"),
        ({"type": "object"}, "{…}"),
        ({"properties": {"a": {"type": "string"}}, "required": ["a"]}, "{a: str}"),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": True}, "{a: any, …}"),
        ({"allOf": [{"properties": {"a": {"type": "string"}}}, {"properties": {"b": {"type": "integer"}}}]}, "{a: str, b: int}"),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "string"}}}, "str"),
        ({"$ref": "https://elsewhere.example/x"}, "any"),
        ({"$ref": "#"}, "any"),
        (True, "any"),
        ({"type": 7}, "any"),
        ({"not": {}}, "any"),
    ],
)  # fmt: skip
def test_a_json_schema_is_read_as_far_as_it_goes(schema: Any, expected: str) -> None:
    assert to_text(from_json_schema(schema)) == expected


def test_a_pydantic_model_is_read_and_recursion_ends() -> None:
    kind = from_json_schema(Model.model_json_schema())
    assert to_text(kind).startswith("{inner: {name: str, tags: [str], parent: {name: str")
    assert isinstance(kind, ObjectT)
    assert kind.fields["score"] == from_json_schema({"type": ["number", "null"]})
    assert kind.optional == frozenset()  # a default fills what is left out


def test_fields_that_may_be_absent_are_listed_by_path() -> None:
    event = ObjectT({"a": STR, "b": ObjectT({"c": INT}, optional=frozenset({"c"}))}, optional=frozenset({"a"}))
    assert optional_paths(event) == {"a", "b.c"}
    assert optional_paths(ListT(event)) == {"[].a", "[].b.c"}


def test_a_field_of_only_some_events_is_partial() -> None:
    assert partial_fields([ObjectT({"a": STR, "b": BOOL}), ObjectT({"a": STR})]) == {"b"}
    assert partial_fields([ObjectT({"a": STR})]) == frozenset()
