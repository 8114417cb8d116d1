"""Evaluating: values keep their types, what is missing is said exactly, and nothing but plain data is touched."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.expr import ExprError, compile_expr, parse

SCOPE: dict[str, Any] = {
    "ev": {"message": "hi", "user": {"name": "kim"}, "items": [1, 2], "none": None},
    "state": {"round": 1},
    "inputs": {"max_rounds": 3, "tags": ["a", "b"]},
    "answers": [{"as": "lee", "notes": "x"}, {"as": "noa"}],
    "outcome": "approve",
    "empty": [],
}


def value(source: str, **more: Any) -> Any:
    return compile_expr(source).evaluate({**SCOPE, **more})


def failure(source: str, **more: Any) -> ExprError:
    with pytest.raises(ExprError) as caught:
        value(source, **more)
    return caught.value


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("state.round < inputs.max_rounds", True),
        ("outcome == 'approve' and state.round >= 1", True),
        ("ev.items", [1, 2]),
        ("ev['user'].name", "kim"),
        ("answers[-1].as", "noa"),
        ("answers[:1] | map(attribute='as')", ["lee"]),
        ("ev.message[0] ~ ev.message[-1:]", "hi"),
        ("ev.none or 'x'", "x"),
        ("1 + 2 * 3 - 4 / 2", 5.0),
        ("7 // 2 + 7 % 2", 4),
        ("2 ** 10", 1024),
        ("'a' + 'b'", "ab"),
        ("[1] + [2]", [1, 2]),
        ("'-' * 3", "---"),
        ("1 ~ true ~ null ~ 1.0 ~ [1, 'a']", '1truenull1.0[1, "a"]'),
        ("1 < 2 < 3", True),
        ("1 < 3 < 2", False),
        ("'a' in inputs.tags and 'z' not in inputs.tags", True),
        ("'name' in ev.user", True),
        ("'yes' if state.round == 1 else 'no'", "yes"),
        ("{'a': [state.round], 'b': {'c': null}}", {"a": [1], "b": {"c": None}}),
        ("range(3)", [0, 1, 2]),
        ("range(5, 0, -2)", [5, 3, 1]),
        ("not ev.none", True),
        ("-state.round", -1),
        ("true and 'x' or 'y'", "x"),
        ("1 == 1.0 and 1 != '1'", True),
        ("ev.items == [1, 2]", True),
    ],
)
def test_an_expression_gives_the_value_of_its_own_type(source: str, expected: Any) -> None:
    result = value(source)
    assert result == expected
    assert type(result) is type(expected)


def test_a_key_of_an_object_is_never_a_method() -> None:
    assert value("ev.items") == [1, 2]
    assert "keys" in failure("ev.keys").message


@pytest.mark.parametrize(
    ("source", "message", "start", "end"),
    [
        ("ev.mesage", "`ev.mesage` is not there; `ev` has: message, user, items, none", 3, 9),
        ("1 + ev.user.nme", "`ev.user.nme` is not there; `ev.user` has: name", 12, 15),
        ("evt.x", "`evt` is not there; here are: ev, state, inputs, answers, outcome, empty", 0, 3),
        ("ev.none.x", "`ev.none` is null, so `ev.none.x` is not there", 8, 9),
        ("answers[5]", "`answers[5]` is not there; `answers` has 2 items", 0, 10),
        ("empty[-1].x", "`empty[-1]` is not there; `empty` is empty", 0, 9),
        ("answers.notes", "`answers.notes` is not there; `answers` is a list", 8, 13),
        ("empty | first", "`empty` is empty, so it has no first", 0, 13),
        ("ev.message + 1", "`+` cannot add text and a number", 0, 14),
        ("ev.message < 1", "`<` cannot compare text with a number", 0, 14),
        ("1 / (state.round - 1)", "division by zero", 0, 21),
        ("'%s' % 1", "`%` does not format text", 0, 8),
        ("answers | map(attribute='notes')", "an item has no `notes`: it has as", 0, 32),
    ],
)
def test_a_failure_says_what_and_where(source: str, message: str, start: int, end: int) -> None:
    found = failure(source)
    assert (found.message, found.start, found.end) == (message, start, end)
    assert (found.code, found.source) == ("expr.failed", source)


def test_a_near_miss_of_a_field_is_suggested() -> None:
    assert failure("ev.mesage").help == "did you mean `message`?"
    assert "column 4" in str(failure("ev.mesage"))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("ev.x | default('d')", "d"),
        ("ev.x.y.z | default('d')", "d"),
        ("nothing | default('d')", "d"),
        ("ev.none | default('d')", "d"),
        ("ev.message | default('d')", "hi"),
        ("'' | default('d')", ""),
        ("'' | default('d', true)", "d"),
        ("empty | first | default('d')", "d"),
        ("empty[3] | default('d')", "d"),
        ("ev.x is defined", False),
        ("ev.x is not defined", True),
        ("ev.none is defined", True),
        ("ev.none is none", True),
        ("ev.x is undefined", True),
    ],
)
def test_what_may_be_missing_is_asked_for_explicitly(source: str, expected: Any) -> None:
    assert value(source) == expected


def test_lenient_fields_read_as_null_and_no_others() -> None:
    lenient = {"ev": {"notes", "user.age"}, "answers": {"[].notes"}}
    scope = {"ev": {"user": {}}, "answers": [{}]}
    for source in ("ev.notes", "ev.user.age", "answers[0].notes", "ev['notes']"):
        assert compile_expr(source, lenient_fields=lenient).evaluate(scope) is None
    assert compile_expr("ev.notes or ''", lenient_fields=lenient).evaluate(scope) == ""
    assert compile_expr("ev.notes is defined", lenient_fields=lenient).evaluate(scope) is False
    with pytest.raises(ExprError):
        compile_expr("ev.others", lenient_fields=lenient).evaluate(scope)


class Model(BaseModel):
    name: str = "x"


class Color(StrEnum):
    RED = "red"


@pytest.mark.parametrize("thing", [Model(), Path("/"), print, Color.RED, SimpleNamespace(a=1), (1, 2), {1}, b"x"])
@pytest.mark.parametrize(
    "source", ["x", "x.name", "x['name']", "o.x", "o.x.name", "l[0]", "l | first", "l | join", "o | tojson", "x ~ ''"]
)
def test_anything_but_plain_data_is_refused(source: str, thing: object) -> None:
    with pytest.raises(ExprError):
        compile_expr(source).evaluate({"x": thing, "o": {"x": thing}, "l": [thing]})


def test_and_and_or_stop_at_the_deciding_operand() -> None:
    assert value("false and ev.missing") is False
    assert value("1 or ev.missing") == 1
    assert value("false or false or 3 or ev.missing") == 3


def test_a_list_literal_is_new_each_time() -> None:
    compiled = compile_expr("[1, 2]")
    compiled.evaluate({}).append(3)
    assert compiled.evaluate({}) == [1, 2]


def test_a_tree_without_source_still_names_what_fails() -> None:
    compiled = compile_expr(parse("ev.user.nme"))
    with pytest.raises(ExprError, match=r"`ev\.user\.nme` is not there"):
        compiled.evaluate(SCOPE)


def test_compiled_names_the_paths_it_reads() -> None:
    assert compile_expr("ev.a ~ state.b[0]").names == {"ev.a", "state.b[]"}
