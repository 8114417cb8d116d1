"""The type shorthand: what it means, as JSON Schema too, and what is no type."""

from __future__ import annotations

from contextlib import suppress

import jsonschema
import pytest

from orchestrator.language.type_text import BadType, parse_type_text
from orchestrator.language.types import EnumType, conforms, fields_to_schema, type_to_schema, type_to_text
from tests.language.support import found, good, help_of


def inputs(*lines: str) -> str:
    return "flow: a\ninputs:\n" + "".join(f"  {line}\n" for line in lines) + "steps: {w: {on: Start, emit: Stop}}\n"


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ("str", {"type": "string"}),
        ("int", {"type": "integer"}),
        ("float", {"type": "number"}),
        ("bool", {"type": "boolean"}),
        ("any", {}),
        ("duration", {"type": "string", "format": "duration"}),
        ("datetime", {"type": "string", "format": "date-time"}),
        ("[str]", {"type": "array", "items": {"type": "string"}}),
        ("a | b", {"enum": ["a", "b"]}),
        ("a | null", {"enum": ["a", None]}),
        ("str | null", {"type": ["string", "null"]}),
        ("int | str", {"type": ["integer", "string"]}),
        ("1 | 2", {"enum": [1, 2]}),
        ("'[str] | null'", {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]}),
        ("'\"str\" | other'", {"enum": ["str", "other"]}),
        ("needs work | done", {"enum": ["needs work", "done"]}),
        ("{type: int, default: 3}", {"type": "integer", "default": 3}),
        ("{type: str, description: why}", {"type": "string", "description": "why"}),
        ("{schema: {type: integer, minimum: 1}}", {"type": "integer", "minimum": 1}),
        ("[{schema: {}}]", {"type": "array", "items": {}}),
        ("[[int]]", {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}),
    ],
)
def test_shorthand_becomes_json_schema(text: str, schema: object) -> None:
    spec = good(inputs(f"a: {text}")).inputs["a"]
    assert fields_to_schema({"a": spec.field_type})["properties"]["a"] == schema
    jsonschema.Draft202012Validator.check_schema(type_to_schema(spec.type))


def test_objects_list_the_fields_that_must_be_given() -> None:
    spec = good(inputs("a: {n: int, note: str | null, k: {type: int, default: 1}}")).inputs["a"]
    schema = type_to_schema(spec.type)
    assert schema["required"] == ["n"]
    assert schema["additionalProperties"] is False
    assert list(schema["properties"]) == ["n", "note", "k"]


def test_a_field_named_type_needs_the_long_form() -> None:
    spec = good(inputs("a: {fields: {type: str, default: int}}", "b: {type: str, other: int}")).inputs
    assert type_to_text(spec["a"].type) == "{type: str, default: int}"
    assert type_to_text(spec["b"].type) == "{type: str, other: int}"


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("string", "FLW211", "`str`"),
        ("strr", "FLW211", "`str`"),
        ("Integer", "FLW211", "`int`"),
        ("number", "FLW211", "`float`"),
        ("boolean", "FLW211", "`bool`"),
        ("strr | null", "FLW211", "`str`"),
        ("nul | str", "FLW211", "`null`"),
        ("string | null", "FLW211", "`str`"),
        ("str?", "FLW211", "str | null"),
        ("'list[str]'", "FLW212", "`[str]`"),
        ("'[str'", "FLW212", ""),
        ("str |", "FLW212", ""),
        ("[str, int]", "FLW212", "[str]"),
        ("[]", "FLW212", "[str]"),
        ("5", "FLW212", "{type: int, default: 5}"),
        ("true", "FLW212", "type: bool"),
        ("", "FLW212", "str"),
        ("a | a", "FLW208", "once"),
        ("str | str", "FLW208", "once"),
        ("Article", "FLW211", "imports"),
        ("a | Draft", "FLW212", "quote"),
        ("'dict[str, int]'", "FLW212", ""),
        ("{type: int, default: x}", "FLW213", "change"),
        ("{type: a | b, default: c}", "FLW213", "change"),
        ("{schema: ../x.json}", "FLW214", "./order.json"),
        ("{schema: /etc/passwd}", "FLW214", "./order.json"),
    ],
)
def test_what_is_no_type_says_how_to_write_it(text: str, code: str, hint: str) -> None:
    (place,) = found(inputs(f"a: {text}"))
    assert place.split()[1] == code
    assert hint in help_of(inputs(f"a: {text}"))


def test_the_place_of_a_bad_word_is_that_word() -> None:
    assert found(inputs("a: approve | srt | reject")) == ["3:16 FLW211"]
    assert found(inputs("a: '[strr] | null'")) == ["3:8 FLW211"]


def test_imported_models_are_types() -> None:
    spec = good("imports: {Article: my_pkg.models:Article}\n" + inputs("a: Article", "b: '[Article] | null'"))
    assert type_to_schema(spec.inputs["a"].type) == {"$ref": "#/$defs/Article"}
    assert type_to_schema(spec.inputs["a"].type, {"Article": {"type": "object"}}) == {"type": "object"}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("{$ref: 'https://evil.example/x'}", "nothing is fetched"),
        ("{properties: {a: {$dynamicRef: other}}}", "nothing is fetched"),
        ("{pattern: '(a+)+'}", "repeats"),
        ("{pattern: '(?=a)b'}", "looks ahead"),
        ("{pattern: '(a)\\1'}", "refers back"),
        ("{pattern: '('}", "not a regular expression"),
        ("{patternProperties: {'(x*)*': {}}}", "repeats"),
        ("{type: sting}", "no type"),
        ("{propertes: {}}", "no keyword"),
        ("{minimum: x}", "no JSON Schema"),
        ("{required: 5}", "no JSON Schema"),
        ("{$schema: 'http://json-schema.org/draft-07/schema#'}", "2020-12"),
        ("{items: {items: {items: {type: x}}}}", "no type"),
    ],
)
def test_json_schemas_are_closed_and_cheap(schema: str, words: str) -> None:
    from tests.language.support import parse

    (diagnostic,) = parse(inputs(f"a: {{schema: {schema}}}")).diagnostics
    assert diagnostic.code == "FLW214"
    assert words in diagnostic.message


def test_references_inside_a_schema_are_fine() -> None:
    good(inputs("a: {schema: {$defs: {n: {type: integer}}, properties: {x: {$ref: '#/$defs/n'}}}}"))


def test_values_are_held_against_types() -> None:
    object_type = parse_type_text("{n: int, s: str | null}")
    assert conforms({"n": 1}, object_type)
    assert not conforms({"n": True}, object_type)
    assert not conforms({"n": 1, "x": 2}, object_type)
    assert not conforms([1, "x"], parse_type_text("[int]"))
    assert not conforms(1, EnumType((True,)))


@pytest.mark.parametrize(
    "text", ["[" * 1000, "{a: " * 1000, "a|" * 5000, "|", "{", "{a", "[,]", "}", '"', "a b [c]", ": x", "a: b"]
)
def test_no_text_breaks_the_parser_of_types(text: str) -> None:
    with suppress(BadType):
        parse_type_text(text)


@pytest.mark.parametrize("text", ["[" * 1000, "{", "{a", "[,]", "}", '"', "a b [c]", ": x", "a: b", "a | | b"])
def test_the_place_of_a_bad_type_lies_in_its_text(text: str) -> None:
    with pytest.raises(BadType) as caught:
        parse_type_text(text)
    assert 0 <= caught.value.start <= caught.value.end <= len(text)
