"""Text and data with expressions: how they are encoded, and what they render to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import UsageError
from orchestrator.expr import (
    ExprError,
    ExprSyntaxError,
    bare_source,
    compile_value,
    encode_data,
    encode_text,
    find_expressions,
    split_text,
)

SCOPE = {"ev": {"name": "kim", "n": 2, "ok": True, "none": None, "l": [1, "a"], "f": 1.0}}


def render(data: Any) -> Any:
    return compile_value(encode_data(data)).render(SCOPE)


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("plain {braces} {{ x }} $ { }}", "plain {braces} {{ x }} $ { }}"),
        ("${{ ev.name }}", {"$expr": "ev.name"}),
        ("${{ev.name}}", {"$expr": "ev.name"}),
        ("a ${{ x }}", {"$text": ["a ", {"$expr": "x"}]}),
        ("${{ x }} ", {"$text": [{"$expr": "x"}, " "]}),
        ("${{ x }}${{ y }}", {"$text": [{"$expr": "x"}, {"$expr": "y"}]}),
        ("${{ '}}' ~ \"}}\" }}", {"$expr": "'}}' ~ \"}}\""}),
        ("${{ {'a': {'b': 1}}.a }}", {"$expr": "{'a': {'b': 1}}.a"}),
        ("${{ {'a': {}}}}", {"$expr": "{'a': {}}"}),
        ("${{ '${{' }}", {"$expr": "'${{'"}),
        ("${{ 'it\\'s }}' }}", {"$expr": "'it\\'s }}'"}),
        ("${{\n  x\n}}", {"$expr": "x"}),
    ],
)
def test_text_is_split_where_expressions_are_marked(text: str, encoded: Any) -> None:
    assert encode_text(text) == encoded


@pytest.mark.parametrize(
    ("text", "code", "start", "end"),
    [
        ("ab ${{ x", "FLW303", 3, 6),
        ("ab ${{ x ${{ y }}", "FLW303", 3, 6),
        ("ab ${{ x }", "FLW303", 3, 6),
        ("ab ${{ it's }} cd", "FLW302", 9, 12),
        ("ab ${{  }} cd", "FLW305", 3, 10),
    ],
)
def test_an_expression_that_is_not_closed_is_an_error_at_its_place(text: str, code: str, start: int, end: int) -> None:
    with pytest.raises(ExprSyntaxError) as caught:
        encode_text(text)
    assert (caught.value.code, caught.value.start, caught.value.end) == (code, start, end)


def test_each_part_knows_where_it_stands_in_the_text() -> None:
    text = "Dear ${{  ev.name }}, ${{ev.n}}!"
    for part in split_text(text):
        assert text[part.offset : part.offset + len(part.text)] == part.text


@pytest.mark.parametrize(
    ("text", "source", "offset"),
    [
        ("  ev.ok", "ev.ok", 2),
        ("${{ ev.ok }}", "ev.ok", 4),
        (" ${{ev.ok}} ", "ev.ok", 4),
        ("'${{' in ev.name", "'${{' in ev.name", 0),
    ],
)
def test_a_bare_expression_may_be_wrapped_as_a_whole(text: str, source: str, offset: int) -> None:
    part = bare_source(text)
    assert (part.text, part.offset) == (source, offset)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("${{ a }} and b", "FLW304"),
        ("not ${{ a }}", "FLW304"),
        ("${{ a }}${{ b }}", "FLW304"),
        ("  ", "FLW305"),
        ("${{ a", "FLW303"),
    ],
)
def test_a_bare_expression_takes_no_text_around_it(text: str, code: str) -> None:
    with pytest.raises(ExprSyntaxError) as caught:
        bare_source(text)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("${{ ev.n }}", 2),
        ("${{ ev.none }}", None),
        ("${{ ev.l }}", [1, "a"]),
        ("n=${{ ev.n }} ok=${{ ev.ok }} none=${{ ev.none }} f=${{ ev.f }}", "n=2 ok=true none=null f=1.0"),
        ("l=${{ ev.l }} o=${{ {'a': ev.none} }}", 'l=[1, "a"] o={"a": null}'),
        ({"a": ["${{ ev.n }}", {"b": "x${{ ev.n }}"}], "c": 1.5}, {"a": [2, {"b": "x2"}], "c": 1.5}),
        ({"$expr": "1", "$x": "${{ ev.n }}"}, {"$expr": "1", "$x": 2}),
        ({"$lit": {"a": "${{ ev.n }}"}}, {"$lit": {"a": 2}}),
        ({"$text": ["a"]}, {"$text": ["a"]}),
        ('{"label": "${{ ev.name }}"}', '{"label": "kim"}'),
        ([None, True, 1, ""], [None, True, 1, ""]),
    ],
)
def test_data_renders_with_the_types_of_its_values(data: Any, expected: Any) -> None:
    assert render(data) == expected
    json.dumps(encode_data(data))


def test_a_constant_renders_to_a_new_copy_each_time() -> None:
    value = compile_value({"a": [1]})
    assert value.is_constant
    value.render({})["a"].append(2)
    assert value.render({}) == {"a": [1]}


def test_a_value_knows_the_names_it_reads() -> None:
    value = compile_value(encode_data({"a": "${{ ev.name }} ${{ state.x.y }}", "b": ["${{ item }}"]}))
    assert value.names == {"ev.name", "state.x.y", "item"}
    assert not value.is_constant
    assert not value.has_secrets


def test_expressions_are_listed_with_their_paths() -> None:
    found = list(find_expressions(encode_data({"a": ["x", "${{ b }}"], "$c": "d ${{ e }} ${{ f }}"})))
    assert [(f.path, f.source, f.is_whole, f.part) for f in found] == [
        (("a", 1), "b", True, 0),
        (("$c",), "e", False, 1),
        (("$c",), "f", False, 3),
    ]


def test_lenient_fields_reach_the_expressions_of_a_value() -> None:
    value = compile_value(encode_data({"a": "${{ ev.x }}", "b": "-${{ ev.x or '' }}"}), lenient_fields={"ev": ["x"]})
    assert value.render({"ev": {}}) == {"a": None, "b": "-"}


@pytest.mark.parametrize(
    "value",
    [{"$expr": 1}, {"$expr": "a", "b": 1}, {"$other": 1}, {"$text": [1]}, {1: 2}, (1,), {"a": object()}],
)
def test_what_is_no_encoded_value_is_refused(value: Any) -> None:
    with pytest.raises(UsageError):
        compile_value(value)


def test_a_failure_in_text_names_the_expression() -> None:
    with pytest.raises(ExprError) as caught:
        compile_value(encode_text("Hello ${{ ev.nme }}")).render(SCOPE)
    assert caught.value.source == "ev.nme"
    assert caught.value.help == "did you mean `name`?"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(st.sampled_from("ab$ {}'\"\\é"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "$expr", "$text", "$lit", "$x"]), inner),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True)
@given(_JSON.filter(lambda data: "${{" not in json.dumps(data)))
def test_data_without_expressions_renders_to_itself(data: Any) -> None:
    value = compile_value(encode_data(data))
    assert value.is_constant
    assert value.render({}) == data
