"""How fields that `emit` leaves out are filled, and what is said when they are not."""

from __future__ import annotations

from orchestrator.compiler.filling import Filled, Supply, fill_fields
from orchestrator.compiler.schemas import object_schema
from orchestrator.ir.model import FillIR, Json

TEXT: Json = {"type": "string"}
INT: Json = {"type": "integer"}
ANY: Json = {}


def fill(target: dict[str, Json], result: Json | None, *ev: dict[str, Json], given: str = "") -> Filled:
    return fill_fields(object_schema(target), frozenset(given.split()), Supply(result, tuple(map(object_schema, ev))))


def test_a_field_comes_from_a_mapping_result_before_ev() -> None:
    assert fill({"text": TEXT}, object_schema({"text": TEXT}), {"text": TEXT}).fills == (FillIR("text", "result"),)


def test_a_field_of_another_type_is_passed_over() -> None:
    assert fill({"text": TEXT}, object_schema({"text": INT}), {"text": TEXT}).fills == (FillIR("text", "ev"),)


def test_a_scalar_result_fills_the_only_field_left() -> None:
    assert fill({"lang": TEXT, "score": INT}, INT, {"lang": TEXT}).fills == (
        FillIR("lang", "ev"),
        FillIR("score", "scalar"),
    )


def test_a_scalar_result_does_not_fill_one_of_two_fields() -> None:
    assert fill({"a": TEXT, "b": TEXT}, TEXT).missing == ("a", "b")


def test_a_field_that_with_gives_is_left_alone() -> None:
    assert fill({"a": TEXT, "b": TEXT}, TEXT, given="a").fills == (FillIR("b", "scalar"),)


def test_a_field_that_only_some_events_have_does_not_fill_a_required_one() -> None:
    found = fill({"notes": TEXT}, None, {"notes": TEXT}, {})
    assert (found.missing, found.near_misses) == (("notes",), {"notes": "some"})


def test_fields_that_may_be_left_out_get_their_default_or_null() -> None:
    target = {"type": "object", "properties": {"a": {**TEXT, "default": "x"}, "b": {"type": ["string", "null"]}}}
    assert fill_fields(target, frozenset(), Supply(None, ())).constants == {"a": "x", "b": None}


def test_an_unknown_result_is_looked_at_when_it_runs() -> None:
    assert fill({"text": TEXT}, ANY).fills == (FillIR("text", "auto"),)
    assert fill({"text": TEXT, "lang": TEXT}, ANY, {"lang": TEXT}).fills == (
        FillIR("lang", "auto"),
        FillIR("text", "auto"),
    )


def test_several_fields_of_an_unknown_result_must_be_in_it() -> None:
    assert fill({"a": TEXT, "b": TEXT}, ANY).fills == (FillIR("a", "result"), FillIR("b", "result"))


def test_an_error_gives_code_and_message() -> None:
    found = fill_fields(object_schema({"code": TEXT, "message": TEXT}), frozenset(), Supply(None, (), has_error=True))
    assert found.fills == (FillIR("code", "error"), FillIR("message", "error"))


def test_a_result_that_ev_pushes_aside_is_noticed() -> None:
    assert fill({"text": TEXT}, TEXT, {"text": TEXT}).dropped_for == "text"
    assert fill({"text": TEXT}, INT, {"text": TEXT}).dropped_for is None
